"""Transitions: what people met within the next few steps of a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from predictors.base import Predictor, Query, Saved
from predictors.config import Config
from predictors.errors import ArtifactError, TrainingError
from predictors.history_features import largest_of_rows
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.run import Run
from predictors.training_data import TrainingData

NEGLIGIBLE = 1e-3  # decayed films of a history below it are left out


@dataclass(frozen=True)
class TransitionsConfig(Config):
    """Configures which films count as next ones, and how much older films of a history count."""

    window: int = 3  #: so many next films count, each 1 / its distance
    popularity_exponent: float = 0.3  #: counts are divided by the popularity of the next film to this power
    recency: float = 0.6  #: how much a film of the history counts against the one after it
    kept: int = 1000  #: most frequent next films kept of each film
    file_order: bool = False  #: rows without times are in the order in which they happened

    def check(self) -> None:
        self.require(self.window >= 1, "window must be 1 or more")
        self.require(self.popularity_exponent >= 0, "popularity_exponent must be 0 or more")
        self.require(0 < self.recency <= 1, "recency must be above 0, and 1 at most")
        self.require(self.kept >= 1, "kept must be 1 or more")


class TransitionsPredictor(Predictor):
    """Ranks by a Markov chain that skips, with popularity divided out.

        t_ij = sum over people who met j d steps after i, d <= window, of 1 / d, over n_i * n_j ** e
        score_j = sum over liked i of w_i * recency ** age_i * t_ij

    n_i people met film i; the age of the last film is 0. Of each film the `kept` largest t_ij are kept.

    weights  (n_items, n_items) CSR float32, t
    """

    name = "transitions"
    label = "Transitions"
    summary = "Films that people watched within the next few after a film of yours."
    config_class = TransitionsConfig

    def __init__(
        self, weights: sparse.csr_matrix, ids: IdMap, config: TransitionsConfig | None = None
    ) -> None:
        super().__init__(ids, config)
        self.weights = weights

    @classmethod
    def check_data(cls, data: TrainingData, config: TransitionsConfig) -> None:
        """Raise TrainingError where the rows have no order."""
        if not (data.train.has_time or config.file_order):
            raise TrainingError("transitions need rows with times: without them no film is the next one")

    @classmethod
    def _fit(cls, data: TrainingData, config: TransitionsConfig, run: Run) -> Self:
        """Count pairs."""
        train = data.train
        shape = (train.n_items, train.n_items)
        counted = sparse.csr_matrix(shape, dtype=np.float32)
        for distance in range(1, config.window + 1):
            same = np.flatnonzero(train.users[distance:] == train.users[:-distance])
            pair = (train.items[same], train.items[same + distance])
            amounts = np.full(len(same), 1 / distance, np.float32)
            counted = counted + sparse.csr_matrix((amounts, pair), shape=shape)
            run.report(distance / (config.window + 1), f"{distance} steps")
        counted.setdiag(0)
        counted.eliminate_zeros()
        counts = np.maximum(np.bincount(train.items, minlength=train.n_items), 1).astype(np.float32)
        counted.data /= np.repeat(counts, np.diff(counted.indptr))
        counted.data /= counts[counted.indices] ** config.popularity_exponent
        run.report(1.0)
        return cls(largest_of_rows(counted, config.kept), data.items, config)

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        amounts = [self._amounts(query) for query in queries]
        indptr = np.concatenate([[0], np.cumsum([len(each) for each in amounts], dtype=np.int64)])
        values = np.concatenate([*amounts, []]).astype(np.float32)
        films = np.concatenate([*(query.liked for query in queries), []]).astype(np.int64)
        histories = sparse.csr_matrix((values, films, indptr), shape=(len(queries), self.n_items))
        return (histories @ self.weights).toarray()

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return the exact parts of each score."""
        between = self.weights[query.liked][:, targets].toarray()
        return Influences(query.liked, between * self._amounts(query)[:, None])

    def item_weights(self, items: np.ndarray) -> np.ndarray:
        """Return (b, n_items) float32: what each item adds to every score, as the last of a history."""
        return self.weights[items].toarray()

    def tensors(self) -> dict[str, np.ndarray]:
        return {
            "data": self.weights.data,
            "indices": self.weights.indices.astype(np.int32),
            "indptr": self.weights.indptr.astype(np.int64),
        }

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        try:
            parts = tuple(saved.tensor(name, (None,)) for name in ("data", "indices", "indptr"))
            weights = sparse.csr_matrix(parts, shape=(len(saved.ids), len(saved.ids)))
            weights.check_format(full_check=True)
        except ValueError as error:
            raise ArtifactError(f"{saved.directory}: not a matrix of transitions: {error}") from error
        return cls(weights, saved.ids, saved.config)

    def _amounts(self, query: Query) -> np.ndarray:
        """Return (T,) float32: how much each liked film still counts."""
        age = np.arange(len(query.liked) - 1, -1, -1)
        decay = np.float64(self.config.recency) ** age
        return np.where(decay < NEGLIGIBLE, 0, decay * query.weights).astype(np.float32)
