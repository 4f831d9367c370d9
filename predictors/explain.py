"""Explanations: paths from a visitor's history to a film, and the share of the score of each.

No torch and no Django here: pages, the API and predictors share these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from predictors.history import History, MovieId

if TYPE_CHECKING:
    from predictors.base import Predictor
    from predictors.query import Query

# Relation of a path's first step: the visitor's interaction with the film that the path begins at.
RATED, WATCHLIST, CLICKED, LIKED = "rated", "watchlist", "clicked", "liked"

# Entity that stands for any other user: explanations never distinguish users.
SOMEONE = "user:*"


@dataclass(frozen=True, slots=True)
class PathStep:
    """Holds one edge of a path and the entity that it leads to.

    relation  name of the knowledge graph's relation, with "^-1" when it is walked backwards
              (person -> film); in the first step one of RATED, WATCHLIST, CLICKED, LIKED
    entity    its key, such as "person:5" or "movie:12"
    """

    relation: str
    entity: str


@dataclass(frozen=True, slots=True)
class PathReason:
    """Holds a path from a film of the history to the recommended one, and its share of the score.

    steps  history film first, recommended film last
    share  in (0, 1]
    """

    steps: tuple[PathStep, ...]
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Explains why one film is recommended.

    reasons  the best first
    rest     share of the paths that are not shown: shares + rest == 1, or 0 without reasons
    n_paths  how many paths were found
    """

    movie_id: MovieId
    reasons: tuple[PathReason, ...]
    rest: float
    n_paths: int


@runtime_checkable
class Explainer(Protocol):
    """Explains any list by the paths that lead to its items."""

    def explain(self, history: History, movie_ids: Sequence[MovieId], limit: int = 3) -> list[Explanation]:
        """Explain each film, in the order given; an explanation has no reasons where no path was found.

        Up to `limit` reasons over other users, and up to `limit` others.
        """
        ...


# -- what of a history moved a model's score --------------------------------------------------------

TAKEN_OUT = 40  # latest liked films that are taken out in turn
FEWEST_TAKEN_OUT = 8  # of a long history, ...
FILMS_SCORED = 8_000  # ... of which all variants together hold no more films than this, or those fewest


@dataclass(frozen=True, slots=True)
class Influence:
    """Holds the share of a film's score that depends on one film of the history, in (0, 1]."""

    movie_id: MovieId
    share: float


def influence(predictor: Predictor, history: History, movie_id: MovieId) -> list[Influence]:
    """Return the films of the history whose absence lowers the score of `movie_id`, largest fall first.

    Leave-one-out: the model scores the full history, and the history without each of its TAKEN_OUT latest
    liked films (fewer where the history is long), all in one batch. A share is that film's part of the falls
    of all of them, so shares sum to 1; films whose absence would not lower the score have none. Works for
    every kind of model, because it only asks for scores. Empty for a film the model does not know, or when
    nothing the model knows was liked. Where a history is too short to lose a film, that film is all there is.
    """
    item = predictor.ids.index_of(movie_id)
    query = predictor.encode(history)
    kept = query.liked != (-1 if item is None else item)  # a film is no reason for itself
    query = replace(query, liked=query.liked[kept], weights=query.weights[kept])
    n_liked = len(query.liked)
    if item is None or n_liked == 0 or n_liked < predictor.min_history:
        return []
    taken_out = min(TAKEN_OUT, max(FEWEST_TAKEN_OUT, FILMS_SCORED // n_liked))
    positions = np.arange(max(0, n_liked - taken_out), n_liked)
    if n_liked == predictor.min_history:
        falls = np.full(len(positions), 1 / len(positions))
    else:
        scores = predictor.score([query, *(_without(query, position) for position in positions.tolist())])
        falls = np.maximum(scores[0, item].astype(np.float64) - scores[1:, item], 0)
    total = float(falls.sum())
    if total <= 0:
        return []
    by_fall = np.argsort(-falls, kind="stable")
    return [
        Influence(predictor.ids.ids[query.liked[positions[row]]], float(falls[row]) / total)
        for row in by_fall
        if falls[row] > 0
    ]


def _without(query: Query, position: int) -> Query:
    """Return the query without the liked film at `position`."""
    film = query.liked[position]
    return replace(
        query,
        liked=np.delete(query.liked, position),
        weights=np.delete(query.weights, position),
        seen=query.seen[query.seen != film],
        rated=query.rated[query.rated != film],
        stars=query.stars[query.rated != film],
    )
