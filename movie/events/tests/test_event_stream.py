"""The stream, what is written on it, and what its groups make of it; on every kind of stream."""

import json
import threading
import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from datasets.readers.dataset import read_interactions
from movie.catalogue.models import Movie
from movie.core.ids import new_event_id
from movie.events import recording
from movie.events.models import DailyMovieActivity, DeadLetter, ProcessedEvent
from movie.events.stream import EventStreamUnavailable, get_event_stream
from movie.events.stream.base import RawMessage
from movie.events.stream.consumer import Consumer
from movie.events.stream.handlers import Popularity, get_handler
from movie.events.stream.in_process import InProcessEventStream
from movie.events.stream.kafka import KafkaEventStream
from movie.events.stream.kafka_topic import TopicSpec
from movie.events.stream.messages import (
    GuestMerged,
    HistoryForgotten,
    InteractionRecorded,
    InvalidMessage,
    decode,
    encode,
)
from movie.events.tests.delivery import deliver_everything
from movie.events.trending import trending_ids
from movie.experiments.totals import Experiments
from movie.training.training_feed import TrainingFeed
from predictors.history import Interaction
from services.base import free_port

pytestmark = pytest.mark.django_db
KAFKA = "movie.events.stream.kafka.KafkaEventStream"
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=123_456)


@pytest.fixture
def films():
    return [Movie.objects.create(title=title) for title in ("Heat", "Ronin", "Thief")]


@pytest.fixture
def topic(kafka_service):
    """The options of a stream with a topic of its own."""
    servers = (kafka_service.variables()["KAFKA_BOOTSTRAP_SERVERS"],)
    options = {"topic": f"interactions-{uuid.uuid4().hex[:12]}", "bootstrap_servers": servers}
    with KafkaEventStream(**options).admin() as admin:
        admin.create(TopicSpec(partitions=3, copies=1))
    return options


@pytest.fixture(params=["local", "kafka"])
def stream(request):
    Movie.objects.create(pk=1, title="Heat")  # what `event` is about
    if request.param == "local":
        yield InProcessEventStream(keep=True)
    else:
        found = KafkaEventStream(**request.getfixturevalue("topic"))
        yield found
        found.close()


def event(film=1, kind="click", *, visitor="guest:a", value=None, minute=0, surface="for_you"):
    movie_id = film if isinstance(film, int) else film.pk
    at = NOON + timedelta(minutes=minute)
    return Interaction(new_event_id(), visitor, kind, movie_id, at, value, surface)


def recorded(*arguments, **fields):
    interaction = event(*arguments, **fields)
    return InteractionRecorded(interaction, interaction.at + timedelta(seconds=1))


def raw_messages(*messages):
    return [RawMessage(encode(each), f"t/0@{n}") for n, each in enumerate(messages)]


def consumed(stream, group, count, *, polls=40):
    """What arrives in this group until there were so many messages."""
    found = []
    left = iter(range(polls))

    def enough():
        return len(found) >= count or next(left, None) is None

    for batch in stream.consume(group, enough):
        found.extend(decode(each.raw) for each in batch)
    return found


# -- messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        recorded(7, "rating", value=4.5),
        recorded(7),
        HistoryForgotten(new_event_id(), "guest:a", None, NOON),
        HistoryForgotten(new_event_id(), "guest:a", 7, NOON),
        GuestMerged(new_event_id(), "guest:a", "user:1", NOON),
    ],
)
def test_messages_come_back_as_they_were(message):
    assert decode(encode(message)) == message


def test_later_versions_may_add_fields_and_types():
    content = json.loads(encode(recorded()))
    assert isinstance(decode(json.dumps({**content, "device": "phone"})), InteractionRecorded)
    assert decode(json.dumps({"schema": 1, "type": "playlist"})) is None


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"type": "interaction"}',
        b'{"schema": 99, "type": "interaction"}',
        b'{"schema": 1, "type": "interaction"}',
        json.dumps({**json.loads(encode(recorded())), "kind": "dance"}),
        json.dumps({**json.loads(encode(recorded())), "movie_id": "7; DROP TABLE"}),
        json.dumps({**json.loads(encode(recorded())), "at": "yesterday"}),
        json.dumps({**json.loads(encode(recorded())), "at": 5}),
    ],
)
def test_what_is_no_message_is_refused(raw):
    with pytest.raises(InvalidMessage):
        decode(raw)


