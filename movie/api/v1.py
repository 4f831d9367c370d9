"""Version 1 of the API: its routers and its OpenAPI document."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control
from ninja.operation import Operation
from pydantic_core import to_json

from movie.api.authentication import ApiKeyAuth
from movie.api.base import MEDIA_TYPE, JsonAPI
from movie.api.problems import MEDIA_TYPE as PROBLEM_TYPE
from movie.api.problems import ProblemDetails
from movie.api.routes import (
    catalogue_writes,
    experiments,
    interactions,
    models,
    names,
    recommend,
    users,
    visitors,
)
from movie.api.schemas import HistorySource

VERSION = "1"
DESCRIPTION = (
    "Recommendations with their reasons, the catalogue they come from, and the interactions behind them. "
    "Every refusal is a problem document (RFC 9457)."
)
SCHEMAS = "#/components/schemas/"
KEY = ApiKeyAuth.__name__  # ninja's name of the security scheme
SCHEMA_SECONDS = 300  # a client may keep the description so long

api = JsonAPI(title="Reelgraph", version=VERSION, description=DESCRIPTION, urls_namespace="api-v1")
ROUTES = (
    recommend,
    catalogue_writes,  # and what reads the catalogue, at the same addresses
    names,
    models,
    interactions,
    visitors,
    users,
    experiments,
)
for _module in ROUTES:
    api.add_router("", _module.router)


@api.get("/openapi.json", url_name="openapi-json", include_in_schema=False, auth=None, throttle=[])
def openapi(request: HttpRequest) -> HttpResponse:
    """Answer with this API in OpenAPI 3.1, for tools."""
    response = HttpResponse(to_json(description()), content_type=MEDIA_TYPE)
    patch_cache_control(response, public=True, max_age=SCHEMA_SECONDS)
    return response


@cache
def description() -> dict[str, Any]:
    """Return the OpenAPI document. An answer that no route lists is a problem document."""
    document = dict(api.get_openapi_schema(path_prefix=f"/api/v{VERSION}/"))
    schemas = document["components"]["schemas"]
    schemas.pop("Input", None)  # of pagination: its fields are among the parameters
    for model in (HistorySource, ProblemDetails):
        schema = model.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
        schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
    # Entries are validated one by one, so that a wrong one spoils no other; here is their schema.
    schemas["BatchRequest"]["properties"]["entries"]["items"] = {"$ref": f"{SCHEMAS}HistorySource"}
    refusal = {PROBLEM_TYPE: {"schema": {"$ref": f"{SCHEMAS}ProblemDetails"}}}
    scopes = _scopes()
    for operations in document["paths"].values():
        for operation in operations.values():
            needed = scopes[operation["operationId"]]
            # A route without scopes takes a key, or none ({}).
            operation["security"] = [{KEY: []}] if needed else [{}, {KEY: []}]
            operation["x-scopes"] = list(needed)
            for scope in needed:
                text = operation.get("description", "")
                operation["description"] = f"{text}\n\nNeeds a key with the scope `{scope}`.".lstrip()
            for status, answer in operation["responses"].items():
                if int(status) >= HTTPStatus.BAD_REQUEST:
                    answer["content"] = refusal
            operation["responses"]["default"] = {"description": "A refusal", "content": refusal}
    return _with_plain_unions(document)


def _with_plain_unions(part: Any) -> Any:
    """Return a part of the document whose unions of types say `anyOf`.

    Pydantic writes a tagged union as `oneOf`. Its types never overlap, so both say the same; but a tool that
    makes up values has to look for one of two types at once under `oneOf`, and finds none.
    """
    if isinstance(part, list):
        return [_with_plain_unions(each) for each in part]
    if not isinstance(part, dict):
        return part
    plain = {name: _with_plain_unions(value) for name, value in part.items()}
    if any(choice.keys() != {"required"} for choice in plain.get("oneOf", ())):
        plain["anyOf"] = plain.pop("oneOf")
    return plain


def _scopes() -> dict[str, tuple[str, ...]]:
    """Return the scopes that a key needs, by operation."""
    return {
        operation.operation_id or api.get_openapi_operation_id(operation): _scopes_of(operation)
        for router in api._get_bound_routers()
        for view in router.path_operations.values()
        for operation in view.operations
        if operation.include_in_schema
    }


def _scopes_of(operation: Operation) -> tuple[str, ...]:
    return next((auth.scopes for auth in operation.auth_callbacks if isinstance(auth, ApiKeyAuth)), ())
