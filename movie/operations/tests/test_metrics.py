"""What Prometheus gets to see: right numbers, of the right people, and nothing about anybody."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings as site
from django.core.cache import cache
from django.urls import get_resolver, reverse
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from datasets.interactions import Interactions
from movie.catalogue.tests.films import make_film
from movie.core.caching import ForgivingRedisCache
from movie.core.ids import new_event_id
from movie.events.models import TO_ARCHIVE, DeadLetter, Event
from movie.events.recording import record
from movie.events.stream.base import RawMessage
from movie.events.stream.consumer import Consumer
from movie.events.stream.handlers import get_handler
from movie.events.stream.in_process import InProcessEventStream
from movie.operations import collectors
from movie.operations.metrics_server import metrics_server
from movie.operations.tests.checks import forget_checks
from movie.telemetry.counters import count_in_files, worker_pids
from movie.telemetry.requests import count_shown
from movie.training.registry import registry
from predictors.history import Interaction
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.popular import PopularPredictor
from services.base import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def look_again():
    """What is remembered of the site of one test says nothing about the next one's."""
    cache.clear()
    for remembered in (collectors._queues, collectors._sample_ratios, collectors._unusual_movies):
        remembered.clear()
    forget_checks()
    yield
    cache.clear()


@pytest.fixture
def films(settings, tmp_path):
    settings.MODEL_DIR, settings.DEFAULT_MODELS = tmp_path, ("neighbours", "popular")
    films = [make_film(f"Film {n}", stars=[4.0] * n) for n in range(8)]
    rng = np.random.default_rng(3)
    data = Interactions.from_columns(
        np.repeat(np.arange(30), 4),
        np.concatenate([rng.permutation(8)[:4] for _ in range(30)]),
        np.full(120, 4.0, np.float32),
        np.arange(120),
        user_ids=np.arange(30),
        item_ids=np.array([film.pk for film in films]),
    )
    for kind in (PopularPredictor, NeighboursPredictor):
        registry().store.publish(kind.fit(data), activate=True)
    return films


