"""What a suggestion costs while somebody types, at 300,000 films: CPU-ms of site and database for a request.

    python -m benchmarks.suggest [--films 300000] [--times 15] [--database sqlite] [--database mariadb]
        [--quick]

Each database gets films with made-up titles of one to five words, some with a Korean title, and people, in a
temporary folder. A request goes through the whole site in this process, without a socket. The baseline is
`scan`, the same page with a LIKE over all titles and all names, which ranks whatever it finds. The two take
turns; figures are medians.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks._command import argument_parser, parse_options, print_ratio
from benchmarks._command import run as run_command
from benchmarks._serving import ROOT, private_services, site_environment
from services import SERVICES

BATCH = 10_000
AT_ONCE = 20  # requests that are timed together: the clock of another process ticks every 10 ms
SYLLABLES = [c + v + e for c in "bcdfghklmnprstvw" for v in "aeiou" for e in ("", "l", "n", "r", "s", "t")]
HANGUL = [chr(0xAC00 + 28 * n) for n in range(0, 300, 3)]
WORDS, FIRST_NAMES, LAST_NAMES = 40_000, 3_000, 40_000


def main() -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--films", type=int, default=300_000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--scans", type=int, default=3, help="requests of the scan, which take long")
    parser.add_argument("--database", action="append", choices=("sqlite", "mariadb"))
    parser.add_argument("--here", type=int, metavar="PID", help=argparse.SUPPRESS)
    options = parse_options(parser, films=20_000, times=5, database=["sqlite"])
    if options.here is not None:
        measure(options)
        return 0
    for database in options.database or ("sqlite", "mariadb"):
        with tempfile.TemporaryDirectory(prefix="reelgraph-suggest-") as folder:
            run(database, Path(folder), options)
    return 0


def run(database: str, folder: Path, options: argparse.Namespace) -> None:
    """Measure in a process of its own, whose settings read the database's address."""
    with private_services(folder, *({database} - {"sqlite"})) as servers:
        process = SERVICES[database](folder).process() if servers else None
        command = [sys.executable, "-m", "benchmarks.suggest", "--here", str(process.pid if process else 0)]
        for name in ("films", "times", "scans"):
            command += [f"--{name}", str(getattr(options, name))]
        environment = site_environment(folder, servers.get(database, {}))
        subprocess.run(command, cwd=ROOT, env=environment, check=True)


def measure(options: argparse.Namespace) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "webapp.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    call_command("migrate", verbosity=0)
    from benchmarks.queries import analyse
    from movie.catalogue.models import Movie
    from movie.pages.views import catalogue

    if not Movie.objects.exists():
        fill(options.films)
        analyse()
    sys.stdout.write(f"{connection.vendor}: {sizes()}\n")
    client = Client(headers={"host": "localhost"})
    word = max((title.split()[-1] for title in Movie.objects.values_list("title", flat=True)[:50]), key=len)
    typed = {f"{n} letters": word[:n].lower() for n in (1, 2, 3, 6)}
    typed |= {
        "typo": "qu" + word[:5].lower(),
        "two words": "the " + word[:2].lower(),
        "Korean": HANGUL[1] + HANGUL[4],
    }
    ways = {"index": (catalogue.suggestions, options.times, AT_ONCE), "scan": (scan, options.scans, 1)}
    databases = [psutil.Process(options.here)] if options.here else []
    for name, text in typed.items():
        spent: dict[str, list[float]] = {way: [] for way in ways}
        for n in range(-1, options.times):
            for way, (suggest, times, repeats) in ways.items():
                if n < times:
                    catalogue.suggestions = suggest
                    ask = partial(client.get, "/search/suggest/", {"q": text})
                    spent[way].append(_cpu_ms(ask, databases, repeats))
        medians = {way: statistics.median(each[1:]) for way, each in spent.items()}
        columns = "".join(f"{way} {each:8.1f} ms   " for way, each in medians.items())
        print(f"  {name:12}{text:10}{columns}", flush=True)
        what = f"suggestions for {name}, {connection.vendor}"
        print_ratio(what, medians["index"] / medians["scan"], "a scan of all titles and names")


def _cpu_ms(work: Callable[[], Any], databases: list[psutil.Process], repeats: int) -> float:
    """Return the CPU-ms of this process and of the databases for one request."""
    before = time.process_time() + sum(sum(each.cpu_times()[:2]) for each in databases)
    for _ in range(repeats):
        assert work().status_code == 200
    after = time.process_time() + sum(sum(each.cpu_times()[:2]) for each in databases)
    return 1000 * (after - before) / repeats


