"""The reference at /api/docs/: the OpenAPI document as a page, made on the server.

Swagger UI sets styles inline, which the site's Content-Security-Policy refuses, and shows nothing without
JavaScript. This page needs neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from movie.api.v1 import SCHEMAS, description

# A question for each operation that every site with the demo data can answer, as address and body.
EXAMPLES: dict[str, tuple[str, Any]] = {
    "recommend": ("/recommend", {"history": [1, {"movie_id": 7, "rating": 4.5}], "k": 5}),
    "recommend_to": ("/recommend/ml-100k:22?k=5", None),
    "recommend_batch": (
        "/recommend/batch",
        {"entries": [{"user_id": "ml-100k:22"}, {"history": [1]}], "k": 5},
    ),
    "movies": ("/movies?genre=Western&sort=best&page_size=5", None),
    "movie": ("/movies/1", None),
    "similar": ("/movies/1/similar?k=5", None),
    "search": ("/search?q=film", None),
    "models": ("/models", None),
    "activate_model": ("/models/popular/activate", {"version": "20260101T000000.000000-0000"}),
    "record_interactions": (
        "/interactions",
        {"visitor": "42", "movie_id": 1, "kind": "rating", "value": 4.5},
    ),
    "read_history": ("/visitors/42/history", None),
    "forget_history": ("/visitors/42/history", None),
    "list_users": ("/users?limit=5", None),
    "experiments": ("/experiments", None),
    "experiment": ("/experiments/first", None),
    "experiment_csv": ("/experiments/first.csv", None),
}
BASE = "/api/v1"
LIMITS = (
    ("minimum", "from"),
    ("maximum", "to"),
    ("multipleOf", "in steps of"),
    ("minLength", "at least this long:"),
    ("maxLength", "at most this long:"),
    ("minItems", "at least so many:"),
    ("maxItems", "at most so many:"),
    ("default", "default:"),
)


@dataclass(frozen=True, slots=True)
class FieldShown:
    """A parameter, or a field of an object. `target` is the schema that its type names, if any."""

    name: str
    type: str
    target: str = ""
    where: str = ""
    is_required: bool = False
    text: str = ""
    limits: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationShown:
    id: str
    method: str
    path: str
    summary: str
    paragraphs: tuple[SafeString, ...]
    scopes: tuple[str, ...]
    curl: str
    parameters: tuple[FieldShown, ...]
    body: FieldShown | None
    answers: tuple[tuple[str, str, FieldShown | None], ...]  # status, meaning, type


@dataclass(slots=True)
class Section:
    """The operations of a tag."""

    name: str
    operations: list[OperationShown] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SchemaShown:
    name: str
    text: str
    fields: tuple[FieldShown, ...]


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    document = description()
    base = request.build_absolute_uri("/").rstrip("/")
    return render(
        request,
        "api/reference.html",
        {
            "base": base,
            "version": document["info"]["version"],
            "sections": list(sections(document, base)),
            "schemas": list(_schemas(document)),
        },
    )


def sections(document: Mapping[str, Any], base: str) -> Iterator[Section]:
    """What the document describes, by tag."""
    by_tag: dict[str, Section] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            (tag,) = operation.get("tags") or ("other",)
            section = by_tag.setdefault(tag, Section(tag))
            section.operations.append(_operation(method.upper(), path, operation, base))
    order = list(EXAMPLES)
    for section in by_tag.values():
        section.operations.sort(key=lambda each: order.index(each.id) if each.id in order else len(order))
        yield section


def _operation(method: str, path: str, operation: Mapping[str, Any], base: str) -> OperationShown:
    name = operation["operationId"]
    scopes = tuple(operation.get("x-scopes", ()))
    body = operation.get("requestBody", {}).get("content", {})
    return OperationShown(
        id=name,
        method=method,
        path=path.removeprefix(BASE),
        summary=operation["summary"],
        paragraphs=tuple(_as_html(part) for part in operation.get("description", "").split("\n\n") if part),
        scopes=scopes,
        curl=curl(method, name, base, with_key=bool(scopes)),
        parameters=tuple(
            _field(each["name"], each["schema"], required=each["required"], where=each["in"])
            for each in operation.get("parameters", ())
        ),
        body=_of_content("", body),
        answers=tuple(
            (str(status), answer["description"], _of_content("", answer.get("content", {})))
            for status, answer in operation["responses"].items()
            if str(status).isdecimal() and int(status) < HTTPStatus.BAD_REQUEST
        ),
    )


def curl(method: str, operation_id: str, base: str, *, with_key: bool) -> str:
    """A line that can be pasted; empty for an operation without an example."""
    if operation_id not in EXAMPLES:
        return ""
    address, body = EXAMPLES[operation_id]
    words = ["curl"]
    if method not in ("GET", "POST"):
        words.append(f"-X {method}")
    if with_key:
        words.append("-H 'Authorization: Bearer rg_...'")
    if body is not None:
        words.append(f"-H 'Content-Type: application/json' -d '{json.dumps(body)}'")
    elif method == "POST":
        words.append("-X POST")
    return " ".join([*words, f"'{base}{BASE}{address}'"])


def _as_html(text: str) -> SafeString:
    """What stands between backticks is code."""
    parts = enumerate(" ".join(text.split()).split("`"))
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", part) if n % 2 else part,) for n, part in parts)
    )


def _of_content(name: str, content: Mapping[str, Any]) -> FieldShown | None:
    for media_type, described in content.items():
        return _field(name or media_type, described.get("schema", {}), required=True)
    return None


def _schemas(document: Mapping[str, Any]) -> Iterator[SchemaShown]:
    for name, schema in sorted(document["components"]["schemas"].items()):
        required = schema.get("required", ())
        fields = (
            _field(each, described, required=each in required)
            for each, described in schema.get("properties", {}).items()
        )
        yield SchemaShown(name, _as_html(schema.get("description", "")), tuple(fields))


def _field(name: str, schema: Mapping[str, Any], *, required: bool, where: str = "") -> FieldShown:
    limits = [
        f"{words} {json.dumps(schema[key])}" for key, words in LIMITS if schema.get(key) not in (None, "", [])
    ]
    return FieldShown(
        name=name,
        type=_type(schema),
        target=_target(schema),
        where=where,
        is_required=required,
        text=_as_html(schema.get("description", "")),
        limits=", ".join(limits),
        choices=tuple(map(str, schema.get("enum", ()))),
    )


def _type(schema: Mapping[str, Any]) -> str:
    """integer, list of MovieOut, string or null."""
    if "$ref" in schema:
        return schema["$ref"].removeprefix(SCHEMAS)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema and "properties" not in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[key]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("format") == "date-time":
        return "time"
    return schema.get("type", "anything")


def _target(schema: Mapping[str, Any]) -> str:
    """The one schema that this refers to, directly or as one of several types or as entries of a list."""
    if "$ref" in schema:
        return schema["$ref"].removeprefix(SCHEMAS)
    inner = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if isinstance(schema.get("items"), dict):
        inner.append(schema["items"])
    return next(filter(None, map(_target, inner)), "")
