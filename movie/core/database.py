"""Errors of a database server that ended a transaction, and the retry that follows."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateField, DateTimeField, F, Model
from django.db.models.expressions import OrderBy
from django.db.models.sql.compiler import SQLCompiler

from movie.core.backoff import Backoff
from movie.core.shutdown import GracefulShutdown

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

# MySQL and MariaDB error numbers. Nothing of the transaction was kept; the same again may well succeed.
DEADLOCK, LOCK_WAIT_TIMEOUT, CHANGED_SINCE_READ = 1213, 1205, 1020
LOST_RACES = (DEADLOCK, LOCK_WAIT_TIMEOUT, CHANGED_SINCE_READ)
# Cannot connect, went away, lost during a statement, shutting down, too many connections, killed.
AWAY = (2002, 2003, 2005, 2006, 2012, 2013, 2055, 1040, 1053, 1152, 1184, 1203, 1226, 1317, 1927)
READ_ONLY = (1290, 1792, 1836)  # the server, or this transaction
# The disk is full, a table is: until somebody makes room, it reads and does not write.
FULL = (1021, 1114)
NO_SPACE = re.compile(r"\b(?:err(?:no|code|or)?:?) 28\b", re.IGNORECASE)  # ENOSPC, in 3, 1026 and 1030
# PostgreSQL's classes and codes of the same: https://www.postgresql.org/docs/current/errcodes-appendix.html
SQLSTATES_LOST_RACES = ("40P01", "40001", "55P03")
# No connection; no resources, such as a full disk; shutting down or cancelled; read-only.
SQLSTATES_AWAY = ("08", "53", "57", "25006")
SQLITE_AWAY = (
    "database is locked",
    "database table is locked",
    "unable to open",
    "disk i/o",
    "database or disk is full",
    "attempt to write a readonly database",
)

TRIES = 6
FIRST_PAUSE = 0.01  # seconds, doubled with every try


def retry_on_deadlock(work: Callable[P, R]) -> Callable[P, R]:
    """Run a whole transaction again when the server ended it in favour of another one.

    Inside a larger transaction nothing is retried: what came before it is lost too.
    """

    @wraps(work)
    def again(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(TRIES - 1):
            if connection.in_atomic_block:
                break
            try:
                return work(*args, **kwargs)
            except OperationalError as error:
                if not _lost_race(error):
                    raise
            time.sleep(random.uniform(0, FIRST_PAUSE * 2**attempt))  # noqa: S311 - not a secret
        return work(*args, **kwargs)

    return again


def retry_while_away(work: Callable[[], R], shutdown: GracefulShutdown) -> R | None:
    """Do the work, again and again while the database is away; return None when asked to stop before."""
    backoff = Backoff()
    while True:
        try:
            return work()
        except DatabaseError as error:
            if not is_away(error):
                raise
            log.warning("The database is away: %s", error)
            connection.close()
        if shutdown.wait(backoff.next_pause()):
            return None


def insert_unless_taken(row: Model) -> bool:
    """Write a new row; False, and nothing is written, when its primary key is taken.

    One statement. A failed one undoes only itself with MySQL and leaves nothing to undo elsewhere, so no
    savepoint is needed.
    """
    quote, model = connection.ops.quote_name, type(row)
    fields = model._meta.concrete_fields
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
    columns = ", ".join(quote(str(field.column)) for field in fields)
    places = ", ".join(["%s"] * len(fields))
    insert = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({places})"  # noqa: S608
    if connection.vendor != "mysql":
        insert += f" ON CONFLICT ({quote(str(model._meta.pk.column))}) DO NOTHING"
    try:
        with connection.cursor() as cursor:
            cursor.execute(insert, values)
            return cursor.rowcount == 1
    except IntegrityError:
        if connection.vendor != "mysql" or not model._base_manager.filter(pk=row.pk).exists():
            raise
        return False


def insert_rows(model: type[Model], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows with values of these fields by one `executemany`, past the ORM: instances cost four times
    as much. Times may be in any zone; all other values are as the database keeps them. Columns that are not
    named get the database's own defaults.
    """
    quote = connection.ops.quote_name
    stored_time, stored_day = _time_adapter(), connection.ops.adapt_datefield_value
    fields = [model._meta.get_field(name) for name in names]
    adapters = [
        (index, stored_time if isinstance(field, DateTimeField) else stored_day)
        for index, field in enumerate(fields)
        if isinstance(field, DateField)
    ]
    columns = ", ".join(quote(str(field.column)) for field in fields)  # type: ignore[union-attr]
    places = ", ".join(["%s"] * len(fields))
    insert = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({places})"  # noqa: S608
    adapted = [list(row) for row in rows]
    if not adapted:
        return
    for index, stored in adapters:
        before, kept = None, None
        for row in adapted:
            # Many rows have one object as the time at which they are recorded: a tenth of an import's CPU.
            if row[index] is not before:
                before = row[index]
                kept = None if before is None else stored(before)
            row[index] = kept
    with connection.cursor() as cursor:
        cursor.executemany(insert, adapted)


def _time_adapter() -> Callable[[datetime], Any]:
    """Return a function from a time to the database's own form of it; it runs once a row."""
    if connection.vendor not in ("sqlite", "mysql"):
        return lambda at: at
    zone = connection.timezone

    def stored(at: datetime) -> str:
        local = at if at.tzinfo is zone else at.astimezone(zone)
        return local.replace(tzinfo=None).isoformat(" ")

    return stored


class LargestFirst(OrderBy):
    """Orders by a column, the largest first and unknown values last: PostgreSQL alone begins with these."""

    def __init__(self, column: str) -> None:
        super().__init__(F(column), descending=True)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        return self.as_sql(compiler, connection, template="%(expression)s %(ordering)s NULLS LAST")


def is_away(error: BaseException | None) -> bool:
    """Return whether the error says that the database cannot be reached, takes no writes or is too busy, so
    that a later try may succeed.
    """
    if connection.vendor == "postgresql":
        return _is_away_by_sqlstate(error)
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    if connection.vendor == "sqlite":
        return str(error).lower().startswith(SQLITE_AWAY)
    if isinstance(error, InterfaceError) or _number(error) in (*AWAY, *READ_ONLY, *LOST_RACES, *FULL):
        return True
    return bool(NO_SPACE.search(str(error)))


def _is_away_by_sqlstate(error: BaseException | None) -> bool:
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return False
    code = _sqlstate(error)
    if not code:  # no server has answered
        return not isinstance(error, InternalError)
    return code.startswith((*SQLSTATES_AWAY, *SQLSTATES_LOST_RACES))


def _lost_race(error: DatabaseError) -> bool:
    return _number(error) in LOST_RACES or _sqlstate(error) in SQLSTATES_LOST_RACES


def _sqlstate(error: BaseException) -> str:
    return str(getattr(error.__cause__, "sqlstate", None) or "")


def _number(error: DatabaseError) -> int | None:
    number = error.args[0] if error.args else None
    return number if isinstance(number, int) else None
