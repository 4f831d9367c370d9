"""Django's SQLite backend, with short waits for the lock of the database.

SQLite looks again after 1, 2, 5, ... and at last 100 ms: on a busy site the lock is free and taken many times
in between, and some visitors wait ten times as long as the others. Here one thread of a process at a
time looks every few milliseconds. `python -m benchmarks.bulk_work` shows the difference.
"""

from __future__ import annotations

import sqlite3
import threading
import time

from django.db.backends.sqlite3 import base

DEFAULT_TIMEOUT = 5.0  # seconds, of Python's sqlite3
LOOK_SECONDS = 0.002  # between two looks for a lock that becomes free
_first_in_line = threading.Lock()  # held by the thread of this process that looks


class DatabaseWrapper(base.DatabaseWrapper):
    """Begins transactions as Django does; `timeout` of the database's OPTIONS bounds the wait in seconds."""

    def _start_transaction_under_autocommit(self) -> None:
        timeout = self.settings_dict["OPTIONS"].get("timeout", DEFAULT_TIMEOUT)
        give_up = time.monotonic() + timeout
        with self.wrap_database_errors:
            if not _first_in_line.acquire(timeout=timeout):
                raise sqlite3.OperationalError("database is locked")
            try:
                self.connection.execute("PRAGMA busy_timeout = 0")
                self._begin(give_up)
            finally:
                _first_in_line.release()
                self.connection.execute(f"PRAGMA busy_timeout = {1000 * timeout:.0f}")

    def _begin(self, give_up: float) -> None:
        """Begin a transaction, at once or as soon as the lock is free.

        Past Django's cursor: its errors are cycles that hold a cursor. A thread that collects them while it
        has the lock waits for the connection of their thread, and that one waits for the lock.
        """
        begin = f"BEGIN {self.transaction_mode or ''}"  # type: ignore[attr-defined]
        while True:
            try:
                self.connection.execute(begin)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                    raise
            else:
                return
            time.sleep(LOOK_SECONDS)
