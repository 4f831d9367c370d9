"""A history in index space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from predictors.history import MovieId

_NO_ITEMS = np.empty(0, dtype=np.int64)
_NO_STARS = np.empty(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Query:
    """Holds a history in index space, the input of a model.

    liked     (T,) int64 item indices, oldest first, unique
    weights   (T,) float32 in (0, 1], how much each liked item counts
    disliked  (D,) int64, oldest first
    seen      (S,) int64, never to be recommended
    ages      (T,) int64 seconds from each liked item to the question; None where times are unknown
    unknown   ids of the history that the model does not know
    rated     (R,) int64, items with stars, liked or not
    stars     (R,) float32, those stars
    mean_stars  mean of all ratings of the history, also of items the model does not know; NaN without any
    """

    liked: np.ndarray
    weights: np.ndarray
    disliked: np.ndarray
    seen: np.ndarray
    unknown: tuple[MovieId, ...] = ()
    rated: np.ndarray = field(default_factory=lambda: _NO_ITEMS)
    stars: np.ndarray = field(default_factory=lambda: _NO_STARS)
    mean_stars: float = math.nan
    ages: np.ndarray | None = None

    @classmethod
    def from_indices(
        cls,
        liked: Sequence[int] | np.ndarray,
        weights: Sequence[float] | np.ndarray | None = None,
        disliked: Sequence[int] | np.ndarray = (),
        seen: Sequence[int] | np.ndarray | None = None,
        ages: np.ndarray | None = None,
    ) -> Query:
        """Build a query from item indices. `seen` defaults to liked and disliked together."""
        liked = np.asarray(liked, dtype=np.int64)
        disliked = np.asarray(disliked, dtype=np.int64)
        return cls(
            liked=liked,
            weights=np.ones(len(liked), np.float32) if weights is None else np.asarray(weights, np.float32),
            disliked=disliked,
            seen=np.union1d(liked, disliked) if seen is None else np.asarray(seen, dtype=np.int64),
            ages=ages,
        )
