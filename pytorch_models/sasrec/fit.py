"""The fit of SASRec: from interactions to the weights of the best validation."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.interactions import Interactions
from pytorch_models.sasrec import loss
from pytorch_models.sasrec.batches import Batch, Windows
from pytorch_models.sasrec.network import Part, Sasrec, SasrecConfig
from pytorch_models.training import process_group
from pytorch_models.training.config import TrainingConfig, TrainingState
from pytorch_models.training.loop import ROWS_FROM, OnEpoch, Report, train

# Bounds on the epochs that stand for 0: MovieLens 100K gets 45, 1M 40, 20M 5. A batch is a 32nd of an epoch.
MIN_EPOCHS, MAX_EPOCHS = 5, 45
BATCHES_PER_EPOCH = 32
MIN_BATCH, MAX_BATCH = 256, 4096
VALIDATIONS = 30  # in a run, at most one per epoch

Score = Callable[[Sequence[np.ndarray], Sequence[np.ndarray] | None], np.ndarray]


@dataclass(frozen=True)
class SasrecFitConfig:
    """Configures a fit.

    epochs        passes over the histories; 0 = by size
    items_in_a_run  items of histories that a run by size reads, within MIN_EPOCHS and MAX_EPOCHS
    batch         items of histories per step; 0 = by size
    loss          softmax over the full catalogue, or sampled over `negatives` items per step
    schedule      length of the learning rate's curve against the run's
    ema_decay     of the running average of the weights that is kept; 0 = none
    patience      validations without a better one before stopping; 0 = never
    threads       of torch; 0 = as many as it takes by itself
    """

    epochs: int = 0
    items_in_a_run: int = 26_000_000
    batch: int = 0
    learning_rate: float = 2e-3
    schedule: float = 1.0
    weight_decay: float = 0.0
    loss: str = "softmax"
    negatives: int = 512
    ema_decay: float = 0.0
    patience: int = 8
    threads: int = 0
    cpu_budget_seconds: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class FittedSasrec:
    """Holds the best weights by name, float32, and the facts of the run."""

    weights: dict[str, np.ndarray]
    epochs: int
    batch: int
    device: str
    steps: int
    state: TrainingState


def available_device(name: str) -> str:
    """Return "cpu" or "cuda" for auto, cpu or cuda. Raises ValueError when cuda is not there."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ValueError("cuda was asked for, but there is no CUDA device")
    return "cuda" if there and name != "cpu" else "cpu"


