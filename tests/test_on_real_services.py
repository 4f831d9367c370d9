"""The tests that depend most on the database, and every address of the site, on real servers.

The whole suite runs on MariaDB with DATABASE_URL set; these are the short form for every day.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATABASE_TESTS = [
    "movie/core/tests/test_database.py",
    "movie/catalogue/tests/test_identity.py",
    "movie/catalogue/tests/test_csv_import.py",
    "movie/catalogue/tests/test_movie_counts.py",
    "movie/events/tests/test_bulk_recording.py",
    "movie/events/tests/test_movie_merging.py",
    "movie/events/tests/test_plays_import.py",
    "movie/events/tests/test_rating_import.py",
    "movie/events/tests/test_click_archive.py",
    "movie/events/tests/test_rating_weights.py::test_a_member_with_fifty_films_counts_fully_after_a_week",
    "movie/events/tests/test_rating_weights.py::test_clearing_signing_in_and_leaving_makes_no_room_for_more",
    "movie/events/tests/test_rating_weights.py::test_a_rating_while_weights_are_settled_counts_once",
    "movie/events/tests/test_recording.py",
    "movie/events/tests/test_mark_partitions.py",
    "movie/events/tests/test_relay.py",
    "movie/pages/tests/test_account_page.py",
    "movie/pages/tests/test_query_plans.py",
    "movie/visitors/tests/test_second_factor.py",
    "webapp/tests/test_migrations.py",
]
# PostgreSQL's short form: errors, locks, keys, upserts. DATABASE_URL runs any other test there too.
POSTGRESQL_TESTS = [
    "movie/core/tests/test_database.py",
    "movie/catalogue/tests/test_movie_counts.py",
    "movie/events/tests/test_bulk_recording.py",
    "movie/events/tests/test_mark_partitions.py",
    "movie/events/tests/test_relay.py",
    "webapp/tests/test_migrations.py",
]
EVERY_ADDRESS = ["movie/pages/tests/test_every_address.py"]


def run_tests(files: list[str], variables: dict[str, str]) -> None:
    """Run tests in a process of its own, whose settings read these variables."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # MariaDB waits until a full disk has room again, so nothing is refused there.
    test = "test_a_database_that_takes_no_writes_is_a_503_and_pages_go_on[full]"
    left_out = f"--deselect=movie/core/tests/test_database.py::{test}"
    options = ["-q", "-rs", "-p", "no:cacheprovider", "-p", "no:xdist", left_out]
    command = [sys.executable, "-m", "pytest", *options, *files]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert all(line.endswith(("is not beside the checkout", "of SQLite")) for line in skipped), skipped


@pytest.fixture
def database(mariadb_service) -> dict[str, str]:
    pytest.importorskip("MySQLdb", reason="mysqlclient is not installed; see requirements-mysql.txt")
    return {"DATABASE_URL": mariadb_service.variables()["DATABASE_URL"] + f"_{os.getpid()}"}


def test_what_the_database_decides_holds_on_mariadb_too(database):
    run_tests(DATABASE_TESTS, database)


def test_what_the_database_decides_holds_on_postgresql_too(postgresql_service):
    pytest.importorskip("psycopg", reason="psycopg is not installed; see requirements-postgresql.txt")
    run_tests(
        POSTGRESQL_TESTS, {"DATABASE_URL": f"{postgresql_service.variables()['DATABASE_URL']}_{os.getpid()}"}
    )


def test_no_address_breaks_with_every_service(
    database, redis_service, dynamodb_service, kafka_service, event_table
):
    services = (redis_service, dynamodb_service, kafka_service)
    variables = {name: value for each in services for name, value in each.variables().items()}
    topic = f"addresses-{os.getpid()}"
    table = {"DYNAMODB_TABLE": event_table["table"], "KAFKA_TOPIC": topic}
    run_tests(EVERY_ADDRESS, {**variables, **database, **table})
