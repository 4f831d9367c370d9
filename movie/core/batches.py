"""Bulk writes in small batches with pauses, so that visitors do not wait for somebody else's bulk work.

A transaction holds locks until it ends: with SQLite that of the whole database. A bulk write therefore ends
each transaction after about `HOLD_SECONDS` and then leaves the database to others for at least as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

HOLD_SECONDS = 0.1  # aim for one transaction; SQLite looks for a free lock every 0.1 s at the latest
FIRST, LEAST = 100, 10  # rows of a batch
GROWTH = 1.5  # at most so many times the rows of the batch before


def write_in_batches(
    rows: Iterable[T],
    write: Callable[[list[T]], R],
    *,
    size: int | None = None,
    first: int | None = None,
    pauses: bool = True,
    until: float = float("inf"),
) -> Iterator[R]:
    """Yield what `write` returns for one batch of rows after another; each is to be one transaction.

    The number of rows follows the time that the batches take, beginning with `first`, unless `size` states
    it. Between two batches it sleeps for as long as the first of them took. `pauses=False` is for a database
    that nobody else uses: large batches, no sleep. No batch begins after `until` (of `time.monotonic`).
    """
    remaining = iter(rows)
    n_rows = size or first or FIRST
    aim = HOLD_SECONDS if pauses else 1.0
    took = 0.0
    while batch := list(islice(remaining, n_rows)):
        if pauses:
            time.sleep(took)
        if time.monotonic() >= until:
            return
        began = time.perf_counter()
        written = write(batch)
        took = time.perf_counter() - began
        if size is None:
            n_rows = _next_size(len(batch), took, aim)
        yield written


def _next_size(n_rows: int, took: float, aim: float) -> int:
    factor = min(GROWTH, aim / max(took, 1e-6))
    return max(LEAST, round(n_rows * factor))
