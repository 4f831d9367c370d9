"""Hold locks of files, which one process of this machine has at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.util import register_after_fork
from pathlib import Path

LOOK_SECONDS = 0.005  # between two looks for a lock that becomes free


class AlreadyLocked(Exception):
    """Says that another process holds the lock. `pid` is its number, or a question mark."""

    def __init__(self, pid: str) -> None:
        super().__init__(f"process {pid} holds the lock")
        self.pid = pid


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock while the block runs; it ends with the process, however that ends. Raises AlreadyLocked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        # A forked child would share the lock, and hold it when this process is gone.
        register_after_fork(lock, lambda file: file.close())
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyLocked(lock.read().strip() or "?") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def brief_file_lock(path: Path, seconds: float) -> Iterator[None]:
    """Hold a lock while the block runs; wait for it so long, then run the block without it.

    For turns that are short: a holder that keeps it for longer may have been stopped.
    """
    give_up = time.monotonic() + seconds
    with path.open("w") as lock:
        while time.monotonic() < give_up:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(LOOK_SECONDS)
            else:
                break
        yield
