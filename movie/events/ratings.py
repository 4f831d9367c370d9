"""Ratings that follow from visitors' events, and the aggregates of movies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from django.db import connection
from django.db.models import F, QuerySet

from movie.catalogue.models import Movie, Rating
from movie.events.models import Event
from predictors.history import History, Interaction

CHANGES_RATING = ("rating", "undo")  # kinds of events

Totals = tuple[int, float]  # number and sum of stars


def sync_ratings(movies_of: Mapping[str, Collection[int]]) -> None:
    """Make the ratings of these movies by their visitors, and the aggregates, say what the events say.

    The movies are locked, so nobody changes them meanwhile. The number of queries is the same for one
    visitor as for many.
    """
    movies = set().union(*movies_of.values())
    rows = {
        (row.visitor, row.movie_id): row
        for row in Rating.objects.filter(visitor__in=movies_of, movie__in=movies)
    }
    decisions = _decisions(movies_of, movies)
    made: list[Rating] = []
    changed: list[Rating] = []
    gone: list[int] = []
    shifts: dict[int, Totals] = {}
    for visitor, own in movies_of.items():
        history = History(decisions.get(visitor, ()))
        stars = history.ratings
        rated_at = {
            event.movie_id: event.at
            for event in history
            if event.kind == "rating" and event.value == stars.get(event.movie_id)
        }
        for movie in own:
            row, value = rows.get((visitor, movie)), stars.get(movie)
            before = row.value if row else None
            if value is None:
                gone += [row.pk] if row else []
            elif row is None:
                made.append(Rating(visitor=visitor, movie_id=movie, value=value, rated_at=rated_at[movie]))
            elif (row.value, row.rated_at) != (value, rated_at[movie]):
                row.value, row.rated_at = value, rated_at[movie]
                changed.append(row)
            if before != value:
                _add(shifts, movie, (value is not None) - (before is not None), (value or 0) - (before or 0))
    if made:
        Rating.objects.bulk_create(made)
    _update_ratings(changed)
    if gone:
        Rating.objects.filter(pk__in=gone).delete()
    shift_aggregates(shifts)


def _decisions(movies_of: Mapping[str, Collection[int]], movies: set[int]) -> dict[str, list[Interaction]]:
    """Return the decisions about these movies by visitor.

    The sum keeps databases from reading everybody's events of a movie in place of the visitors' own.
    """
    events = Event.objects.filter(visitor__in=movies_of).decisions().order_by()
    found: dict[str, list[Interaction]] = defaultdict(list)
    for event in events.alias(number=F("movie_id") + 0).filter(number__in=movies).interactions():
        if event.movie_id in movies_of[event.visitor]:
            found[event.visitor].append(event)
    return found


def _update_ratings(ratings: list[Rating]) -> None:
    if not ratings:
        return
    quote = connection.ops.quote_name
    value, rated_at = (Rating._meta.get_field(name) for name in ("value", "rated_at"))
    update = f"UPDATE {quote(Rating._meta.db_table)} SET value = %s, rated_at = %s WHERE id = %s"  # noqa: S608
    rows = [
        (
            value.get_db_prep_save(each.value, connection),  # type: ignore[union-attr]
            rated_at.get_db_prep_save(each.rated_at, connection),  # type: ignore[union-attr]
            each.pk,
        )
        for each in ratings
    ]
    with connection.cursor() as cursor:
        cursor.executemany(update, rows)


def delete_ratings(ratings: QuerySet[Rating]) -> None:
    """Delete ratings and take them out of the aggregates."""
    lock_movies(Movie.objects.filter(ratings__in=ratings))
    shifts: dict[int, Totals] = {}
    for movie, value in ratings.values_list("movie_id", "value"):
        _add(shifts, movie, -1, -value)
    shift_aggregates(shifts)
    ratings.delete()


def _add(shifts: dict[int, Totals], movie: int, count: int, total: float) -> None:
    count_before, total_before = shifts.get(movie, (0, 0.0))
    shifts[movie] = count_before + count, total_before + total


def shift_aggregates(shifts: Mapping[int, Totals]) -> None:
    """Add to the number and the sum of movies' stars where they are, so that writers at the same time count.

    Movies that shift alike share a statement. The mean comes first: MySQL's UPDATE goes from left to right
    and reads columns that it has just set. Written out, because putting F expressions together took a fifth
    of the time of a rating.
    """
    alike: dict[Totals, list[int]] = defaultdict(list)
    for movie, shift in sorted(shifts.items()):
        if shift != (0, 0.0):
            alike[shift].append(movie)
    update = (
        f"UPDATE {connection.ops.quote_name(Movie._meta.db_table)} SET "  # noqa: S608 - our own names
        "rating_average = CASE WHEN rating_count + %s > 0 THEN (rating_sum + %s) / (rating_count + %s) END, "
        "rating_count = rating_count + %s, rating_sum = rating_sum + %s WHERE id IN "
    )
    with connection.cursor() as cursor:
        for (count, total), movies in alike.items():
            ids = f"({', '.join(['%s'] * len(movies))})"
            cursor.execute(update + ids, [count, total, count, count, total, *movies])


def lock_movies(movies: QuerySet[Movie]) -> list[int]:
    """Lock movies until the transaction ends, always in the same order; return their ids."""
    return list(movies.select_for_update().order_by("pk").values_list("pk", flat=True))
