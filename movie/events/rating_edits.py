"""Change visitors' ratings in the admin, by hand or by an imported file.

A visitor who can act has events, and the rating follows from these. A person of a data set has the
rating alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from movie.catalogue.models import Rating
from movie.core.batches import write_all_in_batches
from movie.core.database import retry_on_deadlock
from movie.core.ids import new_event_id
from movie.events.history import IMPORTED
from movie.events.models import Event
from movie.events.rating_import import refresh_aggregates
from movie.events.ratings import delete_ratings as delete_rows
from movie.events.recording import record, record_all, validate
from movie.visitors.visitor import can_act
from predictors.history import Interaction

ADMIN = "admin"  # the surface of these events


def save_rating(rating: Rating) -> None:
    """Store a new or an edited rating; it counts over everything that the visitor did before."""
    before = Rating.objects.filter(pk=rating.pk).first()
    if before and (before.visitor, before.movie_id) != (rating.visitor, rating.movie_id):
        delete_ratings([before])
    if can_act(rating.visitor):
        _record(rating, rating.value, rating.rated_at)
        rating.pk = Rating.objects.get(visitor=rating.visitor, movie=rating.movie_id).pk
    else:
        rating.save()
        refresh_aggregates([rating.movie_id])


def delete_ratings(ratings: Iterable[Rating]) -> None:
    """Delete ratings and take them out of the aggregates, in small batches."""
    write_all_in_batches(ratings, _delete_batch)


@retry_on_deadlock
def _delete_batch(ratings: list[Rating]) -> None:
    now = timezone.now()
    with transaction.atomic():
        record_all(live=[_interaction(each, None, now, ADMIN) for each in ratings if can_act(each.visitor)])
        others = [each.pk for each in ratings if not can_act(each.visitor)]
        delete_rows(Rating.objects.filter(pk__in=others))


def check_rating(rating: Rating) -> None:
    """Raise InvalidInteraction, which is a ValueError, unless this visitor can have given this rating."""
    validate(_interaction(rating, rating.value, rating.rated_at, IMPORTED))


def import_ratings_of_visitors(ratings: Sequence[Rating]) -> None:
    """Record ratings of visitors who can act, each once. They keep their times, and the newest ones count.

    Sets the primary keys; to None where the visitor has cleared the rating since.
    """
    visitors = {each.visitor for each in ratings}
    movies = {each.movie_id for each in ratings}
    events = Event.objects.of_pairs(visitors, movies).filter(kind="rating")
    known = set(events.values_list("visitor", "movie_id", "at", "value"))
    new = {(each.visitor, each.movie_id, each.rated_at, each.value): each for each in ratings}
    record_all(
        _interaction(each, each.value, each.rated_at, IMPORTED)
        for key, each in new.items()
        if key not in known
    )
    stored = Rating.objects.filter(visitor__in=visitors, movie__in=movies)
    pks = {(visitor, movie): pk for visitor, movie, pk in stored.values_list("visitor", "movie_id", "pk")}
    for each in ratings:
        each.pk = pks.get((each.visitor, each.movie_id))


def _record(rating: Rating, value: float | None, at: datetime) -> None:
    record(_interaction(rating, value, at, ADMIN))


def _interaction(rating: Rating, value: float | None, at: datetime, surface: str) -> Interaction:
    return Interaction(new_event_id(), rating.visitor, "rating", rating.movie_id, at, value, surface)
