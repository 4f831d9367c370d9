"""What is counted of the catalogue is right, and follows every change of it, whoever makes it."""

import random
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db.models import Count, QuerySet
from django.utils import timezone

from movie.catalogue import facets as counting
from movie.catalogue.facets import facets, genre_facts
from movie.catalogue.models import Country, Credit, Genre, Language, Movie
from movie.catalogue.tests.films import make_film

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


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that stands still and is put forward by tests, where counting takes two seconds."""
    clock = SimpleNamespace(now=1e9, counted=0.0)

    def perf_counter():
        clock.counted += 2
        return clock.counted

    fake = SimpleNamespace(time=lambda: clock.now, perf_counter=perf_counter)
    monkeypatch.setattr(counting, "time", fake)
    return clock


def test_what_takes_long_is_counted_in_the_background_and_for_a_share_of_the_time(clock, monkeypatch):
    begun = []
    thread = SimpleNamespace(Thread=lambda target, **_: SimpleNamespace(start=lambda: begun.append(target)))
    monkeypatch.setattr(counting, "threading", thread)
    monkeypatch.setattr(counting, "connections", SimpleNamespace(close_all=lambda: None))
    film = make_film("Heat", 1995, genres=["Crime"])
    assert facets().n_movies == 1  # nothing is known yet: this one waits
    film.save()
    make_film("Ronin", 1998)
    clock.now += 2 / counting.SHARE_OF_CHANGES - 1
    assert facets().n_movies == 1 and not begun
    clock.now += 2
    assert [facets().n_movies for _ in range(3)] == [1, 1, 1]
    assert len(begun) == 1  # one counts
    begun.pop()()
    assert facets().n_movies == 2 and not begun
    clock.now += 2 / counting.SHARE - 1  # nothing changed
    assert facets().n_movies == 2 and not begun
    clock.now += 2  # a window may have begun
    assert facets().n_movies == 2 and len(begun) == 1


def test_a_window_that_begins_shows_within_a_minute():
    film = make_film("Heat", available_from=timezone.now() + timedelta(days=1))
    assert facets().n_movies == 0
    earlier = timezone.now() - timedelta(seconds=1)
    QuerySet(Movie).filter(pk=film.pk).update(available_from=earlier)  # no change, as when time passes
    kept = cache.get(counting.FACETS)
    cache.set(counting.FACETS, {**kept, "at": kept["at"] - counting.SECONDS})
    assert facets().n_movies == 1


def test_a_failure_in_the_background_is_no_end_of_counting(clock, monkeypatch, caplog):
    def fail():
        raise counting.DatabaseError("away")

    monkeypatch.setattr(counting, "_count_and_keep", fail)
    monkeypatch.setattr(counting, "connections", SimpleNamespace(close_all=lambda: None))
    cache.add(counting.COUNTING, 1)
    counting._count_in_background()
    assert "could not be counted: away" in caplog.text
    assert cache.add(counting.COUNTING, 1)
