"""Fixtures for the tests of every part of the app."""

import sqlite3

import pytest
from django.core.cache import cache
from django.db import connection, connections


@pytest.fixture(autouse=True)
def nothing_remembered():
    """Give each test empty caches and a catalogue of its own."""
    from movie.api.film_table import index_holder

    cache.clear()
    index_holder.cache_clear()


@pytest.fixture
def own_connections(transactional_db, tmp_path):
    """A database that threads can share. SQLite's test database in memory knows no waiting, so its
    tables are copied into a file, as on a real site."""
    if connection.vendor != "sqlite":
        yield
        return
    memory = connections["default"]
    memory.ensure_connection()
    path = tmp_path / "threads.sqlite3"
    with sqlite3.connect(path) as target:
        memory.connection.backup(target)
    name = memory.settings_dict["NAME"]
    del connections["default"]
    connections.settings["default"]["NAME"] = str(path)
    yield
    connections["default"].close()
    connections.settings["default"]["NAME"] = name
    connections["default"] = memory
