"""Merge movies that the catalogue holds twice, with the ratings and the events of their visitors."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import F

from movie.catalogue.merging import check_merge, merge_facts
from movie.catalogue.models import Movie, Rating
from movie.core.database import retry_on_deadlock
from movie.events.models import DailyMovieActivity, Event
from movie.events.rating_import import refresh_aggregates
from movie.events.ratings import delete_ratings, lock_movies, sync_ratings
from movie.visitors.visitor import acting
from predictors.history import History

BATCH = 200  # visitors in one transaction


def merge_movies(keep: Movie, others: Sequence[Movie]) -> None:
    """Make other movies part of one, and delete them. Raises MergeRefused before anything is changed.

    Of two ratings by one visitor the newer stands. Everything but the last step is done in small
    transactions, and a second call goes on where one was stopped. Old clicks in the archive keep the
    id that is gone.
    """
    for other in others:
        check_merge(keep, other)
    for other in others:
        while visitors := list(
            Event.objects.filter(movie=other).order_by().values_list("visitor", flat=True).distinct()[:BATCH]
        ):
            _move_events(visitors, keep, other)
        _finish(keep, other)


@retry_on_deadlock
def _move_events(visitors: list[str], keep: Movie, other: Movie) -> None:
    with transaction.atomic():
        lock_movies(Movie.objects.filter(pk__in=(keep.pk, other.pk)))
        for visitor in visitors:
            moved = Event.objects.of(visitor, other.pk)
            own = Event.objects.of(visitor, keep.pk)
            if own.exists():  # an undo of the one must not take back what was done with the other
                for events in (own, moved):
                    events.filter(event_id__in=History(events.interactions()).taken_back).delete()
            moved.update(movie=keep)
            delete_ratings(Rating.objects.filter(visitor=visitor, movie=other))
            sync_ratings({visitor: [keep.pk]})


@retry_on_deadlock
def _finish(keep: Movie, other: Movie) -> None:
    """Move the ratings of people of data sets and the facts, and delete the other movie."""
    with transaction.atomic():
        lock_movies(Movie.objects.filter(pk__in=(keep.pk, other.pk)))
        theirs = Rating.objects.filter(movie=other).exclude(acting())
        shared = Rating.objects.filter(movie=keep, visitor__in=theirs.values("visitor"))
        rated_at = dict(shared.values_list("visitor", "rated_at"))
        newer = {
            visitor
            for visitor, at in theirs.values_list("visitor", "rated_at")
            if at > rated_at.get(visitor, at)
        }
        Rating.objects.filter(movie=keep, visitor__in=newer).delete()
        theirs.filter(visitor__in=rated_at.keys() - newer).delete()
        theirs.update(movie=keep)
        for day, count in other.activity.values_list("day", "count"):
            if not keep.activity.filter(day=day).update(count=F("count") + count):
                DailyMovieActivity.objects.create(movie=keep, day=day, count=count)
        keep.refresh_from_db()
        merge_facts(keep, other)
        other.delete()
        refresh_aggregates([keep.pk])
