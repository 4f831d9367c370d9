"""MF: ratings with biases. Predicts the stars a visitor would give; ranks by them and by popularity."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from predictors.base import Predictor, Query
from predictors.config import as_config, read_options
from predictors.errors import ArtifactError, TrainingError
from predictors.history import HIGHEST_RATING, History, MovieId
from predictors.id_map import IdMap
from predictors.models.mf.groups import GroupFactors, fit_groups
from predictors.models.mf.solver import RatingFactors, fit_ratings
from predictors.progress import Progress, ProgressEvent, silent

if TYPE_CHECKING:
    from datasets.interactions import Interactions

LOWEST_STARS = 0.5
DISMISSED = 1.0  # stars that a dismissed film counts as; one liked without stars counts as HIGHEST_RATING


@dataclass(frozen=True, slots=True)
class MfOptions:
    """factors             length of a film's vector
    epochs              rounds over all people and all films
    ridge               lambda, per rating of a row: keeps vectors of few ratings short
    bias_ridge          as many ratings at the mean does every bias start with
    popularity_weight   in the ranking: stars that a film gains each time its audience grows e-fold
    groups              0: vectors shrink towards zero by the two ridges. From 1 up both ridges are learned
                        instead (variational Bayes), and with several groups people shrink towards theirs
    film_groups         the same for films, where groups is not 0
    seed                of the first film vectors
    cpu_budget_seconds  start no epoch that would not end within so much processor time; 0 = no limit
    """

    factors: int = 32
    epochs: int = 15
    ridge: float = 0.13
    bias_ridge: float = 2.0
    popularity_weight: float = 2.0
    groups: int = 0
    film_groups: int = 1
    seed: int = 1
    cpu_budget_seconds: float = 0.0


class MfPredictor(Predictor):
    """Predicted stars are mean + b_u + b_i + x_u'y_i (Koren, Bell and Volinsky 2009, eq. 4).

    b_u and x_u belong to the visitor and are found by one ridge regression on their ratings, the same
    that found those of the training data. Ranking by predicted stars alone would fill a list with films
    that a handful of people adored, so `score_batch` adds what a large audience tells:

        score_i = predicted stars + popularity_weight * log(1 + ratings of i)

    with the predicted stars unclipped. There a film liked without stars is a rating of 5 that counts as
    much as the weight of the like says (half for a click), a dismissed film one of 1. `predict_stars`
    looks at real ratings alone.

    items   (n_items, d) float32; biases (n_items,) float32, stars above the mean
    counts  (n_items,) int64, ratings in the training data; mean (1,) float64, stars
    With `groups` also the tensors of `GroupFactors`.
    """

    name = "mf"
    learns_from_dislikes = True

    def __init__(
        self, tensors: Mapping[str, np.ndarray], ids: IdMap, meta: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(ids, meta)
        chosen = read_options(MfOptions, self.meta.get("config"))
        self.factors: RatingFactors | GroupFactors
        if chosen.groups:
            self.factors = GroupFactors.from_tensors(dict(tensors))
        else:
            self.factors = RatingFactors(
                float(tensors["mean"][0]),
                tensors["biases"],
                tensors["items"],
                chosen.ridge,
                chosen.bias_ridge,
            )
        self.counts = tensors["counts"]
        self._popularity = (chosen.popularity_weight * np.log1p(self.counts)).astype(np.float32)

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
        """Alternate. Low ratings teach as much as high ones; rows without stars are left out.

        Raises TrainingError on data without ratings or an unusable option.
        """
        chosen = read_options(MfOptions, options)
        _check(chosen)
        rated = train.select(~np.isnan(train.values))
        if len(rated) == 0:
            raise TrainingError("mf learns from stars, and there are no ratings in the data; try als")
        started = time.process_time()

        def after_epoch(epoch: int, *_: RatingFactors) -> bool:
            progress(ProgressEvent(epoch / chosen.epochs, f"epoch {epoch} of {chosen.epochs}"))
            next_end = (time.process_time() - started) * (epoch + 1) / epoch
            return not chosen.cpu_budget_seconds or next_end <= chosen.cpu_budget_seconds

        factors: RatingFactors | GroupFactors
        if chosen.groups:
            factors = fit_groups(
                _latest_stars(rated),
                n_dims=chosen.factors,
                epochs=chosen.epochs,
                groups=chosen.groups,
                item_groups=chosen.film_groups,
                seed=chosen.seed,
                after_epoch=after_epoch,
            )
        else:
            factors = fit_ratings(
                _latest_stars(rated),
                n_dims=chosen.factors,
                epochs=chosen.epochs,
                ridge=chosen.ridge,
                bias_ridge=chosen.bias_ridge,
                seed=chosen.seed,
                after_epoch=after_epoch,
            )
        counts = np.bincount(rated.items, minlength=train.n_items).astype(np.int64)
        tensors = _tensors(factors, counts)
        ids = IdMap(np.asarray(train.item_ids).tolist())
        return cls(tensors, ids, {"config": as_config(chosen)})

    def score_batch(self, queries: Sequence[Query]) -> np.ndarray:
        visitors = self._fold_in([self._all_told(query) for query in queries])
        return self.factors.stars(visitors, slice(None)) + self._popularity

    def predict_stars(self, history: History, movie_ids: Iterable[MovieId]) -> dict[MovieId, float]:
        """The stars this visitor would give each film, within 0.5 to 5; films not known are left out.

        A visitor without ratings gets what people give on average. Costs one linear solve.
        """
        query = self.encode(history)
        above = self._above(query.stars, query.rated)
        visitor = self._fold_in([(query.rated, above, np.ones(len(above)))])
        wanted = [film for film in dict.fromkeys(movie_ids) if self.ids.index_of(film) is not None]
        indices, _ = self.ids.indices_of(wanted)
        stars = self.factors.stars(visitor, indices)[0].clip(LOWEST_STARS, HIGHEST_RATING)
        return dict(zip(wanted, stars.tolist(), strict=True))

    def tensors(self) -> dict[str, np.ndarray]:
        return _tensors(self.factors, self.counts)

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, np.ndarray], ids: IdMap, meta: dict[str, Any], directory: Path | None
    ) -> Self:
        try:
            fits = (
                tensors["items"].ndim == 2
                and len(tensors["items"]) == len(ids)
                and tensors["biases"].shape == tensors["counts"].shape == (len(ids),)
                and tensors["mean"].shape == (1,)
            )
            if not fits:
                raise ArtifactError(f"{directory}: the shapes of the tensors do not belong together")
            return cls(tensors, ids, meta)
        except KeyError as error:
            raise ArtifactError(f"{directory}: {error} is missing") from error

    def _all_told(self, query: Query) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Films of a history, the stars of each above what people give it, and how much they count."""
        liked = ~np.isin(query.liked, query.rated)
        dismissed = query.disliked[~np.isin(query.disliked, query.rated)]
        films = np.concatenate([query.rated, query.liked[liked], dismissed])
        stars = np.concatenate(
            [query.stars, np.full(liked.sum(), HIGHEST_RATING), np.full(len(dismissed), DISMISSED)]
        )
        weights = np.concatenate([np.ones(len(query.rated)), query.weights[liked], np.ones(len(dismissed))])
        return films, self._above(stars, films), weights

    def _above(self, stars: np.ndarray, films: np.ndarray) -> np.ndarray:
        """Stars less what people give these films."""
        return stars - self.factors.mean - self.factors.item_biases[films]

    def _fold_in(self, told: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
        """(B, 1 + d) float32 bias and vector of each visitor."""
        films, above, weights = (np.concatenate([*parts, []]) for parts in zip(*told, strict=True))
        indptr = np.concatenate([[0], np.cumsum([len(row[0]) for row in told], dtype=np.int64)])
        matrix = sparse.csr_matrix(
            (above.astype(np.float32), films.astype(np.int64), indptr), shape=(len(told), self.n_items)
        )
        return self.factors.fold_in(matrix, weights.astype(np.float32))


def _check(options: MfOptions) -> None:
    if options.factors < 1 or options.epochs < 1 or options.seed < 0:
        raise TrainingError("factors and epochs must be 1 or more, seed 0 or more")
    if options.ridge <= 0 or options.bias_ridge <= 0:
        raise TrainingError("ridge and bias_ridge must be above 0")
    if options.popularity_weight < 0 or options.cpu_budget_seconds < 0:
        raise TrainingError("popularity_weight and cpu_budget_seconds must be 0 or more")
    if options.groups < 0 or options.film_groups < 1:
        raise TrainingError("groups must be 0 or more, film_groups 1 or more")


def _tensors(factors: RatingFactors | GroupFactors, counts: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "items": factors.items,
        "biases": factors.item_biases,
        "counts": counts,
        "mean": np.array([factors.mean]),
        **(factors.tensors() if isinstance(factors, GroupFactors) else {}),
    }


def _latest_stars(rated: Interactions) -> sparse.csr_matrix:
    """(n_users, n_items) stars; of several ratings of one film by one user the latest counts."""
    pairs = rated.users.astype(np.int64) * rated.n_items + rated.items
    _, from_the_end = np.unique(pairs[::-1], return_index=True)
    latest = len(pairs) - 1 - from_the_end
    return sparse.csr_matrix(
        (rated.values[latest], (rated.users[latest], rated.items[latest])),
        shape=(rated.n_users, rated.n_items),
    )
