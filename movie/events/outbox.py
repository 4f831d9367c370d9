"""What recording leaves for the archive and the stream: rows of events, deletions and merges to follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from django.db.models import Max
from django.utils import timezone

from movie.core.database import insert_rows
from movie.core.ids import new_event_id
from movie.events.archive import get_archive
from movie.events.models import (
    CLAIM,
    DECISION_KINDS,
    FIELDS,
    TO_ARCHIVE,
    TO_PRUNE,
    TO_STREAM,
    Event,
    HistoryChange,
)
from movie.events.stream import get_event_stream
from movie.events.stream.messages import Message
from predictors.history import Interaction, MovieId

COLUMNS = (*FIELDS, "recorded_at", "available_at", "pending_sinks", "claimed_by", "import_number")
_content = attrgetter(*FIELDS)
MICROSECOND = timedelta(microseconds=1)  # the resolution of times


def event_row(interaction: Interaction, recorded_at: datetime, import_number: int | None = None) -> Event:
    """Return the row of an interaction, unsaved, with the sinks that relays have to serve it for."""
    sinks = sinks_of(interaction.kind, is_kept=import_number is not None)
    values = _values(interaction, recorded_at, timezone.now(), sinks, import_number)
    return Event(**dict(zip(COLUMNS, values, strict=True)))


def insert_events(
    interactions: Sequence[Interaction],
    recorded_at: Mapping[str, datetime],
    import_number: int | None = None,
) -> None:
    """Insert the rows of interactions, as `event_row` makes them; `recorded_at` is by visitor."""
    kinds = {each.kind for each in interactions}
    sinks = {kind: sinks_of(kind, is_kept=import_number is not None) for kind in kinds}
    now = timezone.now()
    rows = (
        _values(each, recorded_at[each.visitor], now, sinks[each.kind], import_number)
        for each in interactions
    )
    insert_rows(Event, COLUMNS, rows)


def _values(
    interaction: Interaction, recorded_at: datetime, now: datetime, sinks: int, import_number: int | None
) -> tuple[Any, ...]:
    """Return the values of COLUMNS."""
    return *_content(interaction), recorded_at, now, sinks, "", import_number


def sinks_of(kind: str, *, is_kept: bool = False) -> int:
    """Return the sinks that relays have to serve an event of this kind for.

    One that `is_kept` came by an import that can be taken back as a whole, and stays in the database.
    """
    sinks = TO_STREAM if get_event_stream().uses_outbox else 0
    if get_archive().uses_outbox and kind not in DECISION_KINDS and not is_kept:
        sinks |= TO_ARCHIVE | TO_PRUNE
    return sinks


def recording_times(visitors: set[str]) -> dict[str, datetime]:
    """Return the current time by visitor, later than every change of the visitor's history that is kept.

    Else a change that was asked for while the clock was ahead, or before it was set back, would cover what
    came after it.
    """
    now, changed = timezone.now(), last_changed(visitors)
    return {each: max(now, changed[each] + MICROSECOND) if each in changed else now for each in visitors}


def last_changed(visitors: set[str]) -> dict[str, datetime]:
    """Return the time of the latest deletion or merge that is kept, by those visitors who have one."""
    if not _sinks_of_changes():
        return {}
    changes = HistoryChange.objects.filter(visitor__in=visitors).order_by()
    return dict(changes.values_list("visitor").annotate(at=Max("recorded_at")))


def request_change(
    kind: HistoryChange.Kind,
    visitor: str,
    *,
    into: str = "",
    movie_id: MovieId | None = None,
    to: int = TO_ARCHIVE | TO_STREAM,
) -> None:
    """Ask the archive and the stream, where there are any, to follow a deletion or a merge.

    It covers what was recorded before, also by a server whose clock is ahead, and is later than every
    earlier change of the visitor and, for a merge, of the account: a deletion there does not cover it.
    """
    if sinks := _sinks_of_changes() & to:
        now = timezone.now()
        latest = Event.objects.of(visitor).aggregate(at=Max("recorded_at"))["at"] or now
        after_changes = recording_times({visitor, into or visitor}).values()
        HistoryChange.objects.create(
            event_id=new_event_id(),
            kind=kind,
            visitor=visitor,
            into=into,
            movie_id=movie_id,
            recorded_at=max(latest, *after_changes),
            pending_sinks=sinks,
            available_at=now + CLAIM,  # when every claim of now has run out, so that nothing slips by
        )


def _sinks_of_changes() -> int:
    to_stream = TO_STREAM if get_event_stream().uses_outbox else 0
    return to_stream | (TO_ARCHIVE if get_archive().uses_outbox else 0)


def publish_in_process(messages: Sequence[Message]) -> None:
    """Publish messages to the stream in process; with an outbox relays publish them."""
    stream = get_event_stream()
    if messages and not stream.uses_outbox:
        stream.publish(messages)
