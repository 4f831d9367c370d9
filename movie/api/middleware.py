"""Answer the API without what only pages need: sessions, cookies, accounts, CSRF tokens, nonces, messages."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import cast

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django.urls import resolve
from django.utils import translation
from django.utils.cache import patch_vary_headers

from movie.core.http import HeaderTable, header_table, set_headers
from movie.core.request_limits import refuse_charset, refuse_length

PREFIXES = ("/api/v1/", "/api/compat/")  # the documentation below /api/docs/ is a page
HEADERS = {
    "X-Frame-Options": "DENY",
    # An answer is data: a browser that shows it loads nothing.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
VARY = ["Accept-Language", "origin"]  # whether CORS allows an origin or not
NO_QUERY = QueryDict("")  # immutable
MOST_HOSTS = 64  # that are remembered as allowed
# Most requests go to a few addresses, and to find the view takes as long as to read the body.
find_view = lru_cache(maxsize=256)(resolve)


class ApiMiddleware:
    """Answers addresses of the API itself, before the middleware of pages, and passes other requests on.

    Of what the middleware of pages does, requests to the API need the checks of host, charset and length, the
    language, CORS where a browser says from which page it asks, and the headers of SecurityMiddleware. Those
    are the same for all requests of a language, so they are made once.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.answer = convert_exception_to_response(self._answer)
        self.answer_cross_origin = CorsMiddleware(
            cast(Callable[[HttpRequest], HttpResponseBase], self.answer)
        )
        self.security = SecurityMiddleware(get_response)
        self.tells_schemes_apart = settings.SECURE_SSL_REDIRECT or settings.SECURE_HSTS_SECONDS > 0
        self.headers: dict[tuple[str, bool], HeaderTable] = {}  # by language, and whether by https
        self.hosts: set[str] = set()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PREFIXES):
            return self.get_response(request)
        language = _language_of(request)
        translation.activate(language)
        redirect = self.security.process_request(request) if self.tells_schemes_apart else None
        if redirect is not None:
            return self.security.process_response(request, redirect)
        is_cross_origin = "HTTP_ORIGIN" in request.META or request.method == "OPTIONS"
        response = cast(HttpResponse, (self.answer_cross_origin if is_cross_origin else self.answer)(request))
        is_secure = self.tells_schemes_apart and request.is_secure()
        headers = self.headers.get((language, is_secure))
        if headers is None:
            headers = self.headers[language, is_secure] = self._make_headers(request, language)
        length = {"content-length": ("Content-Length", str(len(response.content)))}
        if response.has_header("Vary"):
            patch_vary_headers(response, VARY)
            headers = headers | header_table({"Vary": response["Vary"]})
        set_headers(response, headers, length)
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        """Call the view, which answers exceptions itself (`movie.api.problems.handle_error`)."""
        host = request.META.get("HTTP_HOST")
        if host not in self.hosts:
            request.get_host()  # raises DisallowedHost
            if host is not None and len(self.hosts) < MOST_HOSTS:
                self.hosts.add(host)
        if not request.META.get("QUERY_STRING"):
            request.GET = NO_QUERY
        refuse_charset(request)
        request.resolver_match = match = find_view(request.path_info)
        refuse_length(request, match.func)
        return cast(HttpResponse, match.func(request, *match.args, **match.kwargs))

    def _make_headers(self, request: HttpRequest, language: str) -> HeaderTable:
        """Return the headers that every answer in this language has; request says whether it is secure."""
        response = HttpResponse(headers={**HEADERS, "Content-Language": language, "Vary": ", ".join(VARY)})
        self.security.process_response(request, response)
        del response["Content-Type"]
        return header_table(response.headers)


def _language_of(request: HttpRequest) -> str:
    """Return the language of the cookie, else that of Accept-Language, else the site's."""
    if "HTTP_COOKIE" in request.META:
        return translation.get_language_from_request(request)
    return _language_accepted(request.META.get("HTTP_ACCEPT_LANGUAGE", ""))


@lru_cache(maxsize=256)  # a browser or a script always sends the same
def _language_accepted(header: str) -> str:
    request = HttpRequest()
    request.META["HTTP_ACCEPT_LANGUAGE"] = header
    return translation.get_language_from_request(request)
