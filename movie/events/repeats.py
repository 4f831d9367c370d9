"""Find the interactions that are stored already, for many at once and in few queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from operator import attrgetter

from django.db import connection

from movie.core.ids import fresh_ids
from movie.events.models import Event
from predictors.history import Interaction, MovieId

IDS_AT_ONCE = 1_000  # in one query: databases bound the size of a statement

Key = tuple[str, str, MovieId, float | None, date | None, float | None, float | None]
CONTENT = ("visitor", "kind", "movie_id", "value", "watched_on", "progress", "weight")


@dataclass(slots=True)
class NewInteractions:
    """Holds what is to be stored of many interactions, in their order."""

    interactions: list[Interaction] = field(default_factory=list)  # each under an id that is free, ...
    unclear: set[int] = field(default_factory=set)  # ... but at these indices: to be looked at one by one

    @classmethod
    def all_unclear(cls, interactions: Sequence[Interaction]) -> NewInteractions:
        return cls(list(interactions), set(range(len(interactions))))

    def add_unclear(self, interaction: Interaction) -> None:
        self.unclear.add(len(self.interactions))
        self.interactions.append(interaction)


def idempotency_key(interaction: Interaction) -> Key:
    """Return the values by which a repeat is recognised. The time is not in it: a POST sent again arrives
    later.
    """
    key: Key = attrgetter(*CONTENT)(interaction)
    return key


def find_new(interactions: Sequence[Interaction], *, live: bool = False) -> NewInteractions:
    """Return the interactions that are not stored yet, in their order, without repeats of one another.

    An interaction whose event id is used for something else is stored under a fresh id, as is one of
    another visitor's file. It is a repeat if it was stored under either; if it is `live`, under the later.
    """
    uses = stored_uses(each.event_id for each in interactions)
    second = {
        each: next(fresh_ids(each.event_id, each.visitor)) for each in interactions if each.event_id in uses
    }
    uses |= stored_uses(second.values())
    found = NewInteractions()
    handled: dict[str, Key] = {}  # by event id, of this list
    for each in interactions:
        key = idempotency_key(each)
        before, handled[each.event_id] = handled.get(each.event_id), key
        if before is not None:
            if before != key:
                found.add_unclear(each)
            continue
        first_use = uses.get(each.event_id)
        second_use = uses.get(second.get(each, ""))
        if first_use is None:
            found.interactions.append(each)
        elif second_use is None:
            if first_use != key:
                found.interactions.append(each._replace(event_id=second[each]))
        elif live or key not in (first_use, second_use):
            found.add_unclear(each)
    return found


def stored_uses(event_ids: Iterable[str]) -> dict[str, Key]:
    """Return what is stored under these ids, by event id."""
    uses: dict[str, Key] = {}
    for some in _chunks(event_ids):
        if not (taken := _taken(some)):
            continue
        rows = Event.objects.filter(event_id__in=taken).order_by()
        uses |= {event_id: tuple(key) for event_id, *key in rows.values_list("event_id", *CONTENT)}
    return uses


def _taken(event_ids: list[str]) -> list[str]:
    """Return those of these ids that are stored. Most are not, and the ORM takes twice the time to say so."""
    quote = connection.ops.quote_name
    places = ", ".join(["%s"] * len(event_ids))
    column, table = quote("event_id"), quote(Event._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} WHERE {column} IN ({places})", event_ids)  # noqa: S608
        return [event_id for (event_id,) in cursor.fetchall()]


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(dict.fromkeys(ids))
    while some := list(islice(remaining, IDS_AT_ONCE)):
        yield some
