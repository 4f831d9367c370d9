"""Partition the marks of processed events by the day of their event, so that old ones go without a DELETE.

Ids of events are time-ordered (UUIDv7), and the primary key begins with them: a day is a range of ids. A
partition is dropped once all its marks are old. What lies outside of the days, such as random ids that
a client sent, is deleted row by row like everything in a table without partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from movie.events.models import ProcessedEvent
from movie.events.stream.handlers import REMEMBERED

DAYS_AHEAD = 14
BEFORE, AFTER = "days_before", "days_after"  # partitions of what is in no day
TABLE = ProcessedEvent._meta.db_table


class PartitionsUnsupported(Exception):
    """The database has no partitions."""


def partition_marks(say: Callable[[str], object] = lambda line: None) -> None:
    """Partition the table if it is not yet, add days up to DAYS_AHEAD, and drop the days that are over.

    Run it daily. The first run copies the table (MySQL, MariaDB) or locks it while it is looked through
    (PostgreSQL). Raises PartitionsUnsupported.
    """
    kinds: dict[str, type[_Partitions]] = {"mysql": _MySQL, "postgresql": _PostgreSQL}
    if connection.vendor not in kinds:
        raise PartitionsUnsupported(f"{connection.display_name} has no partitions.")
    partitions = kinds[connection.vendor]()
    today = timezone.now().astimezone(UTC).date()
    days = [today + timedelta(days=n) for n in range(DAYS_AHEAD + 1)]
    known = partitions.days()
    if known is None:
        partitions.make(days)
        say(f"{TABLE} has a partition for each day from {days[0]} to {days[-1]}.")
        return
    latest = max(known, default=today - timedelta(days=1))
    if new := [day for day in days if day > latest]:
        partitions.add(new)
        say(f"Added {new[0]} to {new[-1]}.")
    for day in sorted(known):
        if day < today and partitions.newest_mark(day) < timezone.now() - REMEMBERED:
            partitions.drop(day)
            say(f"Dropped {day}.")


def first_id(day: date) -> str:
    """Return where the ids of a day begin: the milliseconds of its midnight (UTC), as UUIDv7 has them."""
    milliseconds = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    spelled = f"{milliseconds:012x}"
    return f"{spelled[:8]}-{spelled[8:]}"


def _name(day: date) -> str:
    return f"day_{day:%Y%m%d}"


def _run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


class _Partitions:
    """Reads and changes the partitions of one kind of server.

    Names and bounds are ours: digits, letters, hyphens.
    """

    SOURCE = NAMES = ""  # where a query finds a partition, and all names

    def days(self) -> set[date] | None:
        """Return the days with a partition; None where the table has none."""
        with connection.cursor() as cursor:
            cursor.execute(self.NAMES, [TABLE])
            names = [str(name) for (name,) in cursor.fetchall()]
        stamps = [name[-8:] for name in names if "day_" in name]
        return (
            {datetime.strptime(stamp, "%Y%m%d").replace(tzinfo=UTC).date() for stamp in stamps}
            if names
            else None
        )

    def newest_mark(self, day: date) -> datetime:
        """Return when the last mark of a day was made; long ago where there is none."""
        with connection.cursor() as cursor:
            where = self.SOURCE.format(table=TABLE, name=_name(day))
            cursor.execute(f"SELECT MAX(processed_at) FROM {where}")  # noqa: S608
            (newest,) = cursor.fetchone()
        if newest is None:
            return datetime.min.replace(tzinfo=UTC)
        return newest if newest.tzinfo else newest.replace(tzinfo=UTC)

    def make(self, days: Sequence[date]) -> None:
        raise NotImplementedError

    def add(self, days: Sequence[date]) -> None:
        raise NotImplementedError

    def drop(self, day: date) -> None:
        raise NotImplementedError


class _MySQL(_Partitions):
    SOURCE = "{table} PARTITION ({name})"
    NAMES = (
        "SELECT partition_name FROM information_schema.partitions "
        "WHERE table_schema = DATABASE() AND table_name = %s AND partition_name IS NOT NULL"
    )

    def make(self, days: Sequence[date]) -> None:
        before = f"PARTITION {BEFORE} VALUES LESS THAN ('{first_id(days[0])}')"
        parts = ", ".join([before, *self._days(days)])
        _run(f"ALTER TABLE {TABLE} PARTITION BY RANGE COLUMNS(event_id) ({parts})")

    def add(self, days: Sequence[date]) -> None:
        _run(f"ALTER TABLE {TABLE} REORGANIZE PARTITION {AFTER} INTO ({', '.join(self._days(days))})")

    def drop(self, day: date) -> None:
        _run(f"ALTER TABLE {TABLE} DROP PARTITION {_name(day)}")

    @staticmethod
    def _days(days: Sequence[date]) -> Iterable[str]:
        for day in days:
            yield f"PARTITION {_name(day)} VALUES LESS THAN ('{first_id(day + timedelta(days=1))}')"
        yield f"PARTITION {AFTER} VALUES LESS THAN (MAXVALUE)"


class _PostgreSQL(_Partitions):
    SOURCE = "{table}_{name}"
    NAMES = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass"

    def make(self, days: Sequence[date]) -> None:
        old, first = f"{TABLE}_{BEFORE}", first_id(days[0])
        with transaction.atomic():
            _run(
                f"ALTER TABLE {TABLE} RENAME TO {old}",
                f"CREATE TABLE {TABLE} (LIKE {old} INCLUDING DEFAULTS) PARTITION BY RANGE (event_id)",
                f'ALTER TABLE {TABLE} ADD PRIMARY KEY (event_id, "group")',
                f"CREATE INDEX ON {TABLE} (processed_at)",
                f"CREATE TABLE {TABLE}_{AFTER} PARTITION OF {TABLE} DEFAULT",
            )
            self.add(days)
            self._move(old, f"event_id >= '{first}'")
            _run(f"ALTER TABLE {TABLE} ATTACH PARTITION {old} FOR VALUES FROM (MINVALUE) TO ('{first}')")

    def add(self, days: Sequence[date]) -> None:
        for day in days:
            name, start, end = f"{TABLE}_{_name(day)}", first_id(day), first_id(day + timedelta(days=1))
            with transaction.atomic():
                # Marks of a day that had no partition yet wait where all others are.
                _run(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL)")
                self._move(f"{TABLE}_{AFTER}", f"event_id >= '{start}' AND event_id < '{end}'", name)
                _run(f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}')")

    def drop(self, day: date) -> None:
        _run(f"DROP TABLE {TABLE}_{_name(day)}")

    @staticmethod
    def _move(source: str, condition: str, target: str = TABLE) -> None:
        columns = 'event_id, "group", processed_at'
        _run(
            f"WITH moved AS (DELETE FROM {source} WHERE {condition} RETURNING {columns}) "  # noqa: S608
            f"INSERT INTO {target} ({columns}) SELECT {columns} FROM moved"
        )
