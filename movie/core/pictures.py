"""Headers of public drawings: none that concern documents alone, none of a language.

A home page loads some forty posters, each with 110 bytes of such headers, and `Vary: Accept-Language` made
every shared cache keep one copy of a poster for each language.
"""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from movie.core.http import SVG, parse_content_type

NEEDLESS = ("Content-Language", "Cross-Origin-Opener-Policy", "Referrer-Policy")


class DrawingHeadersMiddleware(MiddlewareMixin):
    """Removes the needless headers of drawings that any cache may keep; stands outside what sets them."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        is_public = response.get("Cache-Control", "").startswith("public")
        if parse_content_type(response) == SVG and is_public:
            for name in NEEDLESS:
                del response[name]
            response["Vary"] = "Accept-Encoding"
        return response
