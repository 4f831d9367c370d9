"""Business rules on a ranked list: movies that stand at a rank, and movies that move up or down."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from movie.recommendations.filtering import Filters, UnknownName, excluded_mask
from movie.recommendations.movie_index import MovieIndex
from predictors.history import MovieId, Recommendation

MAX_PLACES = 100  # so far all boosts together move a movie


@dataclass(frozen=True, slots=True)
class Pin:
    """Puts a movie at a rank of the list, from 1, if it may be in the list at all."""

    movie_id: int
    rank: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Boost:
    """Moves movies up by so many places, or down where the number is negative.

    movies   these, or
    filters  all that they allow
    field    the path to the filters in the request; empty for a rule of the operator, which does nothing
             while no movie has what it names
    """

    places: int
    movies: tuple[int, ...] = ()
    filters: Filters | None = None
    name: str = ""
    field: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    pins: tuple[Pin, ...] = ()
    boosts: tuple[Boost, ...] = ()

    @property
    def spread(self) -> int:
        """Return how many movies beyond a list the boosts can bring into it."""
        if not self.boosts:
            return 0
        up = sum(each.places for each in self.boosts if each.places > 0)
        down = -sum(each.places for each in self.boosts if each.places < 0)
        return min(up, MAX_PLACES) + min(down, MAX_PLACES)

    def compiled(self, index: MovieIndex) -> CompiledRules:
        """Return the rules for this catalogue. Raises UnknownName for filters of the request."""
        return CompiledRules(self, index, [_boosted_rows(each, index) for each in self.boosts])


NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """Rules with the rows of the movies that each boost moves."""

    rules: Rules
    index: MovieIndex
    boosted_rows: Sequence[np.ndarray]

    def boost(
        self, ranking: Sequence[Recommendation]
    ) -> tuple[list[Recommendation], dict[MovieId, list[str]]]:
        """Return the ranking after the boosts, and the names of those that moved each movie.

        A movie at rank r moves to r - places, before the movie that stood there; one that moves down stands
        behind it. Places of several boosts add up, to `MAX_PLACES` at most.
        """
        if not self.rules.boosts:
            return list(ranking), {}
        rows = self.index.rows_of(found.movie_id for found in ranking)
        places = np.zeros(len(ranking), dtype=np.int64)
        moved_by: dict[MovieId, list[str]] = {}
        for boost, boosted in zip(self.rules.boosts, self.boosted_rows, strict=True):
            is_moved = np.isin(rows, boosted)
            places[is_moved] += boost.places
            for position in np.flatnonzero(is_moved).tolist():
                moved_by.setdefault(ranking[position].movie_id, []).append(boost.name)
        places = places.clip(-MAX_PLACES, MAX_PLACES)
        ranks = np.arange(len(ranking))
        order = np.lexsort((ranks, -places, ranks - places))
        return [ranking[position] for position in order.tolist()], moved_by

    def pinned(self, is_allowed: Collection[MovieId]) -> Iterator[Pin]:
        """Yield the pins of allowed movies by rank; the first of two for the same movie."""
        taken: set[int] = set()
        for pin in sorted(self.rules.pins, key=lambda each: each.rank):
            if pin.movie_id in is_allowed and pin.movie_id not in taken:
                taken.add(pin.movie_id)
                yield pin


def place_pins(
    ranking: Sequence[Recommendation], pins: Iterable[Pin], start: int = 0
) -> list[Recommendation]:
    """Return the ranking with the pinned movies at their ranks, or at its end where it is shorter.

    The first movie of the ranking has rank start + 1. A movie that no model scored has a score of 0.
    """
    scored = {found.movie_id: found for found in ranking}
    pins = list(pins)
    placed = [found for found in ranking if found.movie_id not in {pin.movie_id for pin in pins}]
    for pin in pins:
        found = scored.get(pin.movie_id, Recommendation(pin.movie_id, 0.0))
        placed.insert(max(pin.rank - 1 - start, 0), found)
    return placed


def _boosted_rows(boost: Boost, index: MovieIndex) -> np.ndarray:
    if boost.filters is None:
        rows = index.rows_of(boost.movies)
        return rows[rows >= 0]
    try:
        excluded = excluded_mask(boost.filters, index, boost.field)
    except UnknownName:
        if boost.field:
            raise
        return np.array([], dtype=np.int64)
    return np.arange(len(index)) if excluded is None else np.flatnonzero(~excluded)
