"""What the archive in DynamoDB does beyond the common contract: being away, expiry, paging."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from movie.catalogue.models import Movie, Rating
from movie.core.ids import new_event_id
from movie.events import recording
from movie.events.archive import ArchiveUnavailable, get_archive
from movie.events.archive import dynamodb as wire
from movie.events.archive.base import Archived
from movie.events.archive.dynamodb import DynamoDBArchive
from movie.events.history import OUT_OF_ORDER, get_history
from movie.events.models import Event, HistoryChange
from movie.events.tests.delivery import deliver_everything
from predictors.history import Interaction
from services.base import free_port

pytestmark = pytest.mark.django_db
BACKEND = "movie.events.archive.dynamodb.DynamoDBArchive"


@pytest.fixture
def archive(event_table):
    with override_settings(CLICK_ARCHIVE={"BACKEND": BACKEND, "OPTIONS": event_table}):
        yield get_archive()


@pytest.fixture
def away(monkeypatch):
    """An archive whose server is not there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    options = {"table": "events", "region": "us-east-1", "endpoint_url": f"http://127.0.0.1:{free_port()}"}
    with override_settings(CLICK_ARCHIVE={"BACKEND": BACKEND, "OPTIONS": options}):
        yield get_archive()


@pytest.fixture
def film():
    return Movie.objects.create(title="Heat")


def event(film, kind="click", visitor="guest:a", value=None, at=None):
    return Interaction(new_event_id(), visitor, kind, film.pk, at or datetime.now(UTC), value, "home")


def test_clicks_move_to_the_table_and_decisions_stay(archive, film):
    recording.record(event(film))
    recording.record(event(film, "rating", value=4.0))
    relay = deliver_everything()
    assert (relay.to_archive.delivered, relay.pruned) == (1, 1)
    assert [row.kind for row in Event.objects.all()] == ["rating"]
    assert [each.kind for each in get_history("guest:a")] == ["click", "rating"]


def test_rows_stay_for_a_while_after_delivery(archive, film):
    recording.record(event(film))
    deliver_everything(keep=timedelta(hours=1))
    assert Event.objects.count() == 1
    assert len(get_history("guest:a")) == 1


def test_without_the_server_everything_but_the_export_goes_on(away, film, client, caplog):
    assert recording.record(event(film))
    assert recording.record(event(film, "rating", value=4.0))
    assert recording.record(event(film, "undo"))
    assert [each.kind for each in get_history("guest:a")] == ["click", "rating", "undo"]
    assert caplog.text.count("DynamoDB cannot be read") == 1, "after a failure it is left alone for a while"
    assert recording.merge_guest("guest:a", "user:1") == 3
    assert recording.forget("user:1") == 3
    assert not Rating.objects.exists()
    for page in ("/", "/history/", "/recommend/"):
        assert client.get(page).status_code == 200
    with pytest.raises(ArchiveUnavailable):
        get_history("user:1", limit=None)
    client.raise_request_exception = False
    answer = client.get("/history/export.csv")
    assert answer.status_code == 503 and int(answer["Retry-After"]) > 0
    relay = deliver_everything()
    assert relay.to_archive.failures and relay.to_archive.delivered == 0


def test_deletions_and_merges_ask_no_network(archive, film, monkeypatch):
    for visitor in ("guest:a", "guest:b"):
        for _click in range(3):
            recording.record(event(film, visitor=visitor))
        recording.record(event(film, "rating", visitor=visitor, value=4.0))
    deliver_everything()
    recording.record(event(film, visitor="guest:a"))

    def refuse(*arguments, **options):
        raise AssertionError("the network was asked")

    with monkeypatch.context() as patch:
        for name in ("read", "write", "delete", "_pages", "_write"):
            patch.setattr(DynamoDBArchive, name, refuse)
        assert recording.merge_guest("guest:a", "user:1") == 2
        assert recording.merge_guest("guest:a", "user:1") == 0
        assert recording.forget("guest:b", film.pk) == 1
        assert recording.forget("guest:b") == 0
    for _delivery in range(2):
        assert len(get_history("user:1")) == len(get_history("user:1", limit=None)) == 5
        assert not get_history("guest:a", limit=None) and not get_history("guest:b", limit=None)
        deliver_everything()
    assert {each.interaction.visitor for each in archive.read()} == {"user:1"}


