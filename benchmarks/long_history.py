"""What pages cost visitors with 1,000 and 10,000 rated films: CPU-ms of a request with cold caches, queries.

    python -m benchmarks.long_history [--data-dir FOLDER]

The site in FOLDER is one that `manage.py demo --no-serve` made, or one is made with the quick models; four
guests are added to it. CPU is of the whole request, without a socket, in one process with the variables of a
deployment: the medians of requests that take turns; a ratio is the median over their pairs. The baselines are
the same page for a guest who rated 20 films, to 1,000, and 10, to 10,000. The goal is for 1,000 films, on the
site as it is. For a history that is longer than the catalogue, films are then added, which are new to every
model; what they cost the guest with 1,000 is measured as well. --quick gives the longest history 2,000 films.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

from benchmarks._command import (
    QUICK_SECONDS,
    CouldNotMeasure,
    argument_parser,
    end_within,
    parse_options,
    print_ratio,
    run,
    times_of,
)
from benchmarks._serving import ROOT, demo_site

TIMES = 31
LONG, BASELINE, GOAL = 1_000, 20, "at most 1.5"
GOALS_OF = ("home", "recommend", "why", "movie", "history")
RANKED = ("home", "recommend", "why")  # pages that show films which are new to the models
SHORT = 10  # the baseline of the longest history
MADE_UP = "Made up "


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--films", type=int, default=10_000, help="in the long history")
    parser.add_argument("--data-dir", type=Path, help="of the site; made there if it is empty")
    options = parse_options(parser, films=2_000)
    if options.quick:
        end_within(QUICK_SECONDS)
    with demo_site(options.data_dir) as environment:
        # Libraries of linear algebra read how many threads they may use when they are loaded.
        program = f"from benchmarks.long_history import measure, run; run(lambda: measure({options.films}))"
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def measure(n_films: int) -> None:
    """Print what pages cost on the site of this environment."""
    import django

    django.setup()
    import webapp.wsgi  # noqa: F401 - keeps the modules out of the garbage collector's way, as in production

    _delete_former_run((LONG, BASELINE, n_films, SHORT))
    _compare(LONG, BASELINE, GOAL)
    n_new = _add_films(n_films)
    if n_new:
        _compare(LONG, BASELINE, pages=RANKED, beside=f" beside {n_new} new ones")
    _compare(n_films, SHORT)


def _compare(long: int, short: int, goal: str = "", pages: tuple[str, ...] = (), beside: str = "") -> None:
    """Print what pages cost a guest with a long history and one with a short one."""
    from django.core.cache import cache
    from django.core.signing import get_cookie_signer
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from movie.visitors.visitor import GUEST_COOKIE, SALT

    unseen = {length: _make_history(length) for length in (long, short)}[long]
    clients = {length: Client(headers={"host": "localhost"}) for length in (short, long)}
    for length, client in clients.items():
        cookie = get_cookie_signer(salt=GUEST_COOKIE + SALT).sign(_visitor(length))
        client.cookies[GUEST_COOKIE] = cookie
    addresses = {
        "home": "/",
        "recommend": "/recommend/",
        "why": f"/movies/{unseen}/why/?model=for_you",
        "compare": "/compare/",
        "movie": f"/movies/{unseen}/",
        "history": "/history/",
    }
    for name in pages or addresses:
        costs: dict[int, list[float]] = {short: [], long: []}
        n_queries = {}
        for length, client in [*clients.items()] * 2:  # the first time loads the models
            cache.clear()
            with CaptureQueriesContext(connection) as asked:
                status = client.get(addresses[name]).status_code
            if status != 200:
                raise CouldNotMeasure(f"{addresses[name]} answers {status}")
            n_queries[length] = len(asked)
        # Without the capture, which asks SQLite to quote the values of each query.
        for number in range(TIMES):
            for length in (short, long) if number % 2 else (long, short):
                cache.clear()
                before = time.process_time()
                clients[length].get(addresses[name])
                costs[length].append(1000 * (time.process_time() - before))
        medians = {length: statistics.median(spent) for length, spent in costs.items()}
        for length, ms in medians.items():
            print(f"{name:12}{length:>7} films{ms:>9.1f} ms{n_queries[length]:>5} queries")
        what = f"long_history: {name}, {long:,} films{beside}"
        times = times_of(costs[short], costs[long])
        print_ratio(what, times, f"{short} films", goal if name in GOALS_OF else "")


def _visitor(length: int) -> str:
    return f"guest:{uuid.UUID(int=2**101 + length)}"  # no guest of a made-up site


def _delete_former_run(lengths: tuple[int, ...]) -> None:
    """Delete the guests and the films of an earlier run."""
    from movie.catalogue.models import Movie
    from movie.events.models import Event

    Event.objects.filter(visitor__in=map(_visitor, lengths)).delete()
    titles = Movie.objects.filter(title__startswith=MADE_UP).values_list("pk", "title")
    Movie.objects.filter(pk__in=[pk for pk, title in titles if title == f"{MADE_UP}{pk}"]).delete()


def _add_films(n_films: int) -> int:
    """Add films until there is one more than this; return how many were added."""
    from movie.catalogue.models import Movie

    ids = Movie.objects.values_list("pk", flat=True)
    first = max(ids) + 1
    missing = range(first, first + max(0, n_films + 1 - len(ids)))
    Movie.objects.bulk_create(
        [Movie(pk=pk, title=f"{MADE_UP}{pk}", sort_title=f"made up {pk}") for pk in missing]
    )
    return len(missing)


def _make_history(n_films: int) -> int:
    """Give the guest ratings of the best-known films but one, unless they have some; return that one."""
    from django.utils import timezone

    from movie.catalogue.models import Movie
    from movie.core.ids import new_event_id
    from movie.events.models import Event

    films = list(Movie.objects.order_by("-rating_count", "pk").values_list("pk", flat=True)[: n_films + 1])
    if Event.objects.filter(visitor=_visitor(n_films)).exists():
        return films[0]
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
            for n, film in enumerate(films[:0:-1])
        ]
    )
    return films[0]


if __name__ == "__main__":
    run(main)
