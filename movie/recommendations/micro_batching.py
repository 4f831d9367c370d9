"""Micro-batching: score concurrent requests in one matrix product.

The scores of 60,000 movies for one history are a product with a table of 15 MB, and reading it takes most of
the time; for several histories it is read once. So while one thread scores, the requests that come meanwhile
queue, and the first of them takes all of them along. A request never waits for others to come: one that is
alone is scored at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary, ref

from predictors.base import Predictor
from predictors.query import Query
from predictors.ranking import FirstStage

Input = TypeVar("Input")
Output = TypeVar("Output")

MAX_BATCH = 32


class _Job(Generic[Input, Output]):
    """One request in the queue. `is_leader` when it computes for the others."""

    __slots__ = ("done", "error", "input", "is_leader", "output")

    def __init__(self, value: Input) -> None:
        self.input = value
        self.done = threading.Event()
        self.is_leader = False
        self.output: Output | None = None
        self.error: Exception | None = None


class Batcher(Generic[Input, Output]):
    """Calls `compute` with everything that queued, never from two threads at once.

    `compute` gets 1 to `max_batch` inputs and returns as many outputs, in their order. An error that it
    raises reaches everybody who was in that batch.
    """

    def __init__(
        self, compute: Callable[[Sequence[Input]], Sequence[Output]], max_batch: int = MAX_BATCH
    ) -> None:
        self.compute, self.max_batch = compute, max_batch
        self._lock = threading.Lock()
        self._queue: list[_Job[Input, Output]] = []
        self._busy = False

    def submit(self, value: Input) -> Output:
        """Return the output for one input, computed with those of other threads."""
        job: _Job[Input, Output] = _Job(value)
        with self._lock:
            self._queue.append(job)
            job.is_leader = not self._busy
            self._busy = True
        if not job.is_leader:
            job.done.wait()
        if job.is_leader:
            self._lead()
        if job.error is not None:
            raise job.error
        return job.output  # type: ignore[return-value]

    def _lead(self) -> None:
        with self._lock:
            batch, self._queue = self._queue[: self.max_batch], self._queue[self.max_batch :]
        try:
            outputs = self.compute([job.input for job in batch])
            for job, output in zip(batch, outputs, strict=True):
                job.output = output
        except Exception as error:  # noqa: BLE001 - each of them raises it in its own thread
            for job in batch:
                job.error = error
        finally:
            with self._lock:
                next_leader = self._queue[0] if self._queue else None
                self._busy = next_leader is not None
            if next_leader is not None:
                next_leader.is_leader = True
                next_leader.done.set()
            for job in batch:
                job.done.set()


class _FirstStage:
    """Asks a predictor without holding it: a queue must not keep an old version alive."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = ref(predictor)

    def __call__(self, queries: Sequence[Query]) -> Sequence[FirstStage]:
        predictor = self.predictor()
        if predictor is None:  # never: the caller holds it
            raise ReferenceError("the predictor is gone")
        return predictor.first_stage(queries)


_batchers: WeakKeyDictionary[Predictor, Batcher[Query, FirstStage]] = WeakKeyDictionary()
_batchers_lock = threading.Lock()


def first_stage(predictor: Predictor, query: Query) -> FirstStage:
    """Return the first stage of a query, nothing excluded; it is the caller's alone."""
    batcher = _batchers.get(predictor)
    if batcher is None:
        with _batchers_lock:
            batcher = _batchers.setdefault(predictor, Batcher(_FirstStage(predictor)))
    return batcher.submit(query)
