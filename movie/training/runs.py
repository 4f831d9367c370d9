"""Rows that record the progress of trainings."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.utils.translation import gettext_noop as _

from movie.core.shutdown import GracefulShutdown
from movie.training.models import TrainingRun
from predictors.progress import Progress, ProgressEvent

SECONDS_BETWEEN_WRITES = 1.0

State = TrainingRun.State


class Interrupted(Exception):
    """The training was asked to end; it can be resumed."""


class StopTraining(GracefulShutdown):
    """Ends a training at its next report of progress, so that no file is left half-written."""

    def check(self) -> None:
        if self.requested():
            raise Interrupted


def queue(names: Iterable[str]) -> dict[str, TrainingRun]:
    """Create a waiting run for each model. Earlier runs of these models that never said how they ended are
    closed.
    """
    names = list(names)
    TrainingRun.objects.abandoned(names).update(
        state=State.FAILED, message=_("The process ended without a word.")
    )
    return {name: TrainingRun.objects.create(model=name) for name in names}


@contextmanager
def recorded(run: TrainingRun) -> Iterator[Progress]:
    """Keep a run up to date while it runs, about once a second, and record how it ended.

    Whatever ends the block early is recorded as the reason and raised again.
    """
    run.state = State.RUNNING
    run.save()
    written = time.monotonic()

    def write(event: ProgressEvent) -> None:
        nonlocal written
        run.progress, run.message = event.done, event.message[:255]
        run.metrics = {**run.metrics, **event.metrics}
        now = time.monotonic()
        if now - written >= SECONDS_BETWEEN_WRITES:
            written = now
            run.save()

    try:
        yield write
    except BaseException as error:
        run.state, run.message = State.FAILED, _reason(error)
        run.save()
        raise
    run.state, run.progress, run.message = State.DONE, 1.0, ""
    run.save()


def _reason(error: BaseException) -> str:
    if isinstance(error, Interrupted | SystemExit | KeyboardInterrupt):
        return _("Interrupted.")
    if isinstance(error, MemoryError):
        return _("Not enough memory.")
    return str(error)[:255] or type(error).__name__
