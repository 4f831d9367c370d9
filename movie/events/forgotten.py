"""Seal what a deletion takes, so that the visitor's own browser can keep it and ask for it back.

The site itself keeps nothing of it: a deletion is at once. The seal is a signature, so that what comes back
is what was deleted here, and it ends after an hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.core import signing

from movie.core.ids import fresh_ids
from movie.events.history import get_movie_history
from movie.events.models import DECISION_KINDS, Event
from predictors.history import Interaction

SALT = "movie.events.forgotten"
LIFETIME = timedelta(hours=1)
MOST_DECISIONS, MOST_CLICKS = 200, 100  # about one film; what is sealed travels in a form


class SealBroken(ValueError):
    """Refuses what was not sealed here, or longer ago than `LIFETIME`."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Holds what was deleted of one movie, under ids that are new, and the import that each event came by."""

    movie_id: int
    events: Sequence[tuple[Interaction, int | None]]


def seal(visitor: str, movie_id: int) -> str:
    """Return all that a visitor did with a movie, sealed; of clicks the latest. Empty where that is nothing.

    Copies forget the events by their ids, so they come back under ids that follow from these.
    """
    history = get_movie_history(visitor, movie_id)
    decisions = [event for event in history if event.kind in DECISION_KINDS]
    clicks = [event for event in history if event.kind not in DECISION_KINDS][-MOST_CLICKS:]
    if not history or len(decisions) > MOST_DECISIONS:
        return ""
    imports = dict(Event.objects.of(visitor, movie_id).values_list("event_id", "import_number"))
    rows = [
        (
            next(fresh_ids(event.event_id, visitor)),
            event.kind,
            event.at.isoformat(),
            event.value,
            event.surface,
            event.recommendation_id,
            event.watched_on and event.watched_on.isoformat(),
            imports.get(event.event_id),
            event.progress,
            event.weight,
        )
        for event in (*decisions, *clicks)
    ]
    return signing.dumps([movie_id, rows], salt=SALT, compress=True)


def unseal(sealed: str, visitor: str) -> Forgotten:
    """Return what was sealed, as done by `visitor`. Raises SealBroken."""
    try:
        movie_id, rows = signing.loads(sealed, salt=SALT, max_age=LIFETIME)
    except signing.BadSignature as broken:
        raise SealBroken(str(broken)) from broken
    return Forgotten(
        movie_id,
        [
            (
                Interaction(
                    event_id=event_id,
                    visitor=visitor,
                    kind=kind,
                    movie_id=movie_id,
                    at=datetime.fromisoformat(at).astimezone(UTC),
                    value=value,
                    surface=surface,
                    recommendation_id=list_id,
                    watched_on=day and date.fromisoformat(day),
                    progress=progress,
                    weight=weight,
                ),
                import_number,
            )
            for event_id, kind, at, value, surface, list_id, day, import_number, progress, weight in rows
        ],
    )
