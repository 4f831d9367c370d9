"""Where a request comes from."""

from ipaddress import IPv6Address, ip_address

from allauth.account.adapter import get_adapter
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest

UNKNOWN = "0.0.0.0"  # noqa: S104 - senders without an address count as one


def address_of(request: HttpRequest) -> str | None:
    """The sender's address: behind a proxy (BEHIND_PROXY) what the proxy says, else the connection's.

    None where there is none, as on a Unix socket, and where a request went past the proxy.
    """
    try:
        return get_adapter().get_client_ip(request)
    except (PermissionDenied, ImproperlyConfigured):
        return None


def network_of(request: HttpRequest) -> str:
    """Return what counts as one sender: the address, or the /64 network of an IPv6 address.

    One customer has all addresses of such a network. An IPv4 address in IPv6 notation counts as itself.
    """
    address = ip_address(address_of(request) or UNKNOWN)
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address.exploded[:19])
    return str(address)
