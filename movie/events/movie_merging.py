"""Merge movies that the catalogue holds twice, with the ratings and the events of their visitors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce

from django.db import transaction
from django.db.models import F
from django.dispatch import Signal

from movie.catalogue.merging import check_merge, merge_facts
from movie.catalogue.models import Movie, Rating
from movie.core.batches import write_all_in_batches
from movie.core.database import retry_on_deadlock
from movie.events.models import DailyMovieActivity, Event
from movie.events.rating_import import refresh_aggregates
from movie.events.rating_weights import Share
from movie.events.ratings import delete_ratings, lock_movies, shift_aggregates, sync_ratings
from movie.visitors.visitor import acting
from predictors.history import History

# Sent with `keep` and `other` in the transaction that deletes the other movie, to apps that refer to movies.
movie_merged = Signal()


def merge_movies(keep: Movie, others: Sequence[Movie]) -> None:
    """Make other movies part of one, and delete them. Raises MergeRefused before anything is changed.

    Of two ratings by one visitor the newer stands. Everything but the last step is done in small
    transactions, and a second call goes on where one was stopped. Old clicks in the archive keep the
    id that is gone.
    """
    for other in others:
        check_merge(keep, other)
    for other in others:
        for move, rows in (
            (_move_events, Event.objects.filter(movie=other)),
            (_move_ratings, Rating.objects.filter(movie=other).exclude(acting())),
        ):
            visitors = list(rows.order_by().values_list("visitor", flat=True).distinct())
            write_all_in_batches(visitors, partial(move, keep, other))
        _finish(keep, other)


@retry_on_deadlock
def _move_events(keep: Movie, other: Movie, visitors: list[str]) -> None:
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
def _move_ratings(keep: Movie, other: Movie, visitors: list[str]) -> None:
    """Move the ratings of people of data sets; of two by one person the newer stands."""
    with transaction.atomic():
        lock_movies(Movie.objects.filter(pk__in=(keep.pk, other.pk)))
        own = {row.visitor: row for row in Rating.objects.filter(movie=keep, visitor__in=visitors)}
        moved: dict[int, Share] = {}
        older: list[int] = []
        for row in Rating.objects.filter(movie=other, visitor__in=visitors):
            stored = own.get(row.visitor)
            if stored is None or row.rated_at > stored.rated_at:
                moved[row.pk] = Share.of(row.value, row.weight)
                older += [stored.pk] if stored else []
            else:
                older.append(row.pk)
        delete_ratings(Rating.objects.filter(pk__in=older))
        Rating.objects.filter(pk__in=moved).update(movie=keep)
        total = reduce(Share.plus, moved.values(), Share())
        shift_aggregates({keep.pk: total, other.pk: Share().minus(total)})


@retry_on_deadlock
def _finish(keep: Movie, other: Movie) -> None:
    """Move the facts, and delete the other movie."""
    with transaction.atomic():
        lock_movies(Movie.objects.filter(pk__in=(keep.pk, other.pk)))
        for day, count in other.activity.values_list("day", "count"):
            if not keep.activity.filter(day=day).update(count=F("count") + count):
                DailyMovieActivity.objects.create(movie=keep, day=day, count=count)
        keep.refresh_from_db()
        merge_facts(keep, other)
        movie_merged.send(Movie, keep=keep, other=other)
        other.delete()
        refresh_aggregates([keep.pk])
