"""Ratings that follow from visitors' events, and the aggregates of movies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from django.db import connection
from django.db.models import BigIntegerField, CharField, QuerySet

from movie.catalogue.models import FULL_WEIGHT, Movie, Rating
from movie.core.compiled import CompiledQuery
from movie.core.database import insert_rows
from movie.events.models import FIELDS, Event, NetworkOfRating
from movie.events.rating_weights import Share, current_weights, is_of_site, limit_network
from predictors.history import History, Interaction, MovieId

RATING_FIELDS = ("visitor", "movie", "value", "rated_at", "weight")
CHANGES_RATING = ("rating", "undo")  # kinds of events

Shifts = dict[int, Share]  # by movie

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
    movies_of: Mapping[str, Collection[int]], *, network: str = "", uncounted: Collection[int] = ()
) -> None:
    """Make the ratings of these movies by their visitors, and the aggregates, say what the events say.

    The movies are locked, so nobody changes them meanwhile. `network` is where the visitors are now; ratings
    of `uncounted` movies get no weight before their visitor counts fully. The number of queries is the same
    for one visitor as for many.
    """
    movies = set().union(*movies_of.values())
    rows = {
        (row.visitor, row.movie_id): row
        for row in Rating.objects.filter(visitor__in=movies_of, movie__in=movies)
    }
    decisions = _decisions(movies_of, movies)
    edits = {
        visitor: _Edits.of(visitor, own, rows, decisions.get(visitor, ()))
        for visitor, own in movies_of.items()
    }
    weights = current_weights({visitor: each.n_more for visitor, each in edits.items() if each.is_weighed})
    made: list[Rating] = []
    changed: list[Rating] = []
    gone: list[Rating] = []
    shifts: Shifts = {}
    for visitor, each in edits.items():
        weight = weights.get(visitor, 0)
        without = set(uncounted)
        if each.new and weight < FULL_WEIGHT:
            without |= limit_network(visitor, network, [row.movie_id for row in each.new])
        for row in each.new:
            row.weight = 0 if row.movie_id in without and weight < FULL_WEIGHT else weight
            _add(shifts, row.movie_id, _share_of(row))
        for row, before in each.edited:
            row.weight = weight if row.weight or weight == FULL_WEIGHT else 0
            _add(shifts, row.movie_id, _share_of(row).minus(before))
        for row in each.lost:
            _add(shifts, row.movie_id, Share().minus(_share_of(row)))
        made += each.new
        changed += [row for row, _before in each.edited]
        gone += each.lost
    if made:
        insert_rows(
            Rating,
            RATING_FIELDS,
            ((row.visitor, row.movie_id, row.value, row.rated_at, row.weight) for row in made),
        )
    _update_ratings(changed)
    if gone:
        Rating.objects.filter(pk__in=[row.pk for row in gone]).delete()
        _forget_networks((row.visitor, row.movie_id) for row in gone)
    shift_aggregates(shifts)


@dataclass(slots=True)
class _Edits:
    """Holds how a visitor's ratings differ from what the events say; `edited` with the share before."""

    new: list[Rating]
    edited: list[tuple[Rating, Share]]
    lost: list[Rating]

    @classmethod
    def of(
        cls,
        visitor: str,
        movies: Collection[int],
        rows: Mapping[tuple[str, int], Rating],
        decisions: Iterable[Interaction],
    ) -> _Edits:
        history = History(decisions)
        stars = history.ratings
        rated_at = {
            event.movie_id: event.at
            for event in history
            if event.kind == "rating" and event.value == stars.get(event.movie_id)
        }
        edits = cls([], [], [])
        for movie in movies:
            row, value = rows.get((visitor, movie)), stars.get(movie)
            if row is None and value is not None:
                edits.new.append(
                    Rating(visitor=visitor, movie_id=movie, value=value, rated_at=rated_at[movie])
                )
            elif row is not None and value is None:
                edits.lost.append(row)
            elif (
                row is not None
                and value is not None
                and (row.value, row.rated_at) != (value, rated_at[movie])
            ):
                before = _share_of(row)
                row.value, row.rated_at = value, rated_at[movie]
                edits.edited.append((row, before))
        return edits

    @property
    def n_more(self) -> int:
        return len(self.new) - len(self.lost)

    @property
    def is_weighed(self) -> bool:
        return bool(self.new or self.edited)


def _decisions(movies_of: Mapping[str, Collection[int]], movies: set[int]) -> dict[str, list[Interaction]]:
    """Return the decisions about these movies by visitor."""
    found: dict[str, list[Interaction]] = defaultdict(list)
    for row in _decisions_of_pairs.rows(visitor=list(movies_of), movie=list(movies)):
        event = Interaction(*row)
        if event.movie_id in movies_of[event.visitor]:
            found[event.visitor].append(event)
    return found