def test_a_page_asks_once_whatever_there_is(archive, film, monkeypatch):
    events = [event(film) for _ in range(60)]
    recording.record_all([*events, *(event(film, "impression") for _ in range(60))])
    deliver_everything()
    asked, query = [], archive._client.query

    def counted(**request):
        asked.append(request)
        return query(**request)

    monkeypatch.setattr(archive._client, "query", counted)
    assert list(get_history("guest:a", limit=5)) == events[-5:]
    assert [request["Limit"] for request in asked] == [5 + OUT_OF_ORDER]


def test_deletions_cover_what_came_before_whatever_the_clocks_say(archive, film, monkeypatch):
    def at(hour):
        moment = datetime(2030, 5, 1, hour, tzinfo=UTC)
        monkeypatch.setattr(recording.timezone, "now", lambda: moment)

    at(13)  # a server whose clock is an hour ahead
    recording.record(event(film))
    at(12)
    recording.forget("guest:a")
    recording.record(after := event(film))
    monkeypatch.undo()
    for rows in (Event, HistoryChange):
        rows.objects.update(available_at=datetime.now(UTC))
    deliver_everything()
    assert [each.event_id for each in get_history("guest:a", limit=None)] == [after.event_id]
    assert HistoryChange.objects.undelivered().exists() is False


def test_expired_items_are_left_out_although_they_are_still_there(archive, film):
    long_ago = datetime.now(UTC) - wire.LIFETIME - timedelta(days=2)
    for visitor in ("guest:a", "user:1"):
        archive.write([Archived(event(film, visitor=visitor, at=long_ago), long_ago)])
    assert not get_history("guest:a") and not get_history("guest:a", limit=None)
    assert len(get_history("user:1")) == 1, "what members do does not expire"


def test_histories_longer_than_a_page_come_in_order(archive, film, monkeypatch):
    monkeypatch.setattr(wire, "PAGE", 7)
    events = [event(film) for _ in range(60)]
    recording.record_all(events)
    deliver_everything()
    assert list(get_history("guest:a", limit=None)) == events
    assert list(get_history("guest:a", limit=5)) == events[-5:]


def test_what_a_busy_table_refuses_is_sent_again(archive, film, monkeypatch):
    monkeypatch.setattr(wire, "FIRST_PAUSE", 0.0)
    client, sent = archive._client, []
    write = client.batch_write_item

    def half(RequestItems):
        ((name, requests),) = RequestItems.items()
        keep = max(1, len(requests) // 2)
        sent.append(keep)
        answer = write(RequestItems={name: requests[:keep]})
        return {**answer, "UnprocessedItems": {name: requests[keep:]} if requests[keep:] else {}}

    monkeypatch.setattr(client, "batch_write_item", half)
    events = [event(film) for _ in range(30)]
    archive.write([Archived(each, each.at) for each in events])
    assert sum(sent) == 30 and len(sent) > 4
    assert list(get_history("guest:a")) == events


def test_the_command_makes_the_table_once(archive, capsys, event_table):
    archive._client.delete_table(TableName=event_table["table"])
    call_command("create_event_table")
    call_command("create_event_table")
    said = capsys.readouterr().out
    assert "is made" in said and "was there" in said and "deletes no expired items" in said


def test_without_a_table_the_command_says_what_to_set():
    with pytest.raises(CommandError, match="DYNAMODB_TABLE"):
        call_command("create_event_table")


def test_a_missing_table_is_the_same_as_a_server_that_is_away(event_table):
    missing = DynamoDBArchive(**{**event_table, "table": f"{event_table['table']}-not"})
    for options in ({}, {"latest_clicks": 5}):
        with pytest.raises(ArchiveUnavailable, match="ResourceNotFound"):
            list(missing.read("guest:a", **options))
