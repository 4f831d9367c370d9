"""Ends a long-running process in good order: SIGTERM and Ctrl+C request it, and the process finishes what
it began.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

INTERRUPTED = 130  # exit status of a command that SIGINT or SIGTERM ended: what shells give for Ctrl+C


class GracefulShutdown:
    """Becomes `requested` by a signal. A second signal ends the process at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._on_signal)
            except ValueError:  # outside the main thread, where no signal arrives
                break
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def request(self) -> None:
        self._event.set()

    def requested(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Do nothing for so long, or until shutdown is requested; return whether it was."""
        return self._event.wait(seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.request()
        for each, handler in self._before.items():
            signal.signal(each, handler)
