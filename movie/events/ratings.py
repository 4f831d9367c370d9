"""Ratings that follow from a visitor's events, and the aggregates of movies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from django.db import connection
from django.db.models import QuerySet

from movie.catalogue.models import FULL_WEIGHT, Movie, Rating
from movie.events.models import Event, NetworkOfRating
from movie.events.rating_weights import Share, current_weight, limit_network
from predictors.history import History

CHANGES_RATING = ("rating", "undo")  # kinds of events


# Adds a share to a movie's aggregates. The mean comes first: MySQL's UPDATE goes from left to right and reads
# columns that it has just set. `share_parameters` gives the values.
ADD_SHARE = (
    "rating_average = CASE WHEN 100 * (rating_count + %s) > withheld_weight + %s "
    "THEN (100.0 * (rating_sum + %s) - (withheld_stars + %s)) "
    "/ (100.0 * (rating_count + %s) - (withheld_weight + %s)) END, "
    "rating_count = rating_count + %s, rating_sum = rating_sum + %s, "
    "withheld_weight = withheld_weight + %s, withheld_stars = withheld_stars + %s"
)


def share_parameters(share: Share) -> tuple[float, ...]:
    """Return the values of `ADD_SHARE`."""
    count, stars, withheld_weight, withheld_stars = share
    mean = (count, withheld_weight, stars, withheld_stars, count, withheld_weight)
    return (*mean, count, stars, withheld_weight, withheld_stars)


def sync_ratings(
    visitor: str, movies: Iterable[int], *, network: str = "", uncounted: Collection[int] = ()
) -> None:
    """Make the visitor's ratings of these movies, and their aggregates, say what the events say.

    The movies are locked, so nobody changes them meanwhile. `network` is where the visitor is now; ratings of
    `uncounted` movies get no weight before the visitor counts fully.
    """
    rows = {row.movie_id: row for row in Rating.objects.filter(visitor=visitor, movie__in=movies)}
    history = History(Event.objects.of(visitor).filter(movie__in=movies).decisions().interactions())
    rated_at = {
        event.movie_id: event.at
        for event in history
        if event.kind == "rating" and event.value == history.ratings.get(event.movie_id)
    }
    new = [movie for movie in movies if movie not in rows and history.ratings.get(movie) is not None]
    gone = [movie for movie in rows if history.ratings.get(movie) is None]
    changed = [
        movie
        for movie, row in rows.items()
        if movie not in gone and (row.value, row.rated_at) != (history.ratings[movie], rated_at[movie])
    ]
    weight = current_weight(visitor, len(new) - len(gone)) if new or changed else 0
    without = set(uncounted)
    if weight < FULL_WEIGHT and new:
        without |= limit_network(visitor, network, new)
    made: list[Rating] = []
    shifts: dict[Share, list[int]] = defaultdict(list)
    for movie in new:
        own = 0 if movie in without and weight < FULL_WEIGHT else weight
        value = history.ratings[movie]
        made.append(
            Rating(visitor=visitor, movie_id=movie, value=value, rated_at=rated_at[movie], weight=own)
        )
        shifts[Share.of(value, own)].append(movie)
    for movie in changed:
        row = rows[movie]
        before = Share.of(row.value, row.weight)
        row.value, row.rated_at = history.ratings[movie], rated_at[movie]
        row.weight = weight if row.weight or weight == FULL_WEIGHT else 0
        row.save(update_fields=["value", "rated_at", "weight"])
        shifts[Share.of(row.value, row.weight).minus(before)].append(movie)
    for movie in gone:
        shifts[Share().minus(Share.of(rows[movie].value, rows[movie].weight))].append(movie)
    if made:
        Rating.objects.bulk_create(made)
    if gone:
        Rating.objects.filter(visitor=visitor, movie__in=gone).delete()
        NetworkOfRating.objects.filter(visitor=visitor, movie__in=gone).delete()
    for share, shifted in shifts.items():
        shift_aggregates(shifted, share)


def delete_ratings(ratings: QuerySet[Rating]) -> None:
    """Delete ratings of one visitor and take them out of the aggregates."""
    lock_movies(Movie.objects.filter(ratings__in=ratings))
    shifts: dict[Share, list[int]] = defaultdict(list)
    rows = list(ratings.values_list("visitor", "movie_id", "value", "weight"))
    for _visitor, movie, value, weight in rows:
        shifts[Share().minus(Share.of(value, weight))].append(movie)
    for share, movies in shifts.items():
        shift_aggregates(movies, share)
    for visitor in {row[0] for row in rows}:
        NetworkOfRating.objects.filter(visitor=visitor, movie__in=[row[1] for row in rows]).delete()
    ratings.delete()


def shift_aggregates(movies: list[int], share: Share) -> None:
    """Add to the aggregates where they are, so that writers at the same time all count.

    Written out, because putting F expressions together took a fifth of the time of a rating.
    """
    if not any(share):
        return
    update = (
        f"UPDATE {connection.ops.quote_name(Movie._meta.db_table)} SET {ADD_SHARE} "  # noqa: S608 - our own names
        f"WHERE id IN ({', '.join(['%s'] * len(movies))})"
    )
    with connection.cursor() as cursor:
        cursor.execute(update, [*share_parameters(share), *movies])


def lock_movies(movies: QuerySet[Movie]) -> list[int]:
    """Lock movies until the transaction ends, always in the same order; return their ids."""
    return list(movies.select_for_update().order_by("pk").values_list("pk", flat=True))
