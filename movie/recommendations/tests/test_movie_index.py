"""The movies in memory follow the database without a look at all of them."""

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from movie.catalogue.models import CatalogueVersion, Movie
from movie.catalogue.tests.films import make_film
from movie.recommendations.movie_index import movie_index


@pytest.fixture
def film(transactional_db, monkeypatch):
    monkeypatch.setattr("movie.recommendations.movie_index.CHECK_SECONDS", 0)
    return make_film("Heat")


def hide(film: Movie) -> Movie:
    film.is_visible = False
    return film


def test_an_unchanged_catalogue_is_not_read_again(film):
    movie_index()
    Movie.objects.refresh_aggregates()
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


def test_a_window_that_begins_for_a_hidden_movie_is_looked_at_once(film):
    begins = timezone.now() + timedelta(seconds=0.5)
    Movie.objects.filter(pk=film.pk).update(is_visible=False, available_from=begins)
    movie_index()
    time.sleep(0.6)
    movie_index()
    with CaptureQueriesContext(connection) as asked:
        movie_index()
    assert len(asked) == 1
