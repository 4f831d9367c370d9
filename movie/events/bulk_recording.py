"""Store many reported interactions that change no rating, such as a million plays of a file.

`recording.record_all` makes a model instance a row and looks at what follows from each. Nothing follows from
a play of a file but its own row: so a batch is one look for stored rows and one statement. The
guarantees are the same: the row is the outbox's too, twice is once, and each batch is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from movie.core.database import retry_on_deadlock
from movie.events.models import FIELDS, Event
from movie.events.outbox import publish_in_process, recording_times, sinks_of
from movie.events.recording import record_all, validate
from movie.events.repeats import idempotency_key, stored_uses
from movie.events.stream.messages import InteractionRecorded
from predictors.history import Interaction

ATTEMPTS = 3  # after which `record_all` looks at each interaction by itself
OUTBOX = ("recorded_at", "available_at", "pending_sinks", "claimed_by")  # columns of every event


def record_plain(interactions: Sequence[Interaction]) -> int:
    """Store reported interactions that change no rating, in one transaction; return how many were new.

    They keep their times, and stored ones are passed over. Interactions whose event id is used for something
    else are left to `record_all`, in a transaction of its own. Raises InvalidInteraction.
    """
    for each in interactions:
        validate(each)
    for _attempt in range(ATTEMPTS):
        new, unclear = _find_new(interactions)
        try:
            n_new = _store(new)
        except IntegrityError:  # an event id was taken, or a movie deleted, after the look
            continue
        return n_new + record_all(unclear)
    return record_all(interactions)


def _find_new(interactions: Sequence[Interaction]) -> tuple[list[Interaction], list[Interaction]]:
    """Return the interactions that are new, once each, and those whose event id has another use."""
    by_id: dict[str, Interaction] = {}
    unclear: list[Interaction] = []
    for each in interactions:
        first = by_id.setdefault(each.event_id, each)
        if first is not each and idempotency_key(first) != idempotency_key(each):
            unclear.append(each)
    for event_id, use in stored_uses(by_id).items():
        known = by_id.pop(event_id)
        if idempotency_key(known) != use:
            unclear.append(known)
    return list(by_id.values()), unclear


@retry_on_deadlock
def _store(new: list[Interaction]) -> int:
    if new:
        with transaction.atomic():
            recorded_at = recording_times({each.visitor for each in new})
            _insert(new, recorded_at)
            publish_in_process([InteractionRecorded(each, recorded_at[each.visitor]) for each in new])
    return len(new)


def _insert(interactions: list[Interaction], recorded_at: dict[str, datetime]) -> None:
    """Insert the rows by one statement, past the ORM: model instances cost four times as much."""
    quote, stored_time = connection.ops.quote_name, _time_adapter()
    names = ", ".join(quote(name) for name in (*FIELDS, *OUTBOX))
    values = ", ".join(["%s"] * len((*FIELDS, *OUTBOX)))
    insert = f"INSERT INTO {quote(Event._meta.db_table)} ({names}) VALUES ({values})"  # noqa: S608
    now = stored_time(timezone.now())
    recorded = {visitor: stored_time(at) for visitor, at in recorded_at.items()}
    sinks = {kind: sinks_of(kind) for kind in {each.kind for each in interactions}}
    content = attrgetter(*FIELDS)
    at_index = FIELDS.index("at")
    rows = []
    for each in interactions:
        row = list(content(each))
        row[at_index] = stored_time(each.at)
        rows.append((*row, recorded[each.visitor], now, sinks[each.kind], ""))
    with connection.cursor() as cursor:
        cursor.executemany(insert, rows)


def _time_adapter() -> Callable[[datetime], Any]:
    """Return a function from a time to the database's own form of it; it runs once a row."""
    if connection.vendor not in ("sqlite", "mysql"):
        return lambda at: at
    zone = connection.timezone

    def stored(at: datetime) -> str:
        local = at if at.tzinfo is zone else at.astimezone(zone)
        return local.replace(tzinfo=None).isoformat(" ")

    return stored
