"""What is looked up when somebody asks for the metrics. Nothing here costs a page anything."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.db import DatabaseError

from movie.metrics.films import film_tables
from movie.metrics.shared import shared_folder, workers
from movie.remembered import Remembered
from predictors.errors import ArtifactError
from predictors.plugins import MODELS
from predictors.serving.registry import ModelStore

if TYPE_CHECKING:
    from prometheus_client import Metric

QUEUES_SECONDS = 10.0  # between looks into the database for what waits
EXPERIMENT_SECONDS = 300.0  # between looks at who came to which arm
CATALOGUE_SECONDS = 600.0  # between looks at how often each film was rated


class SiteState:
    """A collector for the site as a whole."""

    def collect(self) -> Iterator[Metric]:
        yield from build_info()
        yield from _checks()
        yield from _models()
        try:
            yield from queues()
            yield from _recommended()
            yield from _experiments()
        except DatabaseError:
            pass  # the checks say so
        yield from _workers()


def build_info() -> Iterator[Metric]:
    from prometheus_client.core import InfoMetricFamily

    about = {
        "version": _version(),
        "python": platform.python_version(),
        "django": django.get_version(),
    }
    yield InfoMetricFamily("reelgraph_build", "What runs here", value=about)


def queues() -> Iterator[Metric]:
    """Raises DatabaseError."""
    from movie.event_stream.metrics import outbox_metrics

    yield from outbox_metrics(*_queues().get())


@cache
def _queues() -> Remembered[tuple]:
    from movie.event_stream.metrics import backlog, dead_letters

    return Remembered(lambda: (backlog(), dead_letters()), QUEUES_SECONDS)


def _checks() -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    from movie.health import readiness

    passed = GaugeMetricFamily(
        "reelgraph_check_ok", "Whether a check of /health/ready passed", labels=["check"]
    )
    seconds = GaugeMetricFamily("reelgraph_check_seconds", "What that check took", labels=["check"])
    for check in readiness().checks:
        passed.add_metric([check.name], check.ok)
        seconds.add_metric([check.name], check.ms / 1000)
    yield from (passed, seconds)


def _models() -> Iterator[Metric]:
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
        trained = _trained(store, name, active)
        if trained is not None:
            age.add_metric([name], max(0.0, (datetime.now(UTC) - trained).total_seconds()))
    yield from (version, age)


@lru_cache(maxsize=64)
def _trained(store: ModelStore, name: str, version: str) -> datetime | None:
    try:
        return datetime.fromisoformat(str(store.meta(name, version).get("created"))).astimezone(UTC)
    except (ArtifactError, ValueError):
        return None


def _recommended() -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    films = _catalogue().get()
    shown = film_tables().shown_lately()
    yield GaugeMetricFamily("reelgraph_catalogue_films", "Films that visitors may see", value=films)
    yield GaugeMetricFamily(
        "reelgraph_recommended_films_distinct", "Different films in lists of the last hour", value=shown
    )


@cache
def _catalogue() -> Remembered[int]:
    return Remembered(_ranked_films, CATALOGUE_SECONDS)


def _ranked_films() -> int:
    """Let the pages know how popular each film is; returns how many there are."""
    from movie.models import Movie

    ratings = dict(Movie.objects.visible().values_list("pk", "rating_count"))
    film_tables().rank(ratings)
    return len(ratings)


def _experiments() -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    p = GaugeMetricFamily(
        "reelgraph_experiment_sample_ratio_p",
        "How likely the visitors of the arms are, if they came as the shares say; always valid",
        labels=["experiment"],
    )
    for name, value in _sample_ratios().get().items():
        p.add_metric([name], value)
    yield p


@cache
def _sample_ratios() -> Remembered[dict[str, float]]:
    from django.utils import timezone

    from movie.experiment_models import Experiment
    from movie.experiment_results import results_of

    def look() -> dict[str, float]:
        now = timezone.now()
        running = [each for each in Experiment.objects.not_over(now) if each.is_running(now)]
        balances = {each.name: results_of(each).balance for each in running}
        return {name: float(found.sequential_p) for name, found in balances.items() if found is not None}

    return Remembered(look, EXPERIMENT_SECONDS)


def _workers() -> Iterator[Metric]:
    folder = shared_folder()
    if folder is None:
        from prometheus_client import ProcessCollector

        yield from ProcessCollector(registry=None).collect()
        return
    import psutil
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    cpu = CounterMetricFamily("process_cpu_seconds", "User and system time", labels=["worker"])
    started = GaugeMetricFamily(
        "process_start_time_seconds", "When it started, since 1970", labels=["worker"]
    )
    resident = GaugeMetricFamily("process_resident_memory_bytes", "Memory in use", labels=["worker"])
    threads = GaugeMetricFamily("process_threads", "Threads", labels=["worker"])
    files = GaugeMetricFamily("process_open_fds", "Open files", labels=["worker"])
    families = (cpu, started, resident, threads, files)
    for place, number in workers(folder).items():
        try:
            process = psutil.Process(number)
            with process.oneshot():
                times = process.cpu_times()
                values = (
                    times.user + times.system,
                    process.create_time(),
                    process.memory_info().rss,
                    process.num_threads(),
                    process.num_fds(),
                )
        except psutil.Error:
            continue  # it has just ended
        for family, value in zip(families, values, strict=True):
            family.add_metric([str(place)], value)  # type: ignore[attr-defined]
    yield from families


@cache
def _version() -> str:
    try:
        project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))
        return str(project["project"]["version"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return "unknown"
