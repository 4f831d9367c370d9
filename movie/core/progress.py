"""The progress bar of management commands, and progress of a part of the work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from predictors.progress import Progress as ProgressCallback
    from predictors.progress import ProgressEvent

DELAY_SECONDS = 2.0  # shorter work shows nothing

Follower = Callable[[float, str], None]  # takes the share that is done, 0 to 1, and what is being done
_follower: ContextVar[Follower | None] = ContextVar("follower", default=None)


@contextmanager
def followed_by(follower: Follower) -> Iterator[None]:
    """Tell the progress of every command that runs in the block to a function too."""
    token = _follower.set(follower)
    try:
        yield
    finally:
        _follower.reset(token)


class ProgressBar:
    """Draws a line for each task on the terminal. Elsewhere trainings write a line per epoch.

    `transient` removes the drawn lines at the end. Calling it fits the callback of imports, `show` the
    callbacks of trainings.
    """

    def __init__(self, *, enabled: bool = True, transient: bool = True) -> None:
        self._enabled, self._transient = enabled, transient
        self._began = time.monotonic()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._written = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, done: float, text: str = "", task: str = "") -> None:
        """Draw that `done` of a task, 0 to 1, is finished, and what is being done now."""
        self._tell(done, text)
        if not self._enabled or time.monotonic() - self._began < DELAY_SECONDS:
            return
        if self._progress is None:
            self._progress = _start(transient=self._transient)
        if task not in self._tasks:
            self._tasks[task] = self._progress.add_task(task, total=1.0, text="")
        self._progress.update(self._tasks[task], completed=done, text=text)

    def show(self, event: ProgressEvent, task: str = "") -> None:
        """Draw an event of a training with its latest figures, or write it to a log."""
        figures = "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
        text = f"{event.message}  {figures}".strip()
        self._tell(event.done, f"{task}: {text}" if task else text)
        if sys.stderr.isatty():
            self(event.done, text, task)
        elif self._enabled and event.message and (figures or event.message != self._written):
            self._written = event.message
            sys.stderr.write(f"{task}  {event.done:4.0%}  {text}\n")
            sys.stderr.flush()

    @staticmethod
    def _tell(done: float, text: str) -> None:
        if (follower := _follower.get()) is not None:
            follower(done, text)


def part_of(progress: ProgressCallback, begin: float, end: float, label: str = "") -> ProgressCallback:
    """Return a callback that reports a part of the work, from `begin` to `end` of the whole."""

    def report(event: ProgressEvent) -> None:
        message = f"{label}: {event.message}" if label and event.message else label or event.message
        progress(replace(event, done=begin + (end - begin) * event.done, message=message))

    return report


def _start(*, transient: bool) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        console=console,
        transient=transient,
        disable=not console.is_terminal,
    )
    progress.start()
    return progress
