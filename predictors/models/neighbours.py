"""Item neighbours: items that the same people watched as the items of a history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from predictors.base import Predictor, Saved
from predictors.config import Config
from predictors.errors import ArtifactError, CannotAnswer
from predictors.history import MovieId, Reason, Recommendation
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.models.nearest_items import nearest_items
from predictors.query import Query
from predictors.run import Run
from predictors.training_data import TrainingData


@dataclass(frozen=True)
class NeighboursConfig(Config):
    """Configures the similarity, the number of neighbours, and the popularity prior."""

    neighbours: int = 1000  #: most similar items kept of each item
    shrinkage: float = 20.0  #: added to the denominator: similarity with little support counts less
    exponent: float = 0.5  #: 0.5 = cosine; smaller values favour popular neighbours
    popularity_weight: float = 0.3  #: prior score of the most popular item; matters for short histories
    dislike_weight: float = (
        0.2  #: how much the neighbours of a disliked item lose, against a liked one's gain
    )

    def check(self) -> None:
        self.require(self.neighbours >= 1, "neighbours must be 1 or more")
        self.require(self.shrinkage >= 0, "shrinkage must be 0 or more")
        self.require(0 <= self.exponent <= 1, "exponent must be between 0 and 1")


class NeighboursPredictor(Predictor):
    """Ranks by item-item collaborative filtering with shrinkage.

        s_ij = n_ij / (n_i ** (1 - e) * n_j ** e + shrinkage)
        score_j = popularity_weight * sqrt(n_j / max n) + sum over liked i of w_i * s_ij
                  - dislike_weight * sum over disliked i of s_ij

    n_i users have item i, n_ij both; w is the weight of a liked item. With e = 0.5 s is the
    cosine of Sarwar et al. (WWW 2001, 3.1.1) with the support shrinkage of Bell and Koren (ICDM
    2007, section 3); other e give the asymmetric cosine of Aiolli (RecSys 2013, section 3). The
    popularity term is a prior: with one item in a history it keeps obscure neighbours back, with
    ten it is outweighed. Of each item i the `neighbours` largest s_ij are kept, as CSR: row i
    holds j by ascending index.
    """

    name = "neighbours"
    label = "Item neighbours"
    summary = "Films that the same people liked as the ones you liked."
    config_class = NeighboursConfig

    def __init__(
        self,
        similarities: sparse.csr_matrix,
        prior: np.ndarray,
        ids: IdMap,
        config: NeighboursConfig | None = None,
    ) -> None:
        super().__init__(ids, config)
        self.similarities = similarities
        self.prior = prior  # (n_items,) float32, the popularity term

    @classmethod
    def _fit(cls, data: TrainingData, config: NeighboursConfig, run: Run) -> Self:
        """Count co-occurrences. Memory: what a block of items has in common, besides the result."""
        n_items = data.n_items
        similarities = nearest_items(
            data.matrix(),
            config.neighbours,
            shrinkage=config.shrinkage,
            exponent=config.exponent,
            report=lambda done: run.report(done / n_items, f"{done:,} of {n_items:,} items"),
        )
        counts = data.matrix().getnnz(axis=0).astype(np.float32)
        prior = config.popularity_weight * np.sqrt(counts / counts.max())
        return cls(similarities, prior.astype(np.float32), data.items, config)

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        scores = np.tile(self.prior, (len(queries), 1))
        for row, query in zip(scores, queries, strict=True):
            for index, weight in zip(query.liked, query.weights, strict=True):
                neighbours, values = self._neighbours_of(index)
                row[neighbours] += weight * values
            for index in query.disliked:
                neighbours, values = self._neighbours_of(index)
                row[neighbours] -= np.float32(self.config.dislike_weight) * values
        return scores

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return the exact parts of each score."""
        between = self.similarities[query.liked][:, targets].toarray()
        return Influences(query.liked, between * query.weights[:, None])

    def similar(self, movie_id: MovieId, k: int) -> list[Recommendation]:
        """Return the k nearest items, nearest first; ties by index.

        Raises CannotAnswer on an item that the model does not know, ValueError when k is negative.
        """
        if k < 0:
            raise ValueError(f"k must not be negative, not {k}")
        index = self.ids.index_of(movie_id)
        if index is None:
            raise CannotAnswer("unknown_film", f"{self.name} does not know the film {movie_id!r}")
        neighbours, values = self._neighbours_of(index)
        nearest = np.argsort(-values, kind="stable")[:k]
        why = (Reason("similar_to", movie_id, 1.0),)
        return [Recommendation(self.ids[neighbours[rank]], float(values[rank]), why) for rank in nearest]

    def item_weights(self, items: np.ndarray) -> np.ndarray:
        """Return (b, n_items) float32: what each item adds to every score."""
        return self.similarities[items].toarray()

    def tensors(self) -> dict[str, np.ndarray]:
        return {
            "prior": self.prior,
            "data": self.similarities.data,
            "indices": self.similarities.indices.astype(np.int32),
            "indptr": self.similarities.indptr.astype(np.int64),
        }

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        try:
            parts = tuple(saved.tensor(name, (None,)) for name in ("data", "indices", "indptr"))
            similarities = sparse.csr_matrix(parts, shape=(len(saved.ids), len(saved.ids)))
            similarities.check_format(full_check=True)
        except ValueError as error:
            raise ArtifactError(f"{saved.directory}: not a matrix of neighbours: {error}") from error
        return cls(similarities, saved.tensor("prior", (len(saved.ids),)), saved.ids, saved.config)

    def _neighbours_of(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the neighbours of one item: ascending indices (K,) int32 and similarities (K,) float32."""
        row = slice(self.similarities.indptr[index], self.similarities.indptr[index + 1])
        return self.similarities.indices[row], self.similarities.data[row]
