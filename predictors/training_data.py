"""Training data: rows, validation rows, and the ids of users and items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from predictors.errors import TrainingError
from predictors.id_map import IdMap

if TYPE_CHECKING:
    from scipy import sparse

    from datasets.interactions import Interactions


@dataclass(frozen=True)
class TrainingData:
    """Rows of users and items in index space, with what belongs to them.

    train       rows to learn from; low ratings are among them only for models that learn from dislikes
    validation  rows of the same id spaces for early stopping and tuning, or None
    graph       folder of a knowledge graph over the same items, or an empty string
    """

    train: Interactions
    validation: Interactions | None = None
    graph: str = ""

    @cached_property
    def items(self) -> IdMap:
        """The catalogue ids behind the item indices. Raises TrainingError on unusable ids."""
        try:
            return IdMap(np.asarray(self.train.item_ids).tolist())
        except ValueError as error:
            raise TrainingError(f"item ids: {error}") from error

    @property
    def users(self) -> np.ndarray:
        """The ids behind the user indices."""
        return self.train.user_ids

    @property
    def n_users(self) -> int:
        return self.train.n_users

    @property
    def n_items(self) -> int:
        return self.train.n_items

    def matrix(self) -> sparse.csr_matrix:
        """Return the binary interaction matrix, (n_users, n_items) float32."""
        return self.train.csr()

    def check(self) -> None:
        """Raise TrainingError on empty rows, indices beyond the ids, or validation of other ids."""
        if len(self.train) == 0:
            raise TrainingError("there are no interactions to train on")
        _check_indices("training", self.train)
        if len(self.items) != self.train.n_items:
            raise TrainingError(f"{self.train.n_items} items have {len(self.items)} ids")
        if self.validation is not None:
            if (self.validation.n_users, self.validation.n_items) != (self.n_users, self.n_items):
                raise TrainingError("the validation rows have other users or items than the training rows")
            _check_indices("validation", self.validation)


def as_training_data(data: Any) -> TrainingData:
    """Return training data; rows alone are training data without validation."""
    return data if isinstance(data, TrainingData) else TrainingData(data)


def _check_indices(name: str, rows: Interactions) -> None:
    for what, indices, size in (("user", rows.users, rows.n_users), ("item", rows.items, rows.n_items)):
        if len(indices) and not (indices.min() >= 0 and indices.max() < size):
            raise TrainingError(f"the {name} rows name an unknown {what}: there are {size} ids")
