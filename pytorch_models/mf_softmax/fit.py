"""The fit of the factorisation with a sampled softmax: from interactions to the best tables."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from datasets.interactions import Interactions
from datasets.negatives import Positives
from pytorch_models.mf_softmax.batches import Batch, Batches
from pytorch_models.mf_softmax.network import SoftmaxFactors
from pytorch_models.training import process_group
from pytorch_models.training.config import TrainingConfig, TrainingState, identity_of
from pytorch_models.training.loop import ROWS_FROM, OnEpoch, Report, train


@dataclass(frozen=True)
class SoftmaxFactorsFitConfig:
    """Configures a fit.

    batch_size         pairs per step: as many entire users as have so many
    negatives          items drawn per step, with repetitions
    sampling_exponent  of an item's count, in the probability of drawing it; 0 = all alike
    l2                 multiplies half the squared lengths of both vectors of a pair
    evaluate_every     epochs between two validations
    patience           validations without a better one before stopping; 0 = never
    """

    dim: int
    epochs: int
    batch_size: int
    learning_rate: float
    l2: float
    negatives: int
    sampling_exponent: float
    evaluate_every: int
    patience: int
    cpu_budget_seconds: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class FittedFactors:
    """Holds float32 tables: users (n_users, dim), items (n_items, dim), biases (n_items,)."""

    users: np.ndarray
    items: np.ndarray
    biases: np.ndarray


def fit(
    train_on: Interactions,
    config: SoftmaxFactorsFitConfig,
    *,
    validate: Callable[[FittedFactors], Mapping[str, float]] | None = None,
    metric: str = "",
    device: str = "cpu",
    directory: Path | None = None,
    report: Report = lambda step, total, message, metrics: None,
    on_epoch: OnEpoch = lambda epoch, total, metrics: None,
    resume: bool = False,
) -> tuple[FittedFactors, TrainingState]:
    """Fit on the pairs of the training rows, each once; return the best tables and where the run ended.

    `validate` gets the current tables. Processes that have joined a group train one model together. Raises
    ValueError where no user can be trained on, and what `pytorch_models.training.loop.train` raises.
    """
    on, group = torch.device(device), process_group.current()
    positives = Positives(train_on.n_users, train_on.n_items, (train_on.users, train_on.items))
    counts = np.bincount(positives.keys % train_on.n_items, minlength=train_on.n_items) + 1.0
    shares = counts**config.sampling_exponent / (counts**config.sampling_exponent).sum()
    batches = Batches(positives, shares, size=config.batch_size, n_drawn=config.negatives, seed=config.seed)
    model = SoftmaxFactors(
        train_on.n_users,
        config.dim,
        torch.from_numpy(counts / counts.sum()),
        torch.Generator().manual_seed(config.seed),
        ROWS_FROM,
    ).to(on)
    log_expected = torch.from_numpy(np.log(config.negatives * shares)).float().to(on)

    def loss_of(batch: Batch) -> torch.Tensor:
        part = batch if group.size == 1 else batch.part(group.part)
        return model.loss(part.to(on), log_expected, config.l2)

    def rows_of(batch: Batch) -> dict[str, torch.Tensor]:
        touched = batch.touched()
        touched["biases"] = touched["items"]
        return {name: touched[name].to(on) for name in model.lazy}

    def fitted() -> FittedFactors:
        return FittedFactors(
            **{name: table.detach().float().cpu().numpy() for name, table in model.named_parameters()}
        )

    steps = batches.steps_per_epoch
    with tempfile.TemporaryDirectory() as scratch:
        state = train(
            model,
            batches,
            loss_of,
            TrainingConfig(
                steps=config.epochs * steps,
                learning_rate=config.learning_rate,
                betas=(0.9, 0.999),
                clip_norm=math.inf,
                evaluate_every=config.evaluate_every * steps,
                patience=config.patience if metric else 0,
                cpu_budget_seconds=config.cpu_budget_seconds,
                epochs=config.epochs,
                seed=config.seed,
                identity=identity_of(config)
                | {"data": train_on.fingerprint()}
                | ({"lazy": sorted(model.lazy)} if model.lazy else {}),
            ),
            device=on,
            directory=directory or Path(scratch),
            validate=(lambda: validate(fitted())) if validate else None,
            metric=metric,
            report=report,
            on_epoch=on_epoch,
            resume=resume,
            group=group,
            rows_of=rows_of,
            lazy=model.lazy,
        )
    return fitted(), state
