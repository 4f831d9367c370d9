"""Implicit ALS: factorisation of the interaction matrix; one linear solve folds a new user in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import sparse

from predictors.base import Saved
from predictors.config import Config
from predictors.epoch_loop import EpochLoop, process_errors
from predictors.errors import ArtifactError
from predictors.history import HIGHEST_RATING, IMPLICIT_STRENGTH
from predictors.history_features import as_matrix
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.inner_product import InnerProductPredictor
from predictors.models.mf.implicit_backend import fit_by_library
from predictors.models.mf.solver import ImplicitFactors, fit_implicit
from predictors.query import Query
from predictors.run import Run
from predictors.threads import one_blas_thread
from predictors.training_data import TrainingData

if TYPE_CHECKING:
    from datasets.interactions import Interactions


BACKENDS = {"native": fit_implicit, "implicit": fit_by_library}
SMALL = 1_000_000  # users * items below which the ridge would outweigh the data


@dataclass(frozen=True)
class AlsConfig(Config):
    """Configures the factorisation, its regularisation, and the confidence of each cell."""

    factors: int = 128  #: length of an item's vector
    epochs: int = 10  #: rounds over all users and all items
    ridge: float = 14.0  #: lambda * sqrt(users * items), one value for every size; below SMALL as at SMALL
    ridge_exponent: float = 1.0  #: nu: 1 = a row's ridge grows with its interactions, 0 = the same for all
    unobserved_weight: float = 0.5  #: alpha_0: confidence that an item without interaction is not liked
    dislike_weight: float = 0.5  #: confidence that a disliked item is not liked, against 1 for five stars
    rating_weight: float = 0.0  #: 1 = an interaction counts as its stars / 5, 0 = all count alike
    backend: str = "native"  #: of the fit: native, or implicit: the library, with one ridge for all rows

    def check(self) -> None:
        self.require(self.factors >= 1, "factors must be 1 or more")
        self.require(self.epochs >= 1, "epochs must be 1 or more")
        self.require(self.ridge > 0, "ridge must be above 0")
        self.require(self.unobserved_weight > 0, "unobserved_weight must be above 0")
        self.require(0 <= self.ridge_exponent <= 1, "ridge_exponent must be between 0 and 1")
        self.require(self.dislike_weight >= 0, "dislike_weight must be 0 or more")
        self.require(0 <= self.rating_weight <= 1, "rating_weight must be between 0 and 1")
        self.require(self.backend in BACKENDS, f"backend must be one of {', '.join(BACKENDS)}")


class AlsPredictor(InnerProductPredictor):
    """Scores items by x'y_i, where x is the user vector that one linear solve finds from a history.

        x = (alpha_0 Y'Y + sum over liked j of w_j y_j y_j' + ridge_x I) ** -1  sum over liked j of w_j y_j

    (Hu, Koren and Volinsky, ICDM 2008, eq. 4, with the weights of Rendle et al., RecSys 2022.) w_j is
    the weight of a liked item; a disliked one is in the first sum only, with `dislike_weight`: known,
    and not liked. The same solve found every user of the training data.

    items   (n_items, d) float32, Y
    ridge   (1,) float64, lambda
    """

    name = "als"
    label = "Implicit ALS"
    summary = "Taste as a vector, found from what you liked by one linear solve."
    paper = "implicit-als"
    config_class = AlsConfig
    trains_on_processes = True

    def __init__(self, items: np.ndarray, ridge: float, ids: IdMap, config: AlsConfig | None = None) -> None:
        super().__init__(ids, config)
        config = self.config
        self.factors = ImplicitFactors(items, ridge, config.ridge_exponent, config.unobserved_weight)
        self.dislike_weight = config.dislike_weight
        self._gram = self.factors.gram()

    @classmethod
    def _fit(cls, data: TrainingData, config: AlsConfig, run: Run) -> Self:
        """Alternate between users and items. Raises what `EpochLoop` and the backend raise."""
        train = data.train
        n_users, n_items = len(np.unique(train.users)), len(np.unique(train.items))
        with one_blas_thread(), process_errors():
            factors = BACKENDS[config.backend](
                _confidence(train, config.rating_weight),
                n_dims=config.factors,
                loop=EpochLoop.of_model(cls.name, config, train, run, config.epochs),
                ridge=float(config.ridge / np.sqrt(max(n_users * n_items, SMALL))),
                ridge_exponent=config.ridge_exponent,
                unobserved_weight=config.unobserved_weight,
                seed=run.seed,
            )
        return cls(factors.items, factors.ridge, data.items, config)

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return the exact parts of each score.

        A score is a sum over the liked items: w_j y_i' A**-1 y_j, A the matrix of the solve (Hu, Koren
        and Volinsky 2008, eq. 7).
        """
        known = np.concatenate([query.liked, query.disliked])
        amounts = np.concatenate([query.weights, np.full(len(query.disliked), self.dislike_weight)])
        system = self._gram + self.factors.ridge_of(len(known)) * np.eye(len(self._gram), dtype=np.float32)
        system += (self.factors.items[known] * amounts[:, None].astype(np.float32)).T @ self.factors.items[
            known
        ]
        through = np.linalg.solve(system, self.factors.items[targets].T)
        return Influences(query.liked, (self.factors.items[query.liked] @ through) * query.weights[:, None])

    def tensors(self) -> dict[str, np.ndarray]:
        return {"items": self.factors.items, "ridge": np.array([self.factors.ridge])}

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        items, ridge = saved.tensor("items", (len(saved.ids), None)), saved.tensor("ridge", (1,))
        if not ridge[0] > 0:
            raise ArtifactError(f"{saved.directory}: expected the tensor ridge, one number above 0")
        return cls(items, float(ridge[0]), saved.ids, saved.config)

    def item_vectors(self) -> np.ndarray:
        return self.factors.items

    def query_vectors(self, queries: Sequence[Query]) -> np.ndarray:
        """Solve for (B, d) float32 user vectors of these histories."""
        return self.factors.fold_in(as_matrix(queries, self.n_items, self.dislike_weight), self._gram)


def _confidence(train: Interactions, rating_weight: float) -> sparse.csr_matrix:
    """Return (n_users, n_items) float32 the confidence of each interaction, in (0, 1]."""
    strength = np.where(np.isnan(train.values), IMPLICIT_STRENGTH, train.values / HIGHEST_RATING)
    if np.isnan(train.values).all():
        strength = np.ones(len(train))
    weights = ((1 - rating_weight) + rating_weight * strength).astype(np.float32)
    shape = (train.n_users, train.n_items)
    confidence = sparse.csr_matrix((weights, (train.users, train.items)), shape=shape)
    times = sparse.csr_matrix((np.ones(len(train), np.float32), (train.users, train.items)), shape=shape)
    confidence.data /= times.data  # several interactions of one user with one item: the mean
    return confidence
