"""Reads the catalogue from a replica of the database, and everything that visitors did from the primary.

A replica is behind. A page may show films as they were some seconds ago, and must show the visitor's own
rating. So a request that only reads (GET, HEAD), outside of the administration, takes the tables of the
catalogue but for ratings from the replica; all other requests, and everything in a transaction, take the
primary.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

REPLICA = "replica"
CATALOGUE, OF_VISITORS = "catalogue", "rating"  # an app, and the table of it that holds what visitors did

_is_reading: ContextVar[bool] = ContextVar("is_reading", default=False)


class ReplicaRouter:
    """Django's database router of a site with a replica."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        is_of_catalogue = model._meta.app_label == CATALOGUE and model._meta.model_name != OF_VISITORS
        if not is_of_catalogue or not _is_reading.get() or connections[DEFAULT_DB_ALIAS].in_atomic_block:
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
        is_reading = request.method in ("GET", "HEAD") and not request.path.startswith(reverse("admin:index"))
        token = _is_reading.set(is_reading)
        try:
            return self.get_response(request)
        finally:
            _is_reading.reset(token)
