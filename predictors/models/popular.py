"""Popularity: what everyone watches and rates highly. The answer for a user without a history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from predictors.base import Predictor, Saved
from predictors.config import Config
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.query import Query
from predictors.run import Run
from predictors.training_data import TrainingData

if TYPE_CHECKING:
    from datasets.interactions import Interactions

SECONDS_PER_DAY = 86_400
LONGEST_PAUSE = 30  # days


@dataclass(frozen=True)
class PopularConfig(Config):
    """Configures the weight of stars and of age."""

    rating_weight: float = 0.03  #: how much one star above the mean multiplies a count (as a power of e)
    prior: float = 20.0  #: ratings at the global mean that every item starts with
    half_life_days: float = 730.0  #: after so many days an interaction counts half; 0 = all count alike

    def check(self) -> None:
        self.require(self.prior > 0, "prior must be above 0")
        self.require(self.half_life_days >= 0, "half_life_days must be 0 or more")


class PopularPredictor(Predictor):
    """Ranks by popularity in the training data, the same for everybody.

        score_i = log(1 + c_i) + rating_weight * (m_i - m)
        c_i = sum over interactions of 0.5 ** (age in days / half_life_days); 1 each without times
        m_i = (prior * m + sum of stars) / (prior + number of ratings)

    m is the mean of all ratings. Age counts from the newest interaction of the data; of a time in which
    nobody did anything LONGEST_PAUSE days count at most, so that the first visitors of a site do not outvote
    the ratings of a data set that ends years before them. m_i is the
    posterior mean of a normal with a conjugate prior (Gelman et al., Bayesian Data Analysis, 2.12),
    which keeps an item with one five-star rating behind one with hundreds of good ones.
    """

    name = "popular"
    label = "Popular"
    summary = "What everyone rates highly, recent votes counting more."
    config_class = PopularConfig
    min_history = 0

    def __init__(self, scores: np.ndarray, ids: IdMap, config: PopularConfig | None = None) -> None:
        super().__init__(ids, config)
        self.scores = scores

    @classmethod
    def _fit(cls, data: TrainingData, config: PopularConfig, run: Run) -> Self:
        train = data.train
        weights = np.ones(len(train))
        if config.half_life_days and train.has_time:
            weights = 0.5 ** (_age_days(train.at) / config.half_life_days)
        counts = np.bincount(train.items, weights=weights, minlength=train.n_items)
        scores = np.log1p(counts) + config.rating_weight * _shrunk_rating(train, config.prior)
        run.report(1.0)
        return cls(scores.astype(np.float32), data.items, config)

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        """Return the same scores for every query."""
        return np.tile(self.scores, (len(queries), 1))

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return no parts: no history moves these scores."""
        return Influences(query.liked[:0], np.zeros((0, len(targets)), np.float32))

    def tensors(self) -> dict[str, np.ndarray]:
        return {"scores": self.scores}

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        return cls(saved.tensor("scores", (len(saved.ids),)), saved.ids, saved.config)


def _age_days(at: np.ndarray) -> np.ndarray:
    """Return (N,) days from times in seconds to the newest of them, of a pause LONGEST_PAUSE at most."""
    times, position = np.unique(at, return_inverse=True)
    steps = np.minimum(np.diff(times), LONGEST_PAUSE * SECONDS_PER_DAY)
    before_newest = np.append(np.cumsum(steps[::-1])[::-1], 0)
    return before_newest[position] / SECONDS_PER_DAY


def _shrunk_rating(train: Interactions, prior: float) -> np.ndarray:
    """Return (n_items,) stars above the mean of all ratings, shrunk towards 0 where there are few."""
    rated = ~np.isnan(train.values)
    if not rated.any():
        return np.zeros(train.n_items)
    items, stars = train.items[rated], train.values[rated].astype(np.float64)
    above_mean = np.bincount(items, weights=stars - stars.mean(), minlength=train.n_items)
    return above_mean / (prior + np.bincount(items, minlength=train.n_items))
