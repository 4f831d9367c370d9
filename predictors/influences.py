"""Influences: what each liked item of a history adds to the scores of items."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from predictors.base import Predictor
    from predictors.query import Query

MAX_REMOVED = 50  # liked items that are left out in turn: the strongest, the latest among equals
FEWEST_REMOVED = 8  # of a long history, ...
ITEMS_SCORED = 10_000  # ... where all variants together hold no more items than this, or those fewest
_NO_ITEMS = np.zeros(0, dtype=np.int64)
NOISE = 1e-6  # falls below this share of the largest score are rounding errors


@dataclass(frozen=True, slots=True)
class Influences:
    """Holds what T liked items add to the scores of K items.

    items    (T,) int64 indices of liked items
    amounts  (T, K) float; below 0 where an item lowers a score
    """

    items: np.ndarray
    amounts: np.ndarray

    def shares(self, query: Query, unnamed: np.ndarray = _NO_ITEMS) -> np.ndarray:
        """Return (T, K) float64 the share of each item in all that supports a score; columns sum to 1 or 0.

        An item that the user rated below their own mean supports nothing, nor do the items `unnamed`.
        """
        support = np.maximum(self.amounts, 0.0).astype(np.float64)
        support[_rated_below_mean(query, self.items) | np.isin(self.items, unnamed)] = 0.0
        totals = support.sum(axis=0)
        return support / np.where(totals > 0, totals, 1.0)


def leave_one_out(predictor: Predictor, query: Query, targets: np.ndarray) -> Influences:
    """Measure by how much the scores of `targets` (K,) fall without each of the MAX_REMOVED strongest items.

    All in one batch of at most 1 + MAX_REMOVED queries; of a history of over 200 items fewer are left out, so
    that the work is bounded. Where the history is too short to lose an item,
    its items share every score alike.
    """
    n_liked = len(query.liked)
    if n_liked == 0 or n_liked < predictor.min_history:
        return Influences(query.liked[:0], np.zeros((0, len(targets))))
    n_removed = min(MAX_REMOVED, max(FEWEST_REMOVED, ITEMS_SCORED // n_liked))
    by_strength = np.lexsort((np.arange(n_liked), query.weights))
    positions = np.sort(by_strength[-n_removed:])
    removed = query.liked[positions]
    if n_liked == predictor.min_history:
        return Influences(removed, np.ones((n_liked, len(targets))))
    queries = [query, *(without_liked(query, item) for item in removed.tolist())]
    scores = predictor.score(queries, targets).astype(np.float64)
    falls = scores[0] - scores[1:]
    falls[np.abs(falls) < NOISE * np.abs(scores).max(initial=0.0)] = 0.0
    return Influences(removed, falls)


def without_liked(query: Query, item: int) -> Query:
    """Return the query without a liked item."""
    kept = query.liked != item
    return replace(
        query,
        liked=query.liked[kept],
        weights=query.weights[kept],
        seen=query.seen[query.seen != item],
        rated=query.rated[query.rated != item],
        stars=query.stars[query.rated != item],
        ages=None if query.ages is None else query.ages[kept],
    )


def _rated_below_mean(query: Query, items: np.ndarray) -> np.ndarray:
    """Return (T,) bool: whether the user rated an item, and below the mean of their ratings."""
    below = query.rated[query.stars < query.mean_stars - NOISE]
    return np.isin(items, below)
