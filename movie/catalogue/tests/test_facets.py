"""What is counted of the catalogue is right, and follows every change of it, whoever makes it."""

import random
import re
import threading
import time
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.db.models import Count, QuerySet
from django.utils import timezone

from movie.catalogue import facets as counting
from movie.catalogue.facets import facets, genre_facts
from movie.catalogue.models import Country, Credit, Genre, Language, Movie, Person
from movie.catalogue.tests.films import make_film
from movie.core.tests.threads import in_threads

pytestmark = pytest.mark.django_db(transaction=True)  # the version is raised after a commit


def names_and_numbers(kind):
    return {facet.name: facet.n_movies for facet in getattr(facets(), kind)}


@pytest.fixture
def many_films():
    """Return films of all kinds: hidden, gone and to come, without a year, with several of everything."""
    chance, now = random.Random(3), timezone.now()
    names = {"genres": "ABC", "countries": "DEF", "languages": "GHI", "directors": "KLMNOPQRSTUVWXYZ"}
    windows = (
        {},
        {},
        {"is_visible": False},
        {"available_from": now + timedelta(1)},
        {"available_until": now},
    )
    for n in range(60):
        chosen = {kind: chance.sample(some, k=chance.randrange(3)) for kind, some in names.items()}
        make_film(f"Film {n}", chance.choice((None, *range(1950, 1990))), **chosen, **chance.choice(windows))
    Genre.objects.create(name="Empty")


