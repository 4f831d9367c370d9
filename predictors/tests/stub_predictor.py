"""The smallest real predictor: counts. For tests of the base, the artefacts and the registry."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from predictors.base import Predictor, Query
from predictors.id_map import IdMap


class CountPredictor(Predictor):
    name = "popular"  # a name the store knows
    min_history = 0

    def __init__(self, ids: IdMap, counts: np.ndarray, meta: Mapping[str, Any] | None = None) -> None:
        super().__init__(ids, meta)
        self.counts = np.asarray(counts, dtype=np.float32)

    @classmethod
    def fit(cls, train, validation=None, **kwargs: Any) -> Self:
        counts = np.bincount(train.items, minlength=train.n_items)
        return cls(IdMap(train.item_ids.tolist()), counts)

    def score_batch(self, queries: Sequence[Query]) -> np.ndarray:
        return np.tile(self.counts, (len(queries), 1))

    def tensors(self) -> dict[str, np.ndarray]:
        return {"counts": self.counts}

    @classmethod
    def from_tensors(cls, tensors, ids: IdMap, meta: dict[str, Any], directory: Path | None) -> Self:
        return cls(ids, tensors["counts"], meta)
