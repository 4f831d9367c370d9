"""Probes: they say what is wrong by name, ask for nothing, and cost the site nothing."""

from datetime import timedelta

import numpy as np
import pytest
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from datasets.interactions import Interactions
from movie.catalogue.tests.films import make_film
from movie.core.ids import new_event_id
from movie.events.models import TO_STREAM, Event
from movie.operations import health
from movie.operations.tests.checks import forget_checks
from movie.training.registry import registry
from predictors.models.popular import PopularPredictor
from services.base import free_port

CHECKS = ["database", "migrations", "click_archive", "stream", "models"]


@pytest.fixture(autouse=True)
def look_again():
    forget_checks()
    yield
    forget_checks()


@pytest.fixture
def trained(settings, tmp_path, db):
    """A site with one model that can answer."""
    settings.MODEL_DIR, settings.DEFAULT_MODELS = tmp_path / "models", ("popular",)
    film = make_film("Heat")
    data = Interactions.from_columns(
        np.zeros(1, int), np.zeros(1, int), user_ids=np.arange(1), item_ids=np.array([film.pk])
    )
    registry().store.publish(PopularPredictor.fit(data), activate=True)
    return film


def asked(client):
    """The status of the answer and what it says."""
    health._readiness.clear()
    answer = client.get("/health/ready")
    assert answer["Content-Type"] == "application/json"
    return answer.status_code, answer.json()


def away(found):
    return {name: check["why"] for name, check in found["checks"].items() if not check["ok"]}


@pytest.mark.parametrize("host", ["10.1.2.3:8000", "[fe80::1]", "no such host!", ""])
def test_live_says_so_to_any_host_over_plain_http_without_database_or_cookie(client, settings, host):
    settings.SECURE_SSL_REDIRECT = True  # no database mark: any query fails this test
    answer = client.get("/health/live", headers={"host": host, "accept-language": "ko"})
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})
    assert not answer.cookies
    assert "Set-Cookie" not in answer
    assert answer["Cache-Control"] == "no-store"


def test_probes_are_for_reading(client):
    assert client.post("/health/live").status_code == 405


def test_ready_names_every_part_with_its_time(client, trained, settings):
    settings.SECURE_SSL_REDIRECT = True
    status, found = asked(client)
    assert (status, found["status"]) == (200, "ready"), found
    assert list(found["checks"]) == CHECKS
    assert all(check["why"] and check["ms"] >= 0 for check in found["checks"].values())
    assert registry().get("popular").version in found["checks"]["models"]["why"]
    assert not client.cookies


def test_an_answer_is_remembered_for_a_second(client, trained, django_assert_num_queries):
    asked(client)
    with django_assert_num_queries(0):
        assert client.get("/health/ready").json()["status"] == "ready"


def test_without_a_model_the_site_is_not_ready(client, settings, tmp_path, db):
    settings.MODEL_DIR = tmp_path
    status, found = asked(client)
    assert (status, found["status"]) == (503, "unavailable")
    assert away(found) == {"models": "none of DEFAULT_MODELS is trained"}


def test_a_damaged_model_is_named_and_the_next_one_answers(client, settings, trained):
    settings.DEFAULT_MODELS = ("ease", "popular")
    folder = settings.MODEL_DIR / "ease"
    folder.mkdir()
    (folder / "current").write_text("broken")
    status, found = asked(client)
    assert status == 200
    assert found["checks"]["models"]["why"].endswith("cannot be loaded: ease")
    settings.DEFAULT_MODELS = ("ease",)
    status, found = asked(client)
    assert (status, away(found)) == (503, {"models": "cannot be loaded: ease"})


def test_a_database_that_cannot_be_opened(client, trained, tmp_path):
    if connection.vendor != "sqlite":
        pytest.skip("another file is a matter of SQLite")
    there = connections["default"]
    gone = there.copy()
    gone.settings_dict = {**there.settings_dict, "NAME": str(tmp_path / "no" / "folder.sqlite3")}
    connections["default"] = gone
    try:
        status, found = asked(client)
    finally:
        connections["default"] = there
    assert (status, found["status"]) == (503, "unavailable")
    assert away(found)["database"] == "default: OperationalError"
    assert "migrations" not in found["checks"]


