"""The one way in: record an interaction, delete a history or bring it back, merge a guest's into an account.

The relational database is the commit point: an event, the rating that follows from it and the movie's
aggregates are written in one transaction, and the next read sees them. The archive and the stream follow
by the outbox; nothing here waits for them.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import BigIntegerField, CharField, F, Max
from django.utils import timezone
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _

from movie.catalogue.models import HALF_STARS, Movie, Rating
from movie.core.compiled import CompiledQuery
from movie.core.database import insert_unless_taken, retry_on_deadlock
from movie.core.ids import UUID_FORM, fresh_ids, new_event_id
from movie.core.times import is_possible
from movie.events.archive import get_archive
from movie.events.models import (
    DECISION_KINDS,
    TO_ARCHIVE,
    TO_PRUNE,
    TO_STREAM,
    Event,
    HistoryChange,
    HistoryImport,
    ImportSlot,
)
from movie.events.outbox import (
    MICROSECOND,
    event_row,
    insert_events,
    last_changed,
    publish_in_process,
    recording_times,
    request_change,
)
from movie.events.rating_weights import forget_rater, merge_rater
from movie.events.ratings import (
    CHANGES_RATING,
    delete_ratings,
    hold_movies,
    lock_movies,
    lock_movies_by_id,
    sync_ratings,
)
from movie.events.repeats import NewInteractions, find_new, idempotency_key
from movie.events.stream import get_event_stream
from movie.events.stream.messages import GuestMerged, HistoryForgotten, InteractionRecorded
from movie.visitors.visitor import LONGEST_VISITOR, can_act
from predictors.history import EVENT_KINDS, MOST_WEIGHT, REWATCHED, History, Interaction, MovieId

__all__ = [
    "InvalidInteraction",
    "forget",
    "forget_imported",
    "idempotency_key",
    "merge_guest",
    "new_event_id",
    "record",
    "record_all",
    "restore",
    "validate",
]

ALLOWED_VALUES: dict[str, tuple[float | None, ...]] = {
    "rating": (None, *HALF_STARS),
    "dismiss": (None, 0.0),
    "watchlist": (None, 0.0),
    "watch": (None, 0.0, REWATCHED),
}
LONGEST = {"visitor": LONGEST_VISITOR, "surface": 32, "recommendation_id": 36}  # characters, of the columns
FIRST_FILM = date(1888, 1, 1)  # nothing was watched before the year of the first one
AHEAD = timedelta(days=1)  # a day that has begun elsewhere
ATTEMPTS = 3  # the last one looks at each interaction by itself


class InvalidInteraction(ValueError):
    """Refuses an interaction that cannot be true. `field` is the field that is wrong; nothing was stored."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def record(interaction: Interaction, *, network: str = "") -> bool:
    """Store what a visitor does now, and what follows from it; return whether it was new.

    It comes after everything that the visitor did with this movie before, whatever the clocks say. Sending it
    twice (same event id, visitor, kind, movie and value) has one effect; an id that was used for something
    else is replaced by a fresh one. `network` is the client address of a visitor who is here: enough raters
    of one film behind one address, and further ones do not count. Raises InvalidInteraction.
    """
    return record_all(live=[interaction], network=network) == 1


def record_all(
    interactions: Iterable[Interaction] = (),
    *,
    live: Iterable[Interaction] = (),
    network: str = "",
    import_number: int | None = None,
) -> int:
    """Store interactions of any number of visitors, all or none, in one transaction; return how many were
    new.

    `interactions` come from a file or another site and keep their times; `live` ones are as for `record`.
    A few hundred at most: more are to be written by `core.batches.write_in_batches`. `network` is as for
    `record`. `import_number` is that of the HistoryImport which the interactions came by.
    """
    reported, happening = list(interactions), list(live)
    for interaction in (*reported, *happening):
        validate(interaction)
    if not reported and not happening:
        return 0
    one_by_one = len(reported) + len(happening) == 1
    for attempt in itertools.count(2):
        try:
            return _record_validated(
                reported, happening, network, one_by_one=one_by_one, import_number=import_number
            )
        except IntegrityError:  # somebody stored the same event id after it was looked for
            if one_by_one:
                raise
            one_by_one = attempt == ATTEMPTS
    raise AssertionError("unreachable")