_decisions_of_pairs = CompiledQuery(
    lambda some: (
        Event.objects.of_pairs(some("visitor", CharField()), some("movie", BigIntegerField()))
        .decisions()
        .values_list(*FIELDS)
    )
)


def _update_ratings(ratings: list[Rating]) -> None:
    if not ratings:
        return
    quote = connection.ops.quote_name
    fields = [Rating._meta.get_field(name) for name in ("value", "rated_at", "weight")]
    columns = ", ".join(f"{quote(str(field.column))} = %s" for field in fields)  # type: ignore[union-attr]
    update = f"UPDATE {quote(Rating._meta.db_table)} SET {columns} WHERE id = %s"  # noqa: S608
    rows = [
        (
            *(
                field.get_db_prep_save(getattr(each, field.name), connection)  # type: ignore[union-attr]
                for field in fields
            ),
            each.pk,
        )
        for each in ratings
    ]
    with connection.cursor() as cursor:
        cursor.executemany(update, rows)


def delete_ratings(ratings: QuerySet[Rating]) -> None:
    """Delete ratings and take them out of the aggregates."""
    lock_movies(Movie.objects.filter(ratings__in=ratings))
    shifts: Shifts = {}
    rows = list(ratings.values_list("visitor", "movie_id", "value", "weight"))
    for _visitor, movie, value, weight in rows:
        _add(shifts, movie, Share().minus(Share.of(value, weight)))
    shift_aggregates(shifts)
    _forget_networks((visitor, movie) for visitor, movie, _value, _weight in rows)
    ratings.delete()


def _forget_networks(rated: Iterable[tuple[str, int]]) -> None:
    """Delete from where visitors of the site rated these movies."""
    movies_of: dict[str, list[int]] = defaultdict(list)
    for visitor, movie in rated:
        if is_of_site(visitor):
            movies_of[visitor].append(movie)
    for visitor, movies in movies_of.items():
        NetworkOfRating.objects.filter(visitor=visitor, movie__in=movies).delete()


def _share_of(rating: Rating) -> Share:
    return Share.of(rating.value, rating.weight)


def _add(shifts: Shifts, movie: int, share: Share) -> None:
    shifts[movie] = shifts.get(movie, Share()).plus(share)


def shift_aggregates(shifts: Mapping[int, Share]) -> None:
    """Add to the aggregates of movies where they are, so that writers at the same time count.

    Movies that shift alike share a statement. Written out, because putting F expressions together took a
    fifth of the time of a rating.
    """
    alike: dict[Share, list[int]] = defaultdict(list)
    for movie, share in sorted(shifts.items()):
        if any(share):
            alike[share].append(movie)
    update = f"UPDATE {connection.ops.quote_name(Movie._meta.db_table)} SET {ADD_SHARE} WHERE id IN "  # noqa: S608
    with connection.cursor() as cursor:
        for share, movies in alike.items():
            ids = f"({', '.join(['%s'] * len(movies))})"
            cursor.execute(update + ids, [*share_parameters(share), *movies])


def lock_movies(movies: QuerySet[Movie]) -> list[int]:
    """Lock movies until the transaction ends, always in the same order; return their ids."""
    return list(_locked(movies).values_list("pk", flat=True))


def lock_movies_by_id(ids: Iterable[MovieId]) -> list[int]:
    """Lock movies as `lock_movies` does; return the ids of those that there are."""
    return [pk for (pk,) in _locked_by_id.rows(movie=list(ids))]


def hold_movies(ids: Collection[MovieId]) -> set[int]:
    """Keep movies from being deleted until the transaction ends; return the ids of those that there are.

    Others may hold them too, so nobody waits for who opens the same movie. SQLite has one writer at a time.
    """
    suffix = {"mysql": "LOCK IN SHARE MODE", "postgresql": "FOR KEY SHARE"}.get(connection.vendor)
    if not suffix or not ids:
        return {pk for (pk,) in _movies_by_id.rows(movie=list(ids))}
    table, places = connection.ops.quote_name(Movie._meta.db_table), ", ".join(["%s"] * len(ids))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table} WHERE id IN ({places}) ORDER BY id {suffix}", sorted(ids))  # noqa: S608
        return {pk for (pk,) in cursor.fetchall()}


_movies_by_id = CompiledQuery(
    lambda some: Movie.objects.filter(pk__in=some("movie", BigIntegerField())).order_by().values_list("pk")
)


def _locked(movies: QuerySet[Movie]) -> QuerySet[Movie]:
    return movies.select_for_update().order_by("pk")


_locked_by_id = CompiledQuery(
    lambda some: _locked(Movie.objects.filter(pk__in=some("movie", BigIntegerField()))).values_list("pk")
)