# -- every stream -------------------------------------------------------------------------------


def test_what_is_published_reaches_every_group_once_it_is_read(stream):
    messages = [recorded(visitor=f"guest:{n}") for n in range(40)]
    stream.publish(messages)
    for group in ("one", "two"):
        found = consumed(stream, group, 40)
        assert sorted(each.event_id for each in found) == [each.event_id for each in messages]
    late = recorded()
    stream.publish([late])
    assert consumed(stream, "one", 1) == [late], "what was read is not read again"


def test_a_batch_that_had_no_effect_comes_again(stream):
    message = recorded()
    stream.publish([message])
    batches = (batch for batch in stream.consume("careful", lambda: False) if batch)
    assert decode(next(batches)[0].raw) == message
    batches.close()  # as a crash: nobody asked for the next batch
    assert consumed(stream, "careful", 1) == [message]


# -- Kafka alone --------------------------------------------------------------------------------


def test_a_broker_that_is_away_is_said_so():
    stream = KafkaEventStream(topic="t", bootstrap_servers=(f"127.0.0.1:{free_port()}",))
    with pytest.raises(EventStreamUnavailable):
        stream.publish([recorded()])
    with pytest.raises(EventStreamUnavailable):
        next(stream.consume("popularity", lambda: False))


def test_the_topic_command_makes_it_once(topic, capsys):
    options = {**topic, "topic": topic["topic"] + "-2"}
    with override_settings(
        EVENT_STREAM={"BACKEND": "movie.events.stream.kafka.KafkaEventStream", "OPTIONS": options}
    ):
        call_command("create_event_topic", partitions=4)
        call_command("create_event_topic", partitions=4)
        assert capsys.readouterr().out.split("\n")[0].endswith("is made.")
        with pytest.raises(CommandError, match="--replication"):
            call_command("create_event_topic", replication=0)
    with pytest.raises(CommandError, match="KAFKA_BOOTSTRAP_SERVERS"):
        call_command("create_event_topic")


def test_from_a_click_through_outbox_and_broker_to_the_counter(topic, films):
    setting = {"BACKEND": KAFKA, "OPTIONS": topic}
    with override_settings(EVENT_STREAM=setting):
        recording.record(event(films[0]))
        recording.record(event(films[0], "rating", value=4.0))
        assert not DailyMovieActivity.objects.exists(), "nothing is counted before it was consumed"
        relay = deliver_everything()
        assert relay.to_stream.delivered == 2
        consumer = Consumer(get_handler("popularity"), get_event_stream())
        ends = threading.Event()
        for batch in get_event_stream().consume("popularity", ends.is_set):
            consumer.process(batch)
            if consumer.handled >= 2:
                ends.set()
    assert DailyMovieActivity.objects.get().count == 2


def test_members_of_a_group_share_and_take_over(topic):
    """Two members: each message reaches one of them. One leaves: the other reads on."""
    stream = KafkaEventStream(**topic)
    seen = Counter()
    stops = [threading.Event(), threading.Event()]

    def member(stop):
        own = KafkaEventStream(**topic)
        for batch in own.consume("shared", stop.is_set):
            seen.update(decode(each.raw).event_id for each in batch)

    members = [threading.Thread(target=member, args=[stop]) for stop in stops]
    for each in members:
        each.start()
    try:
        first = [recorded(visitor=f"guest:{n}") for n in range(60)]
        stream.publish(first)
        wait_until(lambda: len(seen) == 60)
        stops[0].set()
        members[0].join(30)
        more = [recorded(visitor=f"guest:{n}") for n in range(60)]
        stream.publish(more)
        wait_until(lambda: len(seen) == 120)
    finally:
        for stop, each in zip(stops, members, strict=True):
            stop.set()
            each.join(30)
        stream.close()
    assert set(seen) == {each.event_id for each in [*first, *more]}


