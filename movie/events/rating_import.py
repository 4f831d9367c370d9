"""Ratings of a data set into the database, in large batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from movie.catalogue.importing import formats
from movie.catalogue.importing.reports import Outcome, RejectReport, Watch, unwatched
from movie.catalogue.importing.rows import CatalogueError, RatingRow, Reason, Rejected, Scale, rating_rows
from movie.catalogue.models import ExternalId, Movie, Rating
from movie.visitors.namespaces import ACTING

BATCH = 50_000  # rows in one transaction: about a second of work and 30 MB
FILMS_AT_ONCE = 5_000


class RatingWriter:
    """Writes batches of ratings; the newest of a visitor's ratings of a film stands.

    A row as old as the stored rating replaces it, so a corrected file corrects. Rows without a time
    change only the stars. Plain SQL because a model instance a row would cost three times as much.
    """

    def __init__(self, prefix: str, *, timed: bool) -> None:
        self._ours = Rating.objects.filter(visitor__startswith=prefix)
        quote = connection.ops.quote_name
        table = quote(Rating._meta.db_table)
        names = (Rating._meta.get_field(name).column for name in ("visitor", "movie", "value", "rated_at"))  # type: ignore[union-attr]
        visitor, movie, value, rated_at = (quote(str(name)) for name in names)
        insert = f"INSERT INTO {table} ({visitor}, {movie}, {value}, {rated_at}) VALUES (%s, %s, %s, %s)"  # noqa: S608
        self._mysql = connection.vendor == "mysql"
        if self._mysql:
            newer = f"VALUES({rated_at}) >= {rated_at}" if timed else "TRUE"
            latest = f"GREATEST({rated_at}, VALUES({rated_at}))" if timed else rated_at
            self._sql = (
                f"{insert} ON DUPLICATE KEY UPDATE "
                f"{value} = IF({newer}, VALUES({value}), {value}), {rated_at} = {latest}"
            )
        else:
            new = {name: f"excluded.{name}" for name in (value, rated_at)}
            old = {name: f"{table}.{name}" for name in (value, rated_at)}
            differs = f"{new[value]} <> {old[value]}"
            if timed:
                assignments = f"{value} = {new[value]}, {rated_at} = {new[rated_at]}"
                condition = (
                    f"{new[rated_at]} > {old[rated_at]} OR ({new[rated_at]} = {old[rated_at]} AND {differs})"
                )
            else:
                assignments, condition = f"{value} = {new[value]}", differs
            self._sql = (
                f"{insert} ON CONFLICT ({visitor}, {movie}) DO UPDATE SET {assignments} WHERE {condition}"
            )

    def write(self, rows: list[tuple[str, int, float, Any]]) -> tuple[int, int]:
        """Store (visitor, film, stars, time as the database keeps it). Returns (added, changed)."""
        before = Rating.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        with connection.cursor() as cursor:
            cursor.executemany(self._sql, rows)
            touched = cursor.rowcount
        added = self._ours.filter(pk__gt=before).count()
        if self._mysql:  # counts 1 for a new or an equal row, 2 for a changed one
            return added, touched - len(rows)
        return added, touched - added


def time_keeper() -> Callable[[float], Any]:
    """A function from seconds since 1970 to the form in which this database keeps a moment.

    Does what `adapt_datetimefield_value` does, without its look-ups: it runs once a row.
    """
    if connection.vendor not in ("sqlite", "mysql"):
        return lambda seconds: datetime.fromtimestamp(seconds, UTC)
    zone = connection.timezone
    return lambda seconds: str(datetime.fromtimestamp(seconds, zone).replace(tzinfo=None))


def refresh_aggregates(films: Iterable[int]) -> None:
    """Recount the stars of these films, a few thousand in a statement (databases bound its size)."""
    remaining = iter(sorted(films))
    while some := list(itertools.islice(remaining, FILMS_AT_ONCE)):
        with transaction.atomic():  # no rating comes between the count and the writing
            Movie.objects.refresh_aggregates(some)


def _of_nobody_here(name: str) -> str:
    """The name, unless people of this site are called so: their histories are their own."""
    if name.partition(":")[0].casefold() in ACTING:
        message = "Users cannot become visitors “%(name)s”: that is what people of this site are called."
        raise CatalogueError(f"{message % {'name': name}} " + "Give another name with --visitors.")
    return name


def import_ratings(
    path: Path,
    *,
    source: str | None = None,
    visitors: str | None = None,
    format_name: str | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    scale: Scale | None = None,
    dry_run: bool = False,
    batch: int | None = None,
    report: RejectReport | None = None,
    watch: Watch = unwatched,
) -> Outcome:
    """Import a file of ratings, or the rating file of a folder.

    Users become visitors `<visitors>:<user>`. Films are found by their id in `source`; a row about
    an unknown film is refused. Every batch is one transaction, so an interrupted import keeps what
    it finished and a second run does the rest. Raises CatalogueError for a file that cannot be used.
    """
    batch = batch or BATCH
    path = formats.locate(path, "ratings")
    known = formats.format_of(path, "ratings", format_name)
    source = source or formats.source_of(path, known)
    prefix = _of_nobody_here(visitors or formats.visitors_of(path, known, source)) + ":"
    report = report if report is not None else RejectReport()
    films = dict(ExternalId.objects.filter(source=source).values_list("value", "movie_id"))
    if not films:
        there = ", ".join(sorted(ExternalId.objects.values_list("source", flat=True).distinct())) or "-"
        message = (
            "The catalogue has no film with an id of “%(source)s”. Import the films first with "
            "import_movies, or name another id space with --source. There are ids of: %(there)s."
        )
        raise CatalogueError(message % {"source": source, "there": there})
    outcome = Outcome(rejected=report.reasons)
    touched: set[int] = set()
    with formats.open_file(path, known, encoding) as file:
        table = formats.read(file, known, "ratings", columns)
        writer = RatingWriter(prefix, timed="time" in table.columns)
        rows = _prepared(rating_rows(table, scale), films, prefix, path, report)
        try:
            while chunk := list(itertools.islice(rows, batch)):
                with transaction.atomic():
                    added, changed = writer.write(chunk)
                    if dry_run:
                        transaction.set_rollback(True)
                outcome.added += added
                outcome.changed += changed
                outcome.unchanged += len(chunk) - added - changed
                touched.update(row[1] for row in chunk)
                watch(file.done, "{n} ratings".format(n=f"{outcome.read:,}"))
        except KeyboardInterrupt:
            outcome.interrupted = True
        finally:
            # Also after an interruption or a damaged end: what was stored must be counted.
            if not dry_run:
                watch(1.0, "counting stars")
                refresh_aggregates(touched)
    return outcome


def _prepared(
    rows: Iterator[RatingRow | Rejected],
    films: Mapping[str, int],
    prefix: str,
    path: Path,
    report: RejectReport,
) -> Iterator[tuple[str, int, float, Any]]:
    """What the writer takes; refused rows go to the report."""
    longest = (Rating._meta.get_field("visitor").max_length or 0) - len(prefix)
    stored_time = time_keeper()
    now = stored_time(int(timezone.now().timestamp()))
    times: dict[float, Any] = {}  # people rate many films in the same second
    for row in rows:
        if isinstance(row, Rejected):
            report.add(path, row)
            continue
        line, raw, user, film_id, value, seconds = row
        film = films.get(film_id)
        if film is None:
            report.add(path, Rejected(line, Reason.UNKNOWN_FILM, raw))
        elif len(user) > longest:
            report.add(path, Rejected(line, Reason.LONG_VISITOR, raw))
        else:
            if seconds is None:
                at = now
            elif (at := times.get(seconds)) is None:
                if len(times) > BATCH:
                    times.clear()
                at = times[seconds] = stored_time(seconds)
            yield prefix + user, film, value, at
