"""Ratings that follow from a visitor's events, and the aggregates of movies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db import connection
from django.db.models import QuerySet

from movie.catalogue.models import Movie, Rating
from movie.events.models import Event
from predictors.history import History

CHANGES_RATING = ("rating", "undo")  # kinds of events


def sync_ratings(visitor: str, movies: Iterable[int]) -> None:
    """Make the visitor's ratings of these movies, and their aggregates, say what the events say.

    The movies are locked, so nobody changes them meanwhile.
    """
    rows = {row.movie_id: row for row in Rating.objects.filter(visitor=visitor, movie__in=movies)}
    history = History(Event.objects.of(visitor).filter(movie__in=movies).decisions().interactions())
    rated_at = {
        event.movie_id: event.at
        for event in history
        if event.kind == "rating" and event.value == history.ratings.get(event.movie_id)
    }
    made: list[Rating] = []
    gone: list[int] = []
    shifts: dict[tuple[int, float], list[int]] = defaultdict(list)
    for movie in movies:
        row, value = rows.get(movie), history.ratings.get(movie)
        before = row.value if row else None
        if value is None:
            gone += [movie] if row else []
        elif row is None:
            made.append(Rating(visitor=visitor, movie_id=movie, value=value, rated_at=rated_at[movie]))
        elif (row.value, row.rated_at) != (value, rated_at[movie]):
            row.value, row.rated_at = value, rated_at[movie]
            row.save(update_fields=["value", "rated_at"])
        if before != value:
            count = (value is not None) - (before is not None)
            shifts[count, (value or 0.0) - (before or 0.0)].append(movie)
    if made:
        Rating.objects.bulk_create(made)
    if gone:
        Rating.objects.filter(visitor=visitor, movie__in=gone).delete()
    for (count, total), shifted in shifts.items():
        _shift_aggregates(shifted, count=count, total=total)


def delete_ratings(ratings: QuerySet[Rating]) -> None:
    """Delete ratings of one visitor and take them out of the aggregates."""
    lock_movies(Movie.objects.filter(ratings__in=ratings))
    shifts: dict[float, list[int]] = defaultdict(list)
    for movie, value in ratings.values_list("movie_id", "value"):
        shifts[value].append(movie)
    for value, movies in shifts.items():
        _shift_aggregates(movies, count=-1, total=-value)
    ratings.delete()


def _shift_aggregates(movies: list[int], *, count: int, total: float) -> None:
    """Add to the aggregates where they are, so that writers at the same time all count.

    The mean comes first: MySQL's UPDATE goes from left to right and reads columns that it has just set.
    Written out, because putting F expressions together took a fifth of the time of a rating.
    """
    update = (
        f"UPDATE {connection.ops.quote_name(Movie._meta.db_table)} SET "  # noqa: S608 - our own names
        "rating_average = CASE WHEN rating_count + %s > 0 THEN (rating_sum + %s) / (rating_count + %s) END, "
        "rating_count = rating_count + %s, rating_sum = rating_sum + %s "
        f"WHERE id IN ({', '.join(['%s'] * len(movies))})"
    )
    with connection.cursor() as cursor:
        cursor.execute(update, [count, total, count, count, total, *movies])


def lock_movies(movies: QuerySet[Movie]) -> list[int]:
    """Lock movies until the transaction ends, always in the same order; return their ids."""
    return list(movies.select_for_update().order_by("pk").values_list("pk", flat=True))
