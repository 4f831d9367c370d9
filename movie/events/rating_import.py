"""Import ratings of a data set into the database, in batches that let visitors write in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Count, QuerySet, Sum
from django.utils import timezone

from movie.catalogue.importing import formats
from movie.catalogue.importing.contradicted_ids import contradicted_ids, examples_of
from movie.catalogue.importing.errors import CatalogueError, RejectReason
from movie.catalogue.importing.reports import (
    ImportResult,
    ProgressCallback,
    RejectReport,
    ignore_progress,
)
from movie.catalogue.importing.rows import RatingRow, RejectedRow, Scale, Table, rating_rows
from movie.catalogue.importing.sampling import Announce, Findings, say_nothing
from movie.catalogue.importing.table_file import TableFile
from movie.catalogue.models import ExternalId, Movie, Rating
from movie.core.batches import write_all_in_batches, write_in_batches
from movie.core.database import retry_on_deadlock
from movie.events.rating_weights import Share
from movie.events.ratings import lock_movies, shift_aggregates
from movie.visitors.visitor import ACTING

TIMES_KEPT = 50_000  # people rate many movies in the same second
VISITORS_AT_ONCE = 500

Totals = tuple[int, float]  # number and sum of stars
MONTH_FIRST = "Dates such as 02/03/2021 are read as month/day/year; --day-first reads day/month/year."


class RatingWriter:
    """Writes batches of ratings; the newest of a visitor's ratings of a movie stands.

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
        """Store (visitor, movie, stars, time as the database keeps it). Returns (added, changed).

        The aggregates of the movies follow in the same transaction, so a killed import leaves none that
        is wrong. They are shifted by what the batch adds; only where it changes ratings that were there
        is the batch written again between two counts of its visitors' stars.
        """
        movies = {row[1] for row in rows}  # locked as visitors' ratings do, before anything else
        if gone := movies.difference(lock_movies(Movie.objects.filter(pk__in=movies))):
            raise IntegrityError(f"film {min(gone)} was deleted")
        try:
            with transaction.atomic():
                added, changed, shifts = self._store(rows)
                if changed:
                    raise _ChangesOldRatingsError
        except _ChangesOldRatingsError:
            visitors = sorted({row[0] for row in rows})
            before = self._totals(visitors)
            added, changed, _added = self._store(rows)
            after = self._totals(visitors)
            shifts = {
                movie: (n - before.get(movie, (0, 0.0))[0], total - before.get(movie, (0, 0.0))[1])
                for movie, (n, total) in after.items()
            }
        # People of data sets count fully.
        shift_aggregates({movie: Share(n, total) for movie, (n, total) in shifts.items()})
        return added, changed

    def _store(self, rows: list[tuple[str, int, float, Any]]) -> tuple[int, int, dict[int, Totals]]:
        latest = Rating.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        with connection.cursor() as cursor:
            cursor.executemany(self._sql, rows)
            touched = cursor.rowcount
        new = self._totals_of(self._ours.filter(pk__gt=latest))
        added = sum(n for n, _total in new.values())
        if self._mysql:  # counts 1 for a new or an equal row, 2 for a changed one
            return added, touched - len(rows), new
        return added, touched - added, new

    def _totals(self, visitors: list[str]) -> dict[int, Totals]:
        """Return the number and the sum of these visitors' stars by movie."""
        totals: dict[int, Totals] = {}
        for start in range(0, len(visitors), VISITORS_AT_ONCE):
            some = Rating.objects.filter(visitor__in=visitors[start : start + VISITORS_AT_ONCE])
            for movie, (n, total) in self._totals_of(some).items():
                n_before, total_before = totals.get(movie, (0, 0.0))
                totals[movie] = n_before + n, total_before + total
        return totals

    @staticmethod
    def _totals_of(ratings: QuerySet[Rating]) -> dict[int, Totals]:
        counted = ratings.order_by().values_list("movie").annotate(n=Count("pk"), total=Sum("value"))
        return {movie: (n, total) for movie, n, total in counted}


class _ChangesOldRatingsError(Exception):
    """Takes back a batch that changes ratings, to write it again between two counts."""


def time_adapter() -> Callable[[float], Any]:
    """Return a function from seconds since 1970 to the database's own form of a time.

    Does what `adapt_datetimefield_value` does, without its look-ups: it runs once a row.
    """
    if connection.vendor not in ("sqlite", "mysql"):
        return lambda seconds: datetime.fromtimestamp(seconds, UTC)
    zone = connection.timezone
    return lambda seconds: str(datetime.fromtimestamp(seconds, zone).replace(tzinfo=None))


def refresh_aggregates(movies: Iterable[int]) -> None:
    """Recount the stars of these movies, in small transactions."""
    atomic = transaction.atomic(Movie.objects.refresh_aggregates)  # no rating between count and writing
    write_all_in_batches(sorted(movies), atomic)


