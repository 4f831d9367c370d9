"""API requests leave the chain of middlewares here: what follows in settings.MIDDLEWARE is for pages.

No session, no cookie, no CSRF token, no messages: a client shows its key with every request, or is
anonymous. What comes before (the log, HTTPS, CORS) holds for both.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import resolve
from django.utils import translation

from movie.api.problems import Problem, as_response, response_to

PREFIXES = ("/api/v1/", "/api/compat/")
# What the middlewares for pages would add. An answer is data: shown in a browser it may load nothing.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
}


class ApiMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PREFIXES):
            return self.get_response(request)
        _speak(request)
        response = _answer(request)
        for name, value in HEADERS.items():
            response.headers[name] = value
        if not response.streaming:
            response.headers["Content-Length"] = str(len(response.content))
        if request.META["REQUEST_METHOD"] == "HEAD":
            response.content = b""
        return response


def _answer(request: HttpRequest) -> HttpResponse:
    if request.method == "HEAD":
        request.method = "GET"
    try:
        request.get_host()  # raises DisallowedHost
        match = resolve(request.path_info)
        request.resolver_match = match
        response = match.func(request, *match.args, **match.kwargs)
    except Exception as error:  # noqa: BLE001 - everything becomes an answer in one shape
        return response_to(request, error)
    if isinstance(response, HttpResponseNotAllowed):
        allowed = response["Allow"]
        detail = f"{request.method} is not possible here, only {allowed}."
        return as_response(Problem(405, detail, headers={"Allow": allowed}))
    return response


def _speak(request: HttpRequest) -> None:
    """Sentences come in the language that the client asks for; a thread keeps the one it had before."""
    if "HTTP_ACCEPT_LANGUAGE" in request.META:
        translation.activate(translation.get_language_from_request(request))
    elif translation.get_language() != settings.LANGUAGE_CODE:
        translation.activate(settings.LANGUAGE_CODE)
