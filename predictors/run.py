"""The settings of a training run, for every model; the model is a `Config`, the rows are `TrainingData`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from predictors.config import Config
from predictors.devices import DEVICES, resolved
from predictors.errors import ConfigError
from predictors.progress import Progress, ProgressEvent, silent

if TYPE_CHECKING:
    from predictors.base import Predictor

STAGES = ("single", "select", "refit")
RUN_OPTIONS = ("seed", "device", "cpu_budget_seconds")  # offered to every model beside its own options


class Hook:
    """Callbacks of a training, for loggers such as TensorBoard or MLflow. Override what is of use.

    No hook needs to know the model: figures come by name, predictors rank as they always do.
    """

    observes: bool = False  #: whether `observe` measures anything

    def __init_subclass__(cls) -> None:
        cls.observes = cls.observe is not Hook.observe

    def on_step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Called from time to time while an iterative model trains, with its latest figures."""

    def on_epoch(self, epoch: int, total: int, metrics: Mapping[str, float]) -> None:
        """Called after each pass over the data, with the figures of the validation where there was one."""

    def observe(self, predictor: Predictor) -> Mapping[str, float]:
        """Measure a predictor that is still training; the figures join those of the validation."""
        return {}

    def report(self, event: ProgressEvent) -> None:
        """Called with every progress event, whatever the model."""


@dataclass(frozen=True)
class Run(Config):
    """Settings of one training that do not change what is learned on purpose, except for the seed."""

    seed: int = 1  #: of everything that is drawn at random
    device: str = "auto"  #: auto, cpu or cuda; models without a GPU path stay on the CPU
    cpu_budget_seconds: float = 0.0  #: start no step or epoch that would end after it; 0 = no limit
    stage: str = "single"  #: single fit; select: a refit follows; refit: on all rows, nothing is chosen
    resume: bool = False  #: continue from the checkpoint folder
    checkpoint_dir: Path | None = None  #: where to keep checkpoints; None = nowhere
    progress: Progress = silent  #: called with every progress event
    hooks: tuple[Hook, ...] = ()  #: further callbacks

    def check(self) -> None:
        self.require(self.seed >= 0, "seed must be 0 or more")
        self.require(self.cpu_budget_seconds >= 0, "cpu_budget_seconds must be 0 or more")
        self.require(self.stage in STAGES, f"stage must be one of {', '.join(STAGES)}")
        self.require(self.device in DEVICES, f"option device: {self.device!r} is not {', '.join(DEVICES)}")
        self.require(
            not self.resume or self.checkpoint_dir is not None,
            "resume needs the checkpoint_dir of the run to continue",
        )

    def with_options(self, given: Mapping[str, Any]) -> Self:
        """Return this run with those of RUN_OPTIONS that are given. Raises ConfigError as `Config` does."""
        chosen = {name: value for name, value in given.items() if name in RUN_OPTIONS}
        return replace(self, **chosen)

    def recorded(self) -> dict[str, Any]:
        """Return what an artifact keeps of its run."""
        return {name: getattr(self, name) for name in RUN_OPTIONS}

    @property
    def torch_device(self) -> str:
        """Return "cpu" or "cuda"."""
        return resolved(self.device)

    @property
    def has_observers(self) -> bool:
        """Return whether a hook measures the predictor while it trains."""
        return any(hook.observes for hook in self.hooks)

    def observe(self, predictor: Predictor) -> dict[str, float]:
        """Return the figures of all hooks for a predictor in training."""
        return {name: value for hook in self.hooks for name, value in hook.observe(predictor).items()}

    def report(self, done: float, message: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """Tell the progress callback and every hook that a share `done` (0 to 1) of the work is done."""
        event = ProgressEvent(done, message, metrics or {})
        self.progress(event)
        for hook in self.hooks:
            hook.report(event)

    def report_step(self, step: int, total: int, message: str, metrics: Mapping[str, float]) -> None:
        """Report a step of an iterative training."""
        self.report(step / total, message, metrics)
        for hook in self.hooks:
            hook.on_step(step, total, metrics)

    def report_epoch(self, epoch: int, total: int, metrics: Mapping[str, float] | None = None) -> None:
        """Report a finished pass over the data."""
        self.report(epoch / total, f"epoch {epoch} of {total}", metrics)
        self.end_epoch(epoch, total, metrics or {})

    def end_epoch(self, epoch: int, total: int, metrics: Mapping[str, float]) -> None:
        """Tell the hooks that an epoch ended, where its progress was reported by step."""
        for hook in self.hooks:
            hook.on_epoch(epoch, total, metrics)

    def part(self, start: float, end: float, name: str = "", *, watched: bool = True) -> Self:
        """Return a run whose progress fills the part of this one from `start` to `end`.

        Where it is not `watched`, hooks see its progress only: the members of a blend, for one.
        """

        def progress(event: ProgressEvent) -> None:
            message = ": ".join(text for text in (name, event.message) if text)
            self.report(start + (end - start) * min(max(event.done, 0.0), 1.0), message, event.metrics)

        return replace(self, progress=progress, hooks=(_Part(self.hooks),) if watched else ())


class _Part(Hook):
    """Passes on everything but progress, which reaches the hooks scaled to all of the work."""

    def __init__(self, hooks: tuple[Hook, ...]) -> None:
        self.hooks = hooks
        self.observes = any(hook.observes for hook in hooks)

    def on_step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        for hook in self.hooks:
            hook.on_step(step, total, metrics)

    def on_epoch(self, epoch: int, total: int, metrics: Mapping[str, float]) -> None:
        for hook in self.hooks:
            hook.on_epoch(epoch, total, metrics)

    def observe(self, predictor: Predictor) -> Mapping[str, float]:
        return {name: value for hook in self.hooks for name, value in hook.observe(predictor).items()}


def split_options(
    kind: type[Predictor], given: Mapping[str, Any] | None, run: Run | None = None
) -> tuple[Config, Run, str]:
    """Split options by name into the model's configuration, the run, and the folder of a knowledge graph.

    `graph` names the folder for models that want one; RUN_OPTIONS go to the run, everything else to the
    configuration. Raises ConfigError on a name that is none of these.
    """
    values = dict(given or {})
    run = (run or Run()).with_options(values)
    graph = ""
    if kind.wants_knowledge_graph:
        graph = values.pop("graph", "")
        if not isinstance(graph, str | Path):
            raise ConfigError(f"option graph: {graph!r} is not a folder")
    own = {name: value for name, value in values.items() if name not in RUN_OPTIONS}
    return kind.config_class.read(own), run, str(graph)
