"""Graph filter: collaborative filtering as a low-pass filter on the film graph, without training.

GF-CF (Shen et al., CIKM 2021): a history is a signal on the films; films that the same people met are
joined. Smoothing the signal over the graph is a recommendation.
"""

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

FEW = 0.1  # share of all people up to which products that skip the others are faster
OVERSAMPLING = 16  # further random directions, so that the wanted ones come out exactly


@dataclass(frozen=True, slots=True)
class GraphFilterOptions:
    """factors         singular vectors of the ideal low-pass filter
    alpha           how much the ideal low-pass filter counts against the linear one
    iterations      rounds of the randomised SVD: more make the last factors exact
    dislike_weight  how much a disliked film takes away, against what a liked one adds
    seed            of the random directions of the SVD
    """

    factors: int = 48
    alpha: float = 0.2
    iterations: int = 4
    dislike_weight: float = 0.2
    seed: int = 1


class GraphFilterPredictor(Predictor):
    """Scores of a history x, as in Shen et al. (CIKM 2021, eq. 14):

        R = D_U ** -0.5  X  D_I ** -0.5
        score = x R'R + alpha * x D_I ** -0.5  V V'  D_I ** 0.5

    X is the binary matrix of who met what, D_U and D_I its row and column sums, V the first `factors`
    right singular vectors of R (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1). x holds the
    weights of the liked films and -dislike_weight for each disliked one. No matrix of films by films
    is made: x R'R is two sparse products.

    people   (n_users, n_items) CSR float32, R
    vectors  (n_items, factors) float32, V
    roots    (n_items,) float32, the square root of how many met a film
    """

    name = "graph_filter"

    def __init__(
        self,
        people: sparse.csr_matrix,
        vectors: np.ndarray,
        roots: np.ndarray,
        ids: IdMap,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(ids, meta)
        self.people, self.vectors, self.roots = people, vectors, roots
        self._people_of = people.T.tocsr()  # (n_items, n_users)
        config = self.meta.get("config", {})
        self.alpha = np.float32(config.get("alpha", GraphFilterOptions().alpha))
        self.dislike_weight = float(config.get("dislike_weight", GraphFilterOptions().dislike_weight))

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
        """One truncated SVD. Raises TrainingError on empty data or an unusable option."""
        chosen = read_options(GraphFilterOptions, options)
        if chosen.factors < 1 or chosen.iterations < 0 or chosen.seed < 0:
            raise TrainingError("factors must be 1 or more, iterations and seed 0 or more")
        if chosen.alpha < 0 or chosen.dislike_weight < 0:
            raise TrainingError("alpha and dislike_weight must be 0 or more")
        if len(train) == 0:
            raise TrainingError("there are no interactions to make a graph of")
        met = train.csr()
        met = met[np.diff(met.indptr) > 0]  # people without a film would be empty rows
        met.sort_indices()
        roots = np.sqrt(np.bincount(met.indices, minlength=train.n_items)).astype(np.float32)
        of_person = np.sqrt(np.diff(met.indptr)).astype(np.float32)
        met.data = 1 / (np.repeat(of_person, np.diff(met.indptr)) * roots[met.indices])
        vectors = _right_singular_vectors(met, chosen, progress)
        ids = IdMap(np.asarray(train.item_ids).tolist())
        progress(ProgressEvent(1.0))
        return cls(met, vectors, roots, ids, {"config": as_config(chosen)})

    def score_batch(self, queries: Sequence[Query]) -> np.ndarray:
        histories = as_matrix(queries, self.n_items, self.dislike_weight)
        alike = histories @ self._people_of  # (B, n_users): people who met the same films
        if alike.nnz < FEW * len(queries) * self.people.shape[0]:
            scores = (alike @ self.people).toarray()
        else:
            scores = np.ascontiguousarray((self._people_of @ alike.toarray().T).T)
        ideal = (self._damped(histories) @ self.vectors) @ self.vectors.T
        ideal *= self.alpha * self.roots
        scores += ideal
        return scores

    def reasons(self, query: Query, indices: Sequence[int]) -> list[tuple[Reason, ...]]:
        """The liked film that added most to each score; its weight is its share of all that was added."""
        ranked = np.asarray(indices, dtype=np.int64)
        linear = (self._people_of[query.liked] @ self._people_of[ranked].T).toarray()
        ideal = (self.vectors[query.liked] / np.maximum(self.roots[query.liked], 1)[:, None]) @ (
            self.vectors[ranked] * self.roots[ranked, None]
        ).T
        added = (linear + self.alpha * ideal) * query.weights[:, None]
        return strongest(added, query.liked, self.ids)

    def tensors(self) -> dict[str, np.ndarray]:
        return {
            "data": self.people.data,
            "indices": self.people.indices.astype(np.int32),
            "indptr": self.people.indptr.astype(np.int64),
            "vectors": self.vectors,
            "roots": self.roots,
        }

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, np.ndarray], ids: IdMap, meta: dict[str, Any], directory: Path | None
    ) -> Self:
        try:
            indptr = tensors["indptr"]
            people = sparse.csr_matrix(
                (tensors["data"], tensors["indices"], indptr), shape=(len(indptr) - 1, len(ids))
            )
            people.check_format(full_check=True)
            vectors, roots = tensors["vectors"], tensors["roots"].reshape(len(ids))
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"{directory}: not a graph of people and films: {error}") from error
        if vectors.ndim != 2 or len(vectors) != len(ids):
            raise ArtifactError(f"{directory}: expected {len(ids)} singular vectors, not {vectors.shape}")
        return cls(people, vectors, roots, ids, meta)

    def _damped(self, histories: sparse.csr_matrix) -> sparse.csr_matrix:
        """x D_I ** -0.5; films that nobody met count 0, as their vectors are 0."""
        damped = histories.data / np.maximum(self.roots, 1)[histories.indices]
        return sparse.csr_matrix((damped, histories.indices, histories.indptr), shape=histories.shape)


def _right_singular_vectors(
    matrix: sparse.csr_matrix, options: GraphFilterOptions, progress: Progress
) -> np.ndarray:
    """(n, k) float32 orthonormal, largest singular value first, k = min(factors, both sides)."""
    n_rows, n_columns = matrix.shape
    n_factors = min(options.factors, n_rows, n_columns)
    n_directions = min(n_factors + OVERSAMPLING, n_rows, n_columns)
    flipped = matrix.T.tocsr()
    rng = np.random.default_rng(options.seed)
    basis = rng.standard_normal((n_columns, n_directions)).astype(np.float32)
    for done in range(options.iterations + 1):
        basis = _orthonormal(flipped @ (matrix @ basis))
        progress(ProgressEvent((done + 1) / (options.iterations + 2), "singular vectors"))
    # basis spans the wanted rows: the small matrix (matrix @ basis) has the same singular values.
    small = matrix @ basis
    _, rotation = linalg.eigh(small.T.astype(np.float64) @ small.astype(np.float64))
    return np.ascontiguousarray(basis @ rotation[:, ::-1][:, :n_factors].astype(np.float32))


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the same space, (n, d) float32."""
    return linalg.qr(columns, mode="economic", overwrite_a=True, check_finite=False)[0]
