"""Import what the users of an API client did before they came here, as events of the client's own visitors.

A user of the file becomes the visitor that the API makes of the same id, `api:<client>:<user>`, and goes on
as that. Such visitors can act, so an event is recorded for each row, and ratings follow from these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from django.utils import timezone

from movie.catalogue.importing import formats
from movie.catalogue.importing.contradicted_ids import contradicted_ids
from movie.catalogue.importing.errors import RejectReason
from movie.catalogue.importing.interaction_rows import InteractionRow, interaction_rows
from movie.catalogue.importing.reports import (
    ImportResult,
    ProgressCallback,
    RejectReport,
    ignore_progress,
)
from movie.catalogue.importing.rows import RejectedRow, Scale, Table
from movie.catalogue.importing.sampling import Announce, Findings, say_nothing
from movie.catalogue.importing.table_file import TableFile
from movie.core.batches import write_in_batches
from movie.core.ids import event_id_for
from movie.events.bulk_recording import record_plain
from movie.events.history import IMPORTED
from movie.events.models import Event
from movie.events.outbox import MICROSECOND
from movie.events.rating_import import MONTH_FIRST, movies_of
from movie.events.ratings import CHANGES_RATING
from movie.events.recording import record_all
from movie.events.repeats import find_new
from movie.visitors.client_ids import client_visitor
from predictors.history import Interaction

# An event within this time after a row's own is the row, or a correction of it from an earlier import.
SAME_ROW = timedelta(milliseconds=1)
USERS_KEPT = 50_000  # whose keys are not made again at their next row
UNTIMED = 0.0  # in place of the seconds of a row without a time, in the id of its event


class Reported(NamedTuple):
    """A row as it is to be recorded. `is_timed` is False where the file states no time."""

    interaction: Interaction
    is_timed: bool


def import_interactions(
    path: Path,
    client: str,
    *,
    kind: str,
    table_kind: str = "interactions",
    source: str | None = None,
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
    """Import a file of what a client's users did; `client` is the client's name.

    `kind` is that of rows which state none. Twice is once: a row whose event is there is not recorded again.
    A rating that differs from an earlier import of the same row replaces it, and what the person did here
    later stands. The other options are as for `rating_import.import_ratings`. Raises CatalogueError.
    """
    path = formats.locate(path, "ratings")
    known = formats.format_of(path, "ratings", format_name)
    source = source or formats.source_of(path, known)
    movies = movies_of(source)
    contradicted = contradicted_ids(path, source) or {}
    report = report if report is not None else RejectReport()
    outcome = ImportResult(rejected=report.reasons)
    has_stars = kind == "rating"
    opening = TableFile(path, known, table_kind, columns, encoding, scale, day_first, has_stars=has_stars)

    def prepared(table: Table, found: Findings, into: RejectReport) -> Iterator[Reported]:
        rows = interaction_rows(table, kind, found.scale, found.times)
        return _prepared(rows, client, movies, contradicted, path=path, report=into)

    def write(rows: list[Reported]) -> tuple[int, int]:
        new = _without_known(rows)
        if dry_run:
            return len(rows), len(find_new(new).interactions)
        ratings = [each for each in new if each.kind in CHANGES_RATING]
        plain = [each for each in new if each.kind not in CHANGES_RATING]
        return len(rows), record_plain(plain) + record_all(ratings)

    opening.require_few_refused(prepared, max_refused)
    with opening.opened(announce) as (file, table, found):
        announce(f"Users become visitors of the API client {client}.")
        if found.times.is_assumed:
            outcome.notices.append(MONTH_FIRST)
        try:
            for n_rows, n_new in write_in_batches(
                prepared(table, found, report), write, size=batch, pauses=pauses
            ):
                outcome.add(n_rows, n_new, 0)
                progress(file.done, f"{outcome.read:,} interactions")
        except KeyboardInterrupt:
            outcome.interrupted = True
    return outcome


def _prepared(
    rows: Iterator[InteractionRow | RejectedRow],
    client: str,
    movies: Mapping[str, int],
    contradicted: Mapping[str, str],
    *,
    path: Path,
    report: RejectReport,
) -> Iterator[Reported]:
    """Yield what is to be recorded; refused rows go to the report."""
    now = timezone.now()
    latest = now.timestamp()
    visitor_of = lru_cache(USERS_KEPT)(partial(client_visitor, client))
    for row in rows:
        if isinstance(row, RejectedRow):
            report.add(path, row)
            continue
        movie = movies.get(row.movie)
        reason, detail = None, ""
        if movie is None:
            reason = RejectReason.UNKNOWN_MOVIE
        elif row.movie in contradicted:
            reason, detail = RejectReason.CONFLICT, contradicted[row.movie]
        elif row.seconds is not None and row.seconds > latest:
            reason = RejectReason.FUTURE
        try:
            visitor = visitor_of(row.user)
        except ValueError:
            reason = RejectReason.CLIENT_ID
        if reason is not None or movie is None:
            report.add(path, RejectedRow(row.line, reason or RejectReason.UNKNOWN_MOVIE, row.raw, detail))
            continue
        at = now if row.seconds is None else datetime.fromtimestamp(row.seconds, UTC)
        seconds = UNTIMED if row.seconds is None else row.seconds
        # Rows without details keep the ids that they had before there were any.
        has_details = row.progress is not None or row.weight is not None
        details = (row.progress, row.weight) if has_details else ()
        event_id = event_id_for(seconds, visitor, row.kind, movie, row.value, *details)
        is_timed = row.seconds is not None
        day = at.date() if row.kind == "watch" and is_timed else None
        interaction = Interaction(
            event_id,
            visitor,
            row.kind,
            movie,
            at,
            row.value,
            IMPORTED,
            watched_on=day,
            progress=row.progress,
            weight=row.weight,
        )
        yield Reported(interaction, is_timed)


def _without_known(rows: Sequence[Reported]) -> list[Interaction]:
    """Return what is to be recorded without ratings that an earlier import, or an earlier row, brought.

    `record_all` finds other repeats by their event ids.
    """
    ratings = [row.interaction for row in rows if row.interaction.kind == "rating"]
    brought = _brought_ratings(ratings)
    new: list[Interaction] = []
    for row in rows:
        each = row.interaction
        if each.kind != "rating":
            new.append(each)
            continue
        there = brought[each.visitor, each.movie_id]
        if row.is_timed:
            there = [(at, value) for at, value in there if each.at <= at < each.at + SAME_ROW]
        latest = max(there, default=None, key=lambda known: known[0])
        if latest is not None and latest[1] == each.value:
            continue
        if latest is not None:  # a corrected file: the event comes after the one that it corrects
            each = _moved(each, max(each.at, latest[0] + MICROSECOND))
        brought[each.visitor, each.movie_id].append((each.at, each.value))
        new.append(each)
    return new


def _moved(rating: Interaction, at: datetime) -> Interaction:
    event_id = event_id_for(at.timestamp(), rating.visitor, rating.kind, rating.movie_id, rating.value)
    return Interaction(event_id, rating.visitor, rating.kind, rating.movie_id, at, rating.value, IMPORTED)


def _brought_ratings(
    ratings: Sequence[Interaction],
) -> defaultdict[tuple[str, object], list[tuple[datetime, float | None]]]:
    """Return time and stars of the ratings that imports brought, by visitor and movie."""
    pairs = {each.visitor for each in ratings}, {each.movie_id for each in ratings}
    events = Event.objects.of_pairs(*pairs).filter(kind="rating", surface=IMPORTED)
    found: defaultdict[tuple[str, object], list[tuple[datetime, float | None]]] = defaultdict(list)
    for visitor, movie, at, value in events.values_list("visitor", "movie_id", "at", "value"):
        found[visitor, movie].append((at, value))
    return found