@retry_on_deadlock
def _record_validated(
    reported: list[Interaction],
    live: list[Interaction],
    network: str,
    *,
    one_by_one: bool,
    import_number: int | None,
) -> int:
    kinds = ((reported, False), (live, True))
    # Repeats are found before the transaction, which holds the lock of the database.
    found = [
        NewInteractions.all_unclear(each) if one_by_one else find_new(each, live=is_live)
        for each, is_live in kinds
    ]
    new = [each for some in found for each in some.interactions]
    if not new:
        return 0
    with transaction.atomic():
        unknown = _find_unknown_movies(new)
        if unknown:
            raise InvalidInteraction("movie_id", _("There is no film %(id)s.") % {"id": min(unknown)})
        return sum(
            _store_new(some, network, live=is_live, import_number=import_number)
            for some, (_each, is_live) in zip(found, kinds, strict=True)
        )


def validate(interaction: Interaction) -> None:
    """Raise InvalidInteraction unless this can have happened."""
    kind, value = interaction.kind, interaction.value
    if kind not in EVENT_KINDS:
        known = ", ".join(EVENT_KINDS)
        raise InvalidInteraction(
            "kind", _("%(kind)r is none of: %(known)s.") % {"kind": kind, "known": known}
        )
    if value not in ALLOWED_VALUES.get(kind, (None,)):
        raise InvalidInteraction(
            "value", _("%(value)s is not a value of %(kind)s.") % {"value": value, "kind": kind}
        )
    if not UUID_FORM.fullmatch(interaction.event_id):
        raise InvalidInteraction("event_id", _("%(id)r is not a UUID.") % {"id": interaction.event_id})
    if is_naive(interaction.at):
        raise InvalidInteraction("at", _("The time has no time zone."))
    if not is_possible(interaction.at):
        raise InvalidInteraction("at", _("The time is not between 1970 and 2100."))
    _validate_details(interaction)
    if not can_act(interaction.visitor):
        raise InvalidInteraction(
            "visitor", _("%(id)r is no visitor of the site.") % {"id": interaction.visitor}
        )
    for field, longest in LONGEST.items():
        if len(getattr(interaction, field)) > longest:
            raise InvalidInteraction(field, _("It is longer than %(n)d characters.") % {"n": longest})


def _validate_details(interaction: Interaction) -> None:
    kind, progress, weight = interaction.kind, interaction.progress, interaction.weight
    if progress is not None:
        if kind != "watch" or interaction.value == 0:
            raise InvalidInteraction("progress", _("Only a watch has a progress."))
        if not 0 <= progress <= 1:
            raise InvalidInteraction("progress", _("%(n)s is not from 0 to 1.") % {"n": progress})
    if weight is not None:
        if kind != "click":
            raise InvalidInteraction("weight", _("Only a click has a weight."))
        if not 0 < weight <= MOST_WEIGHT:
            said = _("%(n)s is not above 0 and at most %(most)d.") % {"n": weight, "most": MOST_WEIGHT}
            raise InvalidInteraction("weight", said)
    day = interaction.watched_on
    if day is None:
        return
    if kind != "watch":
        raise InvalidInteraction("watched_on", _("Only a watch has a day."))
    if not FIRST_FILM <= day <= (interaction.at + AHEAD).date():
        raise InvalidInteraction("watched_on", _("%(day)s is not between 1888 and today.") % {"day": day})


@retry_on_deadlock
def forget(visitor: str, movie_id: int | None = None) -> int:
    """Delete a visitor's history, all or that of one movie, and ask every copy to follow.

    Returns how many events the database had.
    """
    with transaction.atomic():
        request_change(HistoryChange.Kind.FORGET, visitor, movie_id=movie_id)
        count, _by_model = Event.objects.of(visitor, movie_id).delete()
        ratings = Rating.objects.filter(visitor=visitor)
        delete_ratings(ratings if movie_id is None else ratings.filter(movie=movie_id))
        if movie_id is None:
            forget_rater(visitor)
            HistoryImport.objects.filter(visitor=visitor).delete()
            ImportSlot.objects.filter(visitor=visitor).delete()
        publish_in_process([HistoryForgotten(new_event_id(), visitor, movie_id, timezone.now())])
    return count


