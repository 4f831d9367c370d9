"""Popularity: what everyone watches and rates highly. The answer for a visitor without a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors.base import Predictor, Query
from predictors.config import as_config, read_options
from predictors.errors import ArtifactError, TrainingError
from predictors.history import Reason
from predictors.id_map import IdMap
from predictors.progress import Progress, ProgressEvent, silent

if TYPE_CHECKING:
    from datasets.interactions import Interactions

SECONDS_PER_DAY = 86_400
# Where a data file has no times, `at` counts rows: no such number reaches 1973 in seconds.
FIRST_TIMESTAMP = 100_000_000


@dataclass(frozen=True, slots=True)
class PopularOptions:
    """rating_weight   how much one star above the mean multiplies a film's count (as a power of e)
    prior           ratings at the global mean that every film starts with
    half_life_days  after so many days an interaction counts half; 0 = all count alike
    """

    rating_weight: float = 0.03
    prior: float = 20.0
    half_life_days: float = 730.0


class PopularPredictor(Predictor):
    """One ranking for everybody, from training data only.

        score_i = log(1 + c_i) + rating_weight * (m_i - m)
        c_i = sum over interactions of 0.5 ** (age in days / half_life_days)
        m_i = (prior * m + sum of stars) / (prior + number of ratings)

    m is the mean of all ratings, age counts from the newest interaction of the data. m_i is the
    posterior mean of a normal with a conjugate prior (Gelman et al., Bayesian Data Analysis, 2.12),
    which keeps a film with one five-star rating behind one with hundreds of good ones.
    """

    name = "popular"
    min_history = 0

    def __init__(self, scores: np.ndarray, ids: IdMap, meta: Mapping[str, Any] | None = None) -> None:
        super().__init__(ids, meta)
        self.scores = scores

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
        """Count. Raises TrainingError on empty data or an unusable option."""
        chosen = read_options(PopularOptions, options)
        if chosen.prior <= 0 or chosen.half_life_days < 0:
            raise TrainingError("prior must be above 0, half_life_days 0 or more")
        if len(train) == 0:
            raise TrainingError("there are no interactions to count")
        weights = np.ones(len(train))
        if chosen.half_life_days and train.at.max() >= FIRST_TIMESTAMP:
            age_days = (train.at.max() - train.at) / SECONDS_PER_DAY
            weights = 0.5 ** (age_days / chosen.half_life_days)
        counts = np.bincount(train.items, weights=weights, minlength=train.n_items)
        scores = np.log1p(counts) + chosen.rating_weight * _shrunk_rating(train, chosen.prior)
        progress(ProgressEvent(1.0))
        ids = IdMap(np.asarray(train.item_ids).tolist())
        return cls(scores.astype(np.float32), ids, {"config": as_config(chosen)})

    def score_batch(self, queries: Sequence[Query]) -> np.ndarray:
        """The same scores for everybody."""
        return np.tile(self.scores, (len(queries), 1))

    def reasons(self, query: Query, indices: Sequence[int]) -> list[tuple[Reason, ...]]:
        return [(Reason(kind="popular"),) for _ in indices]

    def tensors(self) -> dict[str, np.ndarray]:
        return {"scores": self.scores}

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, np.ndarray], ids: IdMap, meta: dict[str, Any], directory: Path | None
    ) -> Self:
        scores = tensors.get("scores")
        if scores is None or scores.shape != (len(ids),):
            raise ArtifactError(f"{directory}: expected the tensor scores of shape ({len(ids)},)")
        return cls(scores, ids, meta)


def _shrunk_rating(train: Interactions, prior: float) -> np.ndarray:
    """(n_items,) stars above the mean of all ratings, shrunk towards 0 where there are few."""
    rated = ~np.isnan(train.values)
    if not rated.any():
        return np.zeros(train.n_items)
    items, stars = train.items[rated], train.values[rated].astype(np.float64)
    above_mean = np.bincount(items, weights=stars - stars.mean(), minlength=train.n_items)
    return above_mean / (prior + np.bincount(items, minlength=train.n_items))
