"""Graph filter: collaborative filtering as a low-pass filter on the film graph, without training.

GF-CF (Shen et al., CIKM 2021): a history is a signal on the films; films that the same people watched are
joined. Smoothing the signal over the graph is a recommendation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from predictors.base import Predictor, Query, Saved
from predictors.config import Config
from predictors.errors import ArtifactError
from predictors.history_features import as_matrix
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.models.singular_vectors import right_singular_vectors
from predictors.run import Run
from predictors.training_data import TrainingData

FEW = 0.1  # share of all people up to which products that skip the others are faster
ITEMS_PER_FACTOR = 64
FEWEST_FACTORS, MOST_FACTORS = 48, 448
# The fewer people met an item, the less its own neighbours say: chosen on validation rows of six data sets.
ALPHA_TIMES_ROWS = 5.0
LEAST_ALPHA, MOST_ALPHA = 0.2, 2.0


@dataclass(frozen=True)
class GraphFilterConfig(Config):
    """Configures the two filters and the randomised SVD."""

    factors: int = 0  #: singular vectors of the ideal low-pass filter; 0 = by size
    #: how much the ideal low-pass filter counts against the linear one; below 0 = by rows per item
    alpha: float = -1.0
    people_exponent: float = 0.5  #: of people's degrees in R; above 0.5 busy people count less
    history_exponent: float = 0.5  #: of the degrees of a history's items; above 0.5 popular ones count less
    sharpening: float = 0.0  #: how much of the smoothed signal, smoothed once more, is taken away
    iterations: int = 4  #: rounds of the randomised SVD: more make the last factors exact
    dislike_weight: float = 0.2  #: how much a disliked item takes away, against what a liked one adds

    def check(self) -> None:
        self.require(self.factors >= 0, "factors must be 0 or more")
        self.require(self.people_exponent >= 0, "people_exponent must be 0 or more")
        self.require(self.history_exponent >= 0, "history_exponent must be 0 or more")
        self.require(0 <= self.sharpening <= 1, "sharpening must be between 0 and 1")
        self.require(self.iterations >= 0, "iterations must be 0 or more")
        self.require(self.dislike_weight >= 0, "dislike_weight must be 0 or more")


class GraphFilterPredictor(Predictor):
    """Scores of a history x, as in Shen et al. (CIKM 2021, eq. 14):

        R = D_U ** -p  X  D_I ** -0.5
        score = y R'R + alpha * x D_I ** -0.5  V V'  D_I ** 0.5 - sharpening * y V S ** 4 V'
        y = x D_I ** (0.5 - h)

    X is the binary interaction matrix, D_U and D_I its row and column sums, V the first `factors` right
    singular vectors of R, S their singular values; R is divided by the largest. The exponents p of people
    and h of histories are .5 in the paper. Sharpening takes the smoothed signal, smoothed once more,
    away, as in the reverse process of BSPM (Choi et al., SIGIR 2023, eq. 9), here on the first singular
    vectors. x holds the weights of the liked films and -dislike_weight for each disliked one. No matrix
    of films by films is made: y R'R is two sparse products.

    people    (n_users, n_items) CSR float32, R
    vectors   (n_items, factors) float32, V
    spectrum  (factors,) float32, S ** 2
    roots     (n_items,) float32, the square root of each item's number of users
    """

    name = "graph_filter"
    label = "Graph filter"
    summary = "Smooths your likes over the graph of people and films; good from few films."
    paper = "gf-cf"
    config_class = GraphFilterConfig

    def __init__(
        self,
        people: sparse.csr_matrix,
        vectors: np.ndarray,
        spectrum: np.ndarray,
        roots: np.ndarray,
        *,
        ids: IdMap,
        config: GraphFilterConfig | None = None,
        people_of: sparse.csr_matrix | None = None,
    ) -> None:
        super().__init__(ids, config)
        self.people, self.vectors, self.spectrum, self.roots = people, vectors, spectrum, roots
        # (n_items, n_users): of an artifact, so that processes share it
        self._people_of = people.T.tocsr() if people_of is None else people_of
        alpha = self.config.alpha
        n_known = int(np.count_nonzero(roots))
        self.alpha = np.float32(alpha if alpha >= 0 else _alpha_by_rows(people.nnz, n_known))
        self.dislike_weight = self.config.dislike_weight

    @classmethod
    def _fit(cls, data: TrainingData, config: GraphFilterConfig, run: Run) -> Self:
        """Normalise the interaction matrix and compute one truncated SVD."""
        matrix = data.matrix()
        matrix = matrix[np.diff(matrix.indptr) > 0]  # users without an item would be empty rows
        matrix.sort_indices()
        roots = np.sqrt(np.bincount(matrix.indices, minlength=data.n_items)).astype(np.float32)
        of_user = (np.diff(matrix.indptr) ** config.people_exponent).astype(np.float32)
        matrix.data = 1 / (np.repeat(of_user, np.diff(matrix.indptr)) * roots[matrix.indices])
        factors = config.factors or _factors_by_size(*matrix.shape)
        vectors, spectrum = right_singular_vectors(
            matrix,
            factors,
            config.iterations,
            seed=run.seed,
            progress=lambda done: run.report(done, "singular vectors"),
        )
        matrix.data /= np.sqrt(spectrum[0])
        run.report(1.0)
        return cls(matrix, vectors, spectrum / spectrum[0], roots, ids=data.items, config=config)

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        histories = as_matrix(queries, self.n_items, self.dislike_weight)
        signals = self._damped(histories, self.config.history_exponent - 0.5)
        alike = signals @ self._people_of  # (B, n_users): users with the same items
        if alike.nnz < FEW * len(queries) * self.people.shape[0]:
            scores = (alike @ self.people).toarray()
        else:
            scores = np.ascontiguousarray((self._people_of @ alike.toarray().T).T)
        ideal = (self._damped(histories, 0.5) @ self.vectors) @ self.vectors.T
        ideal *= self.alpha * self.roots
        scores += ideal
        if self.config.sharpening:
            smoothed = (signals @ self.vectors) * (np.float32(self.config.sharpening) * self.spectrum**2)
            scores -= smoothed @ self.vectors.T
        return scores

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return the exact parts of each score."""
        damping = np.maximum(self.roots[query.liked], 1) ** np.float32(1 - 2 * self.config.history_exponent)
        of_liked, of_ranked = self.vectors[query.liked], self.vectors[targets]
        linear = (self._people_of[query.liked] @ self._people_of[targets].T).toarray() * damping[:, None]
        ideal = (of_liked / np.maximum(self.roots[query.liked], 1)[:, None]) @ (
            of_ranked * self.roots[targets, None]
        ).T
        added = linear + self.alpha * ideal
        if self.config.sharpening:
            twice = (of_liked * self.spectrum**2) @ of_ranked.T
            added -= np.float32(self.config.sharpening) * damping[:, None] * twice
        return Influences(query.liked, added * query.weights[:, None])

    def item_weights(self, items: np.ndarray) -> np.ndarray:
        """Return (b, n_items) float32: what each item adds to every score."""
        return self._score([Query.from_indices([item]) for item in np.asarray(items).tolist()])

    def tensors(self) -> dict[str, np.ndarray]:
        return {
            "data": self.people.data,
            "indices": self.people.indices.astype(np.int32),
            "indptr": self.people.indptr.astype(np.int64),
            "of_item_data": self._people_of.data,
            "of_item_indices": self._people_of.indices.astype(np.int32),
            "of_item_indptr": self._people_of.indptr.astype(np.int64),
            "vectors": self.vectors,
            "spectrum": self.spectrum,
            "roots": self.roots,
        }

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        n_items = len(saved.ids)
        try:
            people = _saved_matrix(saved, "", n_items)
            is_older = "of_item_data" not in saved.tensors  # than the transposed matrix in an artifact
            people_of = None if is_older else _saved_matrix(saved, "of_item_", people.shape[0])
            if people_of is not None and people_of.shape[0] != n_items:
                raise ValueError("the matrix and the transposed one differ in their shapes")
        except ValueError as error:
            raise ArtifactError(f"{saved.directory}: not a graph of users and items: {error}") from error
        vectors, roots = saved.tensor("vectors", (n_items, None)), saved.tensor("roots", (n_items,))
        spectrum = saved.tensor("spectrum", (vectors.shape[1],))
        return cls(people, vectors, spectrum, roots, ids=saved.ids, config=saved.config, people_of=people_of)

    def _damped(self, histories: sparse.csr_matrix, exponent: float) -> sparse.csr_matrix:
        """Return x D_I ** -exponent; items without interactions count 0, as their vectors are 0."""
        if not exponent:
            return histories
        damped = histories.data / np.maximum(self.roots, 1)[histories.indices] ** np.float32(2 * exponent)
        return sparse.csr_matrix((damped, histories.indices, histories.indptr), shape=histories.shape)


def _saved_matrix(saved: Saved, prefix: str, n_columns: int) -> sparse.csr_matrix:
    """Return a matrix of an artifact. Raises ValueError or ArtifactError where it is none."""
    names = ("data", "indices", "indptr")
    data, indices, indptr = (saved.tensor(prefix + name, (None,)) for name in names)
    matrix = sparse.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, n_columns))
    matrix.check_format(full_check=True)
    return matrix


def _factors_by_size(n_users: int, n_items: int) -> int:
    """Return one factor per ITEMS_PER_FACTOR of the smaller side, FEWEST_FACTORS to MOST_FACTORS."""
    return int(np.clip(min(n_users, n_items) // ITEMS_PER_FACTOR, FEWEST_FACTORS, MOST_FACTORS))


def _alpha_by_rows(n_rows: int, n_items: int) -> float:
    """Return ALPHA_TIMES_ROWS over the mean rows of an item, LEAST_ALPHA to MOST_ALPHA."""
    return float(np.clip(ALPHA_TIMES_ROWS * n_items / max(n_rows, 1), LEAST_ALPHA, MOST_ALPHA))
