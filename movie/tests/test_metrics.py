"""What Prometheus gets to see: right numbers, of the right people, and nothing about anybody."""

import os
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
from django.urls import reverse
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from movie import health
from movie.event_ids import new_event_id
from movie.event_stream.metrics import consumer_metrics, metrics_server
from movie.metrics import count_lists, state
from movie.metrics.films import FilmTables, film_tables
from movie.model_registry import registry
from movie.models import InteractionRecord
from movie.stream_models import TO_LOG, DeadLetter
from movie.tests.films import make_film
from predictors.neighbours import NeighboursPredictor
from predictors.popular import PopularPredictor
from pytorch_models.datasets import Interactions
from services.base import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def look_again():
    """What is remembered of the site of one test says nothing about the next one's."""
    cache.clear()
    for remembered in (state._queues, state._catalogue, state._sample_ratios, film_tables):
        remembered.cache_clear()
    health.forget_checks()
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
    client.get(reverse("movie", args=[films[0].pk]))
    client.get(reverse("movie", args=[films[1].pk]))
    client.get("/no/such/Telling-Path/")
    client.generic("TELLING", "/")
    client.get("/static/css/reelgraph.css")
    client.get("/health/live")
    after = scraped(client)

    def more(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    total = "reelgraph_http_requests_total"
    assert more(total, route="movie", method="GET", status="200") == 2
    assert more(total, route="none", method="GET", status="404") == 1
    assert more(total, route="home", method="other", status="405") == 1
    assert more("reelgraph_http_request_seconds_count", route="movie", method="GET") == 2
    assert sum(value for name, value in after.items() if name[0] == total) == 4 + sum(
        value for name, value in before.items() if name[0] == total
    )


def test_the_api_is_counted_like_pages(client, films):
    client.post("/api/v1/recommend", {"history": []}, content_type="application/json")
    counted = [dict(name[1:]) for name in scraped(client) if name[0] == "reelgraph_http_requests_total"]
    assert any(labels["route"].startswith("api-v1:") for labels in counted)


def test_lists_are_counted_with_their_model_cache_and_fallback(client, films):
    client.get("/metrics")  # from now on the site knows how popular each film is
    before = scraped(client)
    client.get(reverse("recommend"))
    client.get(reverse("recommend"))
    after = scraped(client)

    def more(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    assert more("reelgraph_answers_total", model="popular") == 2
    assert more("reelgraph_fallbacks_total", model="neighbours", reason="history_too_short") == 2
    assert more("reelgraph_list_cache_total", model="popular", result="miss") == 1
    assert more("reelgraph_list_cache_total", model="popular", result="hit") == 1
    assert more("reelgraph_recommendation_seconds_count", model="popular") == 1
    assert more("reelgraph_recommended_films_total", model="popular") == 16
    # All eight films, each with its own number of ratings: percentiles 1/8, 2/8 ... 8/8, twice.
    assert more("reelgraph_recommended_popularity_total", model="popular") == pytest.approx(9.0)
    assert value(after, "reelgraph_recommended_films_distinct") == 8
    assert value(after, "reelgraph_catalogue_films") == 8


def test_popularity_is_the_share_of_films_with_as_many_ratings_at_most():
    tables = FilmTables(None)
    assert tables.show([4, 5]) == (0, 0.0)  # not known yet
    tables.rank({4: 0, 5: 3, 6: 3, 7: 9})
    assert tables.show([4]) == (1, 0.25)
    assert tables.show([5, 6, 7]) == (3, 0.75 + 0.75 + 1.0)
    assert tables.show([99]) == (1, 0.0)  # added since, and rated by nobody
    assert tables.shown_lately() == 5


def test_films_of_an_hour_ago_are_not_shown_lately(monkeypatch):
    tables = FilmTables(None)
    tables.show([4, 5])
    monkeypatch.setattr("time.time", lambda: timezone.now().timestamp() + 3601)
    tables.show([5, 6])
    assert tables.shown_lately() == 2


def test_what_waits_and_what_is_dead(client, films):
    for seconds in (5, 70):
        InteractionRecord.objects.create(
            event_id=new_event_id(),
            visitor="guest:a",
            kind="click",
            movie_id=films[0].pk,
            at=timezone.now(),
            due=TO_LOG,
            recorded_at=timezone.now() - timedelta(seconds=seconds),
        )
    DeadLetter.objects.create(group="popularity", place="t/0@1", raw="{", reason="ValueError")
    samples = scraped(client)
    assert value(samples, "reelgraph_outbox_rows", sink="log") == 2
    assert value(samples, "reelgraph_outbox_oldest_seconds", sink="log") == pytest.approx(70, abs=5)
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
    assert value(samples, "process_resident_memory_bytes") > 1e7


def test_an_experiment_whose_arms_get_the_wrong_shares(client, films):
    from movie.experiment_models import Experiment, ExperimentArm, ExperimentVisitor

    experiment = Experiment.objects.create(name="which-one")
    arms = [
        ExperimentArm.objects.create(
            experiment=experiment, name=name, predictor=name, share="0.5", is_control=name == "popular"
        )
        for name in ("popular", "neighbours")
    ]
    Experiment.objects.filter(pk=experiment.pk).update(
        state=Experiment.State.RUNNING, starts_at=timezone.now() - timedelta(hours=1)
    )
    ExperimentVisitor.objects.bulk_create(
        ExperimentVisitor(arm=arm, unit=f"{n:032x}", impressions=1)
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
    client.post(reverse("rate", args=[films[0].pk]), {"value": "4", "next": "/TellingNext/"})
    visitor = InteractionRecord.objects.get().visitor
    text = client.get("/metrics").content.decode()
    for private in ("Telling", "203.0.113", visitor, visitor.partition(":")[2], films[0].title):
        assert private not in text


def test_a_process_without_pages_answers_the_same_people(settings):
    class Handler:
        group = "popularity"

    class Consumer:
        handler, handled, dead = Handler, 7, 1

    settings.METRICS_TOKEN = "the-token"
    port = free_port()
    address = f"http://127.0.0.1:{port}/metrics"
    with metrics_server(port, lambda: consumer_metrics(Consumer)):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(address, timeout=5)
        asked = urllib.request.Request(address, headers={"Authorization": "Bearer the-token"})
        with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310 - our own address
            samples = samples_of(answer.read().decode())
    assert value(samples, "reelgraph_consumer_handled_total", group="popularity") == 7
    assert value(samples, "reelgraph_consumer_dead_total", group="popularity") == 1
    assert value(samples, "process_cpu_seconds_total") > 0
    assert any(name[0] == "reelgraph_build_info" for name in samples)


WORKER = """
import os, sys, time
os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
from django.conf import settings
from movie.metrics import ListOfFilms, count_lists, count_request
from movie.metrics.shared import share_between_workers, shared_folder, workers
share_between_workers()
for _ in range(int(sys.argv[1])):
    count_request("home", "GET", 200, 0.01)
count_lists([ListOfFilms("a", "popular", [int(sys.argv[1])])])
from movie.metrics.counting import counted_by_all
from movie.metrics.films import film_tables
from prometheus_client import generate_latest
line = [l for l in generate_latest(counted_by_all()).decode().splitlines() if "requests_total{" in l]
print(shared_folder().name, line[0].split()[-1], len(workers(shared_folder())),
      len(list(shared_folder().glob("*.db"))), film_tables().shown_lately(), flush=True)
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
    left_behind = tmp_path / "metrics" / os.uname().nodename / "999999999-1"
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

    first, second = worker(3), None
    try:
        folder, total, running, _files, films = first.stdout.readline().split()
        assert (float(total), int(running), int(films)) == (3, 1, 1)
        assert not left_behind.exists()
        second = worker(4)
        same, total, running, files, films = second.stdout.readline().split()
        assert (same, float(total), int(running), int(films)) == (folder, 7, 2, 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
        third = worker(5)
        same, total, running, as_many, films = third.stdout.readline().split()
        assert (same, float(total), int(running), int(films)) == (folder, 12, 2, 3)
        assert as_many == files  # it took the place that was free
        third.communicate("")
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.communicate()


def test_a_list_that_nobody_sees_is_not_counted(client, films):
    before = scraped(client)
    count_lists([])
    client.get(reverse("movie", args=[films[0].pk]))
    after = scraped(client)
    name = "reelgraph_answers_total"
    assert value(after, name, model="neighbours") - value(before, name, model="neighbours") == 1
    assert value(after, name, model="trending") == value(before, name, model="trending")
