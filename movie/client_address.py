"""Where a request comes from."""

from allauth.account.adapter import get_adapter
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest


def address_of(request: HttpRequest) -> str | None:
    """The sender's address: behind a proxy (BEHIND_PROXY) what the proxy says, else the connection's.

    None where there is none, as on a Unix socket, and where a request went past the proxy.
    """
    try:
        return get_adapter().get_client_ip(request)
    except (PermissionDenied, ImproperlyConfigured):
        return None
