"""Rows that record the progress of trainings."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.utils import timezone
from django.utils.translation import gettext_noop as _

from movie.core.processes import heartbeat, this_process
from movie.core.shutdown import GracefulShutdown
from movie.training.models import TrainingRun
from predictors.progress import Progress, ProgressEvent, silent

SECONDS_BETWEEN_WRITES = 1.0

State = TrainingRun.State


class Interrupted(Exception):
    """The training was asked to end; it can be resumed."""


class StopTraining(GracefulShutdown):
    """Ends a training at its next report of progress, so that no file is left half-written."""

    def check(self) -> None:
        if self.requested():
            raise Interrupted


@contextmanager
def queued(names: Iterable[str], *, is_first: bool = True) -> Iterator[dict[str, TrainingRun]]:
    """Yield a waiting run for each model, to be taken out when its training begins; what is left is deleted.

    Earlier runs of these models, and those whose process has gone, are closed. Meanwhile all runs of this
    process say that they live. Of several processes that train together only the first keeps any.
    """
    names, process = list(names), this_process()
    if not is_first:
        yield {name: TrainingRun(model=name) for name in names}
        return
    over = [run.pk for run in TrainingRun.objects.unfinished() if run.has_died or run.model in names]
    TrainingRun.objects.filter(pk__in=over).update(
        state=State.FAILED, message=_("The process ended without a word.")
    )
    waiting = {name: TrainingRun.objects.create(model=name, process=process) for name in names}
    own = TrainingRun.objects.unfinished().filter(process=process)
    try:
        with heartbeat(lambda: own.update(updated_at=timezone.now())):
            yield waiting
    finally:
        for run in waiting.values():  # not begun
            run.delete()


@contextmanager
def recorded(run: TrainingRun, *, is_first: bool = True) -> Iterator[Progress]:
    """Keep a run up to date while it runs, about once a second, and record how it ended.

    Whatever ends the block early is recorded as the reason and raised again. Only the first of several
    processes that train together, `is_first`, keeps runs.
    """
    if not is_first:
        yield silent
        return
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
