"""No query of a hot page reads a table that grows from end to end; the database says how it goes about each.

On MariaDB too, by `tests/test_on_real_services.py`.
"""

from __future__ import annotations

import itertools
import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.core.cache import cache
from django.core.signing import get_cookie_signer
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from movie.catalogue.browse import PAGE_SIZE, BrowseFilters
from movie.catalogue.facets import facets
from movie.catalogue.models import Credit, Genre, Movie, MovieTitle, Person, Rating
from movie.catalogue.suffixes import NameSuffix, TitleSuffix
from movie.core.ids import new_event_id
from movie.events.history import get_history, get_ranking_history
from movie.events.models import DailyMovieActivity, Event
from movie.events.recording import record, record_all
from movie.events.trending import trending_ids
from movie.recommendations.ranking import RankingOptions, last_resort
from movie.recommendations.similar import rank_similar
from movie.visitors.visitor import GUEST_COOKIE, SALT
from predictors.history import History, Interaction

pytestmark = pytest.mark.skipif(connection.vendor == "postgresql", reason="reads plans of SQLite and MariaDB")

FILMS, GUESTS, EACH = 3_000, 300, 20
# Not the activity: a week of it is counted once a minute.
GROWING = (Movie, MovieTitle, TitleSuffix, Rating, Event, Credit, Person, NameSuffix, Movie.genres.through)
IN_ORDER = ("most_rated", "best_rated")  # the indexes whose first entries are the answer
# The statements for letters of many titles, of many names, for a word, a title, a person, a Korean title and
# a typo.
SUGGESTED = {"f": 2, "fil": 4, "per": 4, "77": 6, "film 77": 4, "person 77": 4, "필름": 5, "flim": 2}
FEW = 1_000  # rows: what the server means to read of one table


@pytest.fixture
def large_site(transactional_db):  # MySQL commits before it counts rows
    """Return a guest of a site with thousands of films and ratings, of which the database knows how many."""
    now = timezone.now()
    films = [
        Movie(
            pk=pk, title=f"Film {pk}", sort_title=f"film {pk}", year=1950 + pk % 70, rating_count=FILMS - pk
        )
        for pk in range(1, FILMS + 1)
    ]
    Movie.objects.bulk_create(films)
    MovieTitle.objects.bulk_create(
        MovieTitle(movie=film, title=film.title, search_key=film.title.casefold()) for film in films
    )
    MovieTitle.objects.bulk_create(
        MovieTitle(movie=film, title=f"필름 {film.pk}", language="ko", search_key=f"필름 {film.pk}")
        for film in films[::10]
    )
    genres = list(Genre.objects.named([f"Genre {n}" for n in range(20)]).values())
    Movie.genres.through.objects.bulk_create(
        Movie.genres.through(movie=film, genre=genres[film.pk % 20]) for film in films
    )
    people = Person.objects.bulk_create(
        Person(name=f"Person {n}", search_key=f"person {n}") for n in range(FILMS)
    )
    Credit.objects.bulk_create(
        Credit(movie=film, person=person, role=Credit.Role.DIRECTOR)
        for film, person in zip(films, people, strict=True)
    )
    events, ratings = [], []
    for guest in range(GUESTS):
        visitor = f"guest:{guest:08d}-0000-4000-8000-000000000000"
        for step in range(EACH):
            film, at = 1 + (guest * 7 + step * 131) % FILMS, now - timedelta(minutes=guest * EACH + step)
            events.append(
                Event(
                    event_id=new_event_id(), visitor=visitor, kind="rating", movie_id=film, at=at, value=4.0
                )
            )
            ratings.append(Rating(visitor=visitor, movie_id=film, value=4.0, rated_at=at))
    Event.objects.bulk_create(events)
    Rating.objects.bulk_create(ratings)
    DailyMovieActivity.objects.bulk_create(
        DailyMovieActivity(movie=film, day=now.date() - timedelta(days=day), count=1)
        for film in films
        for day in range(30)
    )
    analyse()
    return "guest:00000007-0000-4000-8000-000000000000"


def analyse() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            tables = ", ".join(model._meta.db_table for model in apps.get_models(include_auto_created=True))
            cursor.execute(f"ANALYZE TABLE {tables}")
            cursor.fetchall()
        else:
            cursor.execute("ANALYZE")


def sql_of(rows) -> str:
    """Return the statement as it is sent, with its values."""
    with CaptureQueriesContext(connection) as captured:
        list(rows)
    return captured.captured_queries[-1]["sql"]


def explain(sql: str) -> list[dict]:
    """Return the steps of a statement's plan, in the columns of this database."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'QUERY PLAN' if connection.vendor == 'sqlite' else ''} {sql}")
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def costly_steps(sql: str) -> list[str]:
    """Return the steps of a statement's plan that read much of a table that grows."""
    tables = {model._meta.db_table for model in GROWING}
    aliases = dict(re.findall(r'(?:FROM|JOIN) [`"](\w+)[`"] ([A-Z]+\d+)', sql))
    names = tables | {alias for alias, table in ((a, t) for t, a in aliases.items()) if table in tables}
    rows = explain(sql)
    if connection.vendor == "sqlite":
        steps = [row["detail"] for row in rows]
        is_sorted = not any("TEMP B-TREE FOR ORDER BY" in step for step in steps)
        return [
            step
            for step in steps
            if (found := re.match(r"SCAN (\w+)(.*)", step))
            and found[1] in names
            and not (any(f"INDEX {name}" in found[2] for name in IN_ORDER) and is_sorted and "LIMIT" in sql)
        ]
    return [str(row) for row in rows if row["table"] in names and int(row["rows"] or 0) > FEW]


