"""Locks of files that one process of this machine holds at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyLocked(lock.read().strip() or "?") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
