"""The NinjaAPI that every version and every compatible service of the API is an instance of."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from csp.constants import NONE
from csp.decorators import csp
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, URLResolver, path, re_path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI

from movie.api.authentication import authenticate, throttle
from movie.api.json import JsonParser, JsonRenderer
from movie.api.problems import Problem, as_response, response_to

View = Callable[..., HttpResponse]
# An answer is data: a browser that shows it loads nothing.
DATA_POLICY = {"default-src": [NONE], "frame-ancestors": [NONE]}


class JsonAPI(NinjaAPI):
    """Answers in JSON, authenticates by key, throttles, and refuses with problem documents."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            openapi_url=None,
            docs_url=None,
            parser=JsonParser(),
            renderer=JsonRenderer(),
            auth=authenticate,
            throttle=throttle,
            **options,
        )
        for kind in (Exception, *self._exception_handlers):
            self.add_exception_handler(kind, response_to)  # type: ignore[arg-type]

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        """Return ninja's addresses, between the root and a last one that refuse what is no address."""
        urls = [path("", unknown_address), *super()._get_urls(), re_path("", unknown_address)]
        for pattern in urls:
            pattern.callback = csp(DATA_POLICY)(_answers_head_and_405(pattern.callback))  # type: ignore
        return urls


@csrf_exempt
def unknown_address(request: HttpRequest) -> HttpResponse:
    """Refuse an address that the API does not have; the log names no route for it."""
    request.resolver_match = None
    return response_to(request, Http404())


def _answers_head_and_405(view: View) -> View:
    """Add to a view of ninja what ninja leaves out: HEAD, and a problem document for another method."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        method = request.method
        if method == "HEAD":
            request.method = "GET"
        response = view(request, *args, **kwargs)
        request.method = method
        if isinstance(response, HttpResponseNotAllowed):
            allowed = response["Allow"]
            detail = f"{method} is not possible here, only {allowed}."
            return as_response(Problem(405, detail, headers={"Allow": allowed}))
        return response

    return answer
