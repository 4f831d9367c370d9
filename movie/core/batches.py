"""Write many rows in small batches with pauses, so that visitors do not wait for somebody else's bulk work.

A transaction holds locks until it ends: with SQLite that of the whole database. A bulk write therefore ends
each transaction after about `HOLD_SECONDS` of work and then leaves the database to others for as long.
With SQLite bulk writes of all processes take turns, so that one does not fill the pauses of another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from django.db import connection

from movie.core.locks import LOOK_SECONDS, brief_file_lock

T = TypeVar("T")
R = TypeVar("R")

# Of work in one transaction: SQLite looks for a free lock every 0.1 s at the latest.
HOLD_SECONDS = 0.06
LARGE_SECONDS = 1.0  # of work in one transaction where nobody waits
MOST_CHARACTERS = 8_000_000  # of a batch
FIRST_ROWS, FEWEST_ROWS = 100, 10  # of a batch
GROWTH = 1.5  # at most so many times the rows of the batch before
HAND_OVER_SECONDS = 2 * LOOK_SECONDS  # in which another process can take its turn
TURN_SECONDS = 2.0  # after which nobody waits for a turn any more: its holder may have been stopped


def write_in_batches(
    rows: Iterable[T],
    write: Callable[[list[T]], R],
    *,
    size: int | None = None,
    first: int | None = None,
    length: Callable[[T], int] | None = None,
    pauses: bool = True,
    until: float = float("inf"),
) -> Iterator[R]:
    """Yield what `write` returns for one batch of rows after another; each is to be one transaction.

    The number of rows follows the time that the batches take, beginning with `first`, unless `size` states
    it, and a batch holds no more than MOST_CHARACTERS where `length` says how many a row has. After each
    batch it sleeps for as long as the batch took. `pauses=False` is for a database that nobody else uses:
    large batches, no sleep. Nor does it sleep in an open transaction, which keeps its locks over every
    pause. No batch begins after `until` (of `time.monotonic`).
    """
    pauses = pauses and not connection.in_atomic_block
    remaining = iter(rows)
    n_rows = size or first or FIRST_ROWS
    aim = HOLD_SECONDS if pauses else LARGE_SECONDS
    while batch := take(remaining, n_rows, length):
        if time.monotonic() >= until:
            return
        work = _Work(write, batch)
        written = _in_turn(work) if pauses else work.run()
        if size is None:
            n_rows = max(FEWEST_ROWS, round(len(batch) * min(GROWTH, aim / max(work.seconds, 1e-6))))
        yield written


def write_all_in_batches(
    rows: Iterable[T], write: Callable[[list[T]], object], *, size: int | None = None
) -> None:
    """Write all rows by `write_in_batches`, for a `write` that returns nothing of interest."""
    for _written in write_in_batches(rows, write, size=size):
        pass


def take(rows: Iterator[T], n: int, length: Callable[[T], int] | None = None) -> list[T]:
    """Return the next n rows, or fewer where they are long, so that a batch has a size in memory."""
    if length is None:
        return list(islice(rows, n))
    taken: list[T] = []
    held = 0
    while len(taken) < n and held < MOST_CHARACTERS and (row := next(rows, None)) is not None:
        taken.append(row)
        held += length(row)
    return taken


def write_in_turn(write: Callable[[], R]) -> R:
    """Do one write of many rows that has to be one transaction, then sleep for as long as it took."""
    return _in_turn(_Work(lambda _rows: write(), None))


class _Work(Generic[T, R]):
    """Writes rows. `seconds` is the processor time of this thread: what it waited for a lock, a core or the
    database server is not in it. `took` is the whole time.
    """

    def __init__(self, write: Callable[[T], R], rows: T) -> None:
        self._write, self._rows = write, rows
        self.seconds = self.took = 0.0

    def run(self) -> R:
        began, worked = time.perf_counter(), time.thread_time()
        written = self._write(self._rows)
        self.took, self.seconds = time.perf_counter() - began, time.thread_time() - worked
        return written


def _in_turn(work: _Work[T, R]) -> R:
    with _turn():
        written = work.run()
        time.sleep(work.took)
    time.sleep(HAND_OVER_SECONDS)
    return written


def _turn() -> AbstractContextManager[None]:
    """Return a lock that one bulk write of the database holds at a time. Other databases lock by row."""
    if connection.vendor != "sqlite" or connection.is_in_memory_db():  # type: ignore[attr-defined]
        return nullcontext()
    path = Path(f"{connection.settings_dict['NAME']}-bulk")  # where SQLite writes files of its own, too
    return brief_file_lock(path, TURN_SECONDS)
