"""Requests that come at the same time are scored together.

The scores of 60,000 films for one history are a product with a table of 15 MB, and reading it takes most of
the time; for several histories it is read once. So while one thread scores, the requests that come meanwhile
queue, and the first of them takes all of them along. Nobody waits for others to come: a request that is
alone is scored at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary, ref

import numpy as np

from predictors.base import Predictor, Query

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")

MOST_AT_ONCE = 32


class _Place(Generic[Asked, Answered]):
    """One request in the queue. `leads` when it is to compute for the others."""

    __slots__ = ("answer", "asked", "called", "error", "leads")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.called = threading.Event()
        self.leads = False
        self.answer: Answered | None = None
        self.error: Exception | None = None


class Together(Generic[Asked, Answered]):
    """Calls `compute` with everything that queued, never from two threads at once.

    `compute` gets 1 to `most` questions and returns as many answers, in their order. What it raises,
    everybody who was in that batch gets.
    """

    def __init__(
        self, compute: Callable[[Sequence[Asked]], Sequence[Answered]], most: int = MOST_AT_ONCE
    ) -> None:
        self.compute, self.most = compute, most
        self._lock = threading.Lock()
        self._queue: list[_Place[Asked, Answered]] = []
        self._busy = False

    def ask(self, question: Asked) -> Answered:
        place: _Place[Asked, Answered] = _Place(question)
        with self._lock:
            self._queue.append(place)
            place.leads = not self._busy
            self._busy = True
        if not place.leads:
            place.called.wait()
        if place.leads:
            self._lead()
        if place.error is not None:
            raise place.error
        return place.answer  # type: ignore[return-value]

    def _lead(self) -> None:
        with self._lock:
            batch, self._queue = self._queue[: self.most], self._queue[self.most :]
        try:
            answers = self.compute([place.asked for place in batch])
            for place, answer in zip(batch, answers, strict=True):
                place.answer = answer
        except Exception as error:  # noqa: BLE001 - each of them raises it in its own thread
            for place in batch:
                place.error = error
        finally:
            with self._lock:
                heir = self._queue[0] if self._queue else None
                self._busy = heir is not None
            if heir is not None:
                heir.leads = True
                heir.called.set()
            for place in batch:
                place.called.set()


class _Scorer:
    """Scores by a predictor without holding it: a queue must not keep an old version alive."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = ref(predictor)

    def __call__(self, queries: Sequence[Query]) -> Sequence[np.ndarray]:
        predictor = self.predictor()
        if predictor is None:  # never: whoever asks holds it
            raise ReferenceError("the predictor is gone")
        return list(predictor.score(queries))


_queues: WeakKeyDictionary[Predictor, Together[Query, np.ndarray]] = WeakKeyDictionary()
_queues_lock = threading.Lock()


def score(predictor: Predictor, query: Query) -> np.ndarray:
    """(n_items,) float32 scores, nothing masked, for the caller to write to."""
    queue = _queues.get(predictor)
    if queue is None:
        with _queues_lock:
            queue = _queues.setdefault(predictor, Together(_Scorer(predictor)))
    return queue.ask(query)
