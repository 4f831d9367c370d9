"""The API's error document: problem details, RFC 9457.

{"type": "about:blank", "title": "Unprocessable Content", "status": 422,
 "detail": "...", "errors": [{"in": "body", "field": "history[0].rating", "detail": "..."}]}
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from ninja.errors import HttpError, Throttled, ValidationError
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from movie.core.database import is_away
from movie.core.http import TooManyRequests
from movie.core.request_limits import UnsupportedCharset
from movie.events.archive.base import ArchiveUnavailable

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5  # after a database outage; the same as on the pages
TRAINING_SECONDS = 60  # after a model that is not trained yet
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # as RFC 9110 calls them


class FieldProblem(BaseModel):
    """A field that was refused, with the reason."""

    model_config = ConfigDict(populate_by_name=True)

    where: str = Field(alias="in", description="body, query, path or header")
    field: str = Field(description="The path to the field, such as history[0].rating; empty for all of it.")
    detail: str


class ProblemDetails(BaseModel):
    """The document of a refusal (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []


class Problem(Exception):
    """Refuses a request, from anywhere below a route. `errors` name the fields."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, tuple(errors)
        self.headers = dict(headers or {})


def field_problem(where: str, field: str, detail: str, *, status: int = 422) -> Problem:
    """Return the refusal of one field."""
    return Problem(status, detail, errors=[{"in": where, "field": field, "detail": detail}])


def unavailable(detail: str, seconds: int = RETRY_SECONDS) -> Problem:
    """Return a 503 with the seconds after which the client may retry."""
    return Problem(503, detail, headers={"Retry-After": str(seconds)})


def title_of(status: int) -> str:
    return TITLES.get(status) or HTTPStatus(status).phrase


def problem_response(problem: Problem) -> HttpResponse:
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": title_of(problem.status),
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors:
        content["errors"] = problem.errors
    headers = {"Cache-Control": "no-store", **problem.headers}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    response = HttpResponse(
        to_json(content, inf_nan_mode="null"),
        status=problem.status,
        content_type=MEDIA_TYPE,
        headers=headers,
    )
    # The access log has a line for it. Django's line would come later and name the address.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def handle_error(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return the answer to an exception. An unknown one is logged and answered by 500."""
    problem = _problem_of(error)
    if problem is None:
        got_request_exception.send(sender=None, request=request)
        logger.error("an API request failed: %s", request.path, exc_info=error)
        problem = Problem(500, "Something went wrong here. It was logged; the request changed nothing.")
    return problem_response(problem)


NOTHING_HERE = "There is nothing at this address."
KNOWN: tuple[tuple[type[Exception], int, str], ...] = (
    (Http404, 404, NOTHING_HERE),
    (UnsupportedCharset, 415, "The body is read as UTF-8 alone."),
    (RequestDataTooBig, 413, "The body is too large; send fewer entries at once."),
    (SuspiciousOperation, 400, "The request cannot be read."),
    (UnreadablePostError, 400, "The request ended early."),
)


def _problem_of(error: Exception) -> Problem | None:
    if isinstance(error, Problem):
        return error
    if isinstance(error, TooManyRequests):
        return _too_many(error.seconds)
    if isinstance(error, HttpError):
        return _problem_of_ninja(error)
    if isinstance(error, ValidationError):
        return _problem_of_fields(error)
    for kind, status, detail in KNOWN:
        if isinstance(error, kind):
            return Problem(status, detail)
    away = isinstance(error, ArchiveUnavailable) or is_away(error)
    return unavailable("The site's data cannot be reached now; nothing was changed.") if away else None


def _problem_of_fields(error: ValidationError) -> Problem:
    if all(_is_impossible_id(each) for each in error.errors):
        return Problem(404, NOTHING_HERE)
    fields = field_problems(error.errors)
    count = f"{len(fields)} fields are" if len(fields) != 1 else "A field is"
    return Problem(422, f"{count} not as expected; see errors.", errors=fields)


def _too_many(seconds: int) -> Problem:
    return Problem(429, f"Too many requests; wait {seconds} s.", headers={"Retry-After": str(seconds)})


def _problem_of_ninja(error: HttpError) -> Problem:
    if isinstance(error.__cause__, Problem):  # raised by the parser
        return error.__cause__
    if isinstance(error, Throttled):
        return _too_many(math.ceil(error.wait or 1))
    return Problem(error.status_code, error.message)


def field_problems(errors: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return one entry per field. Messages of a value's alternative types are joined."""
    messages: dict[tuple[str, str], list[str]] = {}
    for error in errors:
        where, *path = error["loc"]
        if where == "body":
            path = path[1:]  # the name of the view's argument
        found = messages.setdefault((str(where), _path(path)), [])
        if (message := _message(error)) not in found:
            found.append(message)
    return [
        {"in": where, "field": field, "detail": "; or: ".join(found)}
        for (where, field), found in messages.items()
    ]


def _is_impossible_id(error: Mapping[str, Any]) -> bool:
    """Return whether a number in the address is one that no row can have."""
    too_long = ("less_than_equal", "greater_than_equal", "int_parsing_size")
    return error["loc"][0] == "path" and error["type"] in too_long


def _message(error: Mapping[str, Any]) -> str:
    """Return pydantic's message without the names of Python types."""
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return "Input should be an object"
    return error["msg"].removeprefix("Value error, ")


def _path(parts: Sequence[int | str]) -> str:
    """Return a path such as history[0].rating, without the names of union types that pydantic adds."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier() and part.islower() and part != "int":
            text += f".{part}" if text else part
    return text
