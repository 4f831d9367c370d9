"""The movies in memory follow the database without a look at all of them."""

import math
import time
from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import SimpleNamespace

import numpy as np
import pytest
from django.db import DatabaseError, connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.connection import ConnectionDoesNotExist

from movie.catalogue.catalogue_version import CatalogueVersion
from movie.catalogue.facets import facets
from movie.catalogue.merging import merge_people
from movie.catalogue.models import Genre, Movie, Person, Rating
from movie.catalogue.tests.films import make_film, person
from movie.core import shared_arrays
from movie.core.replicas import ReplicaMiddleware
from movie.recommendations import movie_index as module
from movie.recommendations import new_films
from movie.recommendations.movie_index import MovieIndex, movie_index, recheck
from predictors.id_map import IdMap


@pytest.fixture
def film(transactional_db, monkeypatch):
    monkeypatch.setattr("movie.recommendations.movie_index.CHECK_SECONDS", 0)
    return make_film("Heat")


@pytest.fixture
def clock(monkeypatch):
    """The time that the index reads: `now`, in seconds since 1970, stands still."""
    clock = SimpleNamespace(now=time.time())
    monkeypatch.setattr(timezone, "now", lambda: datetime.fromtimestamp(clock.now, UTC))
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: clock.now, monotonic=lambda: clock.now))
    return clock


def hide(film: Movie) -> Movie:
    film.is_visible = False
    return film


def test_every_movie_has_its_own_title_whatever_characters_titles_have():
    now = timezone.now()
    films = [(3, "A\0B", None, None, now), (5, "", None, 90, now), (7, "난 Ran", 1985, None, now)]
    index = MovieIndex(films)
    assert [index.title(row) for row in range(len(index))] == ["A\0B", "", "난 Ran"]
    assert index.titles_of([7, 8, "7"]) == {7: "난 Ran"}
    assert index.are_visible([8, 7]) == [False, True] and index.are_visible([]) == []
    assert not len(MovieIndex([])) and MovieIndex([]).titles_of([7]) == {}


def test_the_index_is_the_same_whether_it_is_shared_or_not(monkeypatch, settings, tmp_path):
    now = timezone.now()
    films = [(pk, f"Film {pk}", 1900 + pk % 100, pk % 200, now) for pk in range(1, 30_000, 2)]
    monkeypatch.setattr(shared_arrays, "MIN_SHARED_BYTES", math.inf)
    alone = MovieIndex(films)
    monkeypatch.setattr(shared_arrays, "MIN_SHARED_BYTES", 0)
    settings.SHARED_ARRAYS_DIR = tmp_path
    shared = MovieIndex(films)
    assert not shared.ids.flags.owndata and not shared.ids.flags.writeable
    for name in ("ids", "years", "runtimes", "created"):
        assert np.array_equal(getattr(alone, name), getattr(shared, name)), name
    assert (alone.facts, alone.digest) == (shared.facts, shared.digest)
    asked = [5, 6, 29_999, "5", 10**20]
    assert alone.rows_of(asked).tolist() == shared.rows_of(asked).tolist() == [2, -1, 14_999, -1, -1]
    assert alone.titles_of(asked) == shared.titles_of(asked) == {5: "Film 5", 29_999: "Film 29999"}


def test_movies_out_of_order_are_refused():
    now = timezone.now()
    with pytest.raises(ValueError):
        MovieIndex([(5, "Ronin", None, None, now), (3, "Heat", None, None, now)])


def test_names_of_any_kind_are_shared(film, monkeypatch, settings, tmp_path, caplog):
    monkeypatch.setattr(shared_arrays, "MIN_SHARED_BYTES", 0)
    settings.SHARED_ARRAYS_DIR = tmp_path
    film.genres.add(*(Genre.objects.create(name=name) for name in ("__metadata__", "Crime", "0")))
    assert {name: rows.tolist() for name, rows in movie_index().genres.items()} == {
        "__metadata__": [0],
        "crime": [0],
        "0": [0],
    }
    assert list(tmp_path.glob("names-*")) and not caplog.text


def test_an_unchanged_catalogue_is_not_read_again(film):
    movie_index()
    Rating.objects.create(visitor="guest:a", movie=film, value=4, rated_at=timezone.now())
    assert Movie.objects.refresh_aggregates() == 1
    with CaptureQueriesContext(connection) as asked:
        index = movie_index()
    assert film.pk in index
    assert len(asked) == 1
    assert CatalogueVersion._meta.db_table in asked[0]["sql"]


@pytest.mark.parametrize(
    "change",
    [
        lambda film: Movie.objects.filter(pk=film.pk).update(is_visible=False, updated=timezone.now()),
        lambda film: film.delete(),
        lambda film: Movie.objects.filter(pk=film.pk).delete(),
        lambda film: hide(film).save(),
    ],
    ids=["update", "delete", "delete many", "save"],
)
def test_what_changes_movies_is_noticed(film, change):
    assert film.pk in movie_index()
    change(film)
    assert film.pk not in movie_index()


