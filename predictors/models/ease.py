"""EASE: the best linear item-item model, in closed form (Steck, WWW 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import linalg, sparse

from predictors.base import Predictor, Query, Saved
from predictors.config import Config
from predictors.errors import ArtifactError, TrainingError
from predictors.history_features import as_matrix
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.models.local_ease import local_weights
from predictors.run import Run
from predictors.threads import one_blas_thread
from predictors.training_data import TrainingData

COUNTED = 0.2  # of the progress bar; the rest is the inversion


@dataclass(frozen=True)
class EaseConfig(Config):
    """Configures the regression, and how much of its solution is kept."""

    ridge: float = 300.0  #: L2 weight lambda (Steck 2019, eq. 8): a larger value keeps rare items back
    dropout: float = 0.5  #: share of a history that the weights must do without (EDLAE); 0 = plain EASE
    #: scores are divided by popularity to this power, against least squares' bias towards popular items
    popularity_exponent: float = 0.0
    intercept: bool = False  #: regress on how much more often than by chance items are met together
    threshold: float = 0.0  #: weights of smaller magnitude are dropped, the rest is kept sparse; 0 = keep all
    dislike_weight: float = 0.2  #: how much a disliked item takes away, against what a liked one adds
    #: items up to which every pair has a weight; a fit needs 16 bytes * items ** 2, time by the third power
    max_items: int = 12_000
    neighbours: int = 200  #: items that each is a sum of where there are more than max_items; 0 = refuse them

    def check(self) -> None:
        self.require(self.ridge > 0, "ridge must be above 0")
        self.require(0 <= self.dropout < 1, "dropout must be 0 or more and below 1")
        self.require(self.popularity_exponent >= 0, "popularity_exponent must be 0 or more")
        self.require(self.threshold >= 0, "threshold must be 0 or more")
        self.require(self.dislike_weight >= 0, "dislike_weight must be 0 or more")
        self.require(self.max_items >= 1, "max_items must be 1 or more")
        self.require(self.neighbours >= 0, "neighbours must be 0 or more")


class EasePredictor(Predictor):
    """Scores are x B for a history x; B is the ridge regression of every film on all others.

        P = (X'X + ridge * I + dropout / (1 - dropout) * diag(X'X)) ** -1
        B_ij = -P_ij / P_jj, B_jj = 0            (Steck, WWW 2019, eq. 8)

    X is the binary interaction matrix. The zero diagonal is what keeps B from saying that a film
    predicts itself. The dropout term (Steck, NeurIPS 2020, section 3.2) is what training with random
    gaps in every history comes to (EDLAE); it makes up for histories that are short, and dropout = 0 is
    plain EASE. With `intercept` every film has a constant of its own, the share of users who have it:
    X'X becomes the covariance X'X - n mu mu', and popularity is corrected by the history instead of
    learnt by every pair; the constants are left out of the scores. Of more than `max_items` items each has
    weights from its `neighbours` nearest alone (`local_ease`). B_ij is divided by the number
    of users of j to the `popularity_exponent`. x holds the weights of the liked films and
    -dislike_weight for each disliked one. An item without interactions scores 0.

    weights  (m, m) float32, from the film of the row to the film of the column, dense or sparse
    items    (m,) int64 indices of the items with interactions, ascending
    """

    name = "ease"
    label = "EASE"
    summary = "Weighs every pair of films at once, so that each explains what the others cannot."
    paper = "ease"
    config_class = EaseConfig

    def __init__(
        self,
        weights: np.ndarray | sparse.csr_matrix,
        items: np.ndarray,
        ids: IdMap,
        config: EaseConfig | None = None,
    ) -> None:
        super().__init__(ids, config)
        self.weights, self.items = weights, items

    @classmethod
    def check_data(cls, data: TrainingData, config: EaseConfig) -> None:
        """Raise TrainingError on more than `max_items` items without neighbours."""
        n_items = np.count_nonzero(np.bincount(data.train.items))
        if n_items > config.max_items and not config.neighbours:
            raise TrainingError(
                f"ease weighs every pair of items, and {n_items:,} items occur: more than "
                f"max_items={config.max_items:,}. Raise it (that needs {16 * n_items**2 / 1e9:.1f} GB), give "
                "each item neighbours=200, or train graph_filter or als"
            )

    @classmethod
    def _fit(cls, data: TrainingData, config: EaseConfig, run: Run) -> Self:
        """Invert one matrix; solve a small system for each item where there are more than `max_items`."""
        items = np.unique(data.train.items).astype(np.int64)
        matrix = data.matrix()[:, items]
        weights: np.ndarray | sparse.csr_matrix
        if len(items) > config.max_items:
            with one_blas_thread():
                weights = local_weights(
                    matrix,
                    ridge=config.ridge,
                    dropout=config.dropout,
                    intercept=config.intercept,
                    neighbours=config.neighbours,
                    report=run.report,
                )
        else:
            weights = _weights_of_pairs(matrix, config, run)
        if config.popularity_exponent:
            divisors = matrix.getnnz(axis=0).astype(np.float32) ** config.popularity_exponent
            if isinstance(weights, np.ndarray):
                weights /= divisors
            else:
                weights.data /= divisors[weights.indices]
        run.report(1.0)
        kept = _above(weights, config.threshold) if config.threshold else weights
        return cls(kept, items, data.items, config)

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        """x B: reads one row of the weights per film of the history."""
        histories = as_matrix(queries, self.n_items, self.config.dislike_weight)
        complete = len(self.items) == self.n_items
        modelled = (histories if complete else histories[:, self.items]) @ self.weights
        if sparse.issparse(modelled):
            modelled = modelled.toarray()
        if complete:
            return modelled
        scores = np.zeros((len(queries), self.n_items), dtype=np.float32)
        scores[:, self.items] = modelled
        return scores

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return the exact parts of each score."""
        rows, liked = self._rows(query.liked)
        columns, ranked = self._rows(targets)
        added = np.zeros((len(query.liked), len(targets)), dtype=np.float32)
        between = self.weights[rows][:, columns]
        added[np.ix_(liked, ranked)] = between.toarray() if sparse.issparse(between) else between
        return Influences(query.liked, added * query.weights[:, None])

    def item_weights(self, items: np.ndarray) -> np.ndarray:
        """Return (b, n_items) float32: what each item adds to every score."""
        rows, modelled = self._rows(items)
        between = self.weights[rows]
        added = np.zeros((len(items), self.n_items), dtype=np.float32)
        added[np.ix_(modelled, self.items)] = between.toarray() if sparse.issparse(between) else between
        return added

    def tensors(self) -> dict[str, np.ndarray]:
        if isinstance(self.weights, np.ndarray):
            return {"weights": self.weights, "items": self.items}
        return {
            "data": self.weights.data,
            "indices": self.weights.indices.astype(np.int32, copy=False),
            "indptr": self.weights.indptr.astype(np.int64, copy=False),
            "items": self.items,
        }

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        items = saved.tensor("items", (None,))
        shape = (len(items), len(items))
        weights: np.ndarray | sparse.csr_matrix
        try:
            if "weights" in saved.tensors:
                weights = saved.tensor("weights", shape)
            else:
                parts = tuple(saved.tensor(name, (None,)) for name in ("data", "indices", "indptr"))
                weights = sparse.csr_matrix(parts, shape=shape)
                weights.check_format(full_check=True)
        except ValueError as error:
            raise ArtifactError(f"{saved.directory}: not a matrix of weights: {error}") from error
        if len(items) and not (items.min() >= 0 and items.max() < len(saved.ids)):
            raise ArtifactError(
                f"{saved.directory}: the weights are of items beyond the {len(saved.ids)} ids"
            )
        return cls(weights, items, saved.ids, saved.config)

    def _rows(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of the weights for the item indices that are modelled, and which those are."""
        rows = np.searchsorted(self.items, indices).clip(max=len(self.items) - 1)
        modelled = np.flatnonzero(self.items[rows] == indices)
        return rows[modelled], modelled


def _weights_of_pairs(matrix: sparse.csr_matrix, config: EaseConfig, run: Run) -> np.ndarray:
    """Return (m, m) float32 weights of all pairs of items: inverts one matrix."""
    gram = (matrix.T @ matrix).toarray()
    run.report(COUNTED, f"{len(gram):,} items")
    counts = gram.diagonal().copy()
    if config.intercept:
        gram -= np.outer(counts, counts / np.float32(max((np.diff(matrix.indptr) > 0).sum(), 1)))
    return _closed_form(gram, counts, config.ridge, config.dropout)


def _closed_form(gram: np.ndarray, counts: np.ndarray, ridge: float, dropout: float) -> np.ndarray:
    """Return (m, m) float32 weights. Overwrites X'X; counts is the diagonal it has without an intercept."""
    diagonal = np.arange(len(gram))
    gram[diagonal, diagonal] += dropout / (1 - dropout) * counts + ridge
    # The transpose is the same matrix in the order of LAPACK, which then copies nothing.
    factor, failed = linalg.lapack.spotrf(gram.T, lower=False, overwrite_a=True, clean=False)
    if not failed:
        factor, failed = linalg.lapack.spotri(factor, lower=False, overwrite_c=True)
    if failed:
        raise TrainingError("the matrix of films cannot be inverted; use a larger ridge")
    upper = np.triu(factor)
    inverse = upper + np.triu(factor, 1).T
    weights = np.ascontiguousarray(-inverse / np.diag(inverse)[None, :], dtype=np.float32)
    weights[diagonal, diagonal] = 0
    return weights


def _above(weights: np.ndarray | sparse.csr_matrix, threshold: float) -> sparse.csr_matrix:
    kept = sparse.csr_matrix(weights)
    kept.data[np.abs(kept.data) < threshold] = 0
    kept.eliminate_zeros()
    return kept
