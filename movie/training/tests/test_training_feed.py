"""From what visitors do, through outbox, broker and feed, to a trained model; each step the command."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from django.core.management import call_command
from django.test import override_settings

from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film
from movie.core.ids import new_event_id
from movie.events.models import Event
from movie.events.recording import record
from movie.events.stream import get_event_stream
from movie.events.stream.kafka import KafkaEventStream
from movie.events.stream.kafka_topic import TopicSpec
from movie.events.stream.messages import GuestMerged, HistoryForgotten, InteractionRecorded
from movie.training.datasets import interactions_from_site
from movie.training.training_feed import TrainingFeed, feed_file
from predictors.history import Counting, History, Interaction
from predictors.serving.registry import ModelStore

ROOT = Path(__file__).resolve().parents[3]
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def event(visitor: str, film: int, kind: str = "click", value: float | None = None, minute: int = 0):
    return Interaction(new_event_id(), visitor, kind, film, NOON + timedelta(minutes=minute), value, "test")


def told(*arguments, **fields) -> InteractionRecorded:
    interaction = event(*arguments, **fields)
    return InteractionRecorded(interaction, interaction.at)


@pytest.mark.django_db
def test_what_visitors_do_becomes_a_model_by_way_of_the_broker(kafka_service, settings, tmp_path) -> None:
    settings.MODEL_DIR, settings.FEED_DIR = tmp_path / "models", tmp_path / "feed"
    servers = kafka_service.variables()["KAFKA_BOOTSTRAP_SERVERS"]
    topic = {"topic": f"interactions-{uuid.uuid4().hex[:12]}", "bootstrap_servers": (servers,)}
    with KafkaEventStream(**topic).admin() as admin:
        admin.create(TopicSpec(partitions=2, copies=1))
    films = [make_film(title).pk for title in ("Heat", "Ronin", "Thief", "Collateral")]
    with override_settings(
        EVENT_STREAM={"BACKEND": "movie.events.stream.kafka.KafkaEventStream", "OPTIONS": topic}
    ):
        for visitor in range(12):
            for step in range(3):
                film = films[(visitor + step) % 4] if step else films[0]
                assert record(event(f"guest:{visitor}", film, "rating", 4.0, minute=step))
        call_command("relay_events", once=True)
        assert not Event.objects.undelivered().exists()
        get_event_stream().close()
    consume(servers, topic["topic"], settings.FEED_DIR, events=36)
    call_command("train", "popular", data=settings.FEED_DIR, activate=True, stdout=io.StringIO())
    store = ModelStore(settings.MODEL_DIR)
    version = store.current("popular")
    assert store.verify("popular", version)["data"]["n_users"] == 12
    best = store.load("popular", version).recommend(History.EMPTY, 4)
    assert best[0].movie_id == films[0] and {found.movie_id for found in best} == set(films)


def consume(servers: str, topic: str, folder: Path, *, events: int) -> None:
    """A consumer of its own until the feed has so many events."""
    environment = {
        **os.environ,
        **{"KAFKA_BOOTSTRAP_SERVERS": servers, "KAFKA_TOPIC": topic, "FEED_DIR": str(folder)},
        **{"DATABASE_URL": f"sqlite:///{folder.parent / 'consumer.sqlite3'}", "OMP_NUM_THREADS": "1"},
    }
    migrate = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity", "0"]
    subprocess.run(migrate, env=environment, check=True)
    command = [sys.executable, str(ROOT / "manage.py"), "consume_events", "--group", "training-feed"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as consumer:
        deadline = time.monotonic() + 60
        while consumer.poll() is None and time.monotonic() < deadline:
            parts = [pl.scan_parquet(part) for part in (folder / "parts").glob("*.parquet")]
            if parts and pl.concat(parts).select(pl.len()).collect().item() >= events:
                break
            time.sleep(0.1)
        consumer.send_signal(signal.SIGTERM)
        _out, said = consumer.communicate(timeout=30)
    assert consumer.returncode == 0, said


def test_a_feed_is_found_by_its_folder_and_its_file_and_taken_in(tmp_path) -> None:
    feed = TrainingFeed(tmp_path)
    feed.handle([told("guest:a", 5)])
    assert len(pl.read_parquet(feed_file(tmp_path))) == 1
    feed.handle([told("guest:a", 6)])
    assert len(pl.read_parquet(feed_file(tmp_path / "interactions.parquet"))) == 2
    for made in tmp_path.glob("visitors/*.parquet"):
        made.unlink()
    feed.handle([told("guest:b", 7)])
    assert len(pl.read_parquet(feed_file(tmp_path))) == 3, "made anew for everybody where it is gone"
    elsewhere = tmp_path / "data" / "ratings.csv"
    (elsewhere.parent / "parts").mkdir(parents=True)
    pl.DataFrame({"user": [1], "item": [2]}).write_parquet(elsewhere.parent / "parts" / "0.parquet")
    assert feed_file(elsewhere) == elsewhere and feed_file(elsewhere.parent) == elsewhere.parent


@pytest.mark.django_db
def test_the_feed_says_what_the_site_says(tmp_path) -> None:
    """Taken in piece by piece, in another order than it happened, with deletions and merges between."""
    films = [make_film(f"Film {number}").pk for number in range(6)]
    done = [event(f"guest:{n % 5}", films[n % 6], "click", minute=n) for n in range(20)]
    done += [event(f"guest:{n % 5}", films[(n + 2) % 6], "rating", 1.0 + n % 5, 30 + n) for n in range(12)]
    done += [event("guest:1", films[3], "dismiss", minute=50), event("guest:2", films[4], "undo", minute=51)]
    for each in done:
        assert record(each)
    feed = TrainingFeed(tmp_path)
    messages = [InteractionRecorded(each, each.at) for each in done]
    for start in (20, 0, 10, 30):
        feed.handle(messages[start : start + 10])
        feed.compact()
    table = pl.read_parquet(tmp_path / "interactions.parquet")
    site = interactions_from_site()
    expected = {
        (str(site.user_ids[user]), int(site.item_ids[item]), int(at))
        for user, item, at in zip(site.users, site.items, site.at, strict=True)
    }
    assert set(zip(table["user"], table["item"], table["timestamp"], strict=True)) == expected


def visitors_of(folder: Path) -> list[tuple]:
    files = sorted(folder.glob("visitors/*.parquet"))
    return sorted(pl.concat([pl.read_parquet(file) for file in files]).select("user", "item", "at").rows())


def test_in_whatever_order_and_pieces_it_arrives_the_feed_is_the_same(tmp_path) -> None:
    rows = [told(f"guest:{n % 4}", n % 7, minute=n) for n in range(28)]
    late = NOON + timedelta(minutes=14)
    changes = [
        GuestMerged(new_event_id(), "guest:0", "user:1", NOON + timedelta(minutes=9)),
        HistoryForgotten(new_event_id(), "user:1", None, late),
        HistoryForgotten(new_event_id(), "guest:2", 6, NOON + timedelta(minutes=30)),
        GuestMerged(new_event_id(), "guest:3", "user:1", NOON + timedelta(minutes=40)),
    ]
    orders = [[*rows, *changes], [*changes, *rows], [*rows[14:], *changes[::-1], *rows[:14]]]
    found = []
    for place, messages in enumerate(orders):
        for size in (len(messages), 5):
            feed = TrainingFeed(tmp_path / f"{place}-{size}")
            for start in range(0, len(messages), size):
                feed.handle(messages[start : start + size])
                feed.compact()
            table = pl.read_parquet(feed.folder / "interactions.parquet")
            found.append(sorted(table.select("user", "item", "timestamp").rows()))
    assert found.count(found[0]) == len(found)
    assert {user for user, _item, _at in found[0]} == {"guest:0", "guest:1", "guest:2", "user:1"}


def test_a_compaction_that_is_killed_anywhere_is_done_again_to_the_same_effect(tmp_path, monkeypatch) -> None:
    """Killed after each file that it writes and each that it deletes, then done again."""
    rows = [told(f"guest:{n % 2}", n % 3, minute=n) for n in range(20)]
    changes = [
        GuestMerged(new_event_id(), "guest:0", "user:1", NOON + timedelta(minutes=9)),
        GuestMerged(new_event_id(), "guest:1", "user:1", NOON + timedelta(minutes=12)),
        HistoryForgotten(new_event_id(), "guest:0", 2, NOON + timedelta(minutes=8)),
    ]

    def feed_of(name: str) -> TrainingFeed:
        feed = TrainingFeed(tmp_path / name)
        feed.handle([*rows[:12], changes[0]])
        feed.compact()
        feed.handle([*rows[8:], *changes[1:]])
        return feed

    expected = feed_of("whole")
    expected.compact()
    unlink, replace = Path.unlink, Path.replace
    steps = 0
    while True:
        feed, left = feed_of(f"killed-{steps}"), iter(range(steps))

        def die_after(method, left=left):
            def step(self, *arguments, **named):
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return method(self, *arguments, **named)

            return step

        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", die_after(unlink))
            patched.setattr(Path, "replace", die_after(replace))
            try:
                feed.compact()
            except KeyboardInterrupt:
                killed = True
            else:
                killed = False
        feed.compact()
        assert visitors_of(feed.folder) == visitors_of(expected.folder), f"killed after {steps} steps"
        assert feed.events()["event_id"].is_unique().all()
        if not killed:
            break
        steps += 1
    assert steps > 10


def test_putting_into_shards_what_came_touches_nothing_that_is_known(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("movie.training.training_feed.PARTS_WAITING", 2)
    feed = TrainingFeed(tmp_path)
    feed.handle([told(f"guest:{n}", 5) for n in range(100)])
    feed.maintenance()
    assert len(list(tmp_path.glob("parts/*.parquet"))) == 1, "one is not worth it"
    feed.compact()
    known = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.parquet")}
    feed.handle([told("guest:1", 6)])
    feed.handle([told("guest:1", 7)])
    feed.maintenance()
    assert not list(tmp_path.glob("parts/*.parquet"))
    assert len(set(tmp_path.rglob("*.parquet")) - set(known)) == 1, "both are of one visitor"
    assert known == {file: file.stat().st_mtime_ns for file in known}
    assert feed.compact() == 102
    shards = feed.manifest["shards"].values()
    assert sum(each["events"] for each in shards) == 102 and feed.manifest["n_shards"] == 64
    assert feed.manifest["watermark"].startswith(str(NOON.date()))


def test_an_event_that_is_recorded_again_after_a_deletion_is_there(tmp_path) -> None:
    """A file that is imported again has the event ids of before, also while the deletion is not taken in."""
    feed = TrainingFeed(tmp_path)
    first = told("guest:a", 5)
    again = InteractionRecorded(first.interaction, NOON + timedelta(minutes=2))
    feed.handle([first])
    feed.compact()
    feed.handle([HistoryForgotten(new_event_id(), "guest:a", None, NOON + timedelta(minutes=1)), again])
    feed.handle([first])
    assert feed.compact() == 1
    assert feed.events().filter(type="interaction")["recorded_at"].to_list() == [again.recorded_at]


def test_what_visitors_like_is_made_anew_where_it_is_gone_or_counted_otherwise(tmp_path, monkeypatch) -> None:
    feed = TrainingFeed(tmp_path)
    feed.handle([told("guest:a", 5), told("guest:b", 6, "watchlist")])
    assert feed.compact() == 2 and feed.compact() == 0
    for made in [*tmp_path.glob("visitors/*.parquet"), tmp_path / "interactions.parquet"]:
        made.unlink()
    assert feed.compact() == 2, "as after a restore"
    monkeypatch.setattr(History, "counting", Counting(click=0))
    assert feed.compact() == 1 and [film for _user, film, _at in visitors_of(tmp_path)] == [6]
    assert feed.compact() == 0


@pytest.mark.django_db
def test_training_from_the_site_reads_a_feed_that_knows_everything(tmp_path, settings, monkeypatch) -> None:
    settings.FEED_DIR = tmp_path
    films = [make_film(f"Film {number}").pk for number in range(6)]
    done = [event(f"guest:{n % 5}", films[n % 6], "click", minute=n) for n in range(20)]
    done += [event(f"guest:{n % 5}", films[(n + 2) % 6], "rating", 1.0 + n % 5, 30 + n) for n in range(12)]
    for each in done:
        assert record(each)

    def rows(dislikes: bool) -> set[tuple]:
        site = interactions_from_site(dislikes=dislikes)
        facts = zip(site.users, site.items, site.at, site.values, strict=True)
        return {(site.user_ids[u], site.item_ids[i], at, str(stars)) for u, i, at, stars in facts}

    site = rows(False), rows(True)
    assert site[0] < site[1]
    call_command("compact_feed", stdout=io.StringIO())
    assert not TrainingFeed().is_filled
    said = io.StringIO()
    call_command("compact_feed", fill=True, stdout=said)
    assert "32 events of the site" in said.getvalue() and TrainingFeed().is_filled
    Event.objects.all().delete()
    assert not rows(False), "without a broker the deletion does not reach the feed"
    broker = SimpleNamespace(uses_outbox=True)
    monkeypatch.setattr("movie.training.datasets.get_event_stream", lambda: broker)
    assert (rows(False), rows(True)) == site
    Movie.objects.filter(pk=films[0]).delete()
    assert rows(True) == {row for row in site[1] if row[1] != films[0]}, "nobody can be shown it"
