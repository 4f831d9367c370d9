"""An answer that is looked up at most every so many seconds, however often somebody asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """`look` is called by one thread at a time; the others wait for its answer. What it raises is raised."""

    def __init__(self, look: Callable[[], T], seconds: float) -> None:
        self._look, self._seconds = look, seconds
        self._lock = threading.Lock()
        self._answer: tuple[float, T] | None = None

    def get(self) -> T:
        with self._lock:
            if self._answer is None or time.monotonic() - self._answer[0] >= self._seconds:
                self._answer = None
                answer = self._look()
                self._answer = time.monotonic(), answer
            return self._answer[1]

    def forget(self) -> None:
        with self._lock:
            self._answer = None
