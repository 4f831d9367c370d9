"""Figures that are read when Prometheus scrapes: outbox, models, checks, experiments, processes."""

from __future__ import annotations

import os
import platform
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib import metadata
from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from movie.core.caching import TTLValue
from movie.events.stream.backlog import Waiting, backlog, dead_letters
from movie.events.weighing import unusual_movies
from movie.experiments.models import Experiment
from movie.experiments.results import results_of
from movie.operations.health import readiness
from movie.telemetry.counters import worker_pids
from predictors.errors import ArtifactError
from predictors.plugins import MODELS
from predictors.serving.registry import ModelStore

if TYPE_CHECKING:
    from prometheus_client import Metric

QUEUES_SECONDS = 10.0  # between queries for what waits
EXPERIMENT_SECONDS = 300.0  # between queries for who came to which arm
UNUSUAL_SECONDS = 60.0  # between queries for movies with unusual ratings


class SiteState:
    """Collector for the site as a whole, scraped from a web server."""

    def collect(self) -> Iterator[Metric]:
        yield from ProcessState().collect()
        yield from _check_metrics()
        yield from _model_metrics()
        with suppress(DatabaseError):  # the checks report it
            yield from _experiment_metrics()
            yield from _rating_metrics()


class ProcessState:
    """Collector for any process: build, processor and memory, the outbox unless the database is away."""

    def collect(self) -> Iterator[Metric]:
        yield from _build_info()
        yield from process_metrics(worker_pids())
        try:
            yield from _queue_metrics(*_queues.get())
        except DatabaseError:
            connection.close()  # it may be what is broken


def process_metrics(pids: Iterable[int]) -> Iterator[Metric]:
    """Report this process, and those of `pids` that run and have the same parent."""
    import psutil
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    labels = ["worker"]
    cpu = CounterMetricFamily("process_cpu_seconds", "User and system time", labels=labels)
    started = GaugeMetricFamily("process_start_time_seconds", "When it started, since 1970", labels=labels)
    resident = GaugeMetricFamily("process_resident_memory_bytes", "Memory in use", labels=labels)
    threads = GaugeMetricFamily("process_threads", "Threads", labels=labels)
    files = GaugeMetricFamily("process_open_fds", "Open files", labels=labels)
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                if process.ppid() != os.getppid():
                    continue  # a later process with the number of a worker that has ended
                times = process.cpu_times()
                cpu.add_metric([str(pid)], times.user + times.system)
                started.add_metric([str(pid)], process.create_time())
                resident.add_metric([str(pid)], process.memory_info().rss)
                threads.add_metric([str(pid)], process.num_threads())
                files.add_metric([str(pid)], process.num_fds())
        except psutil.Error:
            continue  # it has ended
    yield from (cpu, started, resident, threads, files)


def _build_info() -> Iterator[Metric]:
    from prometheus_client.core import InfoMetricFamily

    about = {
        "version": _version(),
        "python": platform.python_version(),
        "django": django.get_version(),
    }
    yield InfoMetricFamily("reelgraph_build", "What runs here", value=about)


def _queue_metrics(waiting: dict[str, Waiting], dead: dict[str, int]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    rows = GaugeMetricFamily("reelgraph_outbox_rows", "Rows that wait for delivery", labels=["sink"])
    oldest = GaugeMetricFamily(
        "reelgraph_outbox_oldest_seconds", "Age of the oldest row that waits", labels=["sink"]
    )
    for sink, values in waiting.items():
        rows.add_metric([sink], values.rows)
        oldest.add_metric([sink], values.oldest_seconds)
    letters = GaugeMetricFamily(
        "reelgraph_dead_letters", "Messages that a group could not use, not replayed yet", labels=["group"]
    )
    for group, number in dead.items():
        letters.add_metric([group], number)
    yield from (rows, oldest, letters)


def _check_metrics() -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    passed = GaugeMetricFamily(
        "reelgraph_check_ok", "Whether a check of /health/ready passed", labels=["check"]
    )
    seconds = GaugeMetricFamily("reelgraph_check_seconds", "What that check took", labels=["check"])
    for check in readiness().checks:
        passed.add_metric([check.name], check.ok)
        seconds.add_metric([check.name], check.ms / 1000)
    yield from (passed, seconds)


def _model_metrics() -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    version = GaugeMetricFamily(
        "reelgraph_model_info", "The version of a model that is active", labels=["model", "version"]
    )
    age = GaugeMetricFamily("reelgraph_model_age_seconds", "Since that version was trained", labels=["model"])
    store = ModelStore(settings.MODEL_DIR)
    for name in MODELS:
        active = store.current(name)
        if not active:
            continue
        version.add_metric([name, active], 1)
        trained = _read_training_time(store, name, active)
        if trained is not None:
            age.add_metric([name], max(0.0, (datetime.now(UTC) - trained).total_seconds()))
    yield from (version, age)


def _experiment_metrics() -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    p = GaugeMetricFamily(
        "reelgraph_experiment_sample_ratio_p",
        "How likely the visitors of the arms are, if they came as the shares say; always valid",
        labels=["experiment"],
    )
    for name, value in _sample_ratios.get().items():
        p.add_metric([name], value)
    yield p


def _read_sample_ratios() -> dict[str, float]:
    now = timezone.now()
    running = [each for each in Experiment.objects.not_over(now) if each.is_running(now)]
    ratios = {each.name: results_of(each).sample_ratio for each in running}
    return {name: float(found.sequential_p) for name, found in ratios.items() if found is not None}


def _rating_metrics() -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    unusual = GaugeMetricFamily(
        "reelgraph_unusual_movies", "Movies that many new visitors rated within a day"
    )
    unusual.add_metric([], _unusual_movies.get())
    yield unusual


def queues() -> tuple[dict[str, Waiting], dict[str, int]]:
    """Return what waits by sink and the dead letters by group, as of a few seconds ago."""
    return _queues.get()


def sample_ratios() -> dict[str, float]:
    """Return by running experiment how likely the visitors of its arms are, as of a few minutes ago."""
    return _sample_ratios.get()


def unusual_movie_count() -> int:
    """Return how many movies many new visitors rated within a day, as of a minute ago."""
    return _unusual_movies.get()


_unusual_movies = TTLValue(lambda: len(unusual_movies()), UNUSUAL_SECONDS)
_queues = TTLValue(lambda: (backlog(), dead_letters()), QUEUES_SECONDS)
_sample_ratios = TTLValue(_read_sample_ratios, EXPERIMENT_SECONDS)


@lru_cache(maxsize=64)
def _read_training_time(store: ModelStore, name: str, version: str) -> datetime | None:
    try:
        return datetime.fromisoformat(str(store.meta(name, version).get("created"))).astimezone(UTC)
    except (ArtifactError, ValueError):
        return None


@cache
def _version() -> str:
    if not settings.IS_CHECKOUT:
        return metadata.version("reelgraph")
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])
