"""Gives every request a visitor, and every guest a key before their first write."""

from collections.abc import Callable
from typing import cast

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from movie.visitors.visitor import Visitor, VisitorRequest, set_guest_cookie


class VisitorMiddleware:
    """Sets `request.visitor`, found out when it is first used.

    The guest cookie is sent with the first page, and wherever an answer depended on the visitor. Posters and
    other files that are the same for everybody stay free of cookies, so they can be cached.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = cast(VisitorRequest, request)

        def find_visitor() -> Visitor:
            asked.visitor_was_used = True
            return Visitor.from_request(asked)

        asked.visitor_was_used = False
        asked.visitor = cast(Visitor, SimpleLazyObject(find_visitor))
        response = self.get_response(asked)
        if asked.visitor_was_used or _is_page(asked, response):
            set_guest_cookie(asked, response)
            patch_vary_headers(response, ["Cookie"])
        return response


def _is_page(request: HttpRequest, response: HttpResponse) -> bool:
    return (
        request.method == "GET"
        and response.status_code == 200
        and response.get("Content-Type", "").startswith("text/html")
    )
