"""The training loop of every network: it knows steps and batches, and nothing of the model it trains."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pytorch_models.training.checkpoints import (
    BEST,
    LAST,
    CheckpointError,
    load_weights,
    read_checkpoint,
    set_weights,
    write_checkpoint,
)

FINAL_LEARNING_RATE = 0.01  # of the highest one, where the cosine ends
REPORTS = 200  # progress is reported about so often in a run

Batches = Callable[[int], Iterator[Any]]
Report = Callable[[int, int, str, Mapping[str, float]], None]


@dataclass(frozen=True)
class TrainingConfig:
    """Configures a run.

    steps               optimiser steps in all
    learning_rate       the highest; reached after `warm_up` (share of steps), then a cosine down
    evaluate_every      steps between two validations
    patience            validations without a better one before stopping; 0 = never
    cpu_budget_seconds  stop when this process has spent so much on the run; 0 = no limit
    identity            what else makes the run what it is, as JSON; a resumed run must have the same
    """

    steps: int
    learning_rate: float = 2e-3
    warm_up: float = 0.05
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.98)
    clip_norm: float = 1.0
    evaluate_every: int = 1000
    patience: int = 0
    cpu_budget_seconds: float = 0.0
    seed: int = 1
    identity: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class TrainingState:
    """Holds where a run stands. `stopped`: steps (all done), patience, budget, or interrupted."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # of this epoch, the next one to train on
    best: float = -math.inf
    best_step: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    since_best: int = 0
    cpu_seconds: float = 0.0
    stopped: str = ""
    # step, cpu_seconds and metrics of each validation
    curve: list[dict[str, float]] = field(default_factory=list)


def learning_rate_at(step: int, config: TrainingConfig) -> float:
    """Return the rate of a step: linear warm-up, then a cosine down to its end (SGDR, eq. 5)."""
    rising = max(1, round(config.warm_up * config.steps))
    if step < rising:
        return config.learning_rate * (step + 1) / rising
    done = min(1.0, (step - rising) / max(1, config.steps - rising))
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * (FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine)


