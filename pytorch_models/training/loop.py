"""The training loop of every network: it knows steps and batches, and nothing of the model it trains."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pytorch_models.training.checkpoints import (
    BEST,
    LAST,
    CheckpointError,
    load_weights,
    read_first,
    set_weights,
    write_checkpoint,
)
from pytorch_models.training.config import TrainingConfig, TrainingState, learning_rate_at
from pytorch_models.training.process_group import ALONE, ProcessGroup
from pytorch_models.training.signals import signals_as_flag

REPORTS = 200  # progress is reported about so often in a run
# Rows of a table from which those that a batch touches are worth finding: to exchange or to write them alone.
ROWS_FROM = 100_000

Batches = Callable[[int], Iterator[Any]]
RowsOf = Callable[[Any], Mapping[str, torch.Tensor]]
Report = Callable[[int, int, str, Mapping[str, float]], None]
OnEpoch = Callable[[int, int, Mapping[str, float]], None]


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
    on_epoch: OnEpoch = lambda epoch, total, metrics: None,
    should_stop: Callable[[], bool] = lambda: False,
    resume: bool = False,
    group: ProcessGroup = ALONE,
    rows_of: RowsOf = lambda batch: {},
    lazy: Collection[str] = (),
) -> TrainingState:
    """Minimise `loss_of(batch)` with AdamW; leaves the best weights in `model` unless interrupted.

    Parameters named in `lazy` have sparse gradients, are in `rows_of` of every batch, and are trained by lazy
    Adam (torch.optim.SparseAdam), which writes only the rows that have a gradient, without weight decay. It
    has no momentum: Adam spreads a gradient over the following steps, in which these rows are not written.

    batches(epoch) yields the batches of an epoch, the same ones whenever it is asked for that epoch.
    `validate` returns metrics by name, of which `metric` (higher is better) chooses the best weights;
    without a metric the last weights are the best. `report` is called after each epoch and validation and
    some REPORTS times in between, `on_epoch` after each epoch where `epochs` are known, both with the latest
    figures. SIGINT, SIGTERM and `should_stop` end the run between two steps with `stopped == "interrupted"`;
    signals that the caller handles are left to the caller, who may raise from `report`. Either way `last`
    holds where the run stands. With `resume` a run continues from `last` in `directory`, when there is one,
    to the very weights of an uninterrupted run on the same machine.

    In a group of several processes, each of which calls this with its part of every batch, the loss of a step
    is the sum of what `loss_of` returns in each: a part returns its share of the whole batch's mean. All
    draw the same random numbers. The first process validates, and alone writes and reads `directory`. A run
    ends in all of them alike: when one is to stop, its `report` raises, its budget is spent, or the loss is
    no longer finite. `rows_of(batch)` names parameters of which the whole batch has a gradient in some rows
    only, int64 indices, ascending and the same in every process: only these are then exchanged.

    Raises ValueError when gradients of `lazy` parameters are to be clipped, CheckpointError when that
    checkpoint is damaged or of another configuration, FloatingPointError when the loss is no longer finite,
    and ProcessGroupError when another process ended, cannot be reached, or was started with another
    configuration or other data.
    """
    if lazy and math.isfinite(config.clip_norm):
        raise ValueError(
            f"clip_norm is {config.clip_norm}, but the sparse gradients of {', '.join(sorted(lazy))} "
            "cannot be clipped; set it to math.inf"
        )
    group.check_same(asdict(config))
    torch.manual_seed(config.seed)
    run = _Run(model, config, device, directory, group=group, lazy=lazy)
    if group.from_first(resume and (directory / LAST).exists()):
        run.restore(directory / LAST)
    else:
        run.begin()
    state = run.state
    state.stopped = ""
    stream = _from(batches, state)
    started = time.process_time() - state.cpu_seconds
    model.train()
    with signals_as_flag() as signalled:
        while not state.stopped:
            epoch_ended = (
                state.step < config.steps and run.step(loss_of, stream, rows_of) and config.epochs > 0
            )
            state.cpu_seconds = time.process_time() - started
            over_budget = config.cpu_budget_seconds > 0 and group.any(
                state.cpu_seconds >= config.cpu_budget_seconds
            )
            is_last = state.step >= config.steps
            metrics: Mapping[str, float] = {}
            validated = state.step % config.evaluate_every == 0 or is_last or over_budget
            if validated:
                metrics = run.validate(validate, metric)
                state.cpu_seconds = time.process_time() - started
                run.save(LAST)
            elif epoch_ended:
                metrics = run.mean_loss()
            if validated or epoch_ended or state.step % max(1, config.steps // REPORTS) == 0:
                try:
                    report(state.step, config.steps, run.message(ended=epoch_ended), metrics)
                    if epoch_ended:
                        on_epoch(state.epoch + 1, math.ceil(config.epochs), metrics)
                except BaseException:  # how a caller stops from within: nothing of the run is lost
                    if not validated:
                        run.save(LAST)
                    group.any(True)
                    raise
            state.stopped = run.reason_to_end(over_budget=over_budget)
            if group.any(not state.stopped and (signalled.is_set() or should_stop())):
                state.stopped = "interrupted"
                run.save(LAST)
    if state.stopped != "interrupted":
        load_weights(model, directory / BEST, group)
    model.eval()
    return state


class _Run:
    """Holds a model with all that must be saved and restored beside it."""

    def __init__(
        self,
        model: nn.Module,
        config: TrainingConfig,
        device: torch.device,
        directory: Path,
        *,
        group: ProcessGroup,
        lazy: Collection[str],
    ) -> None:
        self.model, self.config, self.device, self.directory = model, config, device, directory
        self.group = group
        self.state = TrainingState()
        named = dict(model.named_parameters())
        dense = [parameter for name, parameter in named.items() if name not in lazy]
        sparse = [parameter for name, parameter in named.items() if name in lazy]
        rate, betas = config.learning_rate, config.betas
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        if dense:
            self.optimisers["optimiser"] = torch.optim.AdamW(
                dense, rate, betas=betas, weight_decay=config.weight_decay, fused=True
            )
        if sparse:
            self.optimisers["lazy"] = torch.optim.SparseAdam(sparse, rate, betas=(0.0, betas[1]))
        # bfloat16 has the range of float32; float16, on older cards, has not and needs the scaler.
        self.amp = device.type == "cuda"
        self.half = torch.float16 if self.amp and not torch.cuda.is_bf16_supported() else torch.bfloat16
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.half is torch.float16)
        self._loss_sum, self._n_losses = torch.zeros((), device=device), 0
        self.average = [p.detach().clone() for p in model.parameters()] if config.ema_decay else []

    def begin(self) -> None:
        """Begin a new run, from the weights of the first process."""
        if self.group.is_first:
            self.directory.mkdir(parents=True, exist_ok=True)
            for stale in (LAST, BEST):
                (self.directory / stale).unlink(missing_ok=True)
        self.group.copy_first([*self.model.state_dict().values(), *self.average])

    def step(
        self,
        loss_of: Callable[[Any], torch.Tensor],
        stream: Iterator[tuple[Any, bool]],
        rows_of: RowsOf,
    ) -> bool:
        """Take one optimiser step on the next batch; return whether it was the last of its epoch."""
        batch, ends_epoch = next(stream)
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate_at(self.state.step, self.config)
        with torch.autocast(self.device.type, dtype=self.half, enabled=self.amp):
            loss = loss_of(batch)
        self.scaler.scale(loss).backward()
        loss = loss.detach()
        if self.group.size > 1:
            loss = loss.clone()
            self._add_up_gradients(loss, rows_of(batch))
        for optimiser in self.optimisers.values():
            self.scaler.unscale_(optimiser)
        if math.isfinite(self.config.clip_norm):
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        for optimiser in self.optimisers.values():
            self.scaler.step(optimiser)
        self.scaler.update()
        self._loss_sum, self._n_losses = self._loss_sum + loss, self._n_losses + 1
        self.state.step += 1
        self.state.batch += 1
        if self.average:
            # A young average follows the weights closely, else the start would weigh on it for long.
            decay = min(self.config.ema_decay, self.state.step / (self.state.step + 9))
            torch._foreach_lerp_(self.average, [p.detach() for p in self.model.parameters()], 1 - decay)
        return ends_epoch

    def _add_up_gradients(self, loss: torch.Tensor, touched: Mapping[str, torch.Tensor]) -> None:
        """Replace the gradients and the loss of this process's part by those of the whole batch."""
        summed, by_rows = [loss], []
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad:
                continue
            rows, gradient = touched.get(name), parameter.grad
            if gradient is None:
                gradient = parameter.grad = torch.zeros_like(parameter)
            if rows is None:
                summed.append(gradient)
                continue
            if gradient.is_sparse:
                gradient = gradient.coalesce()
                values = gradient.values().new_zeros((len(rows), *parameter.shape[1:]))
                values[torch.searchsorted(rows, gradient.indices()[0])] = gradient.values()
            else:
                values = gradient[rows]
            summed.append(values)
            by_rows.append((parameter, gradient, rows, values))
        self.group.add_up(summed)
        for parameter, gradient, rows, values in by_rows:
            if gradient.is_sparse:
                parameter.grad = torch.sparse_coo_tensor(
                    rows[None], values, parameter.shape, is_coalesced=True, check_invariants=False
                )
            else:
                gradient[rows] = values

    def message(self, *, ended: bool) -> str:
        """Return how far the run is: the number of epochs that are done, or of steps."""
        if not self.config.epochs:
            return f"step {self.state.step:,} of {self.config.steps:,}"
        return f"epoch {self.state.epoch + ended} of {math.ceil(self.config.epochs)}"

    def mean_loss(self) -> dict[str, float]:
        """Return the mean loss since the last validation."""
        return {"loss": float(self._loss_sum) / self._n_losses} if self._n_losses else {}

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Put the running average into the model while the block runs, if there is one."""
        parameters = [p.data for p in self.model.parameters()]
        kept = [p.clone() for p in parameters] if self.average else []
        if self.average:
            torch._foreach_copy_(parameters, self.average)
        try:
            yield
        finally:
            if kept:
                torch._foreach_copy_(parameters, kept)

    def validate(
        self, validate: Callable[[], Mapping[str, float]] | None, metric: str
    ) -> Mapping[str, float]:
        """Validate, keep the weights if they are the best, and return the metrics with the mean loss.

        The first process validates for all of them.
        """
        state, metrics = self.state, self.mean_loss()
        self._loss_sum, self._n_losses = torch.zeros_like(self._loss_sum), 0
        if not math.isfinite(metrics.get("loss", 0.0)):
            raise FloatingPointError(f"the loss is {metrics['loss']} after {state.step} steps")
        with self.averaged_weights():
            if validate and self.group.is_first:
                self.model.eval()
                with torch.inference_mode():
                    metrics |= validate()
                self.model.train()
            metrics = self.group.from_first(metrics)
            state.curve.append({"step": state.step, "cpu_seconds": round(state.cpu_seconds, 3), **metrics})
            value = metrics[metric] if validate and metric else float(state.step)
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
        """Write a checkpoint; the first process does, for all of them."""
        if not self.group.is_first:
            return
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        if not weights_only:
            for kind, optimiser in self.optimisers.items():
                for index, slots in optimiser.state_dict()["state"].items():
                    tensors |= {f"{kind}.{index}.{slot}": torch.as_tensor(v) for slot, v in slots.items()}
            tensors |= {f"average.{index}": tensor for index, tensor in enumerate(self.average)}
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
        """Continue from a checkpoint. Raises CheckpointError when it is damaged or of another run."""
        header, tensors = read_first(path, self.group)
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
        for kind, optimiser in self.optimisers.items():
            slots: dict[int, dict[str, Any]] = {}
            for name, tensor in tensors.items():
                if name.startswith(f"{kind}."):
                    _, index, slot = name.split(".", 2)
                    is_count = slot == "step" and kind == "lazy"  # a number there, a tensor in AdamW
                    slots.setdefault(int(index), {})[slot] = int(tensor) if is_count else tensor
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": slots, "param_groups": groups})
        self.scaler.load_state_dict(json.loads(header["scaler"]))
        for number, average in enumerate(self.average):
            average.copy_(tensors[f"average.{number}"])
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self.state = TrainingState(**json.loads(header["state"]))


def _from(batches: Batches, state: TrainingState) -> Iterator[tuple[Any, bool]]:
    """Yield each batch from where the state stands, and whether it is the last of its epoch.

    Raises ValueError on an empty epoch.
    """
    skip = state.batch
    while True:
        n_batches = 0
        waiting: list[Any] = []
        for batch in batches(state.epoch):
            n_batches += 1
            if n_batches > skip:
                if waiting:
                    yield waiting.pop(), False
                waiting.append(batch)
        if not n_batches:
            raise ValueError("there are no batches to train on")
        if waiting:
            yield waiting.pop(), True
        skip = 0
        state.epoch, state.batch = state.epoch + 1, 0
