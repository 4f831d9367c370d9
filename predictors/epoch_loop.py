"""Runs the epochs of a model that is solved: checkpoints, reports, CPU budget.

Processes that train one model together go through the same epochs and end alike.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from predictors.config import Config
from predictors.durable_files import whole_file
from predictors.errors import TrainingError
from predictors.run import Run
from pytorch_models.training.process_group import ALONE, ProcessGroup, ProcessGroupError, current

if TYPE_CHECKING:
    from datasets.interactions import Interactions

FORMAT = 1  # of a checkpoint


class EpochLoop:
    """Yields the numbers of the epochs that are left, while the next one fits into the budget of the run.

        for epoch in loop:
            ...
            loop.end_epoch({"items": items})

    state  arrays by name after the last epoch that ended, here or before the run was resumed; {} at the start

    What a checkpoint holds is enough to go on to the same arrays. In a group the first process writes and
    reads it.
    """

    def __init__(
        self,
        total: int,
        run: Run | None = None,
        *,
        file: Path | None = None,
        identity: Mapping[str, Any] | None = None,
        group: ProcessGroup = ALONE,
    ) -> None:
        self.total, self.run, self.group = total, run or Run(), group
        self.state: dict[str, np.ndarray] = {}
        self._file, self._identity = file, dict(identity or {})
        self._n_done, self._spent_before, self._started = 0, 0.0, time.process_time()

    @classmethod
    def of_model(cls, name: str, config: Config, train: Interactions, run: Run, total: int) -> EpochLoop:
        """Return the loop of a model's fit, from its checkpoint where the run is resumed.

        Raises TrainingError where the checkpoint is damaged or of another fit, and ProcessGroupError where
        the processes of the group train different things.
        """
        group = current()
        file = run.checkpoint_dir / f"{name}.safetensors" if run.checkpoint_dir else None
        identity: dict[str, Any] = {}
        if file or group.size > 1:
            identity = {
                **config.as_dict(),
                "seed": run.seed,
                "data": train.fingerprint(),
                "total": total,
                "format": FORMAT,
            }
        group.check_same(identity)
        loop = cls(total, run, file=file, identity=identity, group=group)
        if group.from_first(run.resume and file is not None and file.exists()):
            loop._restore()
        return loop

    def __iter__(self) -> Iterator[int]:
        while self._n_done < self.total and not self.group.any(self._next_is_over_budget()):
            yield self._n_done + 1

    def end_epoch(self, state: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays of an epoch, the same in every process, and report it.

        Raises TrainingError where they are not finite or another process is to stop, and what a callback of
        the run raises.
        """
        self._n_done += 1
        self.state = dict(state)
        if self.group.any(not all(np.isfinite(array).all() for array in state.values())):
            raise TrainingError(f"the factors are not finite after epoch {self._n_done}: look at the values")
        if self._file and self.group.is_first:
            self._save(self._file)
        try:
            self.run.report_epoch(self._n_done, self.total)
        except BaseException:  # how a caller stops from within
            self.group.any(True)
            raise
        if self.group.any(False):
            raise TrainingError(f"training was stopped at epoch {self._n_done}; resume continues it")

    def _next_is_over_budget(self) -> bool:
        budget = self.run.cpu_budget_seconds
        return 0 < budget < self._spent() * (self._n_done + 1) / self._n_done if self._n_done else False

    def _spent(self) -> float:
        """Return CPU-seconds of this process, in the run that is resumed too."""
        return self._spent_before + time.process_time() - self._started

    def _save(self, file: Path) -> None:
        header = {
            "identity": json.dumps(self._identity),
            "epoch": str(self._n_done),
            "cpu_seconds": str(self._spent()),
        }
        arrays = {name: np.ascontiguousarray(array) for name, array in self.state.items()}
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as opened:
            opened.write(save(arrays, header))

    def _restore(self) -> None:
        problem, n_done, spent = "", 0, 0.0
        if self._file and self.group.is_first:
            try:
                with safe_open(self._file, framework="np") as opened:
                    header = opened.metadata() or {}
                    self.state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
                problem = self._difference(json.loads(header.get("identity", "{}")))
                if not problem:
                    n_done, spent = int(header["epoch"]), float(header["cpu_seconds"])
            except KeyError as error:
                problem = f"{self._file} cannot be read: its header has no {error}"
            except (OSError, ValueError, SafetensorError) as error:
                problem = f"{self._file} cannot be read: {error}"
        problem, n_done, spent, self.state = self.group.from_first((problem, n_done, spent, self.state))
        if problem:
            raise TrainingError(problem)
        self._n_done, self._spent_before = n_done, spent
        self.run.report_epoch(self._n_done, self.total)

    def _difference(self, saved: Mapping[str, Any]) -> str:
        """Return how the run of the checkpoint differs from this one, "" where it does not."""
        wanted = json.loads(json.dumps(self._identity))
        found = [
            f"{name} {saved.get(name)} there, {value} now"
            for name, value in wanted.items()
            if saved.get(name) != value
        ]
        return f"{self._file} belongs to another run: {', '.join(found)}" if found else ""


@contextmanager
def process_errors() -> Iterator[None]:
    """Turn a ProcessGroupError into a TrainingError."""
    try:
        yield
    except ProcessGroupError as error:
        raise TrainingError(str(error)) from error
