"""Reads the catalogue from a replica of the database, and everything that visitors did from the primary.

A replica is behind. A page may show films as they were some seconds ago, and must show the visitor's own
rating. So a request that only reads (GET, HEAD), outside of the administration and without an API key, reads
every catalogue table except ratings from the replica; all other requests, and everything in a transaction,
read the primary. What is kept until the catalogue changes is read there too (`reading_primary`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from django.http import HttpRequest, HttpResponseBase

from movie.core.http import ADMIN

REPLICA = "replica"
CATALOGUE, VISITOR_MODEL = "catalogue", "rating"  # an app, and the model of it that holds what visitors did

_may_use_replica: ContextVar[bool] = ContextVar("may_use_replica", default=False)


@contextmanager
def reading_primary() -> Iterator[None]:
    """Read the primary alone; also a decorator.

    For values that are kept until the catalogue changes: read from a replica that is behind, they would stay
    wrong after it caught up.
    """
    token = _may_use_replica.set(False)
    try:
        yield
    finally:
        _may_use_replica.reset(token)


class ReplicaRouter:
    """Django's database router of a site with a replica."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        is_of_catalogue = model._meta.app_label == CATALOGUE and model._meta.model_name != VISITOR_MODEL
        if not is_of_catalogue or not _may_use_replica.get() or connections[DEFAULT_DB_ALIAS].in_atomic_block:
            return DEFAULT_DB_ALIAS
        return REPLICA

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db != REPLICA


class ReplicaMiddleware:
    """Lets requests that only read take the catalogue from the replica."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        token = _may_use_replica.set(_only_reads(request))
        try:
            return self.get_response(request)
        finally:
            _may_use_replica.reset(token)


def _only_reads(request: HttpRequest) -> bool:
    """Return whether a request neither writes nor comes from somebody who reads back what they wrote."""
    has_key = request.headers.get("Authorization", "").lower().startswith("bearer ")
    is_admin = request.path_info.startswith(f"/{ADMIN}")
    return request.method in ("GET", "HEAD") and not (has_key or is_admin)
