"""Say which process works on a row of the database, and whether it still runs."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import DatabaseError, connection

log = logging.getLogger(__name__)

BEAT_SECONDS = 15.0
SILENT_AFTER = timedelta(seconds=4 * BEAT_SECONDS)  # a process without a beat for so long has died
SAME_START = 1.0  # seconds by which two readings of one process's start may differ
LONGEST_PROCESS = 128  # characters of what `this_process` returns


def this_process() -> str:
    """Return the host, the number and the start of this process."""
    import psutil

    start = psutil.Process().create_time()
    return f"{socket.gethostname()[:80]} {os.getpid()} {start:.2f}"


def has_ended(process: str) -> bool:
    """Return whether a process of this machine, as `this_process` named it, has ended.

    False for one of another machine, which only its silence can tell of.
    """
    import psutil

    host, *numbers = process.rsplit(" ", 2)
    if host != socket.gethostname()[:80] or len(numbers) != 2:
        return False
    try:
        found = psutil.Process(int(numbers[0]))
        is_same = abs(found.create_time() - float(numbers[1])) < SAME_START
        return not is_same or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


@contextmanager
def heartbeat(beat: Callable[[], object], seconds: float = BEAT_SECONDS) -> Iterator[None]:
    """Write that this process lives, by `beat`, every so many seconds while the block runs.

    A thread of its own does it, so that long work without a word is not taken for a dead process.
    """
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(seconds):
            try:
                beat()
            except DatabaseError as error:
                log.warning("The database did not take a sign of life: %s", error)
            finally:
                connection.close()

    thread = threading.Thread(target=run, daemon=True, name="heartbeat")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(seconds)