def scan(text: str) -> Any:
    """Return suggestions as one finds them without an index: by LIKE, all of them ranked by the database."""
    from django.db.models import Count, F, IntegerField, Min, OuterRef, Q, Subquery

    from movie.catalogue.availability import available_now
    from movie.catalogue.models import Movie, MovieTitle, Person
    from movie.catalogue.search import is_year, words_of
    from movie.catalogue.suggestions import SuggestedMovie, Suggestions

    key = text.casefold()
    in_name, in_title = Q(), Q()
    for word in words_of(key):
        holds = Q(search_key__contains=word)
        in_name &= holds
        in_title &= holds | Q(movie__year=int(word)) if is_year(word) else holds
    holding = MovieTitle.objects.filter(in_title).order_by()
    match = _closeness(key, is_shown=Q(title=F("movie__title")))
    best = holding.filter(movie=OuterRef("pk")).values("movie").annotate(best=Min(match)).values("best")
    movies = Movie.objects.visible().filter(pk__in=holding.values("movie"))
    movies = movies.annotate(match=Subquery(best, output_field=IntegerField()))
    people = Person.objects.filter(in_name).annotate(
        match=_closeness(key, is_shown=Q()),
        n_movies=Count("movies", filter=available_now("movies__"), distinct=True),
    )
    named = people.filter(n_movies__gt=0).order_by("match", "-n_movies", "name", "pk")[:4]
    listed = movies.order_by("match", "-rating_count", "pk").defer("synopsis")[:8]
    return Suggestions([SuggestedMovie(movie) for movie in listed], list(named) if len(key) > 2 else [])


def _closeness(key: str, is_shown: Any) -> Any:
    """Rank in the database: the whole title, its beginning, the beginning of a word, anything else."""
    from django.db.models import Case, IntegerField, Q, Value, When

    whens = [
        When(Q(search_key=key) & is_shown, then=Value(0)),
        When(Q(search_key__startswith=key) & is_shown, then=Value(1)),
        When(Q(search_key__contains=f" {key}") & is_shown, then=Value(2)),
    ]
    return Case(*whens, default=Value(3), output_field=IntegerField())


def fill(n_films: int) -> None:
    """Write films, titles, people and credits straight into the tables; say what it cost."""
    from django.db import transaction
    from django.utils import timezone

    from movie.catalogue.models import Credit, Movie, MovieTitle, Person
    from movie.catalogue.suffixes import NameSuffix, TitleSuffix, suffixes
    from movie.core.database import insert_rows

    chance, now, before = random.Random(1), timezone.now(), time.process_time()
    words, first, last = (list(_made_up(chance, n)) for n in (WORDS, FIRST_NAMES, LAST_NAMES))
    weights = list(itertools.accumulate(1 / (rank + 20) for rank in range(WORDS)))
    n_people, n_titles = n_films // 2, 0
    for batch in _batches(n_people):
        names = {pk: f"{chance.choice(first)} {chance.choice(last)}" for pk in batch}
        with transaction.atomic():
            insert_rows(Person, ("id", "name", "search_key"), ((pk, k.title(), k) for pk, k in names.items()))
            pairs = sorted((text, pk) for pk, key in names.items() for text in suffixes(key))
            insert_rows(NameSuffix, ("text", "owner"), pairs)
    columns = ("id", "title", "sort_title", "year", "synopsis", "poster_path", "is_visible", "attributes")
    columns += ("rating_count", "rating_sum", "created", "updated")
    for batch in _batches(n_films):
        films, titles, credits = [], [], []
        for pk in batch:
            chosen = chance.choices(words, cum_weights=weights, k=chance.choice((1, 2, 2, 3, 3, 4, 5)))
            key = " ".join([*(["the"] if chance.random() < 0.2 else []), *chosen])
            count = 200_000 // (1 + pk * 7919 % n_films)
            films.append(
                (pk, key.title(), key, 1920 + pk % 100, "", "", True, "{}", count, 3.5 * count, now, now)
            )
            titles.append((len(titles) + n_titles + 1, pk, key.title(), "", key))
            if chance.random() < 0.1:
                korean = "".join(chance.choices(HANGUL, k=chance.choice((2, 3, 4))))
                titles.append((len(titles) + n_titles + 1, pk, korean, "ko", korean))
            for order, person in enumerate({chance.randrange(1, n_people) for _ in range(2)}):
                credits.append((pk, person, "cast" if order else "director", order))
        n_titles += len(titles)
        with transaction.atomic():
            insert_rows(Movie, columns, films)
            insert_rows(MovieTitle, ("id", "movie", "title", "language", "search_key"), titles)
            pairs = sorted((text, pk) for pk, *_, key in titles for text in suffixes(key))
            insert_rows(TitleSuffix, ("text", "owner"), pairs)
            insert_rows(Credit, ("movie", "person", "role", "order"), credits)
    sys.stdout.write(f"filled in {time.process_time() - before:.0f} CPU-s\n")


def _batches(n: int) -> Iterator[range]:
    for start in range(1, n + 1, BATCH):
        yield range(start, min(start + BATCH, n + 1))


def sizes() -> str:
    from movie.catalogue.models import Movie, MovieTitle, Person
    from movie.catalogue.suffixes import NameSuffix, TitleSuffix

    counted = (Movie, MovieTitle, TitleSuffix, Person, NameSuffix)
    return ", ".join(f"{each.objects.count():,} {each.__name__}" for each in counted)


def _made_up(chance: random.Random, n: int) -> Iterator[str]:
    for _ in range(n):
        yield "".join(chance.choices(SYLLABLES, k=chance.choice((1, 2, 2, 3))))


if __name__ == "__main__":
    run_command(main)
