"""Waits for the lock of a SQLite database, between connections to one file."""

import gc
import threading
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection, transaction

from movie.core.sqlite3 import base
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
        pass


def test_who_waits_looks_as_often_after_long_as_at_first(other, monkeypatch):
    """SQLite itself looks every 100 ms after a third of a second."""
    pauses = []

    def pause(seconds):
        pauses.append((seconds, *connection.connection.execute("PRAGMA busy_timeout").fetchone()))
        if len(pauses) == 500:
            other.execute("COMMIT")

    monkeypatch.setattr(base, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pause))
    other.execute("BEGIN IMMEDIATE")
    begin_and_commit()
    assert pauses == [(base.LOOK_SECONDS, 0)] * 500


@pytest.mark.parametrize("waiting", [1, 3])
def test_a_wait_ends_after_the_timeout(other, monkeypatch, waiting):
    usual = connection.settings_dict["OPTIONS"]["timeout"]
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.2)
    other.execute("BEGIN IMMEDIATE")

    def wait(_n):
        began = time.monotonic()
        with pytest.raises(OperationalError, match="database is locked"):
            begin_and_commit()
        return time.monotonic() - began

    assert all(0.15 < seconds < usual for seconds in in_threads(waiting, wait))
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
