"""What the event log in DynamoDB does beyond the common contract: being away, expiry, paging."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from movie import interactions
from movie.event_ids import new_event_id
from movie.event_log import dynamodb_table as wire
from movie.event_log import get_event_log
from movie.event_log.base import EventLogUnavailable
from movie.event_log.dynamodb_table import DynamoDBTable, Stored
from movie.models import InteractionRecord, Movie, Rating
from movie.tests.delivery import deliver_everything
from predictors.history import Interaction
from services.base import free_port

pytestmark = pytest.mark.django_db
BACKEND = "movie.event_log.dynamodb.DynamoDBEventLog"


@pytest.fixture
def log(event_table):
    with override_settings(EVENT_LOG={"BACKEND": BACKEND, "OPTIONS": event_table}):
        yield get_event_log()


@pytest.fixture
def away(monkeypatch):
    """A log whose server is not there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    options = {"table": "events", "region": "us-east-1", "endpoint_url": f"http://127.0.0.1:{free_port()}"}
    with override_settings(EVENT_LOG={"BACKEND": BACKEND, "OPTIONS": options}):
        yield get_event_log()


@pytest.fixture
def film():
    return Movie.objects.create(title="Heat")


def event(film, kind="click", visitor="guest:a", value=None, at=None):
    return Interaction(new_event_id(), visitor, kind, film.pk, at or datetime.now(UTC), value, "home")


def test_clicks_move_to_the_table_and_decisions_stay(log, film):
    interactions.record(event(film))
    interactions.record(event(film, "rating", value=4.0))
    relay = deliver_everything()
    assert (relay.to_log.delivered, relay.pruned) == (1, 1)
    assert [row.kind for row in InteractionRecord.objects.all()] == ["rating"]
    assert [each.kind for each in interactions.history_of("guest:a")] == ["click", "rating"]


def test_rows_stay_for_a_while_after_delivery(log, film):
    interactions.record(event(film))
    deliver_everything(keep=timedelta(hours=1))
    assert InteractionRecord.objects.count() == 1
    assert len(interactions.history_of("guest:a")) == 1


def test_without_the_server_everything_but_the_export_goes_on(away, film, client, caplog):
    assert interactions.record(event(film))
    assert interactions.record(event(film, "rating", value=4.0))
    assert interactions.record(event(film, "undo"))
    assert [each.kind for each in interactions.history_of("guest:a")] == ["click", "rating", "undo"]
    assert caplog.text.count("DynamoDB cannot be read") == 1, "after a failure it is left alone for a while"
    assert interactions.merge_guest("guest:a", "user:1") == 3
    assert interactions.forget("user:1") == 3
    assert not Rating.objects.exists()
    for page in ("/", "/history/", "/recommend/"):
        assert client.get(page).status_code == 200
    with pytest.raises(EventLogUnavailable):
        interactions.history_of("user:1", limit=interactions.EVERYTHING)
    client.raise_request_exception = False
    answer = client.get("/history/export.csv")
    assert answer.status_code == 503 and int(answer["Retry-After"]) > 0
    relay = deliver_everything()
    assert relay.to_log.failures and relay.to_log.delivered == 0


@pytest.mark.django_db(transaction=True)
def test_no_lock_is_held_while_the_network_is_asked(log, film, monkeypatch):
    """Deletions and joinings say how many interactions there were, wherever those are."""
    for visitor in ("guest:a", "guest:b"):
        for _click in range(3):
            interactions.record(event(film, visitor=visitor))
        interactions.record(event(film, "rating", visitor=visitor, value=4.0))
    deliver_everything()
    interactions.record(event(film, visitor="guest:a"))
    asked_within, asked = [], DynamoDBTable._pages

    def pages(table, *arguments, **request):
        asked_within.append(connection.in_atomic_block)
        return asked(table, *arguments, **request)

    monkeypatch.setattr(DynamoDBTable, "_pages", pages)
    assert interactions.merge_guest("guest:a", "user:1") == 5
    assert interactions.merge_guest("guest:a", "user:1") == 0
    assert interactions.forget("guest:b", film.pk) == 4
    assert interactions.forget("guest:b") == 0
    assert asked_within and not any(asked_within)
    assert len(interactions.history_of("user:1")) == 5


def test_what_was_joined_meanwhile_is_not_counted_twice(log, film):
    for _click in range(3):
        interactions.record(event(film))
    deliver_everything()
    seen_by_both = log.elsewhere("guest:a")
    assert len(seen_by_both.event_ids) == 3
    assert log.merge("guest:a", "user:1", seen_by_both) == 3
    assert log.merge("guest:a", "user:1", seen_by_both) == 0
    assert log.forget("guest:a", None, seen_by_both) == 0


def test_expired_items_are_left_out_although_they_are_still_there(log, film):
    long_ago = datetime.now(UTC) - wire.LIFETIME - timedelta(days=2)
    for visitor in ("guest:a", "user:1"):
        log.table.write([Stored(event(film, visitor=visitor, at=long_ago), long_ago)])
    assert log.history("guest:a") == []
    assert len(log.history("user:1")) == 1, "what members do does not expire"


def test_histories_longer_than_a_page_come_in_order(log, film, monkeypatch):
    monkeypatch.setattr(wire, "PAGE", 7)
    events = [event(film) for _ in range(60)]
    log.append_all(events)
    deliver_everything()
    assert log.export("guest:a") == events
    assert log.history("guest:a", limit=5) == events[-5:]


def test_what_a_busy_table_refuses_is_sent_again(log, film, monkeypatch):
    monkeypatch.setattr(wire, "FIRST_PAUSE", 0.0)
    client, sent = log.table._client, []
    write = client.batch_write_item

    def half(RequestItems):
        ((name, requests),) = RequestItems.items()
        keep = max(1, len(requests) // 2)
        sent.append(keep)
        answer = write(RequestItems={name: requests[:keep]})
        return {**answer, "UnprocessedItems": {name: requests[keep:]} if requests[keep:] else {}}

    monkeypatch.setattr(client, "batch_write_item", half)
    events = [event(film) for _ in range(30)]
    log.table.write([Stored(each, each.at) for each in events])
    assert sum(sent) == 30 and len(sent) > 4
    assert log.history("guest:a") == events


def test_the_command_makes_the_table_once(log, capsys, event_table):
    log.table._client.delete_table(TableName=event_table["table"])
    call_command("create_event_table")
    call_command("create_event_table")
    said = capsys.readouterr().out
    assert "is made" in said and "was there" in said and "deletes no expired items" in said


def test_without_a_table_the_command_says_what_to_set():
    with pytest.raises(CommandError, match="DYNAMODB_TABLE"):
        call_command("create_event_table")


def test_a_missing_table_is_the_same_as_a_server_that_is_away(event_table):
    name, region, address = event_table.values()
    table = DynamoDBTable(f"{name}-not", region=region, endpoint_url=address)
    with pytest.raises(EventLogUnavailable, match="ResourceNotFound"):
        list(table.newest_first("guest:a"))
