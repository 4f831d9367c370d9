"""Experiment trackers that follow a training: TensorBoard and MLflow, both optional.

Nothing is imported before a tracker is asked for. `pip install -r requirements-tracking.txt` brings both.

    tensorboard=FOLDER   scalars of each training in a folder of its own, FOLDER/<model>-<time>
    mlflow=URI           a run of the experiment "reelgraph" at a tracking URI: a folder, sqlite:///..., http://...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from predictors.errors import ConfigError
from predictors.progress import ProgressEvent
from predictors.run import Hook

EXPERIMENT = "reelgraph"
PARTS = 1000  # models that do not count steps are drawn over thousandths of their work


class TrackingHook(Hook):
    """Sends the figures of one training to a tracker; a subclass says how."""

    def __init__(self) -> None:
        self._counts_steps = False
        self._waiting: ProgressEvent | None = None  # a report whose step may still be said

    def begin(self, model: str, config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Open a record of a training with its configuration and what it is trained on."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Send figures by name."""

    def end(self, metrics: Mapping[str, float], *, failed: bool) -> None:
        """Send the final figures and close the record."""

    def on_step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        self._counts_steps, self._waiting = True, None
        if metrics:
            self.write(step, metrics)

    def on_epoch(self, epoch: int, total: int, metrics: Mapping[str, float]) -> None:
        self._counts_steps, self._waiting = True, None
        self.write(epoch, {**metrics, "epoch": float(epoch)})

    def report(self, event: ProgressEvent) -> None:
        self.flush()
        self._waiting = event

    def flush(self) -> None:
        """Write the last report, which nobody gave a step."""
        event, self._waiting = self._waiting, None
        if event is not None and event.metrics and not self._counts_steps:
            self.write(round(PARTS * event.done), event.metrics)


class TensorBoardHook(TrackingHook):
    """Writes TensorBoard event files, without torch."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self._event = _import("tensorboard.compat.proto.event_pb2", "tensorboard")
        self._summary = _import("tensorboard.compat.proto.summary_pb2", "tensorboard")
        self._writers = _import("tensorboard.summary.writer.event_file_writer", "tensorboard")
        self.folder = Path(target)
        self._writer: Any = None

    def begin(self, model: str, config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        self._writer = self._writers.EventFileWriter(str(self.folder / f"{model}-{moment}"))
        lines = [f"    {name} = {value}" for name, value in {**config, **facts}.items()]
        self._add(0, self._text("config", "\n".join(lines)))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        values = [
            self._summary.Summary.Value(tag=name, simple_value=float(value))
            for name, value in metrics.items()
        ]
        self._add(step, self._summary.Summary(value=values))

    def end(self, metrics: Mapping[str, float], *, failed: bool) -> None:
        if self._writer is not None:
            self.write(PARTS, {f"final/{name}": value for name, value in metrics.items()})
            self._writer.close()
            self._writer = None

    def _add(self, step: int, summary: Any) -> None:
        if self._writer is not None:
            self._writer.add_event(self._event.Event(wall_time=time.time(), step=step, summary=summary))

    def _text(self, tag: str, text: str) -> Any:
        tensors = _import("tensorboard.compat.proto.tensor_pb2", "tensorboard")
        types = _import("tensorboard.compat.proto.types_pb2", "tensorboard")
        tensor = tensors.TensorProto(dtype=types.DT_STRING, string_val=[text.encode()])
        metadata = self._summary.SummaryMetadata(
            plugin_data=self._summary.SummaryMetadata.PluginData(plugin_name="text")
        )
        value = self._summary.Summary.Value(tag=f"{tag}/text_summary", tensor=tensor, metadata=metadata)
        return self._summary.Summary(value=[value])


class MlflowHook(TrackingHook):
    """Writes a run of an MLflow experiment."""

    def __init__(self, target: str) -> None:
        super().__init__()
        client = _import("mlflow.tracking", "mlflow").MlflowClient
        self.client = client(tracking_uri=target)
        self._run_id = ""

    def begin(self, model: str, config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        known = self.client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known else self.client.create_experiment(EXPERIMENT)
        self._run_id = self.client.create_run(experiment, run_name=model).info.run_id
        self.client.set_tag(self._run_id, "model", model)
        for name, value in config.items():
            self.client.log_param(self._run_id, name, value)
        for name, value in facts.items():
            self.client.set_tag(self._run_id, name, str(value))

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.client.log_metric(self._run_id, _mlflow_name(name), float(value), step=step)

    def end(self, metrics: Mapping[str, float], *, failed: bool) -> None:
        if self._run_id:
            self.write(PARTS, {f"final {name}": value for name, value in metrics.items()})
            self.client.set_terminated(self._run_id, "FAILED" if failed else "FINISHED")
            self._run_id = ""


HOOKS: Mapping[str, Callable[[str], TrackingHook]] = {"tensorboard": TensorBoardHook, "mlflow": MlflowHook}


def open_hooks(asked: Sequence[str]) -> tuple[TrackingHook, ...]:
    """Return the trackers of `["tensorboard=runs", ...]`.

    Raises ConfigError on an unknown tracker, one without a target, or a package that is not installed.
    """
    hooks = []
    for each in asked:
        name, _, target = each.partition("=")
        if name not in HOOKS or not target:
            raise ConfigError(
                f"hook {each!r}: expected one of {', '.join(f'{name}=TARGET' for name in HOOKS)}"
            )
        hooks.append(HOOKS[name](target))
    return tuple(hooks)


@contextmanager
def tracked(
    hooks: Sequence[Hook], model: str, config: Mapping[str, Any], facts: Mapping[str, Any]
) -> Iterator[dict[str, float]]:
    """Open a record of a training in every tracker, and yield a dict for its final figures."""
    trackers = [hook for hook in hooks if isinstance(hook, TrackingHook)]
    final: dict[str, float] = {}
    failed = True
    for tracker in trackers:
        tracker.begin(model, config, facts)
    try:
        yield final
        failed = False
    finally:
        for tracker in trackers:
            if not failed:
                tracker.flush()
            tracker.end(final, failed=failed)


def _import(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{package} is not installed ({error}); it comes with: pip install -r requirements-tracking.txt"
        ) from error


def _mlflow_name(name: str) -> str:
    """Return a metric's name in the characters that MLflow allows: NDCG@10 has one that it refuses."""
    return name.replace("@", " at ")
