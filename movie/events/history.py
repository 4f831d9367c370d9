"""The one way from a visitor to their history.

The database holds every decision (rating, dismissal, watchlist, diary, undo) and the clicks that are not yet
archived; the archive holds the older clicks. People of a data set have ratings and no events: their
history is made of these, here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.conf import settings
from django.db.models import CharField, DateTimeField, Max, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from movie.catalogue.models import Rating
from movie.core.compiled import CompiledQuery, ListParameters, Parameter
from movie.core.times import EARLIEST
from movie.events.archive import ArchiveUnavailable, get_archive
from movie.events.archive.base import Archived
from movie.events.models import FIELDS, HISTORY_KINDS, TO_ARCHIVE, Event, HistoryChange
from movie.visitors.visitor import can_act
from predictors.history import RANKING_FIELDS, History, Interaction, MovieId

IMPORTED = "import"  # the surface of a rating that was not given on the site
SITE_LIMIT = -1  # settings.HISTORY_LIMIT
# The archive is ordered by event id, made when a page was rendered; a history is ordered by what
# happened. So many clicks more are read, in case some pages were open for long.
OUT_OF_ORDER = 50
ROWS_AT_ONCE = 20_000


def get_history(visitor: str, limit: int | None = SITE_LIMIT) -> History:
    """Return a visitor's history: every decision and the latest `limit` clicks.

    While the archive is away it holds the clicks that the database knows. With `limit=None` it holds
    everything, impressions too, and raises ArchiveUnavailable rather than leave some out.
    """
    if not can_act(visitor):
        return History(_rating_interactions(visitor))
    has_archive = get_archive().uses_outbox
    if limit is None:
        # First the rows: what is deleted from there meanwhile is in the archive already.
        rows = Event.objects.of(visitor).interactions()
        return _merge(_read_archived(visitor), rows) if has_archive else History(rows)
    limit = settings.HISTORY_LIMIT if limit == SITE_LIMIT else limit
    clicks = _interactions(_latest_clicks(limit), visitor)[::-1]
    decisions = _interactions(_decisions, visitor)
    if has_archive:
        with suppress(ArchiveUnavailable):  # the archive logs it
            clicks = list(_merge(_read_archived(visitor, limit + OUT_OF_ORDER), clicks))[-limit:]
    return History([*decisions, *clicks])


def get_ranking_history(visitor: str, limit: int | None = SITE_LIMIT) -> History:
    """Return the history of `get_history` without times, pages and lists: a third of the work.

    It has no impressions either. With an archive it is `get_history`'s: it has times, by which archived
    clicks are merged, and with `limit=None` impressions.
    """
    if not can_act(visitor) or get_archive().uses_outbox:
        return get_history(visitor, limit)
    limit = settings.HISTORY_LIMIT if limit == SITE_LIMIT else limit
    rows: list[Any] = _ranking_rows(limit).rows(visitor=visitor, oldest=EARLIEST)
    n_clicks = [row[0] for row in rows].count("click")
    if limit is not None and n_clicks > limit:  # some have the time of the oldest that counts
        spare = iter(range(n_clicks - limit))
        rows = [row for row in rows if row[0] != "click" or next(spare, None) is None]
    return History.from_rows(rows)


@cache
def _ranking_rows(limit: int | None) -> CompiledQuery:
    """Return the query of a visitor's decisions and latest clicks, in order.

    Databases look for the oldest of these clicks once, and not at all where they meet none.
    """

    def build(_: ListParameters) -> QuerySet[Any, Any]:
        events = Event.objects.of(Parameter("visitor", CharField()))
        rows = events.exclude(kind="impression")
        if limit is not None:
            latest = events.filter(kind="click").order_by("-at", "-event_id").values("at")
            oldest = Subquery(latest[limit - 1 : limit])
            rows = rows.filter(
                ~Q(kind="click") | Q(at__gte=Coalesce(oldest, Parameter("oldest", DateTimeField())))
            )
        return rows.order_by("at", "event_id").values_list(*RANKING_FIELDS)

    return CompiledQuery(build)


def latest_times(visitor: str, history: History, movie_ids: Collection[MovieId]) -> dict[MovieId, datetime]:
    """Return when the visitor of a history last did something with each of these movies."""
    if history.has_times:
        return {each.movie_id: each.at for each in history if each.kind in HISTORY_KINDS}
    events = Event.objects.of_pairs([visitor], movie_ids).filter(kind__in=HISTORY_KINDS)
    return dict(events.values_list("movie_id").annotate(latest=Max("at")))


def _interactions(query: CompiledQuery, visitor: str) -> list[Interaction]:
    return [Interaction(*row) for row in query.rows(visitor=visitor)]


_decisions = CompiledQuery(
    lambda _: Event.objects.of(Parameter("visitor", CharField())).decisions().values_list(*FIELDS)
)


@cache
def _latest_clicks(limit: int) -> CompiledQuery:
    """Return the query of the latest clicks of a visitor, the latest first."""
    return CompiledQuery(
        lambda _: (
            Event.objects.of(Parameter("visitor", CharField()))
            .filter(kind="click")
            .order_by("-at", "-event_id")
            .values_list(*FIELDS)[:limit]
        )
    )


def get_decisions(visitor: str, movie_id: int) -> History:
    """Return what a visitor decided about one movie."""
    return History(Event.objects.of(visitor, movie_id).decisions().interactions())


def get_movie_history(visitor: str, movie_id: int) -> History:
    """Return everything a visitor did with one movie; while the archive is away, what the database knows."""
    rows = Event.objects.of(visitor, movie_id).interactions()
    archived: list[Interaction] = []
    if get_archive().uses_outbox:
        with suppress(ArchiveUnavailable):
            archived = [each for each in _read_archived(visitor) if each.movie_id == movie_id]
    return _merge(archived, rows)


def iter_histories() -> Iterator[tuple[str, History]]:
    """Yield each visitor who can act with everything they did. Raises ArchiveUnavailable."""
    archived = _find_archived_visitors()
    rows = Event.objects.order_by("visitor", "at", "event_id").values_list(*FIELDS)
    for visitor, events in groupby(rows.iterator(ROWS_AT_ONCE), key=itemgetter(1)):
        if visitor not in archived:
            yield visitor, History(Interaction(*row) for row in events)
    for visitor in sorted(archived):
        yield visitor, get_history(visitor, limit=None)


def _find_archived_visitors() -> set[str]:
    """Return the visitors of whom the archive has events, or will have once every merge is applied."""
    if not get_archive().uses_outbox:
        return set()
    merges = HistoryChange.objects.undelivered(TO_ARCHIVE).filter(kind=HistoryChange.Kind.MERGE)
    accounts = set(merges.values_list("into", flat=True))
    return accounts | {each.interaction.visitor for each in get_archive().read()}


def _rating_interactions(visitor: str) -> list[Interaction]:
    """Return the ratings of a person of a data set, as interactions without a UUID."""
    rows = Rating.objects.filter(visitor=visitor).values_list("movie_id", "value", "rated_at")
    return [
        Interaction(f"rating of {movie_id}", visitor, "rating", movie_id, rated_at, value, IMPORTED)
        for movie_id, value, rated_at in rows
    ]


def _read_archived(visitor: str, latest_clicks: int | None = None) -> list[Interaction]:
    """Return a visitor's archived events, with every requested change applied."""
    due = HistoryChange.objects.undelivered(TO_ARCHIVE).order_by("pk")
    changes = list(due.filter(Q(visitor=visitor) | Q(into=visitor)))
    if guests := {change.visitor for change in changes if change.into == visitor}:
        changes = list(due.filter(Q(visitor=visitor) | Q(visitor__in=guests)))
    return [each.interaction for each in _apply_changes(visitor, changes, latest_clicks)]


def _apply_changes(visitor: str, changes: list[HistoryChange], latest_clicks: int | None) -> list[Archived]:
    found = list(get_archive().read(visitor, latest_clicks=latest_clicks))
    for position, change in enumerate(changes):
        if change.into == visitor:
            guest = _apply_changes(change.visitor, changes[:position], latest_clicks)
            found += [each.of(visitor) for each in guest if covers(change, each)]
        elif change.visitor == visitor:
            found = [each for each in found if not covers(change, each)]
    return found


def covers(change: HistoryChange, archived: Archived) -> bool:
    """Return whether a change deletes or moves an archived event."""
    return change.covers(archived.interaction.movie_id, archived.recorded_at)


def _merge(archived: list[Interaction], rows: list[Interaction]) -> History:
    """Return both as one history, each interaction once; a row stands for its archived copy."""
    known = {(each.event_id, each.kind, each.movie_id): each for each in [*archived, *rows]}
    return History(known.values())
