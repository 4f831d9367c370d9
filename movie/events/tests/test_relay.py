"""A relay may die at any point: what was recorded arrives, once in effect."""

import urllib.request
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone

from movie.catalogue.models import Movie
from movie.core.ids import new_event_id
from movie.core.shutdown import GracefulShutdown
from movie.events import recording
from movie.events.archive import get_archive
from movie.events.archive.base import ArchiveUnavailable
from movie.events.history import get_history
from movie.events.history_import import take_back_import
from movie.events.models import (
    CLAIM,
    CLOCK_ERROR,
    TO_PRUNE,
    DailyMovieActivity,
    Event,
    HistoryChange,
    HistoryImport,
)
from movie.events.stream import EventStreamUnavailable, get_event_stream
from movie.events.stream.backlog import backlog
from movie.events.stream.handlers import Popularity
from movie.events.stream.in_process import InProcessEventStream
from movie.events.stream.relay import Relay
from movie.events.tests.delivery import deliver_everything
from movie.operations import collectors
from movie.operations.metrics_server import metrics_server
from movie.operations.metrics_view import process_metrics_text
from movie.training.training_feed import TrainingFeed
from predictors.history import Interaction
from services.base import free_port

pytestmark = pytest.mark.django_db
VISITOR = "guest:a"


class Crash(BaseException):
    """As SIGKILL: nothing catches it."""


class KeptStream(InProcessEventStream):
    """A stream that needs a relay, without a broker."""

    uses_outbox = True

    def __init__(self):
        super().__init__(keep=True)
        self.messages = []

    def publish(self, messages):
        self.messages += messages


@pytest.fixture
def film():
    return Movie.objects.create(title="Heat")


@pytest.fixture
def sinks(event_table):
    """An archive in DynamoDB and a stream, both to be delivered to."""
    with override_settings(
        CLICK_ARCHIVE={"BACKEND": "movie.events.archive.dynamodb.DynamoDBArchive", "OPTIONS": event_table},
        EVENT_STREAM={"BACKEND": f"{__name__}.KeptStream", "OPTIONS": {}},
    ):
        get_event_stream().messages.clear()
        yield get_archive(), get_event_stream()


def click(film, visitor=VISITOR):
    return Interaction(new_event_id(), visitor, "click", film.pk, datetime.now(UTC), surface="home")


def claims_run_out():
    Event.objects.update(available_at=timezone.now())


@pytest.mark.parametrize(
    "point",
    ["before the archive", "after the archive", "before the stream", "after the stream", "before the mark"],
)
def test_a_relay_that_dies_loses_and_doubles_nothing(sinks, film, monkeypatch, point):
    archive, stream = sinks
    events = [click(film) for _ in range(7)]
    for each in events:
        recording.record(each)
    relay = Relay()
    when, _, what = point.partition(" the ")
    name = {"archive": "_write_archive", "stream": "_publish", "mark": "_mark"}[what]
    whole = getattr(relay, name)

    def dies(*arguments):
        if when == "after":
            whole(*arguments)
        raise Crash

    monkeypatch.setattr(relay, name, dies)
    with pytest.raises(Crash):
        relay.step()
    assert Relay().step() is False, "its rows are claimed for a while"
    claims_run_out()
    assert Relay().step() is True
    assert [each.interaction for each in archive.read(VISITOR)] == events
    assert {each.event_id for each in stream.messages} == {each.event_id for each in events}
    popularity = Popularity()
    popularity.handle(stream.messages)
    assert DailyMovieActivity.objects.get().count == 7
    assert get_history(VISITOR).interactions == tuple(events)


