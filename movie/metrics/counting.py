"""What pages and models do, counted by each worker as it happens.

The client library is imported when something is counted for the first time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from movie.metrics.films import film_tables
from movie.metrics.shared import shared_folder

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.registry import Collector

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
REQUEST_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds
RANKING_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class ListOfFilms(NamedTuple):
    """A list that somebody gets to see."""

    recommendation_id: str
    model: str  # that answered
    films: Sequence[int]


class Instruments:
    """Every counter and histogram. With workers that share they are files, else they are in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Histogram

        self.registry = registry
        self.requests = Counter(
            "reelgraph_http_requests_total",
            "Requests that were answered, without static files and probes",
            ("route", "method", "status"),
            registry=registry,
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
        self.cached = Counter(
            "reelgraph_list_cache_total",
            "Lists that were looked for in the cache",
            ("model", "result"),
            registry=registry,
        )
        self.answers = Counter(
            "reelgraph_answers_total",
            "Lists on pages by the model that answered",
            ("model",),
            registry=registry,
        )
        self.fallbacks = Counter(
            "reelgraph_fallbacks_total",
            "Lists for which another model had to answer than the one that was asked",
            ("model", "reason"),
            registry=registry,
        )
        self.films = Counter(
            "reelgraph_recommended_films_total",
            "Films in lists, by the model that answered",
            ("model",),
            registry=registry,
        )
        self.percentiles = Counter(
            "reelgraph_recommended_popularity_total",
            "Sum of the popularity percentiles (0 to 1) of those films",
            ("model",),
            registry=registry,
        )
        # The library looks labels up under a lock; these are found in half the time.
        self.request = cache(self._request)
        self.ranking = cache(lambda model: self.ranking_seconds.labels(model).observe)
        self.hit = cache(lambda model: self.cached.labels(model, "hit").inc)
        self.miss = cache(lambda model: self.cached.labels(model, "miss").inc)
        self.list = cache(self._list)

    def _request(self, route: str, method: str, status: int) -> tuple:
        counted = self.requests.labels(route, method, status).inc
        return counted, self.request_seconds.labels(route, method).observe

    def _list(self, model: str) -> tuple:
        return (
            self.answers.labels(model).inc,
            self.films.labels(model).inc,
            self.percentiles.labels(model).inc,
        )


@cache
def instruments() -> Instruments:
    from prometheus_client import CollectorRegistry

    return Instruments(CollectorRegistry())


def count_request(route: str, method: str, status: int, seconds: float) -> None:
    """`route` is a name from the address table, `method` one of `METHODS` or other: nobody can add one."""
    counted, observed = instruments().request(route, method, status)
    counted()
    observed(seconds)


def count_ranking(model: str, seconds: float) -> None:
    """This model made a list in so many seconds."""
    instruments().ranking(model)(seconds)


def count_lookup(model: str, *, found: bool) -> None:
    """A list of this model was looked for in the cache."""
    made = instruments()
    (made.hit if found else made.miss)(model)()


def count_fallback(model: str, reason: str) -> None:
    """This model was asked and could not answer; `reason` is the word of `CannotAnswer`, or not_trained."""
    instruments().fallbacks.labels(model, reason).inc()


def count_lists(lists: Iterable[ListOfFilms]) -> None:
    """These lists are about to be shown."""
    tables = film_tables()
    for each in lists:
        counted, films, percentiles = instruments().list(each.model)
        counted()
        shown = tables.show(each.films)
        if shown.films:
            films(shown.films)
            percentiles(shown.percentiles)


def counted_by_all() -> Collector:
    """What all workers of this server counted."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    made, folder = instruments(), shared_folder()
    return made.registry if folder is None else MultiProcessCollector(CollectorRegistry(), path=str(folder))
