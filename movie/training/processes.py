"""Trainings by several processes: the first reads the data and writes; the others only compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from predictors.devices import resolved


def is_first_process() -> bool:
    """Return whether this is the process that reads, writes and reports; one alone is."""
    return settings.TRAINING_RANK == 0


def refuse_several_processes(command: str) -> None:
    """Raise CommandError where torchrun has started several processes of a command that needs one."""
    if settings.TRAINING_PROCESSES > 1:
        raise CommandError(f"{command} runs in one process: start it without torchrun, which is for train")


@contextmanager
def joined_processes() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Meet the other processes of this training, if there are any.

    Yields a function that calls another in the first process and returns its value in all of them.
    Raises CommandError where a process cannot be reached.
    """
    if settings.TRAINING_PROCESSES == 1:
        yield lambda load: load()
        return
    from pytorch_models.training.process_group import ProcessGroupError, joined

    rank, size = settings.TRAINING_RANK, settings.TRAINING_PROCESSES
    try:
        with joined(rank, size, device=resolved(settings.DEVICE)) as group:
            yield lambda load: group.from_first(load() if group.is_first else None)
    except ProcessGroupError as error:
        raise CommandError(f"process {rank} of {size}: {error}") from error
