"""Find the network of the sender of a request: everything that counts by address counts by this."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest

UNKNOWN = "0.0.0.0"  # noqa: S104 - senders without an address count as one
CUSTOMER_PREFIX = 64  # bits of IPv6 that tell customers apart; one customer has all addresses behind them
LONGEST_CACHED = 256  # characters of stated addresses, which anybody may send


def network_of(address: str) -> str:
    """Return the network that an address counts by: an IPv4 address itself, the /64 of an IPv6 address.

    An IPv4 address that is written as IPv6 counts as the IPv4 address. UNKNOWN for every other text.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return UNKNOWN
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ip_network((int(parsed), CUSTOMER_PREFIX), strict=False).network_address)


def client_address(request: HttpRequest) -> str:
    """Return the network of the sender: behind a proxy (BEHIND_PROXY) as the proxy states it, else of the
    connection.

    UNKNOWN where there is none, as on a Unix socket, and where a proxy states something else.
    """
    connection = request.META.get("REMOTE_ADDR", "")
    n_proxies = settings.ALLAUTH_TRUSTED_PROXY_COUNT
    if header := settings.ALLAUTH_TRUSTED_CLIENT_IP_HEADER:
        name = f"HTTP_{header.upper().replace('-', '_')}"
        stated = request.META.get(name, "")
    else:  # a sender may write any number of addresses before those that the proxies write
        name = "HTTP_X_FORWARDED_FOR"
        stated = ",".join(request.META.get(name, "").split(",")[-n_proxies:]) if n_proxies else ""
    find = _network_behind if len(stated) <= LONGEST_CACHED else _network_behind.__wrapped__
    return find(connection, name, stated, n_proxies)


@lru_cache(maxsize=4096)  # most senders come again, and to read an address takes 40 us
def _network_behind(connection: str, name: str, stated: str, n_proxies: int) -> str:
    """Return the network that allauth finds; it reads the settings for `name` and `n_proxies` itself."""
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": connection, name: stated}
    try:
        return network_of(DefaultAccountAdapter().get_client_ip(request))
    except (PermissionDenied, ImproperlyConfigured):
        return UNKNOWN
