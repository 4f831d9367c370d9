"""Micro-batching: score concurrent requests in one matrix product.

The scores of 60,000 movies for one history are a product with a table of 4 to 15 MB, and reading it takes
most of the time; for several histories it is read once. So requests that came while others were answered are
answered together (`run_together`), by one thread: each runs as a greenlet up to where it wants scores, then
all of them are scored at once, and each goes on with its own. A request never waits for others to come.

Sixteen requests at once cost 1.1 CPU-ms each in this way, 1.9 one after another, and 1.6 to 2.0 as sixteen
threads that queue for the scores and, before and after, for the interpreter (`benchmarks.api_recommend`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet

from predictors.base import Predictor
from predictors.query import Query
from predictors.ranking import FirstStage

T = TypeVar("T")

MAX_TOGETHER = 16  # requests


class _Task(greenlet, Generic[T]):
    """Calls one of the functions; `outcome` is what it returned or raised."""

    outcome: T | Exception

    def __init__(self, function: Callable[[], T], waiting: list[_Wanted]) -> None:
        super().__init__()
        self.function, self.waiting = function, waiting

    def run(self) -> None:
        try:
            self.outcome = self.function()
        except Exception as error:  # noqa: BLE001 - whoever called `run_together` raises it
            self.outcome = error


_Wanted = tuple[_Task[Any], Predictor, Query]


def run_together(functions: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Call functions in turns in this thread, and return what each returned or raised.

    Those that call `first_stage` stop there until all others have ended or stopped there, too. An error of
    the scoring is raised in each of them.
    """
    waiting: list[_Wanted] = []
    tasks = [_Task(function, waiting) for function in functions]
    for task in tasks:
        task.switch()
    while waiting:
        by_predictor: dict[Predictor, list[tuple[_Task[Any], Query]]] = {}
        for task, predictor, query in waiting:
            by_predictor.setdefault(predictor, []).append((task, query))
        waiting.clear()
        for predictor, wanted in by_predictor.items():
            try:
                stages = predictor.first_stage([query for _task, query in wanted])
            except Exception as error:  # noqa: BLE001 - each of them raises it
                for task, _query in wanted:
                    task.throw(error)
            else:
                for (task, _query), stage in zip(wanted, stages, strict=True):
                    task.switch(stage)
    return [task.outcome for task in tasks]


def first_stage(predictor: Predictor, query: Query) -> FirstStage:
    """Return the first stage of a query, nothing excluded; it is the caller's alone.

    Costly models answer at once: their callers hold one of few places, for which others of a group may wait.
    """
    task = getcurrent()
    if not isinstance(task, _Task) or predictor.is_costly:
        return predictor.first_stage([query])[0]
    task.waiting.append((task, predictor, query))
    return task.parent.switch()