def test_an_import_that_is_taken_back_leaves_the_stream_and_the_archive_as_if_it_never_came(
    sinks, film, tmp_path
):
    archive, stream = sinks
    other = Movie.objects.create(title="Ronin")
    here = [click(film), click(film)._replace(kind="rating", value=2.0, at=timezone.now() - timedelta(2))]
    for each in here:
        recording.record(each)
    deliver_everything()
    done = HistoryImport.objects.create(visitor=VISITOR, name="x", source="imdb", count=3)
    brought = [
        click(each)._replace(kind=kind, value=value, at=timezone.now() - timedelta(1), surface="import")
        for each, kind, value in [(film, "rating", 5.0), (other, "rating", 4.0), (other, "click", None)]
    ]
    recording.record_all(brought, import_number=done.pk)
    deliver_everything()
    assert Event.objects.filter(import_number=done.pk).count() == 3, "its clicks stay, to be taken back"
    assert take_back_import(done) == 3
    deliver_everything()
    assert get_history(VISITOR).ratings == {film.pk: 2.0}
    assert [each.interaction for each in archive.read(VISITOR)] == here[:1]
    feed = TrainingFeed(tmp_path)
    feed.handle(stream.messages)
    feed.compact()
    rows = feed.events().filter(pl.col("owner").is_not_null())
    assert rows.filter(pl.col("kind") == "rating")["value"].to_list() == [2.0]
    assert rows["movie_id"].unique().to_list() == [film.pk]


def test_one_sink_that_is_away_does_not_hold_up_the_other(sinks, film, monkeypatch):
    _, stream = sinks

    def away(*arguments):
        raise ArchiveUnavailable("away")

    recording.record(click(film))
    relay = Relay()
    monkeypatch.setattr(relay, "_write_archive", away)
    relay.step()
    assert len(stream.messages) == 1
    assert not relay.to_archive.is_open(), "it is left alone for a while"
    assert (backlog()["archive"].rows, backlog()["stream"].rows) == (1, 0)
    assert relay.step() is False
    deliver_everything(keep=timedelta(hours=1))
    assert Event.objects.get().pending_sinks == TO_PRUNE
    assert len(stream.messages) == 1


def test_pauses_grow_and_end_with_success(film):
    sink = Relay().to_archive
    pauses = []
    for _ in range(12):
        sink.record_failure(EventStreamUnavailable("away"))
        pauses.append(sink.open_at)
    assert sink.backoff.failures == sink.failures == 12
    assert pauses[-1] - pauses[0] > 3
    sink.record_success(1)
    assert sink.backoff.failures == 0


def test_two_relays_claim_different_rows(sinks, film):
    for _ in range(10):
        recording.record(click(film))
    first, second = Relay(batch=6), Relay(batch=6)
    mine = first._claim([7], "a" * 32)
    theirs = second._claim([7], "b" * 32)
    assert (len(mine), len(theirs)) == (6, 4)
    assert not {row.pk for row in mine} & {row.pk for row in theirs}


def test_a_guest_who_signs_in_while_a_relay_delivers_keeps_everything(sinks, film, monkeypatch):
    archive, _ = sinks
    recording.record(click(film))
    relay = Relay()
    write = relay._write_archive

    def slowly(rows):
        write(rows)
        recording.merge_guest(VISITOR, "user:1")

    monkeypatch.setattr(relay, "_write_archive", slowly)
    relay.step()
    assert [each.kind for each in get_history("user:1")] == ["click"]
    deliver_everything()
    assert len(list(archive.read("user:1"))) == 1
    assert not list(archive.read(VISITOR)), "what was delivered under the guest's key moved too"
    assert not HistoryChange.objects.undelivered().exists()


def test_what_is_forgotten_while_a_relay_delivers_stays_forgotten(sinks, film, monkeypatch):
    archive, stream = sinks
    recording.record(click(film))
    relay = Relay()
    write = relay._write_archive

    def too_late(rows):
        recording.forget(VISITOR)
        write(rows)

    monkeypatch.setattr(relay, "_write_archive", too_late)
    relay.step()
    assert HistoryChange.objects.get().available_at > timezone.now() + CLAIM / 2, "until all claims ran out"
    assert len(get_history(VISITOR)) == 0
    deliver_everything()
    assert not list(archive.read(VISITOR))
    assert [type(each).__name__ for each in stream.messages] == ["InteractionRecorded", "HistoryForgotten"]


def test_the_command_needs_somewhere_to_deliver_to():
    with pytest.raises(CommandError, match="DYNAMODB_TABLE or KAFKA_BOOTSTRAP_SERVERS"):
        call_command("relay_events")


