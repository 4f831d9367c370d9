"""The best items of a query: of a matrix of scores, or of what a first stage chose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

GROUPS = 1024  # of scores, when the best few of many are looked for
RESCORED = 64  # items beyond twice those asked for that get exact scores before they are ranked


Rescore = Callable[[np.ndarray], np.ndarray]  # exact scores (n,) float32 of items (n,) int64


class FirstStage(ABC):
    """Chooses the best items for one query among those that are not excluded."""

    @abstractmethod
    def exclude(self, items: np.ndarray) -> None:
        """Leave items out, (m,) int64, beside those that were excluded before."""

    @abstractmethod
    def top_k(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the k best items, int64, best first, ties by lower index, and their scores, float32.

        There are fewer where fewer are not excluded.
        """


@dataclass
class AllScores(FirstStage):
    """Holds the scores of all items. Where they are approximate, the best get exact ones.

    scores   (n_items,) float32, which are written to; approximate ones may be in any unit
    rescore  gives exact scores; None where `scores` are exact
    """

    scores: np.ndarray
    rescore: Rescore | None = None

    def exclude(self, items: np.ndarray) -> None:
        self.scores[items] = -np.inf

    def top_k(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        if self.rescore is None:
            indices, best = top_k(self.scores[None], k)
            found = indices[0] >= 0
            return indices[0][found], best[0][found]
        n = min(2 * k + RESCORED, len(self.scores))
        if n == 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        threshold = _thresholds(self.scores[None], n)[0]
        items = _candidates(self.scores, threshold)
        if len(items) > 2 * n:  # many are equal
            is_above = self.scores[items] > threshold
            ties = items[~is_above][: max(n - np.count_nonzero(is_above), 0)]
            items = np.concatenate([items[is_above], ties])
        scores = self.rescore(items)
        order = np.lexsort((items, -scores))[:k]
        return items[order], scores[order]


class LateScores(FirstStage):
    """Scores the items that are not excluded, once the best are asked for.

    score  gives the exact scores
    """

    def __init__(self, n_items: int, score: Rescore) -> None:
        self.is_left, self.score = np.ones(n_items, dtype=bool), score

    def exclude(self, items: np.ndarray) -> None:
        self.is_left[items] = False

    def top_k(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        items = self.is_left.nonzero()[0]
        found, best = AllScores(self.score(items)).top_k(k)
        return items[found], best


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k best of each row of (B, n) scores, best first, ties by lower index; -inf is left out.

    Returns (B, min(k, n)) int64 indices padded with -1 and the float32 scores padded with -inf.
    """
    n_rows, n_items = scores.shape
    k = min(k, n_items)
    if k == 0:
        return np.empty((n_rows, 0), np.int64), np.empty((n_rows, 0), np.float32)
    thresholds = _thresholds(scores, k)
    indices = np.full((n_rows, k), -1, dtype=np.int64)
    best = np.full((n_rows, k), -np.inf, dtype=np.float32)
    for row in range(n_rows):
        candidates = _candidates(scores[row], thresholds[row])
        order = candidates[np.argsort(-scores[row, candidates], kind="stable")[:k]]
        indices[row, : len(order)] = order
        best[row, : len(order)] = scores[row, order]
    return indices, best


def _thresholds(scores: np.ndarray, k: int) -> np.ndarray:
    """Return (B,) a lower bound of the k-th best score of each row, close to it."""
    return _kth(_group_maxima(scores) if k <= GROUPS // 2 else scores, k)


def _candidates(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return the indices of all scores (n,) at or above the threshold but for -inf, in ascending order.

    A plain partition would choose among equal scores at random.
    """
    is_candidate = scores > threshold if threshold == -np.inf else scores >= threshold
    found: np.ndarray = is_candidate.nonzero()[0]
    return found


def _group_maxima(scores: np.ndarray) -> np.ndarray:
    """Return (B, GROUPS) the best of every GROUPS-th score; (B, n) as they are where there are few.

    The k-th best of them is a lower bound of the k-th best score, found in a third of the time.
    """
    n_rows, n_items = scores.shape
    if n_items < 4 * GROUPS:
        return scores
    return scores[:, : n_items - n_items % GROUPS].reshape(n_rows, -1, GROUPS).max(axis=1)


def _kth(scores: np.ndarray, k: int) -> np.ndarray:
    """Return (B,) the k-th best of each row."""
    column = scores.shape[1] - k
    ordered = scores.copy()
    ordered.partition(column, axis=1)
    return ordered[:, column]
