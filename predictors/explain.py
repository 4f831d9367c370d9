"""Explanations: paths from a user's history to an item, and the share of the score of each.

No torch and no Django here: pages, the API and predictors share these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from predictors.history import History, MovieId

# Relation of a path's first step: the visitor's interaction with the film that the path begins at.
RATED, WATCHED, WATCHLIST, CLICKED, LIKED = "rated", "watched", "watchlist", "clicked", "liked"

# Entity that stands for any other user: explanations never distinguish users.
SOMEONE = "user:*"


@dataclass(frozen=True, slots=True)
class PathStep:
    """Holds one edge of a path and the entity that it leads to.

    relation  name of the knowledge graph's relation, with "^-1" when it is walked backwards
              (person -> film); in the first step one of RATED, WATCHED, WATCHLIST, CLICKED, LIKED
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
