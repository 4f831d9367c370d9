"""Matrix factorisation with a sampled softmax: trained by torch at any size, a user is folded in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors.base import Saved
from predictors.config import Config
from predictors.errors import TrainingError
from predictors.id_map import IdMap
from predictors.influences import Influences
from predictors.inner_product import InnerProductPredictor
from predictors.query import Query
from predictors.run import Run
from predictors.training_data import TrainingData
from predictors.validation import METRIC, Validator

if TYPE_CHECKING:
    from pytorch_models.mf_softmax.fit import FittedFactors

VALIDATION_USERS = 2000


@dataclass(frozen=True)
class MfSoftmaxConfig(Config):
    """Configures training (see pytorch_models.mf_softmax) and how a user is folded in."""

    dim: int = 64  #: length of an item's vector
    epochs: int = 20  #: passes over the interactions
    batch_size: int = 4096  #: interactions of a step: entire users
    learning_rate: float = 0.01  #: of AdamW, the highest
    l2: float = 0.1  #: weight of the squared length of the vectors of an interaction
    negatives: int = 1024  #: items drawn per step
    sampling_exponent: float = 0.75  #: of an item's count, in the probability of drawing it; 0 = all alike
    evaluate_every: int = 5  #: epochs between two validations
    patience: int = 3  #: validations without a better one before stopping; 0 = never
    fold_in_ridge: float = 0.1  #: in the fold-in, beside l2, divided by the weight of the history

    def check(self) -> None:
        for name in ("dim", "epochs", "batch_size", "negatives", "evaluate_every"):
            self.require(getattr(self, name) >= 1, f"{name} must be 1 or more")
        for name in ("sampling_exponent", "patience", "fold_in_ridge"):
            self.require(getattr(self, name) >= 0, f"{name} must be 0 or more")
        self.require(self.l2 > 0, "l2 must be above 0")
        self.require(self.learning_rate > 0, "learning_rate must be above 0")


_FIT = (
    "dim", "epochs", "batch_size", "learning_rate", "l2", "negatives", "sampling_exponent", "evaluate_every",
    "patience",
)  # fmt: skip


class MfSoftmaxPredictor(InnerProductPredictor):
    """Scores items by x.y_i + b_i, where x is the user's vector, found from a history.

    Training finds vectors by the sampled softmax (pytorch_models.mf_softmax.network). A user is folded in by
    one Newton step, from x = 0, of the full softmax over the catalogue with its ridge:

        x = (C + (l2 + fold_in_ridge / w) I) ** -1 (mean of the liked y - m)

    m and C are mean and covariance of the items' vectors where each is chosen with the probability
    softmax(b), that is by somebody of whom nothing is known; w is the summed weight of the liked items, by
    which their mean is weighted too. Scores are sums over the history.

    items   (n_items, d) float32, Y
    biases  (n_items,) float32, b
    """

    name = "mf_softmax"
    label = "Softmax factorisation"
    summary = "Taste as a vector, learned from films drawn at random: for catalogues of any size."
    config_class = MfSoftmaxConfig
    can_be_observed = True
    trains_on_processes = True

    def __init__(
        self, items: np.ndarray, biases: np.ndarray, ids: IdMap, config: MfSoftmaxConfig | None = None
    ) -> None:
        super().__init__(ids, config)
        self.items, self.biases = items, biases
        chosen = np.exp(biases - biases.max(), dtype=np.float64)
        chosen /= chosen.sum()
        self._mean = chosen @ items
        covariance = (items * chosen[:, None]).T @ items - np.outer(self._mean, self._mean)
        self._variances, self._axes = np.linalg.eigh(covariance)

    @classmethod
    def _fit(cls, data: TrainingData, config: MfSoftmaxConfig, run: Run) -> Self:
        """Train and keep the tables of the best validation NDCG@10, the last ones without validation rows."""
        from pytorch_models.mf_softmax.fit import SoftmaxFactorsFitConfig, fit
        from pytorch_models.training.checkpoints import CheckpointError
        from pytorch_models.training.process_group import ProcessGroupError

        validator = Validator.from_rows(
            data.train, data.validation, max_users=VALIDATION_USERS, seed=run.seed, in_order=False
        )

        def validate(fitted: FittedFactors) -> dict[str, float]:
            predictor = cls(fitted.items, fitted.biases, data.items, config)
            return {**(validator.measure(predictor) if validator else {}), **run.observe(predictor)}

        try:
            fitted, state = fit(
                data.train,
                SoftmaxFactorsFitConfig(
                    **{name: getattr(config, name) for name in _FIT},
                    cpu_budget_seconds=run.cpu_budget_seconds,
                    seed=run.seed,
                ),
                validate=validate if validator or run.has_observers else None,
                metric=METRIC if validator else "",
                device=run.torch_device,
                directory=run.checkpoint_dir,
                report=run.report_step,
                on_epoch=run.end_epoch,
                resume=run.resume,
            )
        except (ValueError, FloatingPointError, CheckpointError, ProcessGroupError) as error:
            raise TrainingError(str(error)) from error
        if state.stopped == "interrupted":
            raise TrainingError(f"training was stopped at step {state.step:,}; resume continues it")
        predictor = cls(fitted.items, fitted.biases, data.items, config)
        predictor.meta["training"] = state.facts()
        return predictor

    def query_vectors(self, queries: Sequence[Query]) -> np.ndarray:
        """Return (B, d + 1) float32: x and 1 of each query; x is zero for a history without liked items."""
        vectors = np.zeros((len(queries), self.items.shape[1] + 1), dtype=np.float32)
        vectors[:, -1] = 1
        for row, query in zip(vectors, queries, strict=True):
            if len(query.liked):
                weight = query.weights.sum()
                mean = query.weights @ self.items[query.liked] / weight
                row[:-1] = self._solved(mean - self._mean, weight)
        return vectors

    def item_vectors(self) -> np.ndarray:
        """Return (n_items, d + 1) float32: y_i and b_i of each item."""
        return np.column_stack([self.items, self.biases])

    def _products(self, vectors: np.ndarray, items: np.ndarray | slice) -> np.ndarray:
        return vectors[:, :-1] @ self.items[items].T + self.biases[items]

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return the exact parts of each score: the fold-in is a sum over the liked items."""
        if not len(query.liked):
            return Influences(query.liked, np.zeros((0, len(targets)), np.float32))
        shares = query.weights / query.weights.sum()
        through = self._solved(self.items[query.liked] - self._mean, query.weights.sum())
        return Influences(query.liked, (through @ self.items[targets].T) * shares[:, None])

    def tensors(self) -> dict[str, np.ndarray]:
        return {"items": self.items, "biases": self.biases}

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        items = saved.tensor("items", (len(saved.ids), None))
        return cls(items, saved.tensor("biases", (len(saved.ids),)), saved.ids, saved.config)

    def _solved(self, above: np.ndarray, weight: Any) -> np.ndarray:
        """Return (C + (l2 + fold_in_ridge / weight) I) ** -1 applied to vectors (..., d)."""
        ridge = self.config.l2 + self.config.fold_in_ridge / weight
        return (above @ self._axes / (self._variances + ridge)) @ self._axes.T
