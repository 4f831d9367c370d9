"""The NinjaAPI of every version and service: strict JSON, keys, limits, problem documents."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from functools import partial, wraps
from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, URLResolver, path, re_path
from django.utils.functional import SimpleLazyObject
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.parser import Parser
from ninja.renderers import BaseRenderer
from pydantic_core import from_json, to_json

from movie.api.authentication import authenticate, throttle
from movie.api.problems import Problem, field_problem, handle_error, problem_response

View = Callable[..., HttpResponse]
MEDIA_TYPE = "application/json"
NUL_REFUSED = "A NUL character (\\u0000) is refused: PostgreSQL cannot store it, and no text needs it."


class JsonParser(Parser):
    """Reads JSON by name and by content (RFC 8259), without NaN, broken UTF-8, lone surrogates or NUL."""

    def parse_body(self, request: HttpRequest) -> Any:
        if request.content_type != MEDIA_TYPE:
            raise Problem(415, f"Send the body as Content-Type: {MEDIA_TYPE}.")
        try:
            content = from_json(request.body, allow_inf_nan=False)
        except ValueError as error:
            raise Problem(400, f"The body is no JSON: {error}.") from error
        if rb"\u0000" in request.body and (field := _find_nul(content)) is not None:
            raise field_problem("body", field, NUL_REFUSED)
        return content


def _find_nul(content: Any, field: str = "") -> str | None:
    """Return the field of the first text with a NUL character, None where there is none."""
    if isinstance(content, str):
        return field if "\0" in content else None
    parts: Iterable[tuple[str, Any]] = ()
    if isinstance(content, list):
        parts = ((f"{field}[{position}]", each) for position, each in enumerate(content))
    elif isinstance(content, dict):
        if any("\0" in name for name in content):
            return field
        parts = ((f"{field}.{name}".removeprefix("."), each) for name, each in content.items())
    return next((found for part, each in parts if (found := _find_nul(each, part)) is not None), None)


class JsonRenderer(BaseRenderer):
    media_type = MEDIA_TYPE

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return to_json(data, inf_nan_mode="null")


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
            self.add_exception_handler(kind, handle_error)  # type: ignore[arg-type]

    def create_temporal_response(self, request: HttpRequest) -> HttpResponse:
        """Return the answer of a view that returns plain values, which is made only for such a view."""
        return cast(HttpResponse, SimpleLazyObject(partial(super().create_temporal_response, request)))

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        """Return ninja's addresses, between the root and a last one that refuse unknown addresses."""
        urls = [path("", unknown_address), *super()._get_urls(), re_path("", unknown_address)]
        for pattern in urls:
            pattern.callback = _add_head_and_405(pattern.callback)  # type: ignore
        return urls


class JsonResponse(HttpResponse):
    """An answer in JSON, whose headers a server reads in one call."""

    def items(self) -> Collection[tuple[str, str]]:
        """Return the headers as stored, (name, value); Django makes four calls for each."""
        return self.headers._store.values()


def json_response(data: Any, status: int = 200) -> HttpResponse:
    """Return a pydantic model or plain values as JSON, without ninja's second validation."""
    return JsonResponse(to_json(data, inf_nan_mode="null"), status=status, content_type=MEDIA_TYPE)


def ms_since(started: float) -> float:
    """Return the milliseconds since a reading of `time.perf_counter()`."""
    return round((time.perf_counter() - started) * 1000, 2)


@csrf_exempt
def unknown_address(request: HttpRequest) -> HttpResponse:
    """Refuse an address that the API does not have; the log names no route for it."""
    request.resolver_match = None
    return handle_error(request, Http404())


def _add_head_and_405(view: View) -> View:
    """Add HEAD and a problem document for other methods to a view of ninja, which has neither."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            return problem_response(Problem(422, f"The address: {NUL_REFUSED}"))
        method = request.method
        if method == "HEAD":
            request.method = "GET"
        response = view(request, *args, **kwargs)
        request.method = method
        if isinstance(response, HttpResponseNotAllowed):
            allowed = ", ".join(sorted(response["Allow"].split(", ")))
            detail = f"{method} is not possible here, only {allowed}."
            return problem_response(Problem(405, detail, headers={"Allow": allowed}))
        return response

    return answer
