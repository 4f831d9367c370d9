"""What is told of a visitor: a history that the client sends, or one that the site holds.

Both give the same two things: a query for a model, and a `History` for what needs the whole story, such as
reasons. A history that was sent becomes a query directly; making a `History` of 200 films takes longer
than scoring 60,000. A test holds the two ways against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Protocol

import numpy as np

from movie.api.schemas import HistoryEntry
from predictors.base import Predictor, Query
from predictors.history import HIGHEST_RATING, IMPLICIT_STRENGTH, LIKED_FROM, History, Interaction, MovieId

_NOTHING = np.empty(0, dtype=np.int64)
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)  # of a history that was sent; only its order counts


class Told(Protocol):
    """A history as answers need it."""

    @property
    def history(self) -> History: ...

    @property
    def taken(self) -> Iterable[MovieId]:
        """Films that are not to be recommended, when what was seen is left out."""

    @property
    def n_ratings(self) -> int: ...

    def query(self, predictor: Predictor) -> Query: ...


class KnownHistory:
    """Of somebody the site knows. As on the pages, a click alone is no viewing."""

    def __init__(self, history: History) -> None:
        self.history = history

    @property
    def taken(self) -> Iterable[MovieId]:
        return self.history.seen

    @property
    def n_ratings(self) -> int:
        return len(self.history.ratings)

    def query(self, predictor: Predictor) -> Query:
        return predictor.encode(self.history)


class SentHistory:
    """Films with stars or without, oldest first; where every entry has a time, the times decide.

    A film that occurs again is where it was last, and its latest stars stand. All of them are known to the
    client, so all count as taken.
    """

    def __init__(self, entries: Sequence[int | HistoryEntry]) -> None:
        stars: dict[int, float | None] = {}  # a film that comes again moves to the end
        for entry in _in_order(entries):
            film, rating = (entry, None) if isinstance(entry, int) else (entry.movie_id, entry.rating)
            earlier = stars.pop(film, None)
            stars[film] = earlier if rating is None else rating
        self.stars = stars

    @classmethod
    def of_ratings(cls, ratings: Iterable[tuple[int, float]]) -> SentHistory:
        """Of films with stars that were checked before, oldest first, each once."""
        told = cls(())
        told.stars = dict(ratings)
        return told

    @property
    def taken(self) -> Iterable[MovieId]:
        return self.stars

    @property
    def n_ratings(self) -> int:
        return len(self.stars) - list(self.stars.values()).count(None)

    @cached_property
    def history(self) -> History:
        """One interaction for each film, as it stands after all entries; its time only keeps the order."""
        return History(
            Interaction(
                event_id=f"sent {place:05}",
                visitor="",
                kind="click" if value is None else "rating",
                movie_id=film,
                at=BEGINNING + timedelta(minutes=place),
                value=value,
            )
            for place, (film, value) in enumerate(self.stars.items())
        )

    def query(self, predictor: Predictor) -> Query:
        return self._rated_query(predictor) if self.n_ratings else self._plain_query(predictor)

    def _plain_query(self, predictor: Predictor) -> Query:
        """Of films without stars, which count alike."""
        liked, unknown = predictor.ids.indices_of(self.stars)
        weights = np.full(len(liked), IMPLICIT_STRENGTH, dtype=np.float32)
        return Query(liked, weights, disliked=_NOTHING, seen=_NOTHING, unknown=unknown)

    def _rated_query(self, predictor: Predictor) -> Query:
        liked: list[int] = []
        weights: list[float] = []
        disliked: list[int] = []
        rated: list[int] = []
        given: list[float] = []
        unknown: list[MovieId] = []
        for film, value in self.stars.items():
            index = predictor.ids.index_of(film)
            if index is None:
                unknown.append(film)
                continue
            if value is not None:
                rated.append(index)
                given.append(value)
            if value is not None and value < LIKED_FROM:
                disliked.append(index)
            else:
                liked.append(index)
                weights.append(IMPLICIT_STRENGTH if value is None else value / HIGHEST_RATING)
        stars = np.array(rated, dtype=np.int64)
        return Query(
            liked=np.array(liked, dtype=np.int64),
            weights=np.array(weights, dtype=np.float32),
            disliked=np.array(disliked, dtype=np.int64),
            seen=stars,
            unknown=tuple(unknown),
            rated=stars,
            stars=np.array(given, dtype=np.float32),
        )


def _in_order(entries: Sequence[int | HistoryEntry]) -> Sequence[int | HistoryEntry]:
    timed = [entry for entry in entries if isinstance(entry, HistoryEntry) and entry.at is not None]
    if len(timed) < len(entries):
        return entries
    timed.sort(key=lambda entry: entry.at)
    return list(timed)
