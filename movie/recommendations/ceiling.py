"""Limit what costs much: so many calls of costly models and of large batches run at once in a process.

A call that finds the ceiling reached waits a moment and is then refused (TooManyRequests, a 429): the threads
of a server stay free for the pages of others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from movie.core.http import TooManyRequests
from movie.recommendations.micro_batching import let_others_go_first

WAIT_SECONDS = 1.0  # most calls end in less
RETRY_SECONDS = 2


class Ceiling:
    """Lets `settings.COSTLY_CALLS` calls run at once."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._running = 0

    @contextmanager
    def costly_call(self) -> Iterator[None]:
        """Hold a place while a costly call runs. Raises TooManyRequests when none becomes free.

        In a group of requests all cheaper ones go first. That time is part of the wait for a place.
        """
        until = time.monotonic() + WAIT_SECONDS
        let_others_go_first()
        with self._free:
            seconds = until - time.monotonic()
            if not self._free.wait_for(lambda: self._running < settings.COSTLY_CALLS, seconds):
                raise TooManyRequests(RETRY_SECONDS)
            self._running += 1
        try:
            yield
        finally:
            with self._free:
                self._running -= 1
                self._free.notify()


costly_call = Ceiling().costly_call
