"""Micro-batching: score concurrent requests in one matrix product.

The scores of 60,000 movies for one history are a product with a table of 4 to 15 MB, and reading it takes
most of the time; for several histories it is read once. So requests that came while others were answered are
answered together (`run_together`), by one thread: each runs as a greenlet up to where it wants scores, then
all of them are scored at once, and each goes on with its own. Nobody waits for a group to become full. Inside
a group a request waits while the others run, and one that costs much lets the others go first.

Sixteen requests at once cost .59 CPU-ms each in this way and .83 one after another. Sixteen threads, which
queue for the scores and for the interpreter, were measured earlier: 1.6 to 2.0 CPU-ms, where a group took 1.1
and one after another 1.9 (`benchmarks.api_recommend`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet

from predictors.base import Predictor
from predictors.query import Query
from predictors.ranking import FirstStage

T = TypeVar("T")

MAX_TOGETHER = 16  # requests


class _Group:
    """The tasks of a group that stopped: those that want scores, and those that let the others go first."""

    def __init__(self) -> None:
        self.waiting: list[tuple[_Task[Any], Predictor, Query]] = []
        self.costly: deque[_Task[Any]] = deque()

    def score(self) -> None:
        """Score all queries that wait, model by model, and let their tasks go on, until none waits."""
        while self.waiting:
            by_predictor: dict[Predictor, list[tuple[_Task[Any], Query]]] = {}
            for task, predictor, query in self.waiting:
                by_predictor.setdefault(predictor, []).append((task, query))
            self.waiting.clear()
            for predictor, wanted in by_predictor.items():
                started = time.perf_counter()
                try:
                    stages = predictor.first_stage([query for _task, query in wanted])
                    scored = list(zip(wanted, stages, strict=True))
                except BaseException as error:  # noqa: BLE001 - each of them raises it
                    for task, _query in wanted:
                        task.throw(error)
                else:
                    seconds = (time.perf_counter() - started) / len(wanted)
                    for (task, _query), stage in scored:
                        task.switch((stage, seconds))


class _Task(greenlet, Generic[T]):
    """Calls functions, one after another; `outcome` is what the last one returned or raised.

    It is kept for the next group of its thread. A new one would cost 8 us and more: memory for its frames,
    and all that Django keeps by context, such as the objects of the cache.
    """

    outcome: T | BaseException
    group: _Group

    def call(self, function: Callable[[], T], group: _Group) -> None:
        """Call a function until it ends or stops."""
        self.parent, self.group = getcurrent(), group
        self.switch(function)

    def run(self, function: Callable[[], T]) -> None:
        while True:
            try:
                self.outcome = function()
            except BaseException as error:  # noqa: BLE001 - whoever called `run_together` raises it
                self.outcome = error
            del function  # else it stays, with its request, until the next group
            function = self.parent.switch()


class _Idle(threading.local):
    """The tasks of this thread that call nothing now."""

    def __init__(self) -> None:
        self.tasks: list[_Task[Any]] = []


_idle = _Idle()


def run_together(functions: Iterable[Callable[[], T]]) -> list[T | BaseException]:
    """Call functions in turns in this thread, and return what each returned or raised.

    Those that call `first_stage` stop there until all others have ended or stopped, too. An error of the
    scoring is raised in each of them. A function is taken from the iterable just before it begins, and none
    while another has stopped at `let_others_go_first`.
    """
    group, tasks, remaining = _Group(), [], iter(functions)
    while True:
        while not group.costly and (function := next(remaining, None)) is not None:
            task: _Task[T] = _idle.tasks.pop() if _idle.tasks else _Task()
            tasks.append(task)
            task.call(function, group)
        group.score()
        if not group.costly:
            break
        group.costly.popleft().switch()
    outcomes = [task.outcome for task in tasks]
    for task in tasks:
        del task.outcome, task.group
    _idle.tasks += tasks
    return outcomes


def first_stage(predictor: Predictor, query: Query) -> tuple[FirstStage, float]:
    """Return the first stage of a query, nothing excluded, which is the caller's alone, and the seconds that
    it took: of scoring together an equal share.

    Costly models answer at once: their callers hold one of few places, for which others of a group may wait.
    """
    task = getcurrent()
    if not isinstance(task, _Task) or predictor.is_costly:
        started = time.perf_counter()
        (stage,) = predictor.first_stage([query])
        return stage, time.perf_counter() - started
    task.group.waiting.append((task, predictor, query))
    return task.parent.switch()


def let_others_go_first() -> None:
    """Stop until all others of the group have ended or stopped here, too. Return at once outside a group."""
    task = getcurrent()
    if isinstance(task, _Task):
        task.group.costly.append(task)
        task.parent.switch()