def test_the_command_delivers_once_and_says_what_waits(sinks, film, capsys):
    recording.record(click(film))
    call_command("relay_events", status=True)
    assert "archive: 1 rows wait" in capsys.readouterr().out
    call_command("relay_events", once=True)
    call_command("relay_events", status=True)
    assert "archive: 0 rows wait" in capsys.readouterr().out


def test_a_relay_stops_when_asked(sinks):
    with GracefulShutdown() as shutdown:
        shutdown.request()
        Relay().run(shutdown)


def test_the_metrics_are_there_for_prometheus(sinks, film):
    def delivered(text):
        return float(text.partition('reelgraph_relay_delivered_total{sink="archive"} ')[2].split()[0])

    recording.record(click(film))
    relay = Relay()
    before = process_metrics_text()[0].decode()
    relay.step()
    collectors._queues.clear()
    own = process_metrics_text()[0].decode()
    port = free_port()
    address = f"http://127.0.0.1:{port}/metrics"
    with metrics_server(port), urllib.request.urlopen(address, timeout=5) as answer:
        text = answer.read().decode()
    assert "# TYPE reelgraph_relay_delivered_total counter" in text
    assert delivered(text) == delivered(own) == delivered(before) + 1
    assert 'reelgraph_outbox_oldest_seconds{sink="stream"} 0' in own


def test_what_was_recorded_while_a_clock_was_ahead_waits_no_longer_than_a_claim(sinks, film):
    recording.record(click(film))
    recording.forget("guest:b")
    for model in (Event, HistoryChange):
        model.objects.update(available_at=timezone.now() + timedelta(hours=1))
    Relay().step()  # the clock is right again
    for model in (Event, HistoryChange):
        # A relay may still hold rows of before: its claim runs out first.
        assert timezone.now() < model.objects.get().available_at <= timezone.now() + CLAIM
        model.objects.update(available_at=timezone.now())
    Relay().step()
    assert not HistoryChange.objects.undelivered().exists()
    assert [each.interaction.visitor for each in get_archive().read()] == [VISITOR]


@pytest.fixture
def clicked(sinks, film):
    recording.record(click(film))


@pytest.fixture
def feed_of(tmp_path):
    def feed(messages):
        made = TrainingFeed(tmp_path)
        made.handle(messages)
        return made

    return feed


@pytest.fixture
def clock(monkeypatch):
    """Sets the clock of the whole site wrong by so many hours."""
    now = timezone.now
    return lambda hours: monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(hours=hours))


@pytest.mark.parametrize("hours", [(1, 0), (0, -1)], ids=["ahead, then right", "right, then set back"])
def test_a_deletion_covers_nothing_that_came_after_it_whatever_the_clock(sinks, film, clock, feed_of, hours):
    before, after = hours
    clock(before)
    recording.forget(VISITOR)
    deliver_everything()  # the relay's clock is wrong too
    Relay().step()
    clock(after)
    recording.record(click(film))
    deliver_everything()
    assert feed_of(get_event_stream().messages).compact() == 1


@pytest.mark.parametrize("hours", [0, 1])
@pytest.mark.parametrize("delivered", [True, False])
def test_a_deletion_by_the_account_covers_nothing_of_its_guest(clicked, clock, feed_of, hours, delivered):
    clock(hours)
    recording.forget("user:1")
    clock(0)
    if delivered:
        deliver_everything()
    recording.merge_guest(VISITOR, "user:1")
    deliver_everything()
    assert feed_of(get_event_stream().messages).compact() == 1
    assert [each.interaction.visitor for each in get_archive().read()] == ["user:1"]


def test_a_change_is_kept_as_long_as_a_clock_may_be_wrong(sinks):
    recording.forget(VISITOR)
    deliver_everything()
    assert not HistoryChange.objects.undelivered().exists()
    Relay().step()
    assert HistoryChange.objects.exists()
    HistoryChange.objects.update(recorded_at=timezone.now() - CLOCK_ERROR)
    Relay().step()
    assert not HistoryChange.objects.exists()
