"""Counters and histograms of this process. It imports no other part of the site.

prometheus_client is imported when something is counted for the first time.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge
    from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
REQUEST_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds
RANKING_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Instruments:
    """All counters and histograms of the process. `folder` holds their files where workers share them.

    server  process id of the server whose workers count together; 0 before that is decided
    """

    folder: ClassVar[Path | None] = None
    server: ClassVar[int] = 0

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"reelgraph_{name}_total", text, labels, registry=registry)

        def consumer_gauge(name: str, text: str) -> Gauge:
            name = f"reelgraph_consumer_{name}"
            return Gauge(name, text, ("group",), registry=registry, multiprocess_mode="max")

        self.registry = registry
        # `route` is a name from the address table, `method` one of `METHODS` or other.
        self.requests = counter(
            "http_requests", "Answered requests, without static files and probes", "route", "method", "status"
        )
        self.request_seconds = Histogram(
            "reelgraph_http_request_seconds",
            "Time until the answer was made",
            ("route", "method"),
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self.ranking_seconds = Histogram(
            "reelgraph_recommendation_seconds",
            "Time that a model took for one list; lists from the cache are not among them",
            ("model",),
            buckets=RANKING_BUCKETS,
            registry=registry,
        )
        self.lookups = counter("list_cache", "Lists that were looked for in the cache", "model", "result")
        self.lists_shown = counter("lists_shown", "Lists on pages by the model that answered", "model")
        self.fallbacks = counter(
            "fallbacks",
            "Lists for which another model had to answer than the one that was asked",
            "model",
            "reason",
        )
        self.cache_failures = counter("cache_failures", "Requests to Redis that failed")
        self.worker_starts = counter("worker_starts", "Workers of this server that were started")
        self.delivered = counter("relay_delivered", "Rows delivered by a relay", "sink")
        self.delivery_failures = counter("relay_failures", "Deliveries that failed", "sink")
        self.pruned = counter("relay_pruned", "Delivered rows that were deleted")
        self.consumed = counter("consumer_processed", "Messages that were processed", "group")
        self.dead_letters = counter("consumer_dead_letters", "Messages that cannot be processed", "group")
        self.consumer_partitions = consumer_gauge("partitions", "Partitions that this consumer holds")
        self.consumer_lag = consumer_gauge("lag", "Messages in these partitions that it has not read")
        self.consumer_committed = consumer_gauge(
            "commit_timestamp_seconds", "Time of this consumer's last commit, 0 before the first"
        )


@cache
def instruments() -> Instruments:
    from prometheus_client import CollectorRegistry

    return Instruments(CollectorRegistry())


@lru_cache(maxsize=4096)  # a request has five of them, each of which takes six calls to find
def labelled(instrument: Any, *labels: object) -> Any:
    """Return the child of a metric with these label values."""
    return instrument.labels(*labels)


def count_cache_failure() -> None:
    """Count a request to Redis that failed."""
    instruments().cache_failures.inc()


def count_delivered(sink: str, number: int) -> None:
    """Count rows that a relay delivered to a sink."""
    instruments().delivered.labels(sink).inc(number)


def count_delivery_failure(sink: str, number: int = 1) -> None:
    """Count a delivery that a sink did not take."""
    instruments().delivery_failures.labels(sink).inc(number)


def count_pruned(number: int) -> None:
    """Count delivered rows that a relay deleted."""
    instruments().pruned.inc(number)


def count_consumed(group: str, number: int) -> None:
    """Count messages that a consumer group handled."""
    instruments().consumed.labels(group).inc(number)


def count_dead_letter(group: str, number: int = 1) -> None:
    """Count a message that a consumer group cannot use."""
    instruments().dead_letters.labels(group).inc(number)


def observe_consumer(group: str, partitions: int, lag: int, committed_at: float) -> None:
    """Set the gauges of a consumer: its partitions, its lag in messages, its last commit in Unix time."""
    instruments().consumer_partitions.labels(group).set(partitions)
    instruments().consumer_lag.labels(group).set(lag)
    instruments().consumer_committed.labels(group).set(committed_at)


def count_in_files(root: Path) -> None:
    """Let the workers of one server count in files that each of them reads.

    Each worker calls this once, before prometheus_client is imported. It does nothing where
    `count_in_files_of_forks` has chosen the folder.
    """
    if not Instruments.server:
        _count_together(root, os.getppid())
        _count_start()


def count_in_files_of_forks(root: Path) -> None:
    """Choose the folder in which the workers forked from this process count."""
    _count_together(root, os.getpid())
    import prometheus_client  # noqa: F401 - once for all of them

    os.register_at_fork(after_in_child=_count_start)


def _count_start() -> None:
    if Instruments.folder is not None:
        instruments().worker_starts.inc()


def _count_together(root: Path, server: int) -> None:
    """Turn on prometheus_client's multiprocess mode, which the library chooses when it is imported.

    A server (the parent process of its workers) has a folder of its own; the folders of servers of this
    machine that have ended are removed.
    """
    Instruments.server, host = server, socket.gethostname()
    folder = root / f"{host}-{server}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        _remove_ended(root, host)
    except OSError as error:
        log.warning("Each worker counts for itself, METRICS_DIR cannot be used: %s", error)
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    Instruments.folder = folder


def counters_of_all_workers() -> Collector:
    """Return the counters of all workers of this server, those that have ended included."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    if Instruments.folder is None:
        return instruments().registry
    return MultiProcessCollector(CollectorRegistry(), path=str(Instruments.folder))


def worker_pids() -> list[int]:
    """Return the process ids of the workers of this server, those that have ended included."""
    if Instruments.folder is None:
        return [os.getpid()]
    return sorted(int(file.stem.rpartition("_")[2]) for file in Instruments.folder.glob("counter_*.db"))


def _remove_ended(root: Path, host: str) -> None:
    import psutil

    for folder in root.iterdir():
        name, _, server = folder.name.rpartition("-")
        if name == host and server.isdecimal() and not psutil.pid_exists(int(server)):
            shutil.rmtree(folder, ignore_errors=True)  # another worker may be removing it
