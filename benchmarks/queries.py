"""The hottest queries of the site: how the database goes about each, and how long it takes.

    python -m benchmarks.queries [--data FOLDER] [--database-url URL] [--only NAME] [--json FILE]

Works on a database of its own: SQLite in a temporary folder, or the one of the URL. It is filled first
where it holds no films: with the films, people and ratings of a data set (MovieLens 100K by default) and
what made-up guests did. In a database with films nothing is written. The statements are those that the
site itself sends; each is explained and, if it only reads, sent --repeats times. Times are milliseconds
from sending to the last row (median and least), on a server whose pages are warm. The baseline of the slowest
is `SELECT 1` on the same connection. --quick makes a tenth of the guests.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._command import (
    CouldNotMeasure,
    argument_parser,
    data_or_default,
    parse_options,
    print_ratio,
    run,
)
from benchmarks._serving import use_site

EACH, DAYS = 20, 30
WAITING = 2_000  # interactions that a relay has still to deliver
SQL_SHOWN = 1_500

Statement = dict[str, Any]


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--database-url", metavar="URL")
    parser.add_argument("--only", default="", metavar="NAME", help="queries whose name holds this")
    parser.add_argument("--guests", type=int, default=10_000, help="made up")
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parse_options(parser, repeats=5, guests=1_000)
    with tempfile.TemporaryDirectory() as folder:
        use_site(Path(folder), **({"DATABASE_URL": options.database_url} if options.database_url else {}))
        import django

        django.setup()
        found = measure(options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False, default=str) + "\n")


def measure(options: argparse.Namespace) -> list[Statement]:
    from django.core.management import call_command
    from django.db import connection

    from movie.catalogue.models import Movie

    call_command("migrate", verbosity=0, skip_checks=True)
    call_command("collectstatic", interactive=False, verbosity=0)
    if not Movie.objects.exists():
        fill(data_or_default(options.data), options.guests)
    sys.stdout.write(f"{connection.vendor} {version()}; {sizes()}\n")
    found = []
    for name, work in hot_queries().items():
        if options.only in name:
            for statement in sent_by(work):
                found.append({"name": name, **examined(statement, options.repeats)})
                show(found[-1])
    reads = [each for each in found if "milliseconds" in each]
    if not reads:
        raise CouldNotMeasure(f"no query that reads has {options.only!r} in its name")
    slowest = max(reads, key=lambda each: each["milliseconds"])
    nothing = examined("SELECT 1", 100 * options.repeats)["least"]
    print_ratio(f"queries: the slowest, {slowest['name']}", slowest["milliseconds"] / nothing, "SELECT 1")
    return found


# -- a site to ask --------------------------------------------------------------------------------


def fill(folder: Path, n_guests: int) -> None:
    """A data set with the people of its films, and guests who click, rate and save."""
    from django.core.management import call_command

    for command in ("import_movies", "import_ratings"):
        call_command(command, folder, no_progress=True, stdout=io.StringIO())
    call_command("enrich_movies", no_progress=True, stdout=io.StringIO())
    fill_with_guests(n_guests)
    analyse()


def fill_with_guests(n_guests: int) -> None:
    """Written straight into the tables: 200,000 interactions by way of `record()` would take minutes."""
    from datetime import timedelta

    from django.utils import timezone

    from movie.catalogue.models import Movie, Rating
    from movie.core.ids import new_event_id
    from movie.events.models import TO_STREAM, DailyMovieActivity, Event

    chance = random.Random(1)
    films = list(Movie.objects.most_rated().values_list("pk", flat=True)[:2_000])
    weights = [1 / (place + 10) for place in range(len(films))]
    now = timezone.now()
    interactions, ratings = [], []
    for guest in range(n_guests):
        visitor = f"guest:{guest:08d}-0000-4000-8000-000000000000"
        first = now - timedelta(seconds=chance.randrange(DAYS * 86_400))
        for step, film in enumerate(dict.fromkeys(chance.choices(films, weights, k=EACH))):
            kind = chance.choice(["click"] * 6 + ["rating"] * 3 + ["watchlist"])
            value = chance.choice([2.0, 3.0, 4.0, 5.0]) if kind == "rating" else None
            at = first + timedelta(seconds=40 * step)
            interactions.append(
                Event(event_id=new_event_id(), visitor=visitor, kind=kind, movie_id=film, at=at, value=value)
            )
            if value:
                ratings.append(Rating(visitor=visitor, movie_id=film, value=value, rated_at=at))
    for row in interactions[-WAITING:]:
        row.pending_sinks = TO_STREAM
    Event.objects.bulk_create(interactions, batch_size=2_000)
    Rating.objects.bulk_create(ratings, batch_size=2_000)
    Movie.objects.refresh_aggregates()
    DailyMovieActivity.objects.bulk_create(
        [
            DailyMovieActivity(
                movie_id=film, day=now.date() - timedelta(days=day), count=chance.randrange(1, 99)
            )
            for film in films
            for day in range(DAYS)
        ],
        batch_size=2_000,
    )


def analyse() -> None:
    """Let the database count what its plans rest on."""
    from django.apps import apps
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("ANALYZE")
            return
        tables = ", ".join(
            connection.ops.quote_name(model._meta.db_table)
            for model in apps.get_models(include_auto_created=True)
        )
        cursor.execute(f"ANALYZE TABLE {tables}")
        cursor.fetchall()


# -- what the site asks ---------------------------------------------------------------------------


def hot_queries() -> dict[str, Callable[[], object]]:
    """By name, the site's own functions, with nothing cached between them."""
    from django.conf import settings
    from django.core.cache import cache
    from django.core.paginator import Paginator
    from django.core.signing import get_cookie_signer
    from django.db.models import Count
    from django.test import Client

    from movie.catalogue.browse import PAGE_SIZE, BrowseFilters
    from movie.catalogue.details import movie_details, rating_histogram
    from movie.catalogue.facets import facets
    from movie.catalogue.models import Credit, Movie, Rating
    from movie.catalogue.people_search import search_people
    from movie.catalogue.search import search_movies
    from movie.catalogue.suggestions import suggestions
    from movie.events.history import get_history
    from movie.events.models import TO_STREAM, Event, pending_values
    from movie.events.stream.relay import Relay
    from movie.events.trending import trending_ids
    from movie.recommendations.ranking import recommend
    from movie.recommendations.similar import rank_similar
    from movie.visitors.visitor import GUEST_COOKIE, SALT
    from predictors.history import History

    film = Movie.objects.most_rated()[0]
    person = Credit.objects.values("person").annotate(n=Count("pk")).order_by("-n", "person")[0]["person"]
    guest = (
        Event.objects.filter(visitor__startswith="guest:")
        .values_list("visitor", flat=True)
        .order_by("visitor")
        .first()
    )
    guest = guest or Rating.objects.values_list("visitor", flat=True).order_by("visitor").first() or "guest:a"
    rated = Rating.objects.filter(visitor=guest).values_list("movie", flat=True).first() or film.pk
    client = Client(headers={"host": "localhost"})
    if guest.startswith("guest:"):
        cookie = get_cookie_signer(salt=GUEST_COOKIE + SALT).sign(guest)
        client.cookies[GUEST_COOKIE] = cookie

    def page(address: str) -> Callable[[], object]:
        def ask() -> None:
            cache.clear()
            assert client.get(address).status_code == 200, address

        return ask

    def listed(filters: BrowseFilters, number: int = 1) -> Callable[[], object]:
        films = filters.movies(facets(), visitor_key=guest).defer("synopsis")
        return lambda: list(Paginator(films, PAGE_SIZE).page(number))

    def claim() -> None:
        Relay(batch=500)._claim(pending_values(TO_STREAM), "benchmark")

    client.get("/")  # what only the first page of a process asks for
    settings.WRITE_RATE_LIMIT = 100_000
    return {
        "home page, guest with 20 interactions": page("/"),
        "history of a visitor": lambda: get_history(guest),
        "history, the latest 10": lambda: get_history(guest, limit=10),
        "rating of a film by a visitor": lambda: list(
            Rating.objects.filter(visitor=guest, movie__in=[rated])
        ),
        "browse, most rated, page 1": listed(BrowseFilters()),
        "browse, most rated, page 40": listed(BrowseFilters(), 40),
        "browse, two genres in, one out, decade, best": listed(
            BrowseFilters(("Comedy", "Drama"), ("Horror",), decade=1990, sort="best")
        ),
        "browse, newest": listed(BrowseFilters(sort="newest")),
        "browse, by title": listed(BrowseFilters(sort="title")),
        "browse, language and country": listed(BrowseFilters(language="English", country="France")),
        "browse, your rating": listed(BrowseFilters(sort="yours")),
        "browse, what can be filtered by": lambda: (cache.clear(), facets()),
        "search, two words": lambda: list(Paginator(search_movies("star wars"), PAGE_SIZE).page(1)),
        "search, people": lambda: list(search_people("john ford")[:13]),
        "suggest while typing": lambda: suggestions("mat"),
        "film page, facts": lambda: movie_details(film),
        "film page, ratings": lambda: rating_histogram(film),
        "film page, similar without a model": lambda: rank_similar(film.pk, History.EMPTY),
        "person page": page(f"/people/{person}/"),
        "relay claims its rows": claim,
        "trending": lambda: (cache.clear(), trending_ids()),
        "most rated": lambda: (cache.clear(), recommend(History.EMPTY, k=24)),
    }


