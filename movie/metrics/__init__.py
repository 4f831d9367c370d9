"""What the site counts for Prometheus. Labels are names of the site's own parts, never of people.

    counting.py   counters and histograms, kept by each process
    state.py      figures that are read at a scrape: outbox, models, checks, processes
    answer.py     GET /metrics of the site
    exporter.py   GET /metrics of processes that serve no pages

Other parts of the site import the counting functions from here.
"""

from movie.metrics.counting import (
    METHODS,
    ListOfFilms,
    count_cache_failure,
    count_consumed,
    count_dead_letter,
    count_delivered,
    count_delivery_failure,
    count_fallback,
    count_lists,
    count_lookup,
    count_pruned,
    count_ranking,
    count_request,
)

__all__ = [
    "METHODS",
    "ListOfFilms",
    "count_cache_failure",
    "count_consumed",
    "count_dead_letter",
    "count_delivered",
    "count_delivery_failure",
    "count_fallback",
    "count_lists",
    "count_lookup",
    "count_pruned",
    "count_ranking",
    "count_request",
]
