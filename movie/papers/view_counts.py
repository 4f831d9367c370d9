"""View counts of reviews: people, not requests.

A view counts once a day for each visitor. Not counted: HEAD, htmx and prefetching requests, what calls itself
a robot or sends no browser's headers, and staff. A guest who comes without a cookie is known by address and
browser for that day, so that a script which drops its cookies counts once; the cookie given with the page is
remembered as well, so that the next page does not count again.

What is remembered is a keyed digest that changes every day. It names nobody and is deleted with the first
view of the next day.
"""

from __future__ import annotations

import re

from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from movie.papers.models import PaperReview, ViewToday
from movie.visitors.networks import client_address
from movie.visitors.visitor import VisitorRequest

DAY_SECONDS = 24 * 3600
_ROBOT = re.compile(  # "Cubot" makes telephones
    r"(?<!cu)bot\b|crawl|spider|slurp|archiver|preview|monitor|feed|fetch|scan|headless|lighthouse|"
    r"facebookexternalhit|python|curl|wget|libwww|java/|go-http|okhttp|httpx|axios|node|ruby|perl|php",
    re.IGNORECASE,
)


def count_view(request: VisitorRequest, review: PaperReview) -> bool:
    """Count this request if it is a person's first view today; return whether it was counted."""
    if not _is_human_view(request):
        return False
    visitor = request.visitor
    if getattr(visitor.user, "is_staff", False):
        return False
    who = [visitor.key]
    if visitor.is_new:
        who.insert(0, f"{client_address(request)} {request.headers.get('User-Agent', '')}")
    is_first_view = [_mark_viewed(review, each) for each in who]
    if is_first_view[0]:
        _forget_earlier_days()
        # The database adds, so that readers at the same time all count.
        PaperReview.objects.filter(pk=review.pk).update(views=F("views") + 1)
        review.views += 1
    return is_first_view[0]


def _mark_viewed(review: PaperReview, who: str) -> bool:
    """Store today's digest of a view; return whether it is the first one."""
    today = timezone.now().date()
    digest = salted_hmac("movie.papers.views", f"{today} {review.pk} {who}", algorithm="sha256").hexdigest()
    if ViewToday.objects.filter(pk=digest).exists():
        return False
    try:
        with transaction.atomic():
            ViewToday.objects.create(digest=digest, day=today)
    except IntegrityError:  # the same visitor in another request at this moment
        return False
    return True


def _forget_earlier_days() -> None:
    """Delete the digests of earlier days, once a day in each process or on a site with a shared cache."""
    today = timezone.now().date()
    if cache.add(f"paper-views-of-{today}", 1, DAY_SECONDS):
        ViewToday.objects.filter(day__lt=today).delete()


def _is_human_view(request: HttpRequest) -> bool:
    """Return whether a person's browser requests the page to show it."""
    headers = request.headers
    agent = headers.get("User-Agent", "")
    purpose = headers.get("Sec-Purpose", "") + headers.get("Purpose", "")
    return (
        request.method == "GET"
        and bool(agent)
        and _ROBOT.search(agent) is None
        and "text/html" in headers.get("Accept", "")
        and headers.get("Sec-Fetch-Dest", "document") == "document"
        and "prefetch" not in purpose
        and "prerender" not in purpose
        and "HX-Request" not in headers
    )