@retry_on_deadlock
def restore(visitor: str, events: Sequence[tuple[Interaction, int | None]], *, network: str = "") -> int:
    """Store again what a deletion took, and the rating that follows; return how many events came back.

    Each comes with the number of its import. It keeps its time, so what the visitor did with the movie since
    then counts as later. A second call has no further effect. Without a broker nothing is counted again: a
    deletion takes no count back. Raises InvalidInteraction.
    """
    for interaction, _number in events:
        validate(interaction)
    with transaction.atomic():
        if unknown := _find_unknown_movies([interaction for interaction, _number in events]):
            raise InvalidInteraction("movie_id", _("There is no film %(id)s.") % {"id": min(unknown)})
        ids = [interaction.event_id for interaction, _number in events]
        known = set(Event.objects.filter(event_id__in=ids).values_list("event_id", flat=True))
        imports = set(HistoryImport.objects.filter(visitor=visitor).values_list("pk", flat=True))
        recorded_at = recording_times({visitor})[visitor]
        rows = [
            event_row(interaction, recorded_at, number if number in imports else None)
            for interaction, number in events
            if interaction.event_id not in known
        ]
        Event.objects.bulk_create(rows)
        if rated := {row.movie_id for row in rows if row.kind in CHANGES_RATING}:
            sync_ratings({visitor: rated}, network=network)
    return len(rows)


@retry_on_deadlock
def merge_guest(guest: str, user: str) -> int:
    """Make a guest's history part of an account; return how many events of the database moved.

    A second call, or one at the same time, finds nothing left to do. Where both rated a movie the
    newer rating stands, because the events of both become one history in order of time. What either
    had taken back of a movie that both touched is dropped first: an undo that the one made must not
    take back what the other did in between.
    """
    with transaction.atomic():
        decided = Event.objects.of(guest).decisions()
        movies = set(decided.values_list("movie", flat=True))
        lock_movies(Movie.objects.filter(pk__in=movies))
        request_change(HistoryChange.Kind.MERGE, guest, into=user)
        theirs = Event.objects.of(user).filter(movie__in=Event.objects.of(guest).values("movie"))
        shared = list(theirs.values_list("movie", flat=True).distinct())
        for visitor in (guest, user):
            history = History(Event.objects.of(visitor).filter(movie__in=shared).interactions())
            Event.objects.filter(event_id__in=history.taken_back).delete()
        if get_archive().uses_outbox:
            # Also what is on its way, or there already, under the guest's id.
            Event.objects.of(guest).exclude(kind__in=DECISION_KINDS).update(
                pending_sinks=F("pending_sinks").bitor(TO_ARCHIVE | TO_PRUNE),
                claimed_by="",
                available_at=timezone.now(),
            )
        for changed in last_changed({user}).values():  # a deletion by the account is no deletion of these
            covered = Event.objects.of(guest).filter(recorded_at__lte=changed)
            covered.update(recorded_at=changed + MICROSECOND)
        moved = Event.objects.of(guest).update(visitor=user)
        HistoryImport.objects.filter(visitor=guest).update(visitor=user)
        ratings = Rating.objects.filter(visitor=guest)
        uncounted = set(ratings.filter(movie__in=shared, weight=0).values_list("movie", flat=True))
        merge_rater(guest, user)
        delete_ratings(ratings.filter(movie__in=shared))
        # Of all other movies: the aggregates stay as they are, and weights are corrected by `weighing`.
        ratings.update(visitor=user)
        sync_ratings({user: movies.intersection(shared)}, uncounted=uncounted)
        publish_in_process([GuestMerged(new_event_id(), guest, user, timezone.now())])
    return moved


@retry_on_deadlock
def forget_imported(visitor: str, import_number: int, movies: Collection[int]) -> int:
    """Delete what an import brought about some movies; return how many events went.

    An archive never had them. A stream is told to forget these movies of the visitor, and what else the
    visitor did with them follows anew, under fresh ids; but for clicks that have moved to the archive.
    """
    with transaction.atomic():
        events = Event.objects.of_pairs([visitor], movies)
        gone = events.filter(import_number=import_number)
        rated = set(gone.filter(kind__in=CHANGES_RATING).values_list("movie", flat=True))
        count, _by_model = gone.delete()
        if get_event_stream().uses_outbox:
            kept = list(events)
            for movie in sorted(movies):
                request_change(HistoryChange.Kind.FORGET, visitor, to=TO_STREAM, movie_id=movie)
            recorded_at = recording_times({visitor})[visitor]
            events.delete()
            for row in kept:
                row.event_id, row.recorded_at = new_event_id(), recorded_at
                row.pending_sinks |= TO_STREAM
                row.claimed_by, row.available_at = "", timezone.now()
            Event.objects.bulk_create(kept)
        if rated:
            sync_ratings({visitor: rated})
    return count


