"""Where a request comes from, as everything that counts callers knows them."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from allauth.account.adapter import DefaultAccountAdapter
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest

UNKNOWN = "0.0.0.0"  # noqa: S104 - senders without an address count as one
CUSTOMER_PREFIX = 64  # bits of IPv6 that tell customers apart; one customer has all addresses behind them


def client_address(request: HttpRequest) -> str:
    """Return the sender's address: behind a proxy (BEHIND_PROXY) what the proxy says, else the connection's.

    Of IPv6 it is the /64 network. UNKNOWN where there is none, as on a Unix socket, and where a proxy
    says something else.
    """
    try:
        address = ip_address(DefaultAccountAdapter().get_client_ip(request))
    except (PermissionDenied, ImproperlyConfigured, ValueError):
        return UNKNOWN
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((int(address), CUSTOMER_PREFIX), strict=False).network_address)
    return str(address)


class AccountAdapter(DefaultAccountAdapter):
    """Counts attempts to sign in and to sign up by the same address as the rest of the site."""

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request)
