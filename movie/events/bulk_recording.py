"""Store many reported interactions that change no rating, such as a million plays of a file.

`recording.record_all` looks at what follows from each interaction. Nothing follows from a play of a file but
its own row: so a batch is one look for stored rows and one statement. The guarantees are the same: the row is
the outbox's too, twice is once, and each batch is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError, transaction

from movie.core.database import retry_on_deadlock
from movie.events.outbox import insert_events, publish_in_process, recording_times
from movie.events.ratings import hold_movies
from movie.events.recording import record_all, validate
from movie.events.repeats import idempotency_key, stored_uses
from movie.events.stream.handlers import is_counted
from movie.events.stream.messages import InteractionRecorded
from predictors.history import Interaction

ATTEMPTS = 3  # after which `record_all` looks at each interaction by itself


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
            if {each.movie_id for each in new} - hold_movies({each.movie_id for each in new}):
                raise IntegrityError("a film was deleted")
            recorded_at = recording_times({each.visitor for each in new})
            insert_events(new, recorded_at)
            # In process nothing but counting follows, and messages that count for nothing cost an import 8 %.
            counted = (each for each in new if is_counted(each))
            publish_in_process([InteractionRecorded(each, recorded_at[each.visitor]) for each in counted])
    return len(new)