def sent_by(work: Callable[[], object]) -> list[str]:
    """The statements of some work, which is undone; those of transactions and sessions left out."""
    from django.db import connection, transaction
    from django.test.utils import CaptureQueriesContext

    with transaction.atomic():
        with CaptureQueriesContext(connection) as captured:
            work()
        transaction.set_rollback(True)
    statements = [query["sql"] for query in captured.captured_queries]
    return [sql for sql in statements if sql.split(None, 1)[0] in ("SELECT", "UPDATE", "(SELECT")]


# -- what the database says -----------------------------------------------------------------------


def examined(sql: str, repeats: int) -> Statement:
    from django.db import connection, transaction

    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute(f"{'EXPLAIN QUERY PLAN' if connection.vendor == 'sqlite' else 'EXPLAIN'} {sql}")
        names = [column[0] for column in cursor.description]
        plan = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        times, rows = [], 0
        for _repeat in range(repeats if not sql.startswith("UPDATE") else 0):
            before = time.perf_counter()
            cursor.execute(sql)
            rows = len(cursor.fetchall())
            times.append(1000 * (time.perf_counter() - before))
    took = (
        {"milliseconds": round(statistics.median(times), 4), "least": round(min(times), 4)} if times else {}
    )
    return {"sql": sql, "plan": plan, "rows": rows, **took}


def show(found: Statement) -> None:
    took = ""
    if "least" in found:
        took = f": {found['milliseconds']:.2f} ms, at least {found['least']:.2f}, {found['rows']} rows"
    sys.stdout.write(f"\n== {found['name']}{took}\n{found['sql'][:SQL_SHOWN]}\n")
    for step in found["plan"]:
        if "detail" in step:
            sys.stdout.write(f"   {step['detail']}\n")
        else:
            words = (step[name] for name in ("id", "select_type", "table", "type", "key", "rows", "Extra"))
            sys.stdout.write(f"   {' | '.join('-' if word is None else str(word) for word in words)}\n")
    sys.stdout.flush()


def version() -> str:
    from django.db import connection

    connection.ensure_connection()
    return (
        ".".join(map(str, connection.Database.sqlite_version_info))
        if connection.vendor == "sqlite"
        else str(connection.mysql_server_info)
    )


def sizes() -> str:
    from movie.catalogue.models import Credit, Movie, Person, Rating
    from movie.events.models import Event

    models = (Movie, Rating, Event, Person, Credit)
    return ", ".join(f"{model.objects.count():,} {model._meta.verbose_name_plural}" for model in models)


if __name__ == "__main__":
    run(main)
