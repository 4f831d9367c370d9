"""Find the client address of a request, and limit the writes of a visitor and of an address."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import wraps
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from movie.core.http import error_response
from movie.visitors.visitor import VisitorRequest

UNKNOWN = "0.0.0.0"  # noqa: S104 - senders without an address count as one
CUSTOMER_PREFIX = 64  # bits of IPv6 that tell customers apart; one customer has all addresses behind them
WINDOW = 60  # seconds
GUESTS_BEHIND_ONE_ADDRESS = 10  # a class room may share an address; a script may drop its cookies


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

    def is_safe_url(self, url: str | None) -> bool:
        """Return whether `next` stays on this site; an address that cannot be read (http://[) does not."""
        try:
            return super().is_safe_url(url)
        except ValueError:
            return False


def seconds_to_wait(request: VisitorRequest, what: str = "") -> int:
    """Count one write of this visitor; 0 when it is allowed, else the seconds until the next one is.

    `settings.WRITE_RATE_LIMIT` writes a minute for each visitor, and ten times that for all guests
    of one address. `what` is counted apart from everything else.
    """
    visitor = request.visitor
    now = time.time()
    limits = {visitor.key: settings.WRITE_RATE_LIMIT}
    if not visitor.is_member:
        limits[client_address(request)] = settings.WRITE_RATE_LIMIT * GUESTS_BEHIND_ONE_ADDRESS
    too_many = [who for who, limit in limits.items() if _count(f"{what}{who}", now, WINDOW) > limit]
    return math.ceil(WINDOW - now % WINDOW) if too_many else 0


def limited_post(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let a view answer POST alone, and as often as one visitor may write; beyond that it answers 429."""

    @require_POST
    @wraps(view)
    def limited(request: VisitorRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        wait = seconds_to_wait(request)
        if not wait:
            return view(request, *args, **kwargs)
        message = ngettext(
            "Too many changes at once. Try again in %(seconds)d second.",
            "Too many changes at once. Try again in %(seconds)d seconds.",
            wait,
        ) % {"seconds": wait}
        response = error_response(request, message, status=429)
        response["Retry-After"] = str(wait)
        return response

    return limited


def seconds_until(what: str, limit: int, window: int) -> int:
    """Count one use of something that is allowed `limit` times in `window` seconds; 0 when this one is."""
    now = time.time()
    return math.ceil(window - now % window) if _count(what, now, window) > limit else 0


def add_cost(what: str, cost: int, window: int) -> None:
    """Count `cost` more uses at once; those after them in this window meet the limit sooner."""
    if cost > 0:
        _count(what, time.time(), window, cost)


def _count(who: str, now: float, window: int, cost: int = 1) -> int:
    key = f"writes:{who}:{int(now // window)}"
    for _ in range(2):
        try:
            return cache.incr(key, cost)
        except ValueError:  # the first of this window, unless another one is at it too
            if cache.add(key, cost, 2 * window):
                break
    return cost