def test_everything_is_counted_as_the_database_counts_it(many_films):
    visible = Movie.objects.visible().order_by()
    for kind, model in (("genres", Genre), ("countries", Country), ("languages", Language)):
        counted = model.objects.filter(movies__in=visible).annotate(n=Count("movies"))
        assert names_and_numbers(kind) == dict(counted.values_list("name", "n")) != {}
    years = [year for year in visible.values_list("year", flat=True) if year is not None]
    decades = sorted({year // 10 * 10 for year in years}, reverse=True)
    assert [(each.name, each.n_movies) for each in facets().decades] == [
        (str(decade), sum(decade <= year < decade + 10 for year in years)) for decade in decades
    ]
    assert facets().n_movies == len(visible)
    for genre in Genre.objects.all():
        inside = visible.filter(genres=genre)
        years = [year for year in inside.values_list("year", flat=True) if year is not None]
        directors = (
            Credit.objects.filter(role=Credit.Role.DIRECTOR, movie__in=inside)
            .order_by()
            .values("person_id", "person__name")
            .annotate(films=Count("pk"))
            .order_by("-films", "person__name")[: counting.DIRECTORS_SHOWN]
        )
        found = genre_facts(genre.pk)
        assert found.directors == list(directors)
        assert dict(found.decades) == {d: n for d in decades if (n := sum(y // 10 * 10 == d for y in years))}
        assert found.decades == sorted(found.decades, reverse=True)


def test_a_catalogue_without_films_offers_nothing():
    assert facets() == counting.Facets((), (), (), (), 0)
    assert genre_facts(1) == counting.GenreFacts([], [])


def import_a_file(tmp_path):
    path = tmp_path / "movies.csv"
    path.write_text("movieId,title,genres,directors\n1,Ali (2001),Drama,Michael Mann\n")
    call_command("import_movies", str(path), no_progress=True, stdout=StringIO())


CHANGES = {
    "an import": import_a_file,
    "a link": lambda _: Movie.objects.get().genres.add(Genre.objects.create(name="Drama")),
    "the other side of a link": lambda _: Genre.objects.create(name="Drama").movies.set(Movie.objects.all()),
    "a film": lambda _: make_film("Ronin", 1998, genres=["Drama"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_they_follow_a_change_at_once(change, tmp_path):
    make_film("Heat", 1995, genres=["Crime"])
    assert names_and_numbers("genres") == {"Crime": 1}
    CHANGES[change](tmp_path)
    assert names_and_numbers("genres") == {"Crime": 1, "Drama": 1}
    assert genre_facts(Genre.objects.get(name="Drama").pk).decades != []


SHARE, SHARE_OF_CHANGES, SLOW = counting.MAX_SHARE, counting.MAX_SHARE_OF_CHANGES, counting.SLOW_SECONDS


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that tests put forward, and the CPU seconds of a count."""
    clock = SimpleNamespace(now=time.time(), seconds=2, counted=0)

    def thread_time():
        clock.counted += clock.seconds
        return clock.counted

    monkeypatch.setattr(time, "time", lambda: clock.now)
    monkeypatch.setattr(time, "thread_time", thread_time)
    monkeypatch.setattr(counting, "SLOW_SECONDS", SLOW)
    monkeypatch.setattr(counting, "MAX_SHARE_OF_CHANGES", SHARE_OF_CHANGES)
    return clock


@pytest.fixture
def begun(monkeypatch):
    """Return a list to which what a thread should run is added. No thread starts."""
    begun = []
    thread = SimpleNamespace(Thread=lambda target, **_: SimpleNamespace(start=lambda: begun.append(target)))
    monkeypatch.setattr(counting, "threading", thread)
    monkeypatch.setattr(counting, "connections", SimpleNamespace(close_all=lambda: None))
    return begun


def test_a_slow_count_is_made_in_the_background_and_for_a_share_of_the_time(clock, begun):
    film = make_film("Heat", 1995, genres=["Crime"])
    assert facets().n_movies == 1  # nothing is known yet: this one waits
    film.save()
    make_film("Ronin", 1998)
    clock.now += 2 / SHARE_OF_CHANGES - 1
    assert facets().n_movies == 1 and not begun
    clock.now += 2
    assert [facets().n_movies for _ in range(3)] == [1, 1, 1]
    assert len(begun) == 1  # one counts
    begun.pop()()
    assert facets().n_movies == 2 and not begun
    clock.now += 2 / SHARE - 1  # nothing changed
    assert facets().n_movies == 2 and not begun
    clock.now += 2  # a window may have begun
    assert facets().n_movies == 2 and len(begun) == 1


def test_a_fast_count_takes_a_share_of_the_time_too(clock, begun):
    clock.seconds = 0.04
    make_film("Heat", 1995)
    assert facets().n_movies == 1
    make_film("Ronin", 1998)
    clock.now += 0.7
    assert facets().n_movies == 1
    clock.now += 0.2
    assert facets().n_movies == 2 and not begun


def test_a_process_that_ends_while_it_counts_stops_nobody_for_long(clock, begun):
    make_film("Heat", 1995)
    facets()
    make_film("Ronin", 1998)
    clock.now += 2 / SHARE_OF_CHANGES + 1
    facets()
    begun.clear()  # it ends
    clock.now += counting.RECOUNT_SECONDS - 1
    assert facets().n_movies == 1 and not begun
    clock.now += 2
    facets()
    begun.pop()()
    assert facets().n_movies == 2


def test_a_count_that_fails_in_the_background_is_tried_again_after_a_pause(clock, begun, monkeypatch, caplog):
    make_film("Heat", 1995)
    facets()
    make_film("Ronin", 1998)
    clock.now += 2 / SHARE_OF_CHANGES + 1
    with monkeypatch.context() as broken:
        broken.setattr(counting, "_count", lambda: 1 / 0)
        for _ in range(20):
            assert facets().n_movies == 1
            for count in begun:
                count()
            assert len(begun) == 1
    assert caplog.text.count("the catalogue could not be counted") == 20
    assert "ZeroDivisionError" in caplog.text
    begun.clear()
    clock.now += counting.RECOUNT_SECONDS + 1
    facets()
    begun.pop()()
    assert facets().n_movies == 2


def test_a_stall_does_not_make_a_count_slow(monkeypatch):
    monkeypatch.setattr(counting, "SLOW_SECONDS", SLOW)
    count = counting._count

    def stalled():
        time.sleep(2 * SLOW)
        return count()

    monkeypatch.setattr(counting, "_count", stalled)
    make_film("Heat", 1995)
    assert facets().n_movies == 1
    make_film("Ronin", 1998)
    assert facets().n_movies == 2


def test_a_thread_counts_in_the_background(own_connections, monkeypatch):
    monkeypatch.setattr(counting, "SLOW_SECONDS", -1)
    make_film("Heat", 1995)
    assert facets().n_movies == 1
    make_film("Ronin", 1998)
    count, may_count = counting._count, threading.Event()
    monkeypatch.setattr(counting, "_count", lambda: may_count.wait(10) and count())
    assert [facets().n_movies, facets().n_movies] == [1, 1]
    (thread,) = [each for each in threading.enumerate() if each.name == "count-facets"]
    may_count.set()
    thread.join()
    assert facets().n_movies == 2


def test_requests_at_the_same_time_count_once(own_connections, monkeypatch):
    make_film("Heat", 1995)
    count, counts, may_count = counting._count, [], threading.Event()

    def wait_and_count():
        counts.append(1)
        may_count.wait(10)
        return count()

    monkeypatch.setattr(counting, "_count", wait_and_count)
    threading.Timer(0.2, may_count.set).start()
    assert in_threads(8, lambda _: facets().n_movies) == [1] * 8
    assert len(counts) == 1
    make_film("Ronin", 1998)
    may_count.clear()
    other = threading.Thread(target=in_threads, args=(1, lambda _: facets()))
    other.start()
    while other.is_alive() and len(counts) == 1:
        time.sleep(0.001)
    assert facets().n_movies == 1  # without waiting
    may_count.set()
    other.join()
    assert (facets().n_movies, len(counts)) == (2, 2)


@pytest.mark.parametrize("query", [1, 2])  # that reads people: by name, then the names of some
@pytest.mark.parametrize("deleted", ["Aaron", "Zoe"])
def test_nobody_has_the_films_of_a_person_deleted_during_the_count(deleted, query):
    Person.objects.bulk_create(Person(name=name, search_key=name) for name in ("Aaron", "Mann", "Zoe"))
    film = make_film("Heat", 1995, genres=["Crime"], directors=["Mann", deleted])
    queries = []

    def delete(execute, sql, params, many, context):
        if sql.startswith("SELECT") and "FROM catalogue_person" in re.sub('["`]', "", sql):
            queries.append(sql)
            if len(queries) == query:
                Person.objects.get(name=deleted).delete()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(delete):
        found = genre_facts(film.genres.get().pk)
    assert len(queries) > query
    assert [(each["person__name"], each["films"]) for each in found.directors] == [("Mann", 1)]


def test_a_window_that_begins_shows_within_a_minute():
    film = make_film("Heat", available_from=timezone.now() + timedelta(days=1))
    assert facets().n_movies == 0
    earlier = timezone.now() - timedelta(seconds=1)
    QuerySet(Movie).filter(pk=film.pk).update(available_from=earlier)  # no change, as when time passes
    kept = cache.get(counting.FACETS_KEY)
    cache.set(counting.FACETS_KEY, {**kept, "at": kept["at"] - counting.RECOUNT_SECONDS})
    assert facets().n_movies == 1