def scraped(client, **headers):
    """Every sample by its name and labels."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return samples_of(answer.content.decode())


def samples_of(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples, name, **labels):
    return samples.get((name, *sorted(labels.items())), 0.0)


def test_only_this_machine_may_read_by_default(client):
    assert client.get("/metrics").status_code == 200
    for address in ("203.0.113.9", "::ffff:203.0.113.9", ""):
        assert client.get("/metrics", REMOTE_ADDR=address).status_code == 403
    assert client.get("/metrics", REMOTE_ADDR="::1").status_code == 200


def test_a_proxy_on_this_machine_opens_it_to_nobody(client):
    for header in ("x-forwarded-for", "forwarded", "via", "x-real-ip"):
        assert client.get("/metrics", headers={header: "127.0.0.1"}).status_code == 403


def test_other_networks_may_be_let_in(client, settings):
    settings.METRICS_ALLOWED_NETWORKS = [ip_network("10.0.0.0/8")]
    assert client.get("/metrics", REMOTE_ADDR="10.2.3.4").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="127.0.0.1").status_code == 403


def test_a_token_is_asked_of_everybody(client, settings):
    settings.METRICS_TOKEN = "the-token"
    refused = client.get("/metrics")
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Bearer")
    for wrong in ("Bearer the-toke", "Basic the-token", "the-token", "Bearer"):
        assert client.get("/metrics", headers={"authorization": wrong}).status_code == 401
    far = {"REMOTE_ADDR": "203.0.113.9", "headers": {"authorization": "Bearer the-token"}}
    assert client.get("/metrics", **far).status_code == 200


def test_requests_are_counted_by_the_name_of_their_route(client, films):
    before = scraped(client)
    client.get(reverse("pages:movie", args=[films[0].pk]))
    client.get(reverse("pages:movie", args=[films[1].pk]))
    client.get("/no/such/Telling-Path/")
    client.generic("TELLING", "/")
    client.get("/static/pages/reelgraph.css")
    client.get("/health/live")
    after = scraped(client)

    def more(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    total = "reelgraph_http_requests_total"
    assert more(total, route="pages:movie", method="GET", status="200") == 2
    assert more(total, route="none", method="GET", status="404") == 1
    assert more(total, route="pages:home", method="other", status="405") == 1
    assert more("reelgraph_http_request_seconds_count", route="pages:movie", method="GET") == 2
    assert sum(value for name, value in after.items() if name[0] == total) == 4 + sum(
        value for name, value in before.items() if name[0] == total
    )


def test_alerts_name_routes_that_the_site_has():
    rules = (site.BASE_DIR / "deploy/prometheus/alerts.yml").read_text()
    named = {name for found in re.findall(r'route=~?"([^"]+)"', rules) for name in found.split("|")}
    assert named
    for name in named:
        namespace, _, route = name.rpartition(":")
        resolver = get_resolver().namespace_dict[namespace][1] if namespace else get_resolver()
        assert route in resolver.reverse_dict, name


def test_the_api_is_counted_like_pages(client, films):
    client.post("/api/v1/recommend", {"history": []}, content_type="application/json")
    counted = [dict(name[1:]) for name in scraped(client) if name[0] == "reelgraph_http_requests_total"]
    assert any(labels["route"].startswith("api-v1:") for labels in counted)


def test_lists_are_counted_with_their_model_cache_and_fallback(client, films):
    before = scraped(client)
    client.get(reverse("pages:recommend"))
    client.get(reverse("pages:recommend"))
    after = scraped(client)

    def more(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    assert more("reelgraph_lists_shown_total", model="popular") == 2
    assert more("reelgraph_fallbacks_total", model="neighbours", reason="history_too_short") == 2
    assert more("reelgraph_list_cache_total", model="popular", result="miss") == 1
    assert more("reelgraph_list_cache_total", model="popular", result="hit") == 1
    assert more("reelgraph_recommendation_seconds_count", model="popular") == 1


def test_what_waits_and_what_is_dead(client, films):
    for seconds in (5, 70):
        Event.objects.create(
            event_id=new_event_id(),
            visitor="guest:a",
            kind="click",
            movie_id=films[0].pk,
            at=timezone.now(),
            pending_sinks=TO_ARCHIVE,
            recorded_at=timezone.now() - timedelta(seconds=seconds),
        )
    DeadLetter.objects.create(group="popularity", position="t/0@1", raw="{", reason="ValueError")
    samples = scraped(client)
    assert value(samples, "reelgraph_outbox_rows", sink="archive") == 2
    assert value(samples, "reelgraph_outbox_oldest_seconds", sink="archive") == pytest.approx(70, abs=5)
    assert value(samples, "reelgraph_outbox_rows", sink="stream") == 0
    assert value(samples, "reelgraph_dead_letters", group="popularity") == 1
    assert value(samples, "reelgraph_dead_letters", group="experiments") == 0


def test_models_checks_and_what_runs(client, films):
    samples = scraped(client)
    version = registry().store.current("popular")
    assert value(samples, "reelgraph_model_info", model="popular", version=version) == 1
    assert 0 < value(samples, "reelgraph_model_age_seconds", model="popular") < 120
    assert value(samples, "reelgraph_check_ok", check="models") == 1
    builds = [dict(name[1:]) for name in samples if name[0] == "reelgraph_build_info"]
    assert builds[0]["version"] in (site.BASE_DIR / "pyproject.toml").read_text()
    assert value(samples, "process_resident_memory_bytes", worker=str(os.getpid())) > 1e7


def test_an_experiment_whose_arms_get_the_wrong_shares(client, films):
    from movie.experiments.models import Experiment, ExperimentArm, VisitorTotals

    experiment = Experiment.objects.create(name="which-one")
    arms = [
        ExperimentArm.objects.create(
            experiment=experiment, name=name, predictor=name, share="0.5", is_control=name == "popular"
        )
        for name in ("popular", "neighbours")
    ]
    Experiment.objects.filter(pk=experiment.pk).update(
        state=Experiment.State.RUNNING, schedule_number=1, starts_at=timezone.now() - timedelta(hours=1)
    )
    VisitorTotals.objects.bulk_create(
        VisitorTotals(arm=arm, unit=f"{n:032x}", impressions=1)
        for arm, number in zip(arms, (400, 100), strict=True)
        for n in range(number)
    )
    samples = scraped(client)
    assert value(samples, "reelgraph_experiment_sample_ratio_p", experiment="which-one") < 0.001
    assert ("reelgraph_experiment_sample_ratio_p", ("experiment", "which-one")) in samples


def test_nothing_about_anybody_is_in_the_metrics(client, films):
    telling = {"user-agent": "TellingAgent/1.0", "referer": "https://telling.example/?q=TellingReferer"}
    client.get("/search/", {"q": "TellingTitle"}, headers=telling, REMOTE_ADDR="203.0.113.77")
    client.get("/TellingPath/", headers={"x-request-id": "TellingRequestId"})
    client.post(reverse("pages:rate", args=[films[0].pk]), {"value": "4", "next": "/TellingNext/"})
    visitor = Event.objects.get().visitor
    text = client.get("/metrics").content.decode()
    for private in ("Telling", "203.0.113", visitor, visitor.partition(":")[2], films[0].title):
        assert private not in text


def test_a_process_without_pages_answers_the_same_people(settings):
    settings.METRICS_TOKEN = "the-token"
    port = free_port()
    address = f"http://127.0.0.1:{port}/metrics"
    consumer = Consumer(get_handler("popularity"), InProcessEventStream())
    consumer.process([RawMessage(b"{", "t/0@1")])
    with metrics_server(port):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(address, timeout=5)
        asked = urllib.request.Request(address, headers={"Authorization": "Bearer the-token"})
        with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310 - our own address
            samples = samples_of(answer.read().decode())
    assert ("reelgraph_consumer_processed_total", ("group", "popularity")) in samples
    assert value(samples, "reelgraph_consumer_dead_letters_total", group="popularity") >= 1
    assert value(samples, "process_cpu_seconds_total", worker=str(os.getpid())) > 0
    assert any(name[0] == "reelgraph_build_info" for name in samples)


WORKER = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
from django.conf import settings
from movie.telemetry.counters import Instruments, count_in_files, counters_of_all_workers, instruments
count_in_files(settings.METRICS_DIR)
for _ in range(int(sys.argv[1])):
    instruments().requests.labels("home", "GET", 200).inc()
import django
django.setup()
from movie.operations.collectors import process_metrics, worker_pids
from prometheus_client import generate_latest
text = generate_latest(counters_of_all_workers()).decode()
requests = [line for line in text.splitlines() if "requests_total{" in line]
starts = [line for line in text.splitlines() if line.startswith("reelgraph_worker_starts_total")]
running = [sample for family in process_metrics(worker_pids()) for sample in family.samples
           if sample.name == "process_threads"]
print(Instruments.folder.name, requests[0].split()[-1], starts[0].split()[-1], len(running), flush=True)
sys.stdin.read()
"""


