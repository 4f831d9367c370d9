"""Refuse a request, before anything of its body is read, by its charset and by its size.

A body is at most as long as `settings.DATA_UPLOAD_MAX_MEMORY_SIZE`. A view that takes files says how much
more it takes (`@accepts_upload`); staff may send a file of `settings.ADMIN_UPLOAD_MB` to the admin.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.utils.http import parse_header_parameters

from movie.core.http import TooManyRequests, too_many_requests

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

View = TypeVar("View", bound=Callable[..., HttpResponse])

CHARSET = "utf-8"  # others may decode to what no template and no database can hold
NOT_READ = "unsupported"  # no codec has this name
FORM_BYTES = 64 * 1024  # of a form around its file
MB = 1024**2
HISTORY_BYTES = 5 * MB  # the longest file that a visitor may send


class UnsupportedCharset(SuspiciousOperation):
    """Says that the text of a request is in an encoding that is not read here."""


def accepts_upload(n_bytes: int) -> Callable[[View], View]:
    """Let a view take a file of `n_bytes`."""

    def mark(view: View) -> View:
        view.max_body = n_bytes + FORM_BYTES  # type: ignore[attr-defined]
        return view

    return mark


def with_readable_charset(application: WSGIApplication) -> WSGIApplication:
    """Return a WSGI application that names no charset to Django but those that are read.

    Django decodes the address by it while it makes the request, and breaks on one that is not for text. The
    middleware below refuses the name that stands here instead.
    """

    def answer(variables: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        _kind, parameters = parse_header_parameters(variables.get("CONTENT_TYPE", ""))
        if "charset" in parameters and not _is_read(parameters["charset"]):
            variables["CONTENT_TYPE"] = f"text/plain; charset={NOT_READ}"  # of which no form is read
        return application(variables, start_response)

    return answer


class RequestLimitsMiddleware:
    """Refuses a request by its headers (UnsupportedCharset, RequestDataTooBig) or by what it costs (429)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        refuse_charset(request)
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        """Refuse a body by its length. CsrfViewMiddleware, which is next, would read it."""
        refuse_length(request, view)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer TooManyRequests of any view of a page; the API has a shape of its own."""
        if isinstance(exception, TooManyRequests):
            return too_many_requests(request, exception.seconds)
        return None


def refuse_charset(request: HttpRequest) -> None:
    """Raise UnsupportedCharset for text in another encoding than UTF-8."""
    charset = (request.content_params or {}).get("charset", "")
    if charset and not _is_read(charset):
        raise UnsupportedCharset(charset)


def refuse_length(request: HttpRequest, view: Any) -> None:
    """Raise RequestDataTooBig for a body, by its stated length, that is longer than this view takes."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return
    if length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE and length > _longest(request, view):
        raise RequestDataTooBig(f"{length} bytes")


def _longest(request: HttpRequest, view: Any) -> int:
    """Return how many bytes this view takes from this sender."""
    match = request.resolver_match
    if match is not None and "admin" in match.namespaces and getattr(request, "user", None) is not None:
        is_staff = request.user.is_active and request.user.is_staff
        most = settings.ADMIN_UPLOAD_MB * MB + FORM_BYTES
        return most if is_staff else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return getattr(view, "max_body", settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def longest_body() -> int:
    """Return how many bytes any view takes from anybody."""
    return (
        max(settings.ADMIN_UPLOAD_MB * MB, settings.DATA_UPLOAD_MAX_MEMORY_SIZE, HISTORY_BYTES) + FORM_BYTES
    )


def _is_read(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name == CHARSET
    except (LookupError, ValueError):
        return False
