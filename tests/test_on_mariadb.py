"""The tests that depend most on the database, again with MariaDB. All of the suite runs on it with
DATABASE_URL set; this is the short form for every day."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    "movie/core/tests/test_database.py",
    "movie/catalogue/tests/test_identity.py",
    "movie/events/tests/test_event_log.py",
    "movie/events/tests/test_movie_merging.py",
    "movie/events/tests/test_rating_import.py",
    "movie/events/tests/test_recording.py",
    "movie/events/tests/test_relay.py",
]


def test_what_the_database_decides_holds_on_mariadb_too(mariadb_service, tmp_path):
    pytest.importorskip("MySQLdb", reason="mysqlclient is not installed; see requirements-mysql.txt")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        "DATABASE_URL": mariadb_service.variables()["DATABASE_URL"] + f"_{os.getpid()}",
    }
    files = [str(ROOT / name) for name in FILES]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1], done.stdout[-2000:]
