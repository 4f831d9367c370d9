"""MF: ratings with biases. Predicts the stars a user would give; ranks by them and by popularity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import sparse

from predictors.base import Saved
from predictors.config import Config
from predictors.epoch_loop import EpochLoop, process_errors
from predictors.errors import ArtifactError, TrainingError
from predictors.history import HIGHEST_RATING, History, MovieId
from predictors.id_map import IdMap
from predictors.inner_product import InnerProductPredictor
from predictors.models.mf.groups import GroupFactors, fit_groups
from predictors.models.mf.solver import RatingFactors, fit_ratings
from predictors.query import Query
from predictors.run import Run
from predictors.threads import one_blas_thread
from predictors.training_data import TrainingData

if TYPE_CHECKING:
    from datasets.interactions import Interactions

LOWEST_STARS = 0.5
DISMISSED = 1.0  # stars that a dismissed item counts as; one liked without stars counts as HIGHEST_RATING


@dataclass(frozen=True)
class MfConfig(Config):
    """Configures the factorisation, its regularisation, and the popularity term of the ranking."""

    factors: int = 8  #: length of an item's vector
    epochs: int = 20  #: rounds over all users and all items
    ridge: float = 0.13  #: lambda, per rating of a row: keeps vectors of few ratings short
    bias_ridge: float = 2.0  #: ratings at the mean that every bias starts with
    popularity_weight: float = 2.0  #: in the ranking: stars that an item gains for each e-fold of ratings
    #: 1: how strongly vectors shrink, and towards what, is learned (variational Bayes); with several
    #: groups users shrink towards the mean of theirs. 0: they shrink towards zero by the two ridges
    groups: int = 1
    item_groups: int = 1  #: the same for items, where groups is not 0

    def check(self) -> None:
        self.require(self.factors >= 1, "factors must be 1 or more")
        self.require(self.epochs >= 1, "epochs must be 1 or more")
        self.require(self.ridge > 0, "ridge must be above 0")
        self.require(self.bias_ridge > 0, "bias_ridge must be above 0")
        self.require(self.popularity_weight >= 0, "popularity_weight must be 0 or more")
        self.require(self.groups >= 0, "groups must be 0 or more")
        self.require(self.item_groups >= 1, "item_groups must be 1 or more")


class MfPredictor(InnerProductPredictor):
    """Predicts stars as mean + b_u + b_i + x_u'y_i (Koren, Bell and Volinsky 2009, eq. 4).

    b_u and x_u belong to the user and are found by one ridge regression on their ratings, the same
    that found those of the training data. Ranking by predicted stars alone would fill a list with items
    that a handful of people adored, so the ranking adds the popularity:

        score_i = predicted stars + popularity_weight * log(1 + ratings of i)

    with the predicted stars unclipped. There an item liked without stars is a rating of 5 that counts as
    much as the weight of the like says (half for a click), a dismissed item one of 1. `predict_stars`
    looks at real ratings alone.

    items   (n_items, d) float32; biases (n_items,) float32, stars above the mean
    counts  (n_items,) int64, ratings in the training data; mean (1,) float64, stars
    With `groups` also the tensors of `GroupFactors`.
    """

    name = "mf"
    label = "Star predictor"
    summary = "Learns from all ratings, low ones too, and predicts your stars."
    config_class = MfConfig
    learns_from_dislikes = True
    trains_on_processes = True

    def __init__(self, tensors: Mapping[str, np.ndarray], ids: IdMap, config: MfConfig | None = None) -> None:
        super().__init__(ids, config)
        config = self.config
        self.factors: RatingFactors | GroupFactors
        if config.groups:
            self.factors = GroupFactors.from_tensors(dict(tensors))
        else:
            self.factors = RatingFactors(
                float(tensors["mean"][0]),
                tensors["biases"],
                tensors["items"],
                config.ridge,
                config.bias_ridge,
            )
        self.counts = tensors["counts"]
        popularity = (config.popularity_weight * np.log1p(self.counts)).astype(np.float32)
        self._offsets = self.factors.item_biases + popularity  # (n_items,), the same for every user

    @classmethod
    def _fit(cls, data: TrainingData, config: MfConfig, run: Run) -> Self:
        """Alternate. Low ratings teach as much as high ones; rows without stars are left out.

        Raises TrainingError on data without ratings, and what `EpochLoop` raises.
        """
        train = data.train
        rated = train.select(~np.isnan(train.values))
        if len(rated) == 0:
            raise TrainingError("mf learns from stars, and there are no ratings in the data; try als")
        factors: RatingFactors | GroupFactors
        with one_blas_thread(), process_errors():
            loop = EpochLoop.of_model(cls.name, config, train, run, config.epochs)
            if config.groups:
                factors = fit_groups(
                    _latest_stars(rated),
                    n_dims=config.factors,
                    loop=loop,
                    groups=config.groups,
                    item_groups=config.item_groups,
                    seed=run.seed,
                )
            else:
                factors = fit_ratings(
                    _latest_stars(rated),
                    n_dims=config.factors,
                    loop=loop,
                    ridge=config.ridge,
                    bias_ridge=config.bias_ridge,
                    seed=run.seed,
                )
        counts = np.bincount(rated.items, minlength=train.n_items).astype(np.int64)
        tensors = _tensors(factors, counts)
        return cls(tensors, data.items, config)

    def query_vectors(self, queries: Sequence[Query]) -> np.ndarray:
        """Return (B, 2 + d) float32: mean + b_u, 1 and x_u of each query."""
        visitors = self._fold_in([self._stated_stars(query) for query in queries])
        level = np.float32(self.factors.mean) + visitors[:, :1]
        return np.concatenate([level, np.ones_like(level), visitors[:, 1:]], axis=1)

    def item_vectors(self) -> np.ndarray:
        """Return (n_items, 2 + d) float32: 1, b_i with the popularity, and y_i of each item."""
        return np.column_stack([np.ones_like(self._offsets), self._offsets, self.factors.items])

    def _products(self, vectors: np.ndarray, items: np.ndarray | slice) -> np.ndarray:
        return vectors[:, :1] + self._offsets[items] + vectors[:, 2:] @ self.factors.items[items].T

    def predict_stars(self, history: History, movie_ids: Iterable[MovieId]) -> dict[MovieId, float]:
        """Predict the stars for each item, within 0.5 to 5; items that the model does not know are left out.

        A user without ratings gets what people give on average. Costs one linear solve.
        """
        query = self.encode(history)
        above = self._above(query.stars, query.rated)
        visitor = self._fold_in([(query.rated, above, np.ones(len(above)))])
        wanted = [item for item in dict.fromkeys(movie_ids) if self.ids.index_of(item) is not None]
        indices, _ = self.ids.indices_of(wanted)
        stars = self.factors.stars(visitor, indices)[0].clip(LOWEST_STARS, HIGHEST_RATING)
        return dict(zip(wanted, stars.tolist(), strict=True))

    def tensors(self) -> dict[str, np.ndarray]:
        return _tensors(self.factors, self.counts)

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        saved.tensor("items", (len(saved.ids), None))
        saved.tensor("biases", (len(saved.ids),))
        saved.tensor("counts", (len(saved.ids),))
        saved.tensor("mean", (1,))
        try:
            return cls(saved.tensors, saved.ids, saved.config)
        except KeyError as error:
            raise ArtifactError(f"{saved.directory}: {error} is missing") from error

    def _stated_stars(self, query: Query) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the items of a history, their stars above the item's average, and the weight of each."""
        liked = ~np.isin(query.liked, query.rated)
        dismissed = query.disliked[~np.isin(query.disliked, query.rated)]
        items = np.concatenate([query.rated, query.liked[liked], dismissed])
        stars = np.concatenate(
            [query.stars, np.full(liked.sum(), HIGHEST_RATING), np.full(len(dismissed), DISMISSED)]
        )
        weights = np.concatenate([np.ones(len(query.rated)), query.weights[liked], np.ones(len(dismissed))])
        return items, self._above(stars, items), weights

    def _above(self, stars: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Subtract the mean and the item biases from stars."""
        return stars - self.factors.mean - self.factors.item_biases[items]

    def _fold_in(self, stated: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
        """Solve for (B, 1 + d) float32 bias and vector of each user."""
        items, above, weights = (np.concatenate([*parts, []]) for parts in zip(*stated, strict=True))
        indptr = np.concatenate([[0], np.cumsum([len(row[0]) for row in stated], dtype=np.int64)])
        matrix = sparse.csr_matrix(
            (above.astype(np.float32), items.astype(np.int64), indptr), shape=(len(stated), self.n_items)
        )
        return self.factors.fold_in(matrix, weights.astype(np.float32))


def _tensors(factors: RatingFactors | GroupFactors, counts: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "items": factors.items,
        "biases": factors.item_biases,
        "counts": counts,
        "mean": np.array([factors.mean]),
        **(factors.tensors() if isinstance(factors, GroupFactors) else {}),
    }


def _latest_stars(rated: Interactions) -> sparse.csr_matrix:
    """Build (n_users, n_items) stars; of several ratings of one item by one user the latest counts."""
    pairs = rated.users.astype(np.int64) * rated.n_items + rated.items
    _, from_the_end = np.unique(pairs[::-1], return_index=True)
    latest = len(pairs) - 1 - from_the_end
    return sparse.csr_matrix(
        (rated.values[latest], (rated.users[latest], rated.items[latest])),
        shape=(rated.n_users, rated.n_items),
    )
