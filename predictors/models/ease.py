"""EASE: the best linear item-item model, in closed form (Steck, WWW 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import linalg, sparse

from predictors.base import Predictor, Query
from predictors.config import as_config, read_options
from predictors.errors import ArtifactError, TrainingError
from predictors.history import Reason
from predictors.history_features import as_matrix, strongest
from predictors.id_map import IdMap
from predictors.progress import Progress, ProgressEvent, silent

if TYPE_CHECKING:
    from datasets.interactions import Interactions

COUNTED = 0.2  # of the progress bar; the rest is the inversion


@dataclass(frozen=True, slots=True)
class EaseOptions:
    """ridge           lambda: a larger value keeps films that few people met back
    dropout         share of a history that the weights must do without; 0 = plain EASE
    threshold       weights of smaller magnitude are dropped and the rest is kept sparse; 0 keeps all
    dislike_weight  how much a disliked film takes away, against what a liked one adds
    max_items       most films to model. Fitting needs 16 bytes * films ** 2 and time by the third power
    """

    ridge: float = 300.0
    dropout: float = 0.5
    threshold: float = 0.0
    dislike_weight: float = 0.2
    max_items: int = 12_000


class EasePredictor(Predictor):
    """Scores are x B for a history x; B is the ridge regression of every film on all others.

        P = (X'X + ridge * I + dropout / (1 - dropout) * diag(X'X)) ** -1
        B_ij = -P_ij / P_jj, B_jj = 0            (Steck, WWW 2019, eq. 8)

    X is the binary matrix of who met what. The zero diagonal is what keeps B from saying that a film
    predicts itself. The dropout term (Steck, NeurIPS 2020, section 3.2) is what training with random
    gaps in every history comes to; it makes up for histories that are short. x holds the weights of
    the liked films and -dislike_weight for each disliked one. A film that nobody met scores 0.

    weights  (m, m) float32, from the film of the row to the film of the column, dense or sparse
    items    (m,) int64 indices of the films that somebody met, ascending
    """

    name = "ease"

    def __init__(
        self,
        weights: np.ndarray | sparse.csr_matrix,
        items: np.ndarray,
        ids: IdMap,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(ids, meta)
        self.weights, self.items = weights, items
        self.dislike_weight = float(
            self.meta.get("config", {}).get("dislike_weight", EaseOptions().dislike_weight)
        )

    @classmethod
    def fit(
        cls,
        train: Interactions,
        validation: Interactions | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        progress: Progress = silent,
        checkpoint_dir: Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Invert one matrix. Raises TrainingError on empty data, too many films or an unusable option."""
        chosen = read_options(EaseOptions, options)
        if chosen.ridge <= 0 or not 0 <= chosen.dropout < 1:
            raise TrainingError("ridge must be above 0, dropout 0 or more and below 1")
        if chosen.threshold < 0 or chosen.dislike_weight < 0:
            raise TrainingError("threshold and dislike_weight must be 0 or more")
        if len(train) == 0:
            raise TrainingError("there are no interactions to compare films by")
        items = np.unique(train.items).astype(np.int64)
        if len(items) > chosen.max_items:
            raise TrainingError(
                f"ease weighs every pair of films, and {len(items):,} films were met: more than "
                f"max_items={chosen.max_items:,}. Raise it (that needs {16 * len(items) ** 2 / 1e9:.1f} GB) "
                "or train graph_filter or als"
            )
        met = train.csr()[:, items]
        gram = (met.T @ met).toarray()
        progress(ProgressEvent(COUNTED, f"{len(items):,} films"))
        weights = _closed_form(gram, chosen.ridge, chosen.dropout)
        progress(ProgressEvent(1.0))
        ids = IdMap(np.asarray(train.item_ids).tolist())
        return cls(
            _above(weights, chosen.threshold) if chosen.threshold else weights,
            items,
            ids,
            {"config": as_config(chosen)},
        )

    def score_batch(self, queries: Sequence[Query]) -> np.ndarray:
        """x B: reads one row of the weights per film of the history."""
        histories = as_matrix(queries, self.n_items, self.dislike_weight)
        complete = len(self.items) == self.n_items
        modelled = (histories if complete else histories[:, self.items]) @ self.weights
        if sparse.issparse(modelled):
            modelled = modelled.toarray()
        if complete:
            return modelled
        scores = np.zeros((len(queries), self.n_items), dtype=np.float32)
        scores[:, self.items] = modelled
        return scores

    def reasons(self, query: Query, indices: Sequence[int]) -> list[tuple[Reason, ...]]:
        """The liked film that added most to each score; its weight is its share of all that was added."""
        columns = np.asarray(indices, dtype=np.int64)
        rows, liked = self._places(query.liked)
        targets, ranked = self._places(columns)
        added = np.zeros((len(query.liked), len(columns)), dtype=np.float32)
        between = self.weights[rows][:, targets]
        added[np.ix_(liked, ranked)] = between.toarray() if sparse.issparse(between) else between
        return strongest(added * query.weights[:, None], query.liked, self.ids)

    def tensors(self) -> dict[str, np.ndarray]:
        if isinstance(self.weights, np.ndarray):
            return {"weights": self.weights, "items": self.items}
        return {
            "data": self.weights.data,
            "indices": self.weights.indices.astype(np.int32),
            "indptr": self.weights.indptr.astype(np.int64),
            "items": self.items,
        }

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, np.ndarray], ids: IdMap, meta: dict[str, Any], directory: Path | None
    ) -> Self:
        try:
            items = tensors["items"]
            weights: np.ndarray | sparse.csr_matrix
            if "weights" in tensors:
                weights = tensors["weights"].reshape(len(items), len(items))
            else:
                parts = (tensors["data"], tensors["indices"], tensors["indptr"])
                weights = sparse.csr_matrix(parts, shape=(len(items), len(items)))
                weights.check_format(full_check=True)
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"{directory}: not a matrix of weights: {error}") from error
        if len(items) and not (items.min() >= 0 and items.max() < len(ids)):
            raise ArtifactError(f"{directory}: the weights are of films beyond the {len(ids)} ids")
        return cls(weights, items, ids, meta)

    def _places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the weights for those of the item indices that are modelled, and which those are."""
        places = np.searchsorted(self.items, indices).clip(max=len(self.items) - 1)
        modelled = np.flatnonzero(self.items[places] == indices)
        return places[modelled], modelled


def _closed_form(gram: np.ndarray, ridge: float, dropout: float) -> np.ndarray:
    """(m, m) float32 weights. Overwrites X'X."""
    diagonal = np.arange(len(gram))
    gram[diagonal, diagonal] = gram[diagonal, diagonal] / (1 - dropout) + ridge
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


def _above(weights: np.ndarray, threshold: float) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.where(np.abs(weights) >= threshold, weights, np.float32(0)))