def movies_of(source: str) -> dict[str, int]:
    """Return the movies of an id space by their ids there. Raises CatalogueError where there is none."""
    movies = dict(ExternalId.objects.filter(source=source).values_list("value", "movie_id"))
    if not movies:
        there = ", ".join(sorted(ExternalId.objects.values_list("source", flat=True).distinct())) or "-"
        message = (
            "The catalogue has no film with an id of “%(source)s”. Import the films first with "
            "import_movies, or name another id space with --source. There are ids of: %(there)s."
        )
        raise CatalogueError(message % {"source": source, "there": there})
    return movies


def _check_namespace(name: str) -> str:
    """Return the name. Raises CatalogueError for a namespace of people who can act on this site."""
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
    day_first: bool | None = None,
    dry_run: bool = False,
    batch: int | None = None,
    report: RejectReport | None = None,
    pauses: bool = True,
    progress: ProgressCallback = ignore_progress,
    announce: Announce = say_nothing,
    max_refused: float | None = None,
) -> ImportResult:
    """Import a file of ratings, or the rating file of a folder.

    Users become visitors `<visitors>:<user>`. Movies are found by their id in `source`; a row about an
    unknown movie is refused, and one whose id means another movie in the movie file beside. How the file is
    read is told to `announce` first. With `max_refused`, a share, all rows are checked before any is
    written. Every batch is one transaction, so an interrupted import keeps what it finished and a second run
    does the rest. `batch` and `pauses` are as for `write_in_batches`. Raises CatalogueError for a file that
    cannot be used.
    """
    path = formats.locate(path, "ratings")
    known = formats.format_of(path, "ratings", format_name)
    is_stated = source is not None
    source = source or formats.source_of(path, known)
    prefix = _check_namespace(visitors or formats.visitors_of(path, known, source)) + ":"
    report = report if report is not None else RejectReport()
    movies = movies_of(source)
    outcome = ImportResult(rejected=report.reasons)
    contradicted = contradicted_ids(path, source)
    if contradicted is None and is_stated:
        outcome.notices.append(f"Movie ids are those of “{source}”: {examples_of(source)}.")

    opening = TableFile(path, known, "ratings", columns, encoding, scale, day_first)

    def prepared(table: Table, found: Findings, into: RejectReport) -> Iterator[tuple[str, int, float, Any]]:
        rows = rating_rows(table, found.scale, found.times)
        return _prepared(rows, movies, prefix, path, into, contradicted=contradicted or {})

    opening.require_few_refused(prepared, max_refused)
    with opening.opened(announce) as (file, table, found):
        if found.times.is_assumed:
            outcome.notices.append(MONTH_FIRST)
        writer = RatingWriter(prefix, timed="time" in table.columns)
        rows = prepared(table, found, report)

        @retry_on_deadlock
        def write(chunk: list[tuple[str, int, float, Any]]) -> tuple[int, int, int]:
            with transaction.atomic():
                added, changed = writer.write(chunk)
                if dry_run:
                    transaction.set_rollback(True)
            return len(chunk), added, changed

        try:
            for counts in write_in_batches(rows, write, size=batch, pauses=pauses):
                outcome.add(*counts)
                progress(file.done, f"{outcome.read:,} ratings")
        except KeyboardInterrupt:
            outcome.interrupted = True
    return outcome


def _prepared(
    rows: Iterator[RatingRow | RejectedRow],
    movies: Mapping[str, int],
    prefix: str,
    path: Path,
    report: RejectReport,
    *,
    contradicted: Mapping[str, str],
) -> Iterator[tuple[str, int, float, Any]]:
    """Yield rows for the writer; refused rows go to the report."""
    longest = (Rating._meta.get_field("visitor").max_length or 0) - len(prefix)
    stored_time = time_adapter()
    now = stored_time(int(timezone.now().timestamp()))
    times: dict[float, Any] = {}
    for row in rows:
        if isinstance(row, RejectedRow):
            report.add(path, row)
            continue
        line, raw, user, movie_id, value, seconds = row
        movie = movies.get(movie_id)
        if movie is None:
            report.add(path, RejectedRow(line, RejectReason.UNKNOWN_MOVIE, raw))
        elif movie_id in contradicted:
            report.add(path, RejectedRow(line, RejectReason.CONFLICT, raw, contradicted[movie_id]))
        elif len(user) > longest:
            report.add(path, RejectedRow(line, RejectReason.LONG_VISITOR, raw))
        else:
            if seconds is None:
                at = now
            elif (at := times.get(seconds)) is None:
                if len(times) > TIMES_KEPT:
                    times.clear()
                at = times[seconds] = stored_time(seconds)
            yield prefix + user, movie, value, at
