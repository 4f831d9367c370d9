"""The database's migrations: which of them are not applied."""

from __future__ import annotations

from functools import cache

from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


def unapplied_migrations() -> tuple[str, ...]:
    """Return the migrations that the database has not, as app.name. Raises DatabaseError."""
    missing = _migrations_on_disk() - MigrationRecorder(connection).applied_migrations().keys()
    return tuple(sorted(".".join(each) for each in missing))


def missing_migrations_line() -> str:
    """Return one line about migrations that are not applied, or an empty string. Raises DatabaseError."""
    missing = unapplied_migrations()
    if not missing:
        return ""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"{missing[0]}{more} not applied; run manage.py migrate"


def require_migrations() -> bool:
    """Raise CommandError with one line when the database has no tables for this code yet.

    Return whether the database answered. One that is away is no reason: the process waits for it as it does
    later.
    """
    try:
        line = missing_migrations_line()
    except DatabaseError:
        connection.close()
        return False
    if line:
        raise CommandError(line)
    return True


@cache
def _migrations_on_disk() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).graph.nodes)
