"""Change visitors' ratings in the admin, by hand or by an imported file.

A visitor who can act has events, and the rating follows from these. A person of a data set has the
rating alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from movie.catalogue.models import Rating
from movie.core.batches import write_in_batches
from movie.core.database import retry_on_deadlock
from movie.core.ids import new_event_id
from movie.events.history import IMPORTED
from movie.events.models import Event
from movie.events.rating_import import refresh_aggregates
from movie.events.ratings import delete_ratings as delete_rows
from movie.events.recording import record, record_all
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
    for _deleted in write_in_batches(ratings, _delete_batch, pauses=not connection.in_atomic_block):
        pass


@retry_on_deadlock
def _delete_batch(ratings: list[Rating]) -> None:
    now = timezone.now()
    with transaction.atomic():
        record_all(live=[_interaction(each, None, now, ADMIN) for each in ratings if can_act(each.visitor)])
        others = [each.pk for each in ratings if not can_act(each.visitor)]
        delete_rows(Rating.objects.filter(pk__in=others))


def import_rating(rating: Rating) -> None:
    """Record a rating of a visitor who can act, once. It keeps its time, and the newest one counts."""
    same = {"kind": "rating", "at": rating.rated_at, "value": rating.value}
    if not Event.objects.of(rating.visitor, rating.movie_id).filter(**same).exists():
        record_all([_interaction(rating, rating.value, rating.rated_at, IMPORTED)])
    stored = Rating.objects.filter(visitor=rating.visitor, movie=rating.movie_id).first()
    rating.pk = stored.pk if stored else None  # none where the visitor has cleared it since


def _record(rating: Rating, value: float | None, at: datetime) -> None:
    record(_interaction(rating, value, at, ADMIN))


def _interaction(rating: Rating, value: float | None, at: datetime, surface: str) -> Interaction:
    return Interaction(new_event_id(), rating.visitor, "rating", rating.movie_id, at, value, surface)
