"""Tests that every model must pass, for models of this project and of other packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from predictors.run import Run, split_options
from predictors.training_data import TrainingData

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from predictors.base import Predictor

Kind = TypeVar("Kind", bound="Predictor")


def fit_model(
    kind: type[Kind],
    train: Interactions,
    validation: Interactions | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    run: Run | None = None,
) -> Kind:
    """Fit a model with options by name, as the command line does; `seed` and the like go to the run."""
    config, run, graph = split_options(kind, options, run)
    return kind.fit(TrainingData(train, validation, graph), config, run)
