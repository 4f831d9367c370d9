"""New items: items that a model was not trained on, scored by their content.

A ridge regression leads from the content of the known items to their vectors, V ~ F B, and gives a new item
the vector f B (Gantner et al., ICDM 2010, section 3). Where a score is a product u'v, that of the new item is

    u'(B'f) = f' (F'F + ridge I) ** -1 F' s,        s = V u,

the same regression from content to the scores s of this one visitor. So no vectors are needed: every model
that scores items can score new ones, and one with vectors scores them as if they had been mapped.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy import linalg, sparse

from predictors.base import Predictor, Saved
from predictors.history import History, MovieId
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.query import Query
from predictors.run import Run
from predictors.threads import one_blas_thread
from predictors.training_data import TrainingData

RIDGE = 30.0  # of the regression; chosen on validation items of MovieLens: docs/benchmarks.md
N_NEAREST = 50  # known items by which the reasons of a new one are found
BEST = 200  # scores among which new items find their position; below them they keep their order


class ContentBridge:
    """Maps content to scores. Immutable; it knows no model, and models of the same items may share it.

    known (n, f) sparse float32, content of the items of the model; new (m, f) that of the new ones
    """

    def __init__(self, known: sparse.csr_matrix, new: sparse.csr_matrix, ridge: float = RIDGE) -> None:
        self._used = np.flatnonzero(known.getnnz(axis=0))  # nothing is known of the rest
        # A selection is a copy, and a large catalogue has every feature: then processes can share the matrix.
        self.known = known if len(self._used) == known.shape[1] else known[:, self._used]
        self.new = new[:, self._used]
        gram = (self.known.T @ self.known).toarray()
        gram[np.diag_indices_from(gram)] += ridge
        with one_blas_thread():
            self._factor = linalg.cho_factor(gram, overwrite_a=True)

    def with_new(self, new: sparse.csr_matrix) -> Self:
        """Return the bridge to other new items (m, f); it shares the factor, which takes most of the time."""
        other = copy.copy(self)
        vars(other).pop("_solved", None)
        other.new = new[:, self._used]
        return other

    def weights_of(self, new_items: np.ndarray) -> np.ndarray:
        """Return (n, k): how much the score of each known item adds to those of new items (k,) int64."""
        return self.known @ self._solved[:, new_items]

    @cached_property
    def _solved(self) -> np.ndarray:
        """Return (f, m) float32: (F'F + ridge I) ** -1 f for every new item."""
        content = self.new.toarray().T
        return linalg.cho_solve(self._factor, content, overwrite_b=True, check_finite=False)

    def scores(self, known_scores: np.ndarray) -> np.ndarray:
        """Score the new items from scores (B, n) of the known ones: (B, m) float32 on the same scale.

        A regression says less than a model: its values lie closer together. So a new item gets the score at
        the position among the model's scores that it has among the regression's own.
        """
        by_content = self._regression(known_scores)
        fitted, found = (self.known @ by_content).T, (self.new @ by_content).T
        rows = zip(known_scores, fitted, found, strict=True)
        return np.stack([_at_same_position(*row) for row in rows]).astype(np.float32)

    def mapped(self, known_scores: np.ndarray) -> np.ndarray:
        """Return what the regression itself says of the new items, (B, m) float32."""
        return (self.new @ self._regression(known_scores)).T

    def _regression(self, scores: np.ndarray) -> np.ndarray:
        """Regress scores (B, n), less their mean, on content: (f, B) float32."""
        centred = scores - scores.mean(axis=1, keepdims=True)
        return linalg.cho_solve(self._factor, self.known.T @ centred.T, check_finite=False)


def _at_same_position(scores: np.ndarray, fitted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return for each of `found` the score that is at its position among `fitted`; ties keep their order."""
    n = min(BEST, len(scores))
    best_scores = -np.sort(-np.partition(scores, len(scores) - n)[-n:])
    best_fitted = np.sort(np.partition(fitted, len(fitted) - n)[-n:])
    position = n - np.searchsorted(best_fitted, found, side="left")  # how many are at least as good
    spread = found.max() - found.min() + 1
    tail = best_scores[-1] - (found.max() - found) / spread - 1  # never among the best
    return np.where(position < n, best_scores[np.minimum(position, n - 1)], tail)


class WithNewItems(Predictor):
    """Ranks the items of another predictor and new ones together. It is made for serving, not saved.

    The new items come after the others: index n + i is the i-th of `new_ids`. Histories are encoded by the
    other predictor, to which new items are unknown.
    """

    name = "with-new-items"

    def __init__(self, inner: Predictor, bridge: ContentBridge, ids: IdMap) -> None:
        super().__init__(ids, inner.config)
        self.inner, self.bridge, self.meta = inner, bridge, inner.meta
        copied = ("name", "label", "summary", "paper", "min_history", "is_costly")
        vars(self).update({each: getattr(inner, each) for each in copied})

    @property
    def new_ids(self) -> frozenset[MovieId]:
        return frozenset(self.ids[self.inner.n_items :])

    def encode(self, history: History) -> Query:
        query = self.inner.encode(history)
        seen = self.ids.indices_of(history.seen)[0]
        new = np.sort(seen[seen >= self.inner.n_items])
        return replace(query, seen=np.concatenate([query.seen, new])) if len(new) else query

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        scores = self.inner.score([self._known(query) for query in queries])
        return np.concatenate([scores, self.bridge.scores(scores)], axis=1)

    def _known(self, query: Query) -> Query:
        """Return the query without new items."""
        return replace(query, seen=query.seen[query.seen < self.inner.n_items])

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return the parts of each score; of a new item those of the known items nearest to it, weighted."""
        query, is_new = self._known(query), targets >= self.inner.n_items
        if not is_new.any():
            return self.inner.influences(query, targets)
        weights = np.ascontiguousarray(self.bridge.weights_of(targets[is_new] - self.inner.n_items).T)
        weights[:, query.liked] = 0
        if self.inner.n_items > N_NEAREST:
            best = np.argpartition(-weights, N_NEAREST, axis=1)[:, :N_NEAREST]
            kept = np.take_along_axis(weights, best, axis=1)
            weights = np.zeros_like(weights)
            np.put_along_axis(weights, best, kept, axis=1)
        # New items share most of the items that are nearest to them: their parts are asked for once.
        nearest = np.flatnonzero(weights.any(axis=0))
        asked = np.union1d(targets[~is_new], nearest)
        parts = self.inner.influences(query, asked)
        amounts = np.empty((len(parts.items), len(targets)), dtype=parts.amounts.dtype)
        amounts[:, ~is_new] = parts.amounts[:, asked.searchsorted(targets[~is_new])]
        amounts[:, is_new] = parts.amounts[:, asked.searchsorted(nearest)] @ weights[:, nearest].T
        return Influences(parts.items, amounts)

    def tensors(self) -> dict[str, np.ndarray]:
        raise NotImplementedError("new items are no part of an artifact")

    @classmethod
    def _fit(cls, data: TrainingData, config: Any, run: Run) -> Self:
        raise NotImplementedError("a predictor with new items is made from another one")

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        raise NotImplementedError("new items are no part of an artifact")