def test_a_change_that_leaves_its_time_as_it_was_is_noticed(film):
    assert movie_index().runtimes.tolist() == [0]
    Movie.objects.filter(pk=film.pk).update(runtime=170)
    assert movie_index().runtimes.tolist() == [170]


def features_of_both() -> frozenset:
    index = movie_index()
    return index.features_of(0) & index.features_of(1)


def test_what_staff_change_beside_movies_is_noticed(film):
    film.genres.add(Genre.objects.create(name="Crime"))
    other = make_film("Thief", directors=["M. Mann"])
    film.credits.create(person=person("Michael Mann"), role="director")
    assert movie_index().genres.keys() == {"crime"}
    assert not features_of_both()
    genre = Genre.objects.get()
    genre.name = "Thriller"
    genre.save()
    assert movie_index().genres.keys() == {"thriller"}
    merge_people(film.credits.get().person, [other.credits.get().person])
    assert features_of_both()
    Person.objects.all().delete()
    assert not features_of_both()


def test_created_movies_are_noticed(film):
    movie_index()
    (created,) = Movie.objects.bulk_create([Movie(title="Fargo", sort_title="fargo")])
    assert created.pk in movie_index()


def test_a_change_past_django_is_found_by_the_next_scan(film, monkeypatch):
    movie_index()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE catalogue_movie SET is_visible = %s", [False])
    assert film.pk in movie_index()
    monkeypatch.setattr("movie.recommendations.movie_index.SCAN_SECONDS", 0)
    assert film.pk not in movie_index()


def test_a_window_that_begins_for_a_hidden_movie_is_looked_at_once(film, clock):
    begins = timezone.now() + timedelta(minutes=1)
    Movie.objects.filter(pk=film.pk).update(is_visible=False, available_from=begins)
    movie_index()
    clock.now += 61
    movie_index()
    with CaptureQueriesContext(connection) as asked:
        movie_index()
    assert len(asked) == 1


def test_a_window_that_begins_during_a_look_is_not_missed(film, clock, monkeypatch):
    begins = timezone.now() + timedelta(minutes=1)
    Movie.objects.filter(pk=film.pk).update(available_from=begins)
    assert film.pk not in movie_index()
    read_stamp = module._stamp

    def stamp_slowly():
        stamp = read_stamp()
        clock.now += 61
        return stamp

    monkeypatch.setattr(module, "_stamp", stamp_slowly)
    recheck()
    movie_index()
    assert film.pk in movie_index()


@pytest.mark.parametrize("failing", ["_films", "_stamp"])
def test_movies_that_could_not_be_read_are_read_at_the_next_look(film, clock, monkeypatch, failing):
    begins = timezone.now() + timedelta(minutes=1)
    Movie.objects.filter(pk=film.pk).update(available_from=begins)
    assert film.pk not in movie_index()
    clock.now += 61
    read = getattr(module, failing)

    def fail():
        monkeypatch.setattr(module, failing, read)
        raise DatabaseError

    monkeypatch.setattr(module, failing, fail)
    assert film.pk not in movie_index()
    assert film.pk in movie_index()


def test_a_database_that_cannot_be_read_is_not_asked_at_every_request(film, clock, monkeypatch):
    begins = timezone.now() + timedelta(minutes=1)
    Movie.objects.filter(pk=film.pk).update(available_from=begins)
    movie_index()
    clock.now += 61
    looks = []

    def fail():
        looks.append(clock.now)
        raise DatabaseError

    monkeypatch.setattr(module, "CHECK_SECONDS", 60)
    monkeypatch.setattr(module, "_stamp", fail)
    for _request in range(3):
        movie_index()
    assert len(looks) == 1


def test_values_that_outlive_a_request_are_read_from_the_primary(film, settings):
    """No replica is there in this test, so a request that reads one fails."""
    settings.DATABASE_ROUTERS = ["movie.core.replicas.ReplicaRouter"]

    def from_get(read):
        return ReplicaMiddleware(lambda _request: read())(RequestFactory().get("/"))

    with pytest.raises(ConnectionDoesNotExist):
        from_get(Movie.objects.first)
    index = from_get(movie_index)
    lazy = [name for name, value in vars(MovieIndex).items() if isinstance(value, cached_property)]
    assert {"genres", "windows", "_twins"} <= set(lazy)
    for name in lazy:
        from_get(lambda name=name: getattr(index, name))
    for _ in ("counted", "kept"):
        from_get(facets)
    predictor = SimpleNamespace(ids=IdMap([film.pk]))
    known = new_films._Known(predictor.ids)
    from_get(lambda: new_films._read_films(known, predictor, index, timezone.now(), with_content=True))
