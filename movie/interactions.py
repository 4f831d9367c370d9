"""The one door through which a click or a rating enters, and the way back out.

The relational database is the commit point: an interaction, the rating that follows from it and the
film's aggregates are written in one transaction, and the next read sees them.
"""

from __future__ import annotations

import sys
import uuid
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _

from movie.database import retried_on_deadlock
from movie.event_ids import new_event_id
from movie.event_log import get_event_log
from movie.event_log.base import Elsewhere
from movie.event_stream import get_event_stream
from movie.event_stream.messages import Forgotten, Joined, Message, Recorded
from movie.models import HALF_STARS, Movie, Rating
from predictors.history import KINDS, History, Interaction, MovieId

__all__ = [
    "EVERYTHING",
    "InteractionRefused",
    "check",
    "forget",
    "history_of",
    "merge_guest",
    "new_event_id",
    "record",
    "record_all",
]

CHANGES_RATING = ("rating", "undo")
EVERYTHING = sys.maxsize  # as the limit of history_of
LONGEST = {"visitor": 128, "surface": 32, "recommendation_id": 36}  # what the columns hold
BACKFILLED = "import"  # the surface of a rating that came with a data set and is now part of a history


class InteractionRefused(ValueError):
    """An interaction that cannot be true. `field` is the field that is wrong; nothing was stored."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def record(interaction: Interaction) -> bool:
    """Store one interaction and what follows from it; returns whether it was new.

    Sending it twice (same event id, visitor, kind, film and value) has one effect; an id that was
    used for something else is replaced by a fresh one. Raises InteractionRefused.
    """
    return record_all([interaction]) == 1


def record_all(interactions: Iterable[Interaction]) -> int:
    """`record` for many, all of them or none, in one transaction; returns how many were new."""
    ordered = sorted(interactions, key=lambda each: each.visitor)
    for interaction in ordered:
        check(interaction)
    return _record_checked(ordered)


@retried_on_deadlock
def _record_checked(interactions: list[Interaction]) -> int:
    with transaction.atomic():
        unknown = _unknown_films(interactions)
        if unknown:
            raise InteractionRefused("movie_id", _("There is no film %(id)s.") % {"id": min(unknown)})
        return sum(
            _record_for_visitor(visitor, list(events))
            for visitor, events in groupby(interactions, key=lambda each: each.visitor)
        )


def check(interaction: Interaction) -> None:
    """Raise InteractionRefused unless this can have happened."""
    kind, value = interaction.kind, interaction.value
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise InteractionRefused(
            "kind", _("%(kind)r is none of: %(known)s.") % {"kind": kind, "known": known}
        )
    allowed = {"rating": (None, *HALF_STARS), "dismiss": (None, 0.0), "watchlist": (None, 0.0)}
    if value not in allowed.get(kind, (None,)):
        raise InteractionRefused(
            "value", _("%(value)s is not a value of %(kind)s.") % {"value": value, "kind": kind}
        )
    try:
        well_formed = str(uuid.UUID(interaction.event_id)) == interaction.event_id
    except ValueError:
        well_formed = False
    if not well_formed:
        raise InteractionRefused("event_id", _("%(id)r is not a UUID.") % {"id": interaction.event_id})
    if is_naive(interaction.at):
        raise InteractionRefused("at", _("The time has no time zone."))
    for field, longest in LONGEST.items():
        if len(getattr(interaction, field)) > longest:
            raise InteractionRefused(field, _("It is longer than %(n)d characters.") % {"n": longest})


def history_of(visitor_key: str, limit: int | None = None) -> History:
    """What a visitor did, in two queries: the latest `limit` interactions (settings.HISTORY_LIMIT
    when None) merged with ratings that no interaction tells of, such as a data-set user's.

    With EVERYTHING as the limit it raises EventLogUnavailable rather than leave out what a log that is
    away has.
    """
    log = get_event_log()
    if limit == EVERYTHING:
        events = log.export(visitor_key)
    else:
        events = log.history(visitor_key, limit=limit or settings.HISTORY_LIMIT)
    history = History(events)
    # Where the log was cut off, an undo may have lost what it took back: the rating row has the last word.
    spoken = {event.movie_id: event.at for event in events if event.kind in CHANGES_RATING}
    rows = Rating.objects.filter(visitor=visitor_key).values_list("movie_id", "value", "rated_at")
    untold = [
        Interaction(
            event_id=f"rating of {movie_id}",  # sorts after every UUID
            visitor=visitor_key,
            kind="rating",
            movie_id=movie_id,
            at=max(rated_at, spoken.get(movie_id, rated_at)),
            value=value,
            surface=BACKFILLED,
        )
        for movie_id, value, rated_at in rows
        if history.ratings.get(movie_id) != value
    ]
    return History([*events, *untold]) if untold else history


def forget(visitor_key: str, movie_id: int | None = None) -> int:
    """Delete a visitor's interactions and ratings, all or those with one film, and nobody else's.

    Returns how many interactions were deleted.
    """
    # Before the transaction: nobody is to wait for a network with rows locked.
    return _forget(visitor_key, movie_id, get_event_log().elsewhere(visitor_key, movie_id))


@retried_on_deadlock
def _forget(visitor_key: str, movie_id: int | None, elsewhere: Elsewhere) -> int:
    ratings = Rating.objects.filter(visitor=visitor_key)
    if movie_id is not None:
        ratings = ratings.filter(movie=movie_id)
    with transaction.atomic():
        count = get_event_log().forget(visitor_key, movie_id, elsewhere)
        _delete(ratings)
        _publish([Forgotten(new_event_id(), visitor_key, movie_id, timezone.now())])
    return count


def merge_guest(guest_key: str, user_key: str) -> int:
    """Make a guest's history part of an account; returns how many interactions came with it.

    A second call, or one at the same time, finds nothing left to do. Where both rated a film the
    newer rating stands, because the interactions of both become one history in order of time.
    """
    return _merge_guest(guest_key, user_key, get_event_log().elsewhere(guest_key))


@retried_on_deadlock
def _merge_guest(guest_key: str, user_key: str, elsewhere: Elsewhere) -> int:
    log = get_event_log()
    with transaction.atomic():
        guest_ratings = Rating.objects.filter(visitor=guest_key)
        films = {int(event.movie_id) for event in log.decisions(guest_key)}
        films.update(guest_ratings.values_list("movie", flat=True))
        _locked(Movie.objects.filter(pk__in=films))
        for key in (guest_key, user_key):
            _backfill(Rating.objects.filter(visitor=key, movie__in=films), History(log.decisions(key)))
        moved = log.merge(guest_key, user_key, elsewhere)
        merged = History(log.decisions(user_key))

        user_ratings = Rating.objects.filter(visitor=user_key, movie__in=films)
        guest_ratings.exclude(movie__in=list(user_ratings.values_list("movie", flat=True))).update(
            visitor=user_key
        )
        _delete(guest_ratings)
        _settle(user_key, films, {row.movie_id: row for row in user_ratings}, merged)
        _publish([Joined(new_event_id(), guest_key, user_key, timezone.now())])
    return moved


def _record_for_visitor(visitor: str, events: list[Interaction]) -> int:
    log = get_event_log()
    films = {int(event.movie_id) for event in events if event.kind in CHANGES_RATING}
    if not films:
        return len(_published(log.append_all(events)))
    rows = {row.movie_id: row for row in Rating.objects.filter(visitor=visitor, movie__in=films)}
    known = History(log.decisions(visitor, movie_id=next(iter(films)) if len(films) == 1 else None))
    told = _backfill(rows.values(), known)
    new = _published(log.append_all(events))
    if new:
        _settle(visitor, films, rows, History([*known, *told, *new]))
    return len(new)


def _published(new: list[Interaction]) -> list[Interaction]:
    """The same, once the counters know of them."""
    now = timezone.now()
    _publish([Recorded(each, now) for each in new])
    return new


def _publish(messages: list[Message]) -> None:
    """Let the counters know, unless they learn of it from the outbox."""
    stream = get_event_stream()
    if messages and not stream.needs_relay:
        stream.publish(messages)


def _backfill(ratings: Iterable[Rating], history: History) -> list[Interaction]:
    """Write ratings that no interaction tells of into the log, so that undo finds its way back to them."""
    return get_event_log().append_all(
        [
            Interaction(
                new_event_id(), row.visitor, "rating", row.movie_id, row.rated_at, row.value, BACKFILLED
            )
            for row in ratings
            if history.ratings.get(row.movie_id) != row.value
        ]
    )


def _settle(visitor: str, films: Iterable[int], rows: dict[int, Rating], history: History) -> None:
    """Make the visitor's ratings of these films, and their aggregates, say what the history says.

    `rows` are the ratings as they are stored now. The films are locked, so nobody changes them meanwhile.
    """
    rated_at = {
        event.movie_id: event.at
        for event in history
        if event.kind == "rating" and event.value == history.ratings.get(event.movie_id)
    }
    made: list[Rating] = []
    gone: list[int] = []
    shifts: dict[tuple[int, float], list[int]] = defaultdict(list)
    for film in films:
        row, value = rows.get(film), history.ratings.get(film)
        before = row.value if row else None
        if value is None:
            gone += [film] if row else []
        elif row is None:
            made.append(Rating(visitor=visitor, movie_id=film, value=value, rated_at=rated_at[film]))
        elif (row.value, row.rated_at) != (value, rated_at[film]):
            row.value, row.rated_at = value, rated_at[film]
            row.save(update_fields=["value", "rated_at"])
        if before != value:
            count = (value is not None) - (before is not None)
            shifts[count, (value or 0.0) - (before or 0.0)].append(film)
    if made:
        Rating.objects.bulk_create(made)
    if gone:
        Rating.objects.filter(visitor=visitor, movie__in=gone).delete()
    for (count, total), shifted in shifts.items():
        _shift_aggregates(shifted, count=count, total=total)


def _delete(ratings: QuerySet[Rating]) -> None:
    """Delete ratings of one visitor and take them out of the aggregates."""
    _locked(Movie.objects.filter(ratings__in=ratings))
    shifts: dict[float, list[int]] = defaultdict(list)
    for film, value in ratings.values_list("movie_id", "value"):
        shifts[value].append(film)
    for value, films in shifts.items():
        _shift_aggregates(films, count=-1, total=-value)
    ratings.delete()


def _shift_aggregates(films: list[int], *, count: int, total: float) -> None:
    """Add to the aggregates where they are, so that writers at the same time all count.

    The mean comes first: MySQL's UPDATE goes from left to right and reads columns that it has just set.
    Written out, because putting F expressions together took a fifth of the time of a rating.
    """
    update = (
        f"UPDATE {connection.ops.quote_name(Movie._meta.db_table)} SET "  # noqa: S608 - our own names
        "rating_average = CASE WHEN rating_count + %s > 0 THEN (rating_sum + %s) / (rating_count + %s) END, "
        "rating_count = rating_count + %s, rating_sum = rating_sum + %s "
        f"WHERE id IN ({', '.join(['%s'] * len(films))})"
    )
    with connection.cursor() as cursor:
        cursor.execute(update, [count, total, count, count, total, *films])


def _unknown_films(interactions: list[Interaction]) -> set[MovieId]:
    """The films that are not there. Those whose aggregates may change are locked.

    The others are not: a film that everybody opens would have its visitors wait for one another.
    """
    wanted = {each.movie_id for each in interactions}
    rated = {each.movie_id for each in interactions if each.kind in CHANGES_RATING}
    there = set(_locked(Movie.objects.filter(pk__in=rated))) if rated else set()
    if opened := wanted - rated:
        films = Movie.objects.filter(pk__in=opened).order_by()
        there.update(films.values_list("pk", flat=True))
    return wanted - there


def _locked(films: QuerySet[Movie]) -> list[int]:
    """The ids of these films, locked until the transaction ends; always in the same order."""
    return list(films.select_for_update().order_by("pk").values_list("pk", flat=True))
