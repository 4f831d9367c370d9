"""Files that browsers and crawlers look for at the root of a site."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.templatetags.static import static
from django.utils import timezone
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

DAY = 24 * 3600
# Pages of one visitor, pages that cost much, and addresses that are no pages.
NOT_CRAWLED = (
    "/account/",
    "/accounts/",
    "/admin/",
    "/api/",
    "/compare/",
    "/go/",
    "/history/",
    "/i18n/",
    "/movies/*/why/",
    "/recommend/",
    "/search/",
    "/shown/",
    "/tonight/",
)
CONTACT_DAYS = 180  # RFC 9116 wants an end of less than a year


@require_safe
@cache_control(public=True, max_age=DAY)
def robots(request: HttpRequest) -> HttpResponse:
    """Tell crawlers what to leave alone."""
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in NOT_CRAWLED)]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")


@require_safe
@cache_control(public=True, max_age=DAY)
def security_contact(request: HttpRequest) -> HttpResponse:
    """Name who is told of a weakness (RFC 9116); 404 where SECURITY_CONTACT is not set."""
    if not settings.SECURITY_CONTACT:
        raise Http404
    end = (timezone.now() + timedelta(days=CONTACT_DAYS)).strftime("%Y-%m-%dT00:00:00Z")
    text = f"Contact: {settings.SECURITY_CONTACT}\nExpires: {end}\nPreferred-Languages: en\n"
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


@require_safe
@cache_control(public=True, max_age=DAY)
def favicon(request: HttpRequest) -> HttpResponse:
    """Redirect to the site's mark, for those who ask without having read a page."""
    return HttpResponse(status=302, headers={"Location": static("pages/mark.svg")})
