"""The smallest real predictor: counts. For tests of the base, the artifacts and the registry."""

from collections.abc import Sequence
from typing import Self

import numpy as np

from predictors.base import Predictor, Saved
from predictors.config import Config
from predictors.id_map import IdMap
from predictors.query import Query
from predictors.run import Run
from predictors.training_data import TrainingData


class CountPredictor(Predictor):
    name = "popular"  # a name the store knows
    min_history = 0

    def __init__(self, ids: IdMap, counts: np.ndarray) -> None:
        super().__init__(ids)
        self.counts = np.asarray(counts, dtype=np.float32)

    @classmethod
    def _fit(cls, data: TrainingData, config: Config, run: Run) -> Self:
        return cls(data.items, np.bincount(data.train.items, minlength=data.n_items))

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        return np.tile(self.counts, (len(queries), 1))

    def tensors(self) -> dict[str, np.ndarray]:
        return {"counts": self.counts}

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        return cls(saved.ids, saved.tensors["counts"])
