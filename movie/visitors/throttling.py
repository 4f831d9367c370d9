"""Limit the writes, the costly pages and the imported rows of a visitor and of an address."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpResponse
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from movie.core.http import error_response, too_many_requests
from movie.visitors.networks import client_address
from movie.visitors.visitor import VisitorRequest

WINDOW = 60  # seconds
ROWS_WINDOW = 3600  # seconds, for rows of files
GUESTS_BEHIND_ONE_ADDRESS = 10  # a class room may share an address; a script may drop its cookies


def seconds_to_wait(request: VisitorRequest, what: str = "", limit: int | None = None) -> int:
    """Count one write of this visitor; 0 when it is allowed, else the seconds until the next one is.

    `limit` (`settings.WRITE_RATE_LIMIT` by default) a minute for each visitor, and ten times that for all
    guests of one address. `what` is counted apart from everything else.
    """
    limit = settings.WRITE_RATE_LIMIT if limit is None else limit
    visitor = request.visitor
    now = time.time()
    limits = {visitor.key: limit}
    if not visitor.is_member:
        limits[client_address(request)] = limit * GUESTS_BEHIND_ONE_ADDRESS
    too_many = [who for who, most in limits.items() if _count(f"{what}{who}", now, WINDOW) > most]
    return math.ceil(WINDOW - now % WINDOW) if too_many else 0


def seconds_to_wait_for_rows(request: VisitorRequest, n_rows: int) -> int:
    """Count the rows of a visitor's file; 0 when they are allowed, else the seconds until they may be.

    `settings.IMPORT_ROW_LIMIT` rows an hour for each visitor, and ten times that for all guests of one
    address. A file that is refused does not count.
    """
    now = time.time()
    visitor = request.visitor
    limits = {f"rows:{visitor.key}": settings.IMPORT_ROW_LIMIT}
    if not visitor.is_member:
        limits[f"rows:{client_address(request)}"] = settings.IMPORT_ROW_LIMIT * GUESTS_BEHIND_ONE_ADDRESS
    if any(cache.get(_key(who, now, ROWS_WINDOW), 0) + n_rows > limit for who, limit in limits.items()):
        return math.ceil(ROWS_WINDOW - now % ROWS_WINDOW)
    for who in limits:
        _count(who, now, ROWS_WINDOW, n_rows)
    return 0


def limited_page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let a visitor see pages that cost much `settings.PAGE_RATE_LIMIT` times a minute; beyond that 429."""

    @wraps(view)
    def limited(request: VisitorRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if wait := seconds_to_wait(request, "page:", settings.PAGE_RATE_LIMIT):
            return too_many_requests(request, wait)
        return view(request, *args, **kwargs)

    return limited


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
        return error_response(request, message, status=429, wait=wait)

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
    key = _key(who, now, window)
    for _ in range(2):
        try:
            return cache.incr(key, cost)
        except ValueError:  # the first of this window, unless another one is at it too
            if cache.add(key, cost, 2 * window):
                break
    return cost


def _key(who: str, now: float, window: int) -> str:
    return f"writes:{who}:{int(now // window)}"
