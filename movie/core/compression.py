"""Compression of pages: HTML and drawings, to browsers that read gzip.

An attacker who makes a browser load a page and sees how long the answer is could guess a secret in it from
how well his own text compresses with it (BREACH). Three things stand against that: the CSRF token is masked
anew for every page, cookies are not sent with requests that other sites' pages make in the background
(SameSite=Lax), and Django adds up to 100 random bytes to each page, so that lengths say little. Drawings
are the same for everyone and go without these bytes: a home page has some fifty of them.
Static files are compressed when they are collected; answers of the API and downloads go as they are.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

from movie.core.http import PAGE, SVG, parse_content_type


class DrawingCompressionMiddleware(GZipMiddleware):
    """Compresses answers without a secret: no random bytes."""

    max_random_bytes = 0


class PageCompressionMiddleware(GZipMiddleware):
    """Compresses the answers that pages consist of."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self._drawings = DrawingCompressionMiddleware(get_response)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        kind = parse_content_type(response)
        if response.streaming or kind not in (PAGE, SVG):
            return response
        if kind == SVG:
            return self._drawings.process_response(request, response)
        return super().process_response(request, response)
