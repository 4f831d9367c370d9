"""Check whether the site can serve, for GET /health/ready.

    database       answers, as its replica does, and takes a write
    migrations     all are applied
    click_archive  a history can be read, wherever clicks are kept
    stream         deliveries from the outbox are not late
    models         a default model answers

Without the database, its migrations or a model the site cannot serve; the others leave it degraded. What else
operators want to know is a metric with an alert: docs/observability.md.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings
from django.db import DatabaseError, connection, connections, transaction
from django.db.migrations.recorder import MigrationRecorder

from movie.core.caching import TTLValue
from movie.core.migrations import missing_migrations_line
from movie.events.archive import ArchiveUnavailable, get_archive
from movie.events.stream.backlog import backlog
from movie.recommendations.ranking import registry
from predictors.errors import PredictorError

log = logging.getLogger(__name__)

Status = Literal["ready", "degraded", "unavailable"]

REMEMBERED_SECONDS = 1.0  # probes cannot load the site, however many there are
WRITE_SECONDS = BACKLOG_SECONDS = 10.0
CLICK_ARCHIVE_SECONDS = 5.0
NEEDED = ("database", "migrations", "models")  # without one of these the site cannot serve


class CheckFailed(Exception):
    """Fails a check. The message is for operators: no address, no secret, nothing of a visitor."""


@dataclass(frozen=True, slots=True)
class Check:
    """Result of a check. `why` says what is wrong, or what was found."""

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


def readiness() -> Readiness:
    """Return what the checks found at most a second ago."""
    return _readiness.get()


class _LastStatus:
    value: Status = "ready"


_last_status = _LastStatus()


def _run_checks() -> Readiness:
    found = Readiness(tuple(_checks()))
    _log_change(found)
    return found


def _log_change(found: Readiness) -> None:
    """Write one line of the log when the status changes."""
    if found.status != _last_status.value:
        _last_status.value = found.status
        failed = "; ".join(f"{check.name}: {check.why}" for check in found.checks if not check.ok)
        log.log(logging.WARNING if failed else logging.INFO, "%s. %s", found.status, failed)


def _checks() -> Iterator[Check]:
    database = _run_check("database", _check_database)
    yield database
    if database.ok:
        yield _run_check("migrations", _check_migrations)
        yield _click_archive.get()
        yield _run_check("stream", _check_stream)
    yield _run_check("models", _check_models)


def _run_check(name: str, check: Callable[[], str]) -> Check:
    started = time.perf_counter()
    try:
        ok, why = True, check()
    except CheckFailed as error:
        ok, why = False, str(error)
    except DatabaseError as error:
        connection.close()  # it may be what is broken
        ok, why = False, _name_of(error)
    return Check(name, ok, why, 1000 * (time.perf_counter() - started))


def _name_of(error: DatabaseError) -> str:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else ""
    return f"{type(error).__name__} {number}".strip()


def _check_database() -> str:
    for alias in connections:
        try:
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError as error:
            connections[alias].close()
            raise CheckFailed(f"{alias}: {_name_of(error)}") from error
    _write.get()
    return connection.vendor


def _write_and_roll_back() -> None:
    recorder = MigrationRecorder(connection)
    if recorder.has_table():  # otherwise the migrations are missing, and that check reports it
        with transaction.atomic():
            recorder.migration_qs.create(app="health", name="a write that is rolled back")
            transaction.set_rollback(True)


def _check_migrations() -> str:
    if line := missing_migrations_line():
        raise CheckFailed(line)
    return "all are applied"


def _check_click_archive() -> str:
    try:
        next(get_archive().read("probe:"), None)  # a visitor who cannot exist
    except ArchiveUnavailable as error:
        raise CheckFailed(f"cannot be read: {type(error.__cause__ or error).__name__}") from error
    return "can be read"


def _check_stream() -> str:
    """Fail on late deliveries, which say that Kafka, DynamoDB or the relays are away."""
    waiting = _backlog.get()
    late = [
        f"{sink}: {values.rows} rows, the oldest for {values.oldest_seconds:.0f} s"
        for sink, values in waiting.items()
        if values.oldest_seconds > settings.HEALTH_OUTBOX_SECONDS or values.rows > settings.HEALTH_OUTBOX_ROWS
    ]
    if late:
        raise CheckFailed("; ".join(late))
    return f"{sum(values.rows for values in waiting.values())} rows wait"


def _check_models() -> str:
    """Return the first default model that can be loaded; load it if it is not loaded yet."""
    from movie.training.registry import default_models

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
        raise CheckFailed(f"cannot be loaded: {', '.join(refused)}")
    raise CheckFailed("none of DEFAULT_MODELS is trained")


_readiness = TTLValue(_run_checks, REMEMBERED_SECONDS)
_write = TTLValue(_write_and_roll_back, WRITE_SECONDS)
_backlog = TTLValue(backlog, BACKLOG_SECONDS)
_click_archive = TTLValue(lambda: _run_check("click_archive", _check_click_archive), CLICK_ARCHIVE_SECONDS)
