"""What pages cost visitors with 1,000 and 10,000 rated films: CPU-ms of a request with cold caches, queries.

    python -m benchmarks.long_history [--data-dir FOLDER]

The site in FOLDER is one that `manage.py demo --no-serve` made, or one is made with the quick models; films
and four guests are added to it. CPU is of the whole request, in this process, without a socket: the medians
of requests that take turns. The baselines are the same page for a guest who rated 20 films, to 1,000, and 10,
to 10,000. The goal is for 1,000 films. --quick gives the longest history 2,000 films.
"""

from __future__ import annotations

import os
import statistics
import time
import uuid
from datetime import timedelta
from pathlib import Path

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks._serving import demo_site

TIMES = 15
LONG, BASELINE, GOAL = 1_000, 20, "at most 1.5"
GOALS_OF = ("home", "recommend", "why", "movie", "history")
SHORT = 10  # the baseline of the longest history


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--films", type=int, default=10_000, help="in the long history")
    parser.add_argument("--data-dir", type=Path, help="of the site; made there if it is empty")
    options = parse_options(parser, films=2_000)
    with demo_site(options.data_dir) as environment:
        os.environ.update(environment)
        measure(options.films)


def measure(n_films: int) -> None:
    import django

    django.setup()
    from django.core.cache import cache
    from django.core.signing import get_cookie_signer
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from movie.visitors.visitor import GUEST_COOKIE, SALT

    pairs = ((LONG, BASELINE, GOAL), (n_films, SHORT, ""))
    lengths = [length for long, short, _goal in pairs for length in (long, short)]
    unseen = {length: _make_history(length) for length in lengths}
    clients = {length: Client(headers={"host": "localhost"}) for length in lengths}
    for length, client in clients.items():
        cookie = get_cookie_signer(salt=GUEST_COOKIE + SALT).sign(_visitor(length))
        client.cookies[GUEST_COOKIE] = cookie
    for long, short, goal in pairs:
        pages = {
            "home": "/",
            "recommend": "/recommend/",
            "why": f"/movies/{unseen[long]}/why/?model=for_you",
            "compare": "/compare/",
            "movie": f"/movies/{unseen[long]}/",
            "history": "/history/",
        }
        for name, address in pages.items():
            costs: dict[int, list[float]] = {short: [], long: []}
            n_queries = {}
            for turn in range(-1, TIMES):
                for length, spent in costs.items():
                    cache.clear()
                    with CaptureQueriesContext(connection) as asked:
                        before = time.process_time()
                        status = clients[length].get(address).status_code
                        ms = 1000 * (time.process_time() - before)
                    if status != 200:
                        raise CouldNotMeasure(f"{address} answers {status}")
                    if turn >= 0:  # the first one loads the models
                        spent.append(ms)
                    n_queries[length] = len(asked)
            medians = {length: statistics.median(spent) for length, spent in costs.items()}
            for length, ms in medians.items():
                print(f"{name:12}{length:>7} films{ms:>9.1f} ms{n_queries[length]:>5} queries")
            what = f"long_history: {name}, {long:,} films"
            print_ratio(
                what, medians[long] / medians[short], f"{short} films", goal if name in GOALS_OF else ""
            )


def _visitor(length: int) -> str:
    return f"guest:{uuid.UUID(int=2**101 + length)}"  # no guest of a made-up site


def _make_history(n_films: int) -> int:
    """Give the guest their history, unless they have it, and return a film that is not in it."""
    from django.utils import timezone

    from movie.catalogue.models import Movie
    from movie.core.ids import new_event_id
    from movie.events.models import Event

    films = list(Movie.objects.order_by("-rating_count", "pk").values_list("pk", flat=True)[: n_films + 1])
    if Event.objects.filter(visitor=_visitor(n_films)).exists():
        return films[0]
    top = max(films)
    missing = range(top + 1, top + 2 + n_films - len(films))
    Movie.objects.bulk_create(
        [Movie(pk=pk, title=f"Made up {pk}", sort_title=f"made up {pk}") for pk in missing]
    )
    began = timezone.now() - timedelta(days=2)
    Event.objects.bulk_create(
        [
            Event(
                event_id=new_event_id(),
                visitor=_visitor(n_films),
                kind="rating",
                movie_id=film,
                at=began + timedelta(seconds=n),
                value=(1 + film * 7919 % 10) / 2,
                surface="home",
            )
            for n, film in enumerate([*missing, *films[:0:-1]])
        ]
    )
    return films[0]


if __name__ == "__main__":
    run(main)