def fit(
    train_on: Interactions,
    shape: Mapping[str, Any],
    config: SasrecFitConfig,
    *,
    validate: Callable[[Score], Mapping[str, float]] | None = None,
    metric: str = "NDCG@10",
    device: str = "cpu",
    directory: Path | None = None,
    report: Report = lambda step, total, message, metrics: None,
    on_epoch: OnEpoch = lambda epoch, total, metrics: None,
    resume: bool = False,
    gaps: np.ndarray | None = None,
) -> FittedSasrec:
    """Train on the histories of `train_on`; `shape` are the fields of SasrecConfig besides n_items.

    gaps (N,) int64 are the buckets, below the shape's n_gaps, of the time from each row of `train_on` to the
    user's next one. `validate` gets a function from histories, item indices (T,) oldest first and T >= 1, and
    their gaps or None to scores (B, n_items) float32 of the current weights. Raises ValueError where nobody
    has two items, and what `pytorch_models.training.loop.train` raises. Processes that have joined a
    group train one model together.
    """
    on = torch.device(device)
    max_length = int(shape["max_length"])
    per_epoch = Windows(train_on.items, train_on.indptr, max_length, 1, config.seed).tokens_per_epoch
    if not per_epoch:
        raise ValueError("no user has two or more items in the training data")
    epochs = config.epochs or int(np.clip(config.items_in_a_run // per_epoch, MIN_EPOCHS, MAX_EPOCHS))
    batch = config.batch or int(np.clip(per_epoch // BATCHES_PER_EPOCH, MIN_BATCH, MAX_BATCH))
    n_items = train_on.n_items
    windows = Windows(
        train_on.items,
        train_on.indptr,
        max_length,
        batch,
        config.seed,
        gaps,
        n_items,
        config.negatives if config.loss == "sampled" else 0,
    )
    group = process_group.current()
    steps_per_epoch = windows.batches_per_epoch()
    training = TrainingConfig(
        steps=epochs * steps_per_epoch,
        learning_rate=config.learning_rate,
        schedule=config.schedule,
        weight_decay=config.weight_decay,
        ema_decay=config.ema_decay,
        evaluate_every=steps_per_epoch * max(1, round(epochs / VALIDATIONS)),
        patience=config.patience,
        cpu_budget_seconds=config.cpu_budget_seconds,
        epochs=epochs,
        seed=config.seed,
        identity={
            **shape,
            "loss": config.loss,
            "negatives": config.negatives,
            "epochs": epochs,
            "batch": batch,
            "data": train_on.fingerprint(),
        },
    )
    with tempfile.TemporaryDirectory() as scratch, _torch_settings(config.threads):
        torch.manual_seed(config.seed)
        model = Sasrec(SasrecConfig(n_items, **shape)).to(on)
        dtype = loss.fastest_logits_dtype(on)

        def loss_of(whole: Batch) -> torch.Tensor:
            n, part, some = len(whole.targets), None, whole
            if group.size > 1:
                part, some = Part(group.part, len(whole.real)), whole.part(group.part)
            some = some.to(on)
            hidden = model(some.inputs, some.gaps, part)[some.real]  # (B, T, D) -> (N, D)
            if some.negatives is None:
                return loss.softmax_cross_entropy(hidden, model.item.weight, some.targets, dtype, n)
            return loss.sampled_cross_entropy(hidden, model.item.weight, some.targets, some.negatives, n)

        def rows_of(whole: Batch) -> dict[str, torch.Tensor]:
            items = whole.items() if n_items >= ROWS_FROM else None
            return {} if items is None else {"item.weight": items.to(on)}

        state = train(
            model,
            windows,
            loss_of,
            training,
            device=on,
            directory=directory or Path(scratch),
            validate=(lambda: validate(scorer(model, on))) if validate else None,
            metric=metric if validate else "",
            report=report,
            on_epoch=on_epoch,
            resume=resume,
            group=group,
            rows_of=rows_of,
        )
        weights = {name: tensor.float().cpu().numpy() for name, tensor in model.state_dict().items()}
    return FittedSasrec(weights, epochs, batch, on.type, training.steps, state)


def scorer(model: Sasrec, device: torch.device) -> Score:
    """Return a function from histories (T,) int64 and their gaps to scores (B, n_items) of the next item."""

    def padded(rows: Sequence[np.ndarray]) -> torch.Tensor:
        recent = [row[-model.config.max_length :] for row in rows]
        result = np.zeros((len(recent), max(map(len, recent))), dtype=np.int64)  # (B, T), padded behind
        for line, row in zip(result, recent, strict=True):
            line[: len(row)] = row
        return torch.from_numpy(result).to(device)

    def score(histories: Sequence[np.ndarray], gaps: Sequence[np.ndarray] | None = None) -> np.ndarray:
        encoded = model(padded(histories), None if gaps is None else padded(gaps))  # (B, T, D)
        last = [min(len(history), model.config.max_length) - 1 for history in histories]
        hidden = encoded[torch.arange(len(last), device=device), torch.tensor(last, device=device)]
        return (hidden @ model.item.weight.t()).float().cpu().numpy()  # (B, D) -> (B, n_items)

    return score


@contextmanager
def _torch_settings(threads: int) -> Iterator[None]:
    """Set the number of threads, and switch oneDNN off while the block runs.

    oneDNN keeps a compiled kernel for every shape it meets, and as no two batches have the same shape, a
    long run would fill gigabytes with them at no gain in speed.
    """
    before = torch.get_num_threads(), torch.backends.mkldnn.enabled
    if threads:
        torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.mkldnn.enabled = before[1]
