"""Marks of processed events by day: none is lost while it may matter, and old days go as a whole."""

from __future__ import annotations

import uuid
from datetime import UTC, date, timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from movie.core.ids import new_event_id
from movie.events import mark_partitions
from movie.events.mark_partitions import first_id, partition_marks
from movie.events.models import ProcessedEvent

needs_partitions = pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no partitions")


@pytest.fixture
def whole_table_again(transactional_db):
    """Make the table of later tests as migrations made it."""
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(ProcessedEvent)
        editor.create_model(ProcessedEvent)


def test_ids_of_a_day_begin_at_its_midnight():
    now = timezone.now().astimezone(UTC).date()
    assert first_id(now) <= new_event_id() < first_id(now + timedelta(days=2))
    assert first_id(date(2026, 1, 1)) == "019b76da-a800"


@needs_partitions
def test_old_days_go_once_all_their_marks_are_old(whole_table_again, monkeypatch):
    today = timezone.now().astimezone(UTC).date()
    kept = [new_event_id(), "00000000-0000-4000-8000-000000000000", "ffffffff-0000-4000-8000-000000000000"]
    ProcessedEvent.objects.bulk_create(ProcessedEvent(group="popularity", event_id=each) for each in kept)
    said: list[str] = []
    in_past = timezone.now() - timedelta(days=18)
    with monkeypatch.context() as patch:
        patch.setattr(mark_partitions.timezone, "now", lambda: in_past)
        partition_marks(said.append)
    first, second, third = (first_id(in_past.date() + timedelta(days=n)) for n in range(3))
    for start, age in ((first, 18), (second, 1), (third, 16)):  # the second was processed late
        ProcessedEvent.objects.create(
            group="popularity",
            event_id=f"{start}-7000-8000-{uuid.uuid4().hex[:12]}",
            processed_at=timezone.now() - timedelta(days=age),
        )
    partition_marks(said.append)
    left = set(ProcessedEvent.objects.values_list("event_id", flat=True))
    assert {each[:13] for each in left - set(kept)} == {second}, "an event of that day may come again"
    assert left >= set(kept)
    assert (
        f"Dropped {in_past.date()}." in said and f"Dropped {in_past.date() + timedelta(days=1)}." not in said
    )
    for n in (0, 14):
        mark = ProcessedEvent(group="popularity", event_id=f"{first_id(today + timedelta(days=n))}-7000-8000")
        ProcessedEvent.objects.bulk_create([mark])
    before = len(said)
    partition_marks(said.append)
    assert len(said) == before, "nothing more to do today"


@pytest.mark.django_db
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="of SQLite")
def test_sqlite_says_that_it_has_none():
    with pytest.raises(CommandError, match="SQLite has no partitions"):
        call_command("partition_marks")
