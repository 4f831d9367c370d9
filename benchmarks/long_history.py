"""What pages cost a visitor with 10,000 rated films: CPU-ms of a request with cold caches, and its queries.

    python -m benchmarks.long_history [--data-dir FOLDER]

The site in FOLDER is one that `manage.py demo --no-serve` made, or one is made with the quick models; films
and two guests are added to it. CPU is of the whole request, in this process, without a socket: the median of
5. The baseline is the same page for a guest who rated 10 films. --quick gives the long history 2,000 films.
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

SHORT, TIMES = 10, 5


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

    unseen = {length: _make_history(length) for length in (n_films, SHORT)}[n_films]
    clients = {length: Client(headers={"host": "localhost"}) for length in (n_films, SHORT)}
    for length, client in clients.items():
        cookie = get_cookie_signer(salt=GUEST_COOKIE + SALT).sign(_visitor(length))
        client.cookies[GUEST_COOKIE] = cookie
    pages = {
        "home": "/",
        "recommend": "/recommend/",
        "why": f"/movies/{unseen}/why/?model=for_you",
        "compare": "/compare/",
        "movie": f"/movies/{unseen}/",
        "history": "/history/",
    }
    for name, address in pages.items():
        costs = {}
        for length, client in clients.items():
            client.get(address)  # loads the models
            spent = []
            for _ in range(TIMES):
                cache.clear()
                with CaptureQueriesContext(connection) as asked:
                    before = time.process_time()
                    status = client.get(address).status_code
                    spent.append(1000 * (time.process_time() - before))
                if status != 200:
                    raise CouldNotMeasure(f"{address} answers {status}")
            costs[length] = statistics.median(spent)
            print(f"{name:12}{length:>7} films{costs[length]:>9.0f} ms{len(asked):>5} queries")
        print_ratio(
            f"long_history: {name}, {n_films:,} films", costs[n_films] / costs[SHORT], f"{SHORT} films"
        )


def _visitor(length: int) -> str:
    return f"guest:{uuid.UUID(int=length)}"


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