def train(
    model: nn.Module,
    batches: Batches,
    loss_of: Callable[[Any], torch.Tensor],
    config: TrainingConfig,
    *,
    device: torch.device,
    directory: Path,
    validate: Callable[[], Mapping[str, float]] | None = None,
    metric: str = "",
    report: Report = lambda step, total, message, metrics: None,
    should_stop: Callable[[], bool] = lambda: False,
    resume: bool = False,
) -> TrainingState:
    """Minimise `loss_of(batch)` with AdamW; leaves the best weights in `model` unless interrupted.

    batches(epoch) yields the batches of an epoch, the same ones whenever it is asked for that epoch.
    `validate` returns metrics by name, of which `metric` (higher is better) chooses the best weights;
    without a metric the last weights are the best. SIGINT, SIGTERM and `should_stop` end the run between two
    steps with `stopped == "interrupted"`; signals that the caller handles are left to the caller, who may
    raise from `report`. Either way `last` holds where the run stands. With `resume` a run continues from
    `last` in `directory`, when there is one, to the very weights of an uninterrupted run on the same machine.

    Raises CheckpointError when that checkpoint is damaged or of another configuration, and
    FloatingPointError when the loss is no longer finite.
    """
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    run = _Run(model, config, device, directory)
    if resume and (directory / LAST).exists():
        run.restore(directory / LAST)
    else:
        for stale in (LAST, BEST):
            (directory / stale).unlink(missing_ok=True)
    state = run.state
    state.stopped = ""
    stream = _from(batches, state)
    started = time.process_time() - state.cpu_seconds
    model.train()
    with _signals_as_flag() as signalled:
        while not state.stopped:
            if state.step < config.steps:
                run.step(loss_of, stream)
            state.cpu_seconds = time.process_time() - started
            over_budget = 0 < config.cpu_budget_seconds <= state.cpu_seconds
            if state.step % config.evaluate_every == 0 or state.step >= config.steps or over_budget:
                metrics = run.validate(validate, metric)
                state.cpu_seconds = time.process_time() - started
                run.save(LAST)
                report(state.step, config.steps, "validated" if validate else "training", metrics)
            elif state.step % max(1, config.steps // REPORTS) == 0:
                try:
                    report(state.step, config.steps, "training", {})
                except BaseException:  # how a caller stops from within: nothing of the run is lost
                    run.save(LAST)
                    raise
            state.stopped = run.reason_to_end(over_budget=over_budget)
            if not state.stopped and (signalled.is_set() or should_stop()):
                state.stopped = "interrupted"
                run.save(LAST)
    if state.stopped != "interrupted":
        load_weights(model, directory / BEST)
    model.eval()
    return state


class _Run:
    """Holds a model with all that must be saved and restored beside it."""

    def __init__(
        self, model: nn.Module, config: TrainingConfig, device: torch.device, directory: Path
    ) -> None:
        self.model, self.config, self.device, self.directory = model, config, device, directory
        self.state = TrainingState()
        self.optimiser = torch.optim.AdamW(
            model.parameters(),
            config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        # bfloat16 has the range of float32; float16, on older cards, has not and needs the scaler.
        self.amp = device.type == "cuda"
        self.half = torch.float16 if self.amp and not torch.cuda.is_bf16_supported() else torch.bfloat16
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.half is torch.float16)
        self._loss_sum, self._n_losses = torch.zeros((), device=device), 0

    def step(self, loss_of: Callable[[Any], torch.Tensor], stream: Iterator[Any]) -> None:
        """Take one optimiser step on the next batch."""
        batch = next(stream)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate_at(self.state.step, self.config)
        with torch.autocast(self.device.type, dtype=self.half, enabled=self.amp):
            loss = loss_of(batch)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self._loss_sum, self._n_losses = self._loss_sum + loss.detach(), self._n_losses + 1
        self.state.step += 1
        self.state.batch += 1

    def validate(
        self, validate: Callable[[], Mapping[str, float]] | None, metric: str
    ) -> Mapping[str, float]:
        """Validate, keep the weights if they are the best, and return the metrics with the mean loss."""
        state, metrics = self.state, {}
        if self._n_losses:
            metrics["loss"] = float(self._loss_sum) / self._n_losses
            self._loss_sum, self._n_losses = torch.zeros_like(self._loss_sum), 0
            if not math.isfinite(metrics["loss"]):
                raise FloatingPointError(f"the loss is {metrics['loss']} after {state.step} steps")
        if validate:
            self.model.eval()
            with torch.inference_mode():
                metrics |= validate()
            self.model.train()
        state.curve.append({"step": state.step, "cpu_seconds": round(state.cpu_seconds, 3), **metrics})
        value = metrics[metric] if metric else float(state.step)
        if value > state.best:
            state.best, state.best_step, state.since_best = value, state.step, 0
            state.best_metrics = dict(metrics)
            self.save(BEST, weights_only=True)
        else:
            state.since_best += 1
        return metrics

    def reason_to_end(self, *, over_budget: bool) -> str:
        """Return why the run ends after this step, or an empty string."""
        if self.state.step >= self.config.steps:
            return "steps"
        if 0 < self.config.patience <= self.state.since_best:
            return "patience"
        return "budget" if over_budget else ""

    def save(self, filename: str, *, weights_only: bool = False) -> None:
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        if not weights_only:
            for index, slots in self.optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in slots.items()}
            tensors["random.cpu"] = torch.get_rng_state()
            if self.device.type == "cuda":
                tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        header = {
            "config": json.dumps(asdict(self.config)),
            "state": json.dumps(asdict(self.state)),
            "scaler": json.dumps(self.scaler.state_dict()),
        }
        write_checkpoint(self.directory / filename, tensors, header)

    def restore(self, path: Path) -> None:
        header, tensors = read_checkpoint(path)
        saved, wanted = json.loads(header["config"]), json.loads(json.dumps(asdict(self.config)))
        # A longer budget or more patience may finish a run; anything else would be another run.
        free = ("cpu_budget_seconds", "patience")
        different = [name for name in wanted if name not in free and saved.get(name) != wanted[name]]
        if different:
            differences = ", ".join(
                f"{name} {saved.get(name)} there, {wanted[name]} now" for name in different
            )
            raise CheckpointError(f"{path} belongs to another run: {differences}")
        set_weights(self.model, tensors, path)
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, index, slot = name.split(".", 2)
                slots.setdefault(int(index), {})[slot] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": slots, "param_groups": groups})
        self.scaler.load_state_dict(json.loads(header["scaler"]))
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self.state = TrainingState(**json.loads(header["state"]))


def _from(batches: Batches, state: TrainingState) -> Iterator[Any]:
    """Yield batches from where the state stands, epoch after epoch. Raises ValueError on an empty epoch."""
    skip = state.batch
    while True:
        drawn = 0
        for batch in batches(state.epoch):
            drawn += 1
            if drawn > skip:
                yield batch
        if not drawn:
            raise ValueError("there are no batches to train on")
        skip = 0
        state.epoch, state.batch = state.epoch + 1, 0


@contextmanager
def _signals_as_flag() -> Iterator[threading.Event]:
    """Set a flag on SIGINT and SIGTERM instead of tearing a step apart, unless the caller handles them.

    Only a main thread can do this; in others the flag stays down.
    """
    flag = threading.Event()
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, lambda *_: flag.set())
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
