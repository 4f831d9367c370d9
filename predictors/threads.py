"""Threads of BLAS: one for loops of small solves, which more threads make slower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Give BLAS one thread inside the block, whatever OMP_NUM_THREADS says.

    A batched solve of many small systems starts and joins a pool for each of them: on 16 cores ALS takes
    13 times the processor time that it takes on one thread, and no less wall-clock time.
    """
    with threadpool_limits(1, user_api="blas"):
        yield