def test_a_replica_that_is_away_is_named(client, trained, tmp_path, monkeypatch):
    if connection.vendor != "sqlite":
        pytest.skip("another file is a matter of SQLite")
    there = connections["default"]
    gone = there.copy("replica")
    gone.settings_dict = {**there.settings_dict, "NAME": str(tmp_path / "no" / "folder.sqlite3")}
    monkeypatch.setattr(health, "connections", {"default": there, "replica": gone})
    status, found = asked(client)
    assert (status, found["status"]) == (503, "unavailable")
    assert away(found) == {"database": "replica: OperationalError"}


def test_a_migration_that_is_not_applied(client, trained):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'events' AND name LIKE '0001%%'")
    status, found = asked(client)
    assert status == 503
    assert away(found)["migrations"].startswith("events.0001_initial not applied")


def test_a_database_that_takes_no_writes(client, trained):
    if connection.vendor != "sqlite":
        pytest.skip("query_only is a word of SQLite")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
        try:
            status, found = asked(client)
        finally:
            cursor.execute("PRAGMA query_only = OFF")
    assert (status, away(found)) == (503, {"database": "OperationalError"})


def test_the_write_leaves_nothing_and_is_remembered_for_ten_seconds(client, trained):
    applied = MigrationRecorder(connection).applied_migrations()
    with CaptureQueriesContext(connection) as first:
        asked(client)
    with CaptureQueriesContext(connection) as second:
        asked(client)
    writes = [
        [query for query in queries.captured_queries if "INSERT" in query["sql"]]
        for queries in (first, second)
    ]
    assert (len(writes[0]), len(writes[1])) == (1, 0)
    assert MigrationRecorder(connection).applied_migrations().keys() == applied.keys()


def test_a_click_archive_that_is_away_leaves_the_site_serving(client, settings, trained):
    port = free_port()
    settings.CLICK_ARCHIVE = {
        "BACKEND": "movie.events.archive.dynamodb.DynamoDBArchive",
        "OPTIONS": {"table": "t", "region": "eu-central-1", "endpoint_url": f"http://127.0.0.1:{port}"},
    }
    status, found = asked(client)
    assert (status, found["status"]) == (200, "degraded")
    assert list(away(found)) == ["click_archive"]
    assert "127.0.0.1" not in str(found)


def test_an_archive_that_answers(client, settings, trained, event_table):
    settings.CLICK_ARCHIVE = {
        "BACKEND": "movie.events.archive.dynamodb.DynamoDBArchive",
        "OPTIONS": event_table,
    }
    _status, found = asked(client)
    assert found["status"] == "ready", found
    assert found["checks"]["click_archive"]["why"] == "can be read"


@pytest.mark.parametrize(
    ("late", "rows", "expected"), [(299, 2, "ready"), (301, 2, "degraded"), (1, 3, "degraded")]
)
def test_an_outbox_that_is_late_or_long(client, settings, trained, *, late, rows, expected):
    settings.HEALTH_OUTBOX_SECONDS, settings.HEALTH_OUTBOX_ROWS = 300, 2
    for _ in range(rows):
        Event.objects.create(
            event_id=new_event_id(),
            visitor="guest:a",
            kind="click",
            movie_id=trained.pk,
            at=timezone.now(),
            pending_sinks=TO_STREAM,
            recorded_at=timezone.now() - timedelta(seconds=late),
        )
    status, found = asked(client)
    assert (status, found["status"]) == (200, expected)
    assert found["checks"]["stream"]["ok"] == (expected == "ready")


def test_a_change_is_one_line_of_the_log(client, settings, trained, caplog):
    asked(client)
    settings.DEFAULT_MODELS = ("ease",)
    for _ in range(3):
        asked(client)
    settings.DEFAULT_MODELS = ("popular",)
    asked(client)
    lines = [record.getMessage() for record in caplog.records if record.name == "movie.operations.health"]
    assert lines == ["unavailable. models: none of DEFAULT_MODELS is trained", "ready. "]
    assert not [record for record in caplog.records if record.name == "django.request"]
