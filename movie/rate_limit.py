"""How often one visitor may write."""

import math
import time

from django.conf import settings
from django.core.cache import cache

from movie.client_address import client_address
from movie.visitors import VisitorRequest

WINDOW = 60  # seconds
GUESTS_BEHIND_ONE_ADDRESS = 10  # a class room may share an address; a script may drop its cookies


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
