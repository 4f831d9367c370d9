"""Visitors rate while bulk work runs on a served site: nobody is refused and nobody waits for long.

`python -m benchmarks.bulk_work` is the long form.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.bulk_work import Waits, bulk_environment, measure
from services import Service

SECONDS, SHARE = 1.0, 0.95  # of the ratings: there are too few here for a percentile beyond
LONGEST_SECONDS = 4.0  # the plain way, one transaction, lets somebody wait for 7
OWN_LOAD = 4.0  # processes of this test that want a core


def waits_on(folder: Path, database: dict[str, str]) -> list[Waits]:
    environment = bulk_environment(folder / "site", database)
    return list(measure(environment, rows=800, preview_rows=2_000, calls=3, quiet_seconds=3.0, short=True))


def assert_nobody_waited(found: list[Waits]) -> None:
    others = os.getloadavg()[0] - OWN_LOAD  # each core does so much less for this test
    slower = max(1.0, others / (os.cpu_count() or 1))
    for each in found:
        assert not each.notes, f"{each.name}: {each.notes}"
        assert set(each.statuses) == {204}, each.name
        assert each.percentile(SHARE) < SECONDS * slower, f"{each.name}: {sorted(each.waits)[-9:]}"
        assert max(each.waits) < LONGEST_SECONDS * slower, f"{each.name}: {sorted(each.waits)[-5:]}"


def test_visitors_do_not_wait_for_bulk_work_with_sqlite(tmp_path: Path) -> None:
    assert_nobody_waited(waits_on(tmp_path, {"DATABASE_URL": f"sqlite:///{tmp_path / 'site.sqlite3'}"}))


@pytest.fixture
def mariadb_database(mariadb_service: Service) -> Iterator[str]:
    """The address of an empty database."""
    server = pytest.importorskip("MySQLdb", reason="mysqlclient is not installed")
    url = urlsplit(mariadb_service.variables()["DATABASE_URL"] + f"_bulk_{os.getpid()}")
    name = url.path.strip("/")
    options = {"host": url.hostname, "port": url.port, "user": url.username, "password": url.password}
    with closing(server.connect(**options)) as connection:
        connection.cursor().execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        yield url.geturl()
    with closing(server.connect(**options)) as connection:  # the first may have been idle for too long
        connection.cursor().execute(f"DROP DATABASE `{name}`")


def test_visitors_do_not_wait_for_bulk_work_with_mariadb(tmp_path: Path, mariadb_database: str) -> None:
    assert_nobody_waited(waits_on(tmp_path, {"DATABASE_URL": mariadb_database}))