def wait_until(true, seconds=40):
    for _ in range(int(seconds / 0.05)):
        if true():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it did not happen")


# -- groups -------------------------------------------------------------------------------------


def test_films_are_counted_by_day_and_each_event_once(films):
    heat, ronin, _ = films
    messages = [
        recorded(heat),
        recorded(heat, "rating", value=3.0),
        recorded(heat, "watchlist"),
        recorded(heat, minute=-24 * 60),
        recorded(ronin, "dismiss"),
        recorded(ronin, "impression"),
        recorded(ronin, "rating", value=4.0, surface="import"),
        recorded(999_999),
        HistoryForgotten(new_event_id(), "guest:a", None, NOON),
    ]
    popularity = Popularity()
    popularity.handle([*messages, messages[0]])
    popularity.handle(messages[:3])
    counted = {(each.movie_id, each.day): each.count for each in DailyMovieActivity.objects.all()}
    assert counted == {(heat.pk, NOON.date()): 3, (heat.pk, NOON.date() - timedelta(days=1)): 1}


def test_groups_do_not_share_what_they_have_seen(films):
    messages = [recorded(films[0]), recorded(films[0], "impression")]
    for _ in range(2):
        Popularity().handle(messages)
        Experiments().handle(messages)
    assert DailyMovieActivity.objects.get().count == 1
    ids = {each.event_id for each in messages}
    for group in ("popularity", "experiments"):
        assert set(ProcessedEvent.objects.filter(group=group).values_list("event_id", flat=True)) == ids
    assert ProcessedEvent.objects.count() == 4


def test_old_ids_are_forgotten_in_the_end(films):
    Popularity().handle([recorded(films[0])])
    ProcessedEvent.objects.update(processed_at=NOON - timedelta(days=18))
    Popularity().maintenance()
    assert not ProcessedEvent.objects.exists()


def test_without_a_broker_the_same_counters_count_in_process(films, client):
    for visitor in ("guest:a", "guest:b"):
        recording.record(event(films[1], visitor=visitor))
    repeated = event(films[0])
    recording.record(repeated)
    recording.record(repeated._replace(at=repeated.at + timedelta(seconds=1)))
    counted = dict(DailyMovieActivity.objects.values_list("movie", "count"))
    assert counted == {films[1].pk: 2, films[0].pk: 1}
    cache.clear()
    assert trending_ids() == [films[1].pk, films[0].pk]


def test_what_trends_is_ranked_once_and_without_the_hidden(films, monkeypatch):
    monkeypatch.setattr("movie.events.trending.KEPT", 2)
    hidden = [Movie.objects.create(title=f"Hidden {number}", is_visible=False) for number in range(5)]
    for count, film in enumerate([films[1], films[0], *hidden], 1):
        DailyMovieActivity.objects.create(movie=film, day=timezone.now().date(), count=count)
    cache.clear()
    with CaptureQueriesContext(connection) as asked:
        assert trending_ids() == [films[0].pk, films[1].pk]
    assert sum(DailyMovieActivity._meta.db_table in each["sql"] for each in asked) == 1


def test_the_home_page_shows_what_is_trending_this_week(client, films):
    for number in range(12):  # enough that the row of popular films does not hold all of them
        Movie.objects.create(title=f"Popular {number}", rating_count=100, rating_sum=400, rating_average=4)
    unrated = [Movie.objects.create(title=f"Unrated {number}") for number in range(3)]
    for film in (films[2], *unrated):  # a row of fewer than four films is not shown
        recording.record(event(film))
    recording.record(event(films[0], minute=-8 * 24 * 60))
    cache.clear()
    page = client.get("/").content.decode()
    row = page[page.index("<h2>Trending</h2>") :]
    row = row[: row.index("</section>")]
    assert "Thief" in row and "Heat" not in row and "Answered by Trending" in row


