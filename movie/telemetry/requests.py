"""Writes one log line for every request, with an id that every other line of the request has too.

A line names the route, never the address that was asked: what people search for, who they are and where they
come from is in no log. `movie.telemetry.logging` holds other lines to the same.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from movie.telemetry.counters import METHODS, instruments, labelled

ACCESS = "movie.access"  # the logger of the lines that are one for each request
MOST_NAMED = 20  # lists of one request in its line
HEADER = "X-Request-ID"
ID_BYTES = 16
NO_ROUTE = "none"  # no address of the site, or refused before one was looked for
_FROM_PROXY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")


class AccessLine(dict[str, Any]):
    """A line of our own words alone, which needs no redaction."""


@dataclass(slots=True)
class RequestContext:
    """The request that this thread works on."""

    id: str
    request: HttpRequest
    recommendations: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


_BLANK = logging.LogRecord(ACCESS, logging.INFO, "", 0, "", None, None).__dict__ | dict.fromkeys(
    ("process", "processName", "thread", "threadName", "taskName")  # not those of the import
)
_current: ContextVar[RequestContext | None] = ContextVar("reelgraph_request", default=None)


class ShownList(Protocol):
    @property
    def recommendation_id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def films(self) -> Sequence[int]: ...


def current() -> RequestContext | None:
    return _current.get()


def count_shown(lists: Iterable[ShownList]) -> None:
    """Count lists that are about to be shown, and name them in the request's log lines."""
    shown = [each for each in lists if each.films]
    for each in shown:
        labelled(instruments().lists_shown, each.model).inc()
    request = _current.get()
    if request is not None:
        request.recommendations += [each.recommendation_id for each in shown[:MOST_NAMED]]
        request.models = list(dict.fromkeys(request.models + [each.model for each in shown]))


class RequestLogMiddleware:
    """Counts and logs requests. Probes alone are answered before it, so refusals and errors count too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.static = settings.STATIC_URL
        self.log = logging.getLogger(ACCESS)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(self.static):
            return self.get_response(request)
        this = RequestContext(_id_for(request), request)
        before = _current.set(this)
        started = time.perf_counter()
        try:
            response = self.get_response(request)
            seconds = time.perf_counter() - started
            response.headers[HEADER] = this.id
            route, status = route_of(request), response.status_code
            method = request.META["REQUEST_METHOD"]
            method = method if method in METHODS else "other"
            labelled(instruments().requests, route, method, status).inc()
            labelled(instruments().request_seconds, route, method).observe(seconds)
            if self.log.isEnabledFor(logging.INFO):
                line = AccessLine(
                    at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
                    level="info",
                    event="request",
                    logger=ACCESS,
                    route=route,
                    method=method,
                    status=status,
                    ms=round(1000 * seconds, 2),
                    request_id=this.id,
                )
                if this.models:
                    line |= {"models": this.models, "recommendations": this.recommendations}
                self.log.handle(_record(line))
        finally:
            _current.reset(before)
        return response


def _record(line: AccessLine) -> logging.LogRecord:
    """Return a record of this line, without a look for the caller, the thread and the process."""
    record = logging.LogRecord.__new__(logging.LogRecord)
    created = time.time()
    record.__dict__ |= _BLANK | {"msg": line, "created": created, "msecs": created % 1 * 1000}
    return record


def route_of(request: HttpRequest) -> str:
    """Return the name of the route, or its pattern where it has no name; never the address itself."""
    match = request.resolver_match
    if match is None:
        return NO_ROUTE
    return match.view_name if match.url_name else match.route


def _id_for(request: HttpRequest) -> str:
    """Return the request id that a proxy gave, or a new one."""
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    return given if given and _FROM_PROXY.fullmatch(given) else os.urandom(ID_BYTES).hex()
