"""What the site counts for Prometheus. Labels are names of the site's own parts, never of people.

    counting.py   what pages and models do, counted by each worker
    shared.py     the folder in which the workers of one server count together
    films.py      which films were recommended in the last hour
    state.py      what is looked up when somebody asks: outbox, models, checks, processes
    answer.py     who may read it, and the text they get
    exporter.py   the same for processes that serve no pages

These are what the rest of the site calls.
"""

from movie.metrics.counting import (
    METHODS,
    ListOfFilms,
    count_fallback,
    count_lists,
    count_lookup,
    count_ranking,
    count_request,
)

__all__ = [
    "METHODS",
    "ListOfFilms",
    "count_fallback",
    "count_lists",
    "count_lookup",
    "count_ranking",
    "count_request",
]
