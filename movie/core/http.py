"""Requests and answers: who asks (a browser, htmx or a script), where to go next, how to refuse."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase, ResponseHeaders
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import ngettext

PAGE, SVG = "text/html", "image/svg+xml"  # content types
ADMIN = "admin/"  # below the root of the site, where the administration is

HeaderTable = dict[str, tuple[str, str]]  # by name in lower case: the name as it is sent, and the value


def header_table(headers: Mapping[str, str]) -> HeaderTable:
    """Return headers for `set_headers`. Raises BadHeaderError for what no header may hold."""
    return dict(ResponseHeaders(headers)._store)


def set_headers(response: HttpResponseBase, *tables: HeaderTable) -> None:
    """Set headers that were checked before, or need no check: numbers, ids.

    Names are in lower case and values are str, as `header_table` makes them; nothing here makes them so.

    Django checks a name and a value at each assignment, in eight calls. A request to the API has nine headers
    that are the same for all.
    """
    for table in tables:
        response.headers._store.update(table)


class TooManyRequests(Exception):
    """Refuses a request that would cost too much now: 429, with the seconds after which to come again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"come again in {seconds} s")
        self.seconds = seconds


def parse_content_type(response: HttpResponseBase) -> str:
    """Return the content type of an answer without its parameters, "" where it has none."""
    return response.get("Content-Type", "").partition(";")[0]


def is_htmx(request: HttpRequest) -> bool:
    """Return whether htmx waits for a part of a page."""
    return bool(getattr(request, "htmx", False))


def is_script(request: HttpRequest) -> bool:
    """Return whether htmx or a beacon asks, and not a browser for a page."""
    return is_htmx(request) or PAGE not in request.headers.get("Accept", PAGE)


def posted_next(request: HttpRequest) -> str:
    """Return where the form says that it leads back to; nothing when the body is none that can be read.

    The page that says so, or that there is nothing at the address, is rendered for such a request too.
    """
    try:
        return request.POST.get("next", "")
    except (BadRequest, SuspiciousOperation, MultiPartParserError, UnreadablePostError):
        return ""


def safe_next(request: HttpRequest, default: str) -> str:
    """Return where the form wants to go back to when that is a page of this site, else the default."""
    target = posted_next(request)
    own = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if own else default


def see_other(target: str) -> HttpResponseRedirect:
    """Redirect with 303: the browser fetches the target with GET, whatever this request was."""
    return HttpResponseRedirect(target, status=303)


def too_many_requests(request: HttpRequest, seconds: int) -> HttpResponse:
    """Refuse a request that costs too much now, with 429 and the seconds after which to come again."""
    if is_script(request):
        message = ngettext(
            "Too many requests at once. Try again in %(seconds)d second.",
            "Too many requests at once. Try again in %(seconds)d seconds.",
            seconds,
        )
        return error_response(request, message % {"seconds": seconds}, status=429, wait=seconds)
    response = render(request, "429.html", status=429)
    response["Retry-After"] = str(seconds)
    return response


def error_response(request: HttpRequest, message: str, *, status: int, wait: int = 0) -> HttpResponse:
    """Say why nothing was done: with a page for a browser, with one line of text for a script.

    `wait` is the number of seconds after which it may be tried again, if that helps.
    """
    if is_script(request):
        response = HttpResponse(message, content_type="text/plain; charset=utf-8", status=status)
        response["HX-Reswap"] = "none"  # the control stays as it is; the script says the line
    else:
        context = {"reason": message, "back": safe_next(request, default="")}
        response = render(request, "refused.html", context, status=status)
    if wait:
        response["Retry-After"] = str(wait)
    return response
