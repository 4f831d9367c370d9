"""Compression of pages: HTML and drawings, to browsers that read gzip.

An attacker who makes a browser load a page and sees how long the answer is could guess a secret in it from
how well his own text compresses with it (BREACH). Three things stand against that: the CSRF token is masked
anew for every page, cookies are not sent with requests that other sites' pages make in the background
(SameSite=Lax), and Django adds up to 100 random bytes to each answer, so that lengths say little.
Static files are compressed when they are collected; answers of the API and downloads go as they are.
"""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

COMPRESSED = ("text/html", "image/svg+xml")


class PageCompressionMiddleware(GZipMiddleware):
    """Compresses the answers that pages consist of."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        kind = response.get("Content-Type", "").partition(";")[0]
        if response.streaming or kind not in COMPRESSED:
            return response
        return super().process_response(request, response)
