"""Waits for the lock of a SQLite database, between connections to one file."""

import gc
import threading
import time
from contextlib import closing

import pytest
from django.db import OperationalError, connection, transaction

from movie.core.sqlite3.base import DatabaseWrapper
from movie.core.tests.threads import in_threads

pytestmark = [
    pytest.mark.usefixtures("own_connections"),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite alone has one lock for the database"),
]


@pytest.fixture
def other():
    """A connection of another process, as far as the database can tell."""
    with closing(DatabaseWrapper({**connection.settings_dict, "CONN_HEALTH_CHECKS": False})) as wrapper:
        wrapper.connect()
        yield wrapper.connection


def begin_and_commit():
    with transaction.atomic():
        return time.monotonic()


def test_who_waited_long_begins_soon_after_the_lock_is_free(other):
    """SQLite itself looks every 100 ms after a third of a second."""
    began, free = [], []
    for _turn in range(3):
        other.execute("BEGIN IMMEDIATE")
        waiting = threading.Thread(target=in_threads, args=(1, lambda _n: began.append(begin_and_commit())))
        waiting.start()
        time.sleep(0.45)
        other.execute("COMMIT")
        free.append(time.monotonic())
        waiting.join()
    assert min(begins - ends for begins, ends in zip(began, free, strict=True)) < 0.03


@pytest.mark.parametrize("waiting", [1, 3])
def test_a_wait_ends_after_the_timeout(other, monkeypatch, waiting):
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.2)
    other.execute("BEGIN IMMEDIATE")

    def wait(_n):
        began = time.monotonic()
        with pytest.raises(OperationalError, match="database is locked"):
            begin_and_commit()
        return time.monotonic() - began

    assert all(0.15 < seconds < 2 for seconds in in_threads(waiting, wait))
    other.execute("COMMIT")
    begin_and_commit()


def test_single_statements_wait_as_long_as_before(other):
    begin_and_commit()
    (milliseconds,) = connection.connection.execute("PRAGMA busy_timeout").fetchone()
    assert milliseconds == 1000 * connection.settings_dict["OPTIONS"]["timeout"]


def test_a_wait_leaves_no_garbage_that_holds_a_connection(other, monkeypatch):
    """A thread that collects it while it has the lock would wait for the thread that waits for the lock."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.1)
    connection.ensure_connection()
    gc.collect()
    gc.disable()
    try:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.05, other.execute, ["COMMIT"])
        release.start()
        begin_and_commit()
        release.join()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not [each for each in gc.garbage if type(each).__module__.startswith(("sqlite3", "django.db"))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
