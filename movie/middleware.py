"""Gives every guest a key before their first write."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from movie.visitors import settle_cookie, was_asked


class VisitorMiddleware:
    """Sends the guest cookie with the first page, and wherever an answer depended on the visitor.

    Posters and other files that are the same for everybody stay free of cookies, so they can be cached.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if was_asked(request) or _is_page(request, response):
            settle_cookie(request, response)
            patch_vary_headers(response, ["Cookie"])
        return response


def _is_page(request: HttpRequest, response: HttpResponse) -> bool:
    return (
        request.method == "GET"
        and response.status_code == 200
        and response.get("Content-Type", "").startswith("text/html")
    )