def test_workers_count_together_and_one_that_is_killed_loses_nothing(tmp_path):
    environment = {
        **os.environ,
        "DEBUG": "true",
        "SECRET_KEY": "x",
        "DATA_DIR": str(tmp_path),
        "PYTHONPATH": str(site.BASE_DIR),
    }
    left_behind = tmp_path / "metrics" / f"{os.uname().nodename}-999999999"
    left_behind.mkdir(parents=True)

    def worker(number):
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, str(number)],
            env=environment,
            cwd=Path("/"),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def printed(process):
        folder, total, starts, running = process.stdout.readline().split()
        return folder, float(total), float(starts), int(running)

    first, second = worker(3), None
    try:
        folder, *figures = printed(first)
        assert figures == [3, 1, 1]
        assert not left_behind.exists()
        second = worker(4)
        assert printed(second) == (folder, 7, 2, 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
        third = worker(5)
        assert printed(third) == (folder, 12, 3, 2)
        third.communicate("")
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.communicate()


def test_a_folder_that_cannot_be_used_leaves_each_worker_to_count_alone(tmp_path, caplog, monkeypatch):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    (tmp_path / "file").touch()
    count_in_files(tmp_path / "file")
    assert "METRICS_DIR" in caplog.text
    assert worker_pids() == [os.getpid()]


def test_a_redis_that_is_away_is_counted(client):
    before = value(scraped(client), "reelgraph_cache_failures_total")
    away = ForgivingRedisCache(f"redis://127.0.0.1:{free_port()}/0", {})
    away.set("word", 1)
    assert away.get("word") == 1
    assert value(scraped(client), "reelgraph_cache_failures_total") - before == 1


def test_a_list_that_nobody_sees_is_not_counted(client, films):
    before = scraped(client)
    count_shown([])
    client.get(reverse("pages:movie", args=[films[0].pk]))
    after = scraped(client)
    name = "reelgraph_lists_shown_total"
    assert value(after, name, model="neighbours") - value(before, name, model="neighbours") == 1
    assert value(after, name, model="trending") == value(before, name, model="trending")


def test_films_that_many_new_visitors_rate(client, films):
    assert value(scraped(client), "reelgraph_unusual_movies") == 0
    for n in range(30):
        interaction = Interaction(
            new_event_id(), f"guest:{n}", "rating", films[0].pk, timezone.now(), 5.0, "", ""
        )
        record(interaction, network=f"198.51.100.{n}")
    collectors._unusual_movies.clear()
    assert value(scraped(client), "reelgraph_unusual_movies") == 1
