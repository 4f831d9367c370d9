"""Implicit ALS: matrix factorisation of who met what; a new visitor is folded in by one linear solve."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse

from predictors.base import Predictor, Query
from predictors.config import as_config, read_options
from predictors.errors import ArtifactError, TrainingError
from predictors.history import HIGHEST_RATING, IMPLICIT_STRENGTH, Reason
from predictors.history_features import as_matrix, strongest
from predictors.id_map import IdMap
from predictors.models.mf.solver import ImplicitFactors, fit_implicit
from predictors.progress import Progress, ProgressEvent, silent

if TYPE_CHECKING:
    from datasets.interactions import Interactions


SMALL = 1_000_000  # people * films below which the ridge would outweigh all there is to learn


@dataclass(frozen=True, slots=True)
class AlsOptions:
    """factors             length of a film's vector
    epochs              rounds over all people and all films
    ridge               against long vectors: lambda * sqrt(people * films), so that one value suits data
                        of every size; data below SMALL counts as SMALL
    ridge_exponent      nu: 1 = a row's ridge grows with how much is known of it, 0 = the same for all
    unobserved_weight   alpha_0: how sure a film that was not met is a film not liked
    dislike_weight      how sure a disliked film is not liked, against 1 for one liked with five stars
    rating_weight       1 = a meeting counts as its stars / 5, 0 = all meetings count alike
    seed                of the first film vectors
    cpu_budget_seconds  start no epoch that would not end within so much processor time; 0 = no limit
    """

    factors: int = 128
    epochs: int = 10
    ridge: float = 14.0
    ridge_exponent: float = 1.0
    unobserved_weight: float = 0.5
    dislike_weight: float = 0.5
    rating_weight: float = 0.0
    seed: int = 1
    cpu_budget_seconds: float = 0.0


class AlsPredictor(Predictor):
    """Scores are x'y_i: x the visitor's vector, found by one linear solve from their history.

        x = (alpha_0 Y'Y + sum over liked j of w_j y_j y_j' + ridge_x I) ** -1  sum over liked j of w_j y_j

    (Hu, Koren and Volinsky, ICDM 2008, eq. 4, with the weights of Rendle et al., RecSys 2022.) w_j is
    the weight of a liked film; a disliked one is in the first sum only, with `dislike_weight`: known,
    and not liked. The same solve found every user of the training data.

    items   (n_items, d) float32, Y
    ridge   (1,) float64, lambda
    """

    name = "als"

    def __init__(
        self, items: np.ndarray, ridge: float, ids: IdMap, meta: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(ids, meta)
        chosen = read_options(AlsOptions, self.meta.get("config"))
        self.factors = ImplicitFactors(items, ridge, chosen.ridge_exponent, chosen.unobserved_weight)
        self.dislike_weight = chosen.dislike_weight
        self._gram = self.factors.gram()

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
        """Alternate. Raises TrainingError on empty data or an unusable option."""
        chosen = read_options(AlsOptions, options)
        _check(chosen)
        if len(train) == 0:
            raise TrainingError("there are no interactions to factorise")
        people, films = len(np.unique(train.users)), len(np.unique(train.items))
        started = time.process_time()

        def after_epoch(epoch: int) -> bool:
            progress(ProgressEvent(epoch / chosen.epochs, f"epoch {epoch} of {chosen.epochs}"))
            next_end = (time.process_time() - started) * (epoch + 1) / epoch
            return not chosen.cpu_budget_seconds or next_end <= chosen.cpu_budget_seconds

        factors = fit_implicit(
            _confidence(train, chosen.rating_weight),
            n_dims=chosen.factors,
            epochs=chosen.epochs,
            ridge=float(chosen.ridge / np.sqrt(max(people * films, SMALL))),
            ridge_exponent=chosen.ridge_exponent,
            unobserved_weight=chosen.unobserved_weight,
            seed=chosen.seed,
            after_epoch=after_epoch,
        )
        ids = IdMap(np.asarray(train.item_ids).tolist())
        return cls(factors.items, factors.ridge, ids, {"config": as_config(chosen)})

    def score_batch(self, queries: Sequence[Query]) -> np.ndarray:
        return self._vectors(queries) @ self.factors.items.T

    def reasons(self, query: Query, indices: Sequence[int]) -> list[tuple[Reason, ...]]:
        """The liked film that added most to each score; its weight is its share of all that was added.

        A score is a sum over the liked films: w_j y_i' A**-1 y_j, A the matrix of the solve (Hu, Koren
        and Volinsky 2008, eq. 7).
        """
        known = np.concatenate([query.liked, query.disliked])
        amounts = np.concatenate([query.weights, np.full(len(query.disliked), self.dislike_weight)])
        system = self._gram + self.factors.ridge_of(len(known)) * np.eye(len(self._gram), dtype=np.float32)
        system += (self.factors.items[known] * amounts[:, None].astype(np.float32)).T @ self.factors.items[
            known
        ]
        through = np.linalg.solve(system, self.factors.items[np.asarray(indices, dtype=np.int64)].T)
        added = (self.factors.items[query.liked] @ through) * query.weights[:, None]
        return strongest(added, query.liked, self.ids)

    def tensors(self) -> dict[str, np.ndarray]:
        return {"items": self.factors.items, "ridge": np.array([self.factors.ridge])}

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, np.ndarray], ids: IdMap, meta: dict[str, Any], directory: Path | None
    ) -> Self:
        items, ridge = tensors.get("items"), tensors.get("ridge")
        if items is None or items.ndim != 2 or len(items) != len(ids):
            raise ArtifactError(f"{directory}: expected the tensor items of shape ({len(ids)}, factors)")
        if ridge is None or ridge.shape != (1,) or not ridge[0] > 0:
            raise ArtifactError(f"{directory}: expected the tensor ridge, one number above 0")
        return cls(items, float(ridge[0]), ids, meta)

    def _vectors(self, queries: Sequence[Query]) -> np.ndarray:
        """(B, d) float32 vectors of visitors with these histories."""
        return self.factors.fold_in(as_matrix(queries, self.n_items, self.dislike_weight), self._gram)


def _check(options: AlsOptions) -> None:
    if options.factors < 1 or options.epochs < 1 or options.seed < 0:
        raise TrainingError("factors and epochs must be 1 or more, seed 0 or more")
    if options.ridge <= 0 or options.unobserved_weight <= 0 or not 0 <= options.ridge_exponent <= 1:
        raise TrainingError("ridge and unobserved_weight must be above 0, ridge_exponent between 0 and 1")
    if options.dislike_weight < 0 or not 0 <= options.rating_weight <= 1 or options.cpu_budget_seconds < 0:
        raise TrainingError(
            "dislike_weight and cpu_budget_seconds must be 0 or more, rating_weight between 0 and 1"
        )


def _confidence(train: Interactions, rating_weight: float) -> sparse.csr_matrix:
    """(n_users, n_items): what each meeting counts, in (0, 1]."""
    strength = np.where(np.isnan(train.values), IMPLICIT_STRENGTH, train.values / HIGHEST_RATING)
    if np.isnan(train.values).all():
        strength = np.ones(len(train))
    weights = ((1 - rating_weight) + rating_weight * strength).astype(np.float32)
    shape = (train.n_users, train.n_items)
    together = sparse.csr_matrix((weights, (train.users, train.items)), shape=shape)
    times = sparse.csr_matrix((np.ones(len(train), np.float32), (train.users, train.items)), shape=shape)
    together.data /= times.data  # someone who met a film twice: the mean
    return together
