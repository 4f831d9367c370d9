"""What probes and operators ask: does the process answer, and can it serve?

    GET /health/live    the process answers; nothing is looked at
    GET /health/ready   every part the site depends on; 503 when it cannot serve
    GET /metrics        see movie/metrics/

They are answered before everything else in settings.MIDDLEWARE: without session, cookie and language,
over plain http, and whatever the Host header says, as probes come by address.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse

from movie.event_log import ArchiveUnavailable, get_archive
from movie.event_stream import get_event_stream
from movie.remembered import Remembered
from predictors.errors import PredictorError

if TYPE_CHECKING:
    from movie.event_stream.metrics import Waiting

log = logging.getLogger(__name__)

Status = Literal["ready", "degraded", "unavailable"]

REMEMBERED_SECONDS = 1.0  # probes cannot load the site, however many there are
QUEUES_SECONDS = 10.0  # between looks at the outbox
ELSEWHERE_SECONDS = 5.0  # between looks at each other server
PATIENCE = 0.5  # seconds that an answer waits for those; a late one counts for the next
FIRST_PATIENCE = 3.0  # the first look imports the client
CONNECT_SECONDS = 0.4
BUILT_IN = {"event_log": "in the database", "stream": "in process", "cache": "local memory"}
NEEDED = ("database", "migrations", "models")  # without one of these the site cannot serve


class Trouble(Exception):
    """What is wrong, in words for operators: no address, no secret, nothing of a visitor."""


@dataclass(frozen=True, slots=True)
class Check:
    """`why` says what is wrong, or what was found."""

    name: str
    ok: bool
    why: str
    ms: float


@dataclass(frozen=True, slots=True)
class Readiness:
    checks: tuple[Check, ...]

    @property
    def status(self) -> Status:
        failed = [check.name for check in self.checks if not check.ok]
        if any(name in NEEDED for name in failed):
            return "unavailable"
        return "degraded" if failed else "ready"

    def as_json(self) -> dict[str, Any]:
        checks = {
            check.name: {"ok": check.ok, "why": check.why, "ms": round(check.ms, 2)} for check in self.checks
        }
        return {"status": self.status, "checks": checks}


class ProbeMiddleware:
    """The first of all. Answers probes and Prometheus itself and lets everything else through."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.answers = {"/health/live": live, "/health/ready": ready, "/metrics": metrics}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.answers.get(request.path_info)
        if answer is None:
            return self.get_response(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponse(status=405, headers={"Allow": "GET, HEAD"})
        response = answer(request)
        response["Content-Length"] = str(len(response.content))
        response["Cache-Control"] = "no-store"
        response["X-Content-Type-Options"] = "nosniff"
        response._has_been_logged = True  # type: ignore[attr-defined] # by `_say`, and not at every probe
        return response


def live(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b'{"status": "live"}\n', content_type="application/json")


def ready(request: HttpRequest) -> HttpResponse:
    found = readiness()
    status = 503 if found.status == "unavailable" else 200
    return HttpResponse(json.dumps(found.as_json()) + "\n", status=status, content_type="application/json")


def metrics(request: HttpRequest) -> HttpResponse:
    from movie.metrics.answer import may_read, refusal, site_metrics

    if not may_read(request.META.get("REMOTE_ADDR", ""), request.headers):
        status, headers = refusal()
        return HttpResponse(status=status, headers=headers)
    text, content_type = site_metrics()
    return HttpResponse(text, content_type=content_type)


def readiness() -> Readiness:
    """What the checks said at most a second ago."""
    return _readiness().get()


def forget_checks() -> None:
    """Look again, at everything: for tests, and after the settings changed."""
    for remembered in (_readiness, _queues, _elsewhere, _migrations_on_disk):
        remembered.cache_clear()
    _said.status = "ready"


class _Said:
    status: Status = "ready"


_said = _Said()


@cache
def _readiness() -> Remembered[Readiness]:
    return Remembered(_look, REMEMBERED_SECONDS)


def _look() -> Readiness:
    found = Readiness(tuple(_checks()))
    _say(found)
    return found


def _say(found: Readiness) -> None:
    """One line when it changes."""
    if found.status != _said.status:
        _said.status = found.status
        failed = "; ".join(f"{check.name}: {check.why}" for check in found.checks if not check.ok)
        log.log(logging.WARNING if failed else logging.INFO, "%s. %s", found.status, failed)


def _checks() -> Iterator[Check]:
    others = _elsewhere()
    for other in others.values():
        if other:
            other.begin()
    database = _checked("database", _database)
    yield database
    if database.ok:
        yield _checked("migrations", _migrations)
        yield _checked("outbox", _outbox)
    yield _checked("models", _models)
    for name, other in others.items():
        yield other.check() if other else Check(name, True, BUILT_IN[name], 0.0)


def _checked(name: str, look: Callable[[], str]) -> Check:
    started = time.perf_counter()
    try:
        ok, why = True, look()
    except Trouble as trouble:
        ok, why = False, str(trouble)
    except DatabaseError as error:
        connection.close()  # it may be what is broken
        number = error.args[0] if error.args and isinstance(error.args[0], int) else ""
        ok, why = False, f"{type(error).__name__} {number}".strip()
    return Check(name, ok, why, 1000 * (time.perf_counter() - started))


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return connection.vendor


def _migrations() -> str:
    from django.db.migrations.recorder import MigrationRecorder

    applied = MigrationRecorder(connection).applied_migrations()
    missing = sorted(_migrations_on_disk() - applied.keys())
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise Trouble(f"{'.'.join(missing[0])}{more} not applied; run manage.py migrate")
    return f"{len(applied)} applied"


@cache
def _migrations_on_disk() -> frozenset[tuple[str, str]]:
    from django.db.migrations.loader import MigrationLoader

    return frozenset(MigrationLoader(None, ignore_no_migrations=True).graph.nodes)


def _outbox() -> str:
    """Late deliveries also say that Kafka, DynamoDB or the relays are away."""
    waiting = _queues().get()
    late = [
        f"{sink}: {values.rows} rows, the oldest for {values.oldest_seconds:.0f} s"
        for sink, values in waiting.items()
        if values.oldest_seconds > settings.HEALTH_OUTBOX_SECONDS or values.rows > settings.HEALTH_OUTBOX_ROWS
    ]
    if late:
        raise Trouble("; ".join(late))
    return f"{sum(values.rows for values in waiting.values())} rows wait"


@cache
def _queues() -> Remembered[dict[str, Waiting]]:
    from movie.event_stream.metrics import backlog

    return Remembered(backlog, QUEUES_SECONDS)


def _models() -> str:
    """The first default model that can be loaded answers; it is loaded now if it is not yet."""
    from movie.experiments import default_models
    from movie.recommendations import registry

    refused = []
    for name in default_models():
        version = registry().store.current(name)
        if not version:
            continue
        try:
            predictor = registry().get(name)
        except PredictorError:
            refused.append(name)
            continue
        serves = f"{name} {predictor.version}"
        if predictor.version != version:
            serves += f", while {version} is loading or was refused"
        return f"{serves}; cannot be loaded: {', '.join(refused)}" if refused else serves
    if refused:
        raise Trouble(f"cannot be loaded: {', '.join(refused)}")
    raise Trouble("none of DEFAULT_MODELS is trained")


class Elsewhere:
    """A look at another server, in a thread of its own: one that hangs holds up no probe."""

    def __init__(self, name: str, look: Callable[[], str]) -> None:
        self.name, self._look = name, look
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._found: Check | None = None
        self._asked = -ELSEWHERE_SECONDS

    def begin(self) -> None:
        """Look again, unless that was done a moment ago or is still being done."""
        with self._lock:
            if not self._is_looking() and time.monotonic() - self._asked >= ELSEWHERE_SECONDS:
                self._asked = time.monotonic()
                self._thread = threading.Thread(target=self._run, name=f"check-{self.name}", daemon=True)
                self._thread.start()

    def check(self) -> Check:
        """What was found; after `begin`."""
        patience = FIRST_PATIENCE if self._found is None else PATIENCE
        if self._thread is not None:
            self._thread.join(max(0.0, self._asked + patience - time.monotonic()))
        if self._found is None or self._is_looking():
            waited = time.monotonic() - self._asked
            return Check(self.name, False, f"no answer for {waited:.1f} s", 1000 * waited)
        return self._found

    def _is_looking(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        self._found = _checked(self.name, self._look)


@cache
def _elsewhere() -> dict[str, Elsewhere | None]:
    """The other servers that this configuration names; None where the site does without."""
    looks = {
        "event_log": _dynamodb if get_archive().uses_outbox else None,
        "stream": _kafka if get_event_stream().uses_outbox else None,
        "cache": _redis if settings.REDIS_URL else None,
    }
    return {name: Elsewhere(name, look) if look else None for name, look in looks.items()}


def _dynamodb() -> str:
    """The request that an export makes, for a visitor who cannot exist."""
    try:
        next(get_archive().read("probe:"), None)
    except ArchiveUnavailable as error:
        raise Trouble(f"DynamoDB: {type(error.__cause__ or error).__name__}") from error
    return "DynamoDB"


def _kafka() -> str:
    """Web processes have no client for it: whether any broker takes a connection is what they can tell."""
    for server in settings.KAFKA_BOOTSTRAP_SERVERS:
        host, _, port = server.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
                return "Kafka takes connections"
        except OSError:
            continue
    raise Trouble("no broker of Kafka takes a connection")


def _redis() -> str:
    from redis import Redis
    from redis.exceptions import RedisError

    server = Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS
    )
    try:
        server.ping()
    except RedisError as error:
        raise Trouble(f"Redis: {type(error).__name__}; each process caches for itself") from error
    finally:
        server.close()
    return "Redis"