@pytest.fixture
def hot_work(large_site, client):
    """Return functions by name that do the frequent work of the site for a guest with a history."""
    client.cookies[GUEST_COOKIE] = get_cookie_signer(salt=GUEST_COOKIE + SALT).sign(large_site)
    now = timezone.now()

    def rating(movie_id):
        return Interaction(new_event_id(), large_site, "rating", movie_id, now, 4.0, "film")

    offered = facets()  # which reads all films, once a minute
    return {
        "home": lambda: client.get("/"),
        "film page": lambda: client.get("/movies/50/"),
        "For you": lambda: client.get("/recommend/"),
        "history page": lambda: client.get("/history/"),
        "watchlist": lambda: client.get("/watchlist/"),
        "search": lambda: client.get("/search/?q=77"),
        "search, nothing found": lambda: client.get("/search/?q=flim+77"),
        "suggest": lambda: client.get("/search/suggest/?q=77"),  # see below for others
        # Of so few films MariaDB would rather sort whole rows; of 300,000 it takes the index for them, too.
        "browse": lambda: list(BrowseFilters().movies(offered).values_list("pk")[:PAGE_SIZE]),
        "browse, best rated": lambda: list(
            BrowseFilters(sort="best").movies(offered).values_list("pk")[:PAGE_SIZE]
        ),
        "browse a genre": lambda: list(BrowseFilters(genres_in=("Genre 7",)).movies(offered)[:PAGE_SIZE]),
        "number of films of two filters": lambda: BrowseFilters(genres_in=("Genre 7",), decade=1950).count(
            offered
        ),
        "history": lambda: get_history(large_site),
        "history of lists": lambda: get_ranking_history(large_site),
        "trending": trending_ids,
        "films with most ratings": lambda: last_resort(History.EMPTY, RankingOptions(k=24)),
        "films like it": lambda: rank_similar(50, History.EMPTY),
        "a rating": lambda: record(rating(51)),
        "ratings of a file": lambda: record_all([rating(movie_id) for movie_id in range(60, 160)]),
    }


def test_no_hot_query_reads_a_whole_table(hot_work):
    costly = []
    for name, work in hot_work.items():
        for _first_fills_memory in range(2):
            cache.clear()
            with CaptureQueriesContext(connection) as captured:
                work()
        statements = [each["sql"] for each in captured.captured_queries]
        found = [sql for sql in statements if sql.startswith(("SELECT", "UPDATE", "DELETE"))]
        assert found, name
        costly += [(name, steps, sql) for sql in found if (steps := costly_steps(sql))]
    assert costly == []


def test_a_suggestion_goes_by_indexes_alone(large_site, client):
    """Each range of an index is limited, and nothing is sorted but what a few films and people have."""
    statements = {}
    for text in SUGGESTED:
        for _first_reads_the_popular_ones in range(2):
            with CaptureQueriesContext(connection) as captured:
                client.get("/search/suggest/", {"q": text})
        statements[text] = [each["sql"] for each in captured.captured_queries]
    assert {text: len(sent) for text, sent in statements.items()} == SUGGESTED
    for sql in itertools.chain.from_iterable(statements.values()):
        (table,) = re.findall(r'FROM [`"](\w+)[`"]', sql)
        plan = explain(sql)
        assert not re.search("SCAN|'ALL'|AUTOMATIC", str(plan)), (sql, plan)
        if "suffix" in sql:
            assert f"{table.removeprefix('catalogue_')}_text" in str(plan), (sql, plan)
            assert not re.search("TEMP B-TREE|filesort|temporary", str(plan)), (sql, plan)
            assert "LIMIT 40" in sql
            assert sql.startswith("SELECT STRAIGHT_JOIN ") or connection.vendor != "mysql", sql
        else:  # by the ids of a few films or people
            assert table in ("catalogue_movie", "catalogue_credit")
            ids = re.findall(r"IN \(([\d, ]+)\)", sql)
            assert len(ids) == 1 and len(ids[0].split(",")) <= 64, sql


def test_plans_tell_what_reads_a_whole_table(large_site):
    """Else the test above could not fail."""
    for rows in (Movie.objects.order_by("created")[:9], Rating.objects.filter(value=4.0).order_by()):
        assert costly_steps(sql_of(rows)), rows.query
    pairs = Event.objects.of_pairs([large_site], range(1, 100)).decisions()
    assert "events_of_movie_and_visitor" in str(explain(sql_of(pairs)))


def test_the_history_of_lists_is_read_in_the_order_of_its_index(large_site):
    """All of it, and with its latest clicks alone, the oldest of which a subquery finds."""
    now = timezone.now()
    Event.objects.bulk_create(
        Event(event_id=new_event_id(), visitor=large_site, kind="click", movie_id=n, at=now)
        for n in range(1, 100)
    )
    analyse()
    for limit, n_tables in ((None, 1), (50, 2)):
        with CaptureQueriesContext(connection) as captured:
            get_ranking_history(large_site, limit)
        (statement,) = captured.captured_queries
        plan = explain(statement["sql"])
        assert str(plan).count("events_of_visitor") >= n_tables, plan
        assert not re.search("SCAN|TEMP B-TREE|filesort|temporary|'ALL'", str(plan)), plan
    unsorted = explain(sql_of(Event.objects.of(large_site).order_by("value")))
    assert re.search("TEMP B-TREE|filesort", str(unsorted)), "else nothing could be found above"