def _store_new(found: NewInteractions, network: str, *, live: bool, import_number: int | None = None) -> int:
    """Store interactions that are new, and what follows from them; return how many were."""
    if not found.interactions:
        return 0
    recorded_at = recording_times({each.visitor for each in found.interactions})
    events = _order_live_events(found.interactions) if live else found.interactions
    clear = [each for index, each in enumerate(events) if index not in found.unclear]
    insert_events(clear, recorded_at, import_number)
    new: list[Interaction] = []
    for index, each in enumerate(events):
        if index not in found.unclear:
            new.append(each)
        elif stored := _store(each, recorded_at[each.visitor], import_number):
            new.append(stored)
    movies_of: dict[str, set[int]] = defaultdict(set)
    for each in new:
        if each.kind in CHANGES_RATING:
            movies_of[each.visitor].add(int(each.movie_id))
    if movies_of:
        sync_ratings(movies_of, network=network)
    publish_in_process([InteractionRecorded(each, recorded_at[each.visitor]) for each in new])
    return len(new)


def _order_live_events(events: list[Interaction]) -> list[Interaction]:
    """Return the events with times in order, each later than its visitor's latest event of the movie."""
    visitors = {each.visitor for each in events}
    movies = {int(each.movie_id) for each in events}
    rows = _latest_of_pairs.rows(visitor=list(visitors), movie=list(movies))
    latest: dict[tuple[str, MovieId], datetime] = {(visitor, movie): at for visitor, movie, at in rows}
    ordered = []
    for event in events:
        pair = event.visitor, event.movie_id
        before = latest.get(pair)
        at = event.at if before is None else max(event.at, before + MICROSECOND)
        latest[pair] = at
        ordered.append(event if at == event.at else event._replace(at=at))
    return ordered


_latest_of_pairs = CompiledQuery(
    lambda some: (
        Event.objects.of_pairs(some("visitor", CharField()), some("movie", BigIntegerField()))
        .values_list("visitor", "movie")
        .annotate(at=Max("at"))
    )
)


def _store(interaction: Interaction, recorded_at: datetime, import_number: int | None) -> Interaction | None:
    """Store an interaction and return it as stored, or None when it is a repeat.

    A repeat has the same event id and the same content (`idempotency_key`) as what is stored. The
    same id with other content is something new and is stored under a fresh id.
    """
    if insert_unless_taken(event_row(interaction, recorded_at, import_number)):
        return interaction
    # The id is taken: by this visitor's earlier use of the same form, or by somebody else.
    ids = [interaction.event_id, *fresh_ids(interaction.event_id, interaction.visitor)]
    rows = Event.objects.of(interaction.visitor).filter(event_id__in=ids)
    uses = {use.event_id: use for use in rows.interactions()}
    unused = next((event_id for event_id in ids[1:] if event_id not in uses), None)
    latest = next((uses[event_id] for event_id in reversed(ids) if event_id in uses), None)
    if unused and latest and idempotency_key(latest) == idempotency_key(interaction):
        return None
    again = interaction._replace(event_id=unused or new_event_id())
    # Lost only to the same POST arriving at the same time, which is then a repeat.
    is_stored = insert_unless_taken(event_row(again, recorded_at, import_number))
    return again if is_stored else _store(interaction, recorded_at, import_number)


def _find_unknown_movies(interactions: list[Interaction]) -> set[MovieId]:
    """Return the ids of movies that do not exist. Those whose aggregates may change are locked.

    The others are held: a movie that everybody opens would have its visitors wait for one another.
    """
    wanted = {each.movie_id for each in interactions}
    rated = {each.movie_id for each in interactions if each.kind in CHANGES_RATING}
    there = set(lock_movies_by_id(rated)) if rated else set()
    if opened := wanted - rated:
        there |= hold_movies(opened)
    return wanted - there