def test_poison_goes_to_the_dead_letters_and_the_rest_has_its_effect(films):
    batch = [
        *raw_messages(recorded(films[0])),
        RawMessage(b"{", "t/0@7"),
        RawMessage(encode(replace(recorded(films[1]), interaction=event(films[1]))), "t/0@8"),
    ]
    consumer = Consumer(Popularity(), InProcessEventStream())
    for _ in range(2):  # the batch comes again after a crash
        consumer.process(batch)
    assert DailyMovieActivity.objects.count() == 2
    letter = DeadLetter.objects.get()
    assert (letter.group, letter.position, letter.raw) == ("popularity", "t/0@7", "{")
    assert "no JSON" in letter.reason


def test_a_message_that_breaks_its_batch_is_found(films, monkeypatch):
    bad = recorded(films[1])
    apply = Popularity.apply

    def refuse(self, messages):
        if any(each.event_id == bad.event_id for each in messages):
            raise ValueError("cannot be counted")
        apply(self, messages)

    monkeypatch.setattr(Popularity, "apply", refuse)
    good = [recorded(films[0]) for _ in range(3)]
    Consumer(Popularity(), InProcessEventStream()).process(raw_messages(*good[:2], bad, good[2]))
    assert DailyMovieActivity.objects.get().count == 3
    assert "cannot be counted" in DeadLetter.objects.get().reason
    monkeypatch.undo()
    call_command("replay_dead_letters", dry_run=True)
    assert DeadLetter.objects.exists()
    call_command("replay_dead_letters", group="popularity")
    assert not DeadLetter.objects.exists()
    assert DailyMovieActivity.objects.get(movie=films[1]).count == 1


def test_every_group_has_its_handler(settings):
    assert set(settings.EVENT_HANDLERS) == {"popularity", "experiments", "training-feed"}
    for group in settings.EVENT_HANDLERS:
        assert get_handler(group).group == group
    with pytest.raises(CommandError, match="KAFKA_BOOTSTRAP_SERVERS"):
        call_command("consume_events", group="popularity")


# -- the training feed --------------------------------------------------------------------------


def test_the_feed_is_what_models_train_on(tmp_path):
    feed = TrainingFeed(tmp_path)
    liked = [
        recorded(film, "rating", visitor=f"guest:{who}", value=4.0) for who in range(4) for film in (5, 6)
    ]
    feed.handle(liked[:5])
    feed.handle(liked[3:])  # a batch that came again, cut elsewhere
    feed.handle(
        [recorded(6, "rating", visitor="guest:0", value=1.0, minute=5), recorded(9, visitor="guest:1")]
    )
    assert feed.compact() == 8
    assert feed.compact() == 0, "nothing new"
    table = pl.read_parquet(tmp_path / "interactions.parquet")
    assert set(table["user"]) == {f"guest:{n}" for n in range(4)}
    data = read_interactions(tmp_path / "interactions.parquet")
    assert len(data) == 8 and sorted(data.item_ids) == [5, 6, 9]


def test_the_feed_follows_deletions_and_joinings_even_when_they_come_first(tmp_path):
    feed = TrainingFeed(tmp_path)
    mine, theirs = recorded(5, visitor="guest:a"), recorded(6, visitor="guest:b")
    after = recorded(7, visitor="guest:a", minute=10)
    feed.handle([HistoryForgotten(new_event_id(), "guest:a", None, NOON + timedelta(minutes=5))])
    feed.compact()
    feed.handle([mine, theirs, after])
    feed.compact()
    feed.handle([GuestMerged(new_event_id(), "guest:b", "user:1", NOON + timedelta(minutes=6))])
    feed.compact()
    table = pl.read_parquet(tmp_path / "interactions.parquet")
    assert sorted(zip(table["user"], table["item"], strict=True)) == [("guest:a", 7), ("user:1", 6)]
    assert mine.event_id not in set(feed.events()["event_id"])
