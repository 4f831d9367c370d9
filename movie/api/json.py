"""Reading and writing JSON, strictly: what other parsers would read otherwise is refused."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja.parser import Parser
from ninja.renderers import BaseRenderer
from pydantic_core import from_json, to_json

from movie.api.problems import Problem

MEDIA_TYPE = "application/json"


class JsonParser(Parser):
    """Bodies are JSON by name and by content (RFC 8259): no NaN, no broken UTF-8, no lone surrogates."""

    def parse_body(self, request: HttpRequest) -> Any:
        if request.content_type != MEDIA_TYPE:
            raise Problem(415, f"Send the body as Content-Type: {MEDIA_TYPE}.")
        try:
            return from_json(request.body, allow_inf_nan=False)
        except ValueError as error:
            raise Problem(400, f"The body is no JSON: {error}.") from error


class JsonRenderer(BaseRenderer):
    media_type = MEDIA_TYPE

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return to_json(data, inf_nan_mode="null")


def json_response(data: Any, status: int = 200) -> HttpResponse:
    """What `data` (a pydantic model or plain values) says, without checking it again."""
    return HttpResponse(to_json(data, inf_nan_mode="null"), status=status, content_type=MEDIA_TYPE)
