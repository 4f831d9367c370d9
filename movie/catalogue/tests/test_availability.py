"""Tests of availability: a movie outside its window, or hidden, is shown and recommended nowhere."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings as site
from django.utils import timezone

from movie.catalogue.facets import facets
from movie.catalogue.models import Movie
from movie.catalogue.people_search import search_people
from movie.catalogue.search import search_movies
from movie.catalogue.tests.films import make_film
from movie.catalogue.twins import find_twins
from movie.recommendations import movie_index as index_module
from movie.recommendations.movie_index import movie_index, recheck

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
NEVER = (None, None)


@pytest.mark.parametrize(
    ("begins", "ends", "is_visible", "is_available"),
    [
        (None, None, True, True),
        (-HOUR, None, True, True),
        (None, HOUR, True, True),
        (-HOUR, HOUR, True, True),
        (HOUR, None, True, False),
        (None, -HOUR, True, False),
        (HOUR, 2 * HOUR, True, False),
        (-HOUR, HOUR, False, False),
    ],
)
def test_a_movie_is_available_within_its_window_unless_it_is_hidden(begins, ends, is_visible, is_available):
    now = timezone.now()
    film = make_film("Ran", 1985, genres=["Drama"], directors=["Akira Kurosawa"])
    film.available_from = begins and now + begins
    film.available_until = ends and now + ends
    film.is_visible = is_visible
    film.save()
    assert film.is_available is is_available
    assert Movie.objects.visible().exists() is is_available
    assert (film.pk in movie_index()) is is_available
    assert bool(search_movies("ran")) is is_available
    assert bool(search_people("kurosawa")) is is_available
    assert bool(facets().genres) is is_available


def test_the_index_follows_a_window_when_it_begins_and_ends(monkeypatch):
    now = timezone.now()
    film = make_film("Ran", 1985)
    film.available_from, film.available_until = now + HOUR, now + 2 * HOUR
    film.save()
    assert film.pk not in movie_index()
    clock = {"now": now}
    monkeypatch.setattr(timezone, "now", lambda: clock["now"])
    monkeypatch.setattr(index_module.time, "time", lambda: datetime.timestamp(clock["now"]))
    for hours, is_there in ((0.5, False), (1, True), (1.5, True), (2, False)):
        clock["now"] = now + hours * HOUR
        assert (film.pk in movie_index()) is is_there, hours


def test_a_change_in_this_process_is_seen_at_the_next_request():
    film = make_film("Ran", 1985)
    assert film.pk in movie_index()
    Movie.objects.filter(pk=film.pk).update(is_visible=False)
    assert film.pk in movie_index(), "not looked at again within seconds"
    recheck()
    assert film.pk not in movie_index()


def test_a_movie_that_is_gone_is_nobodys_twin():
    first, second = make_film("Ran", 1985), make_film("Ran", 1985)
    assert find_twins() == [[first.pk, second.pk]]
    Movie.objects.filter(pk=second.pk).update(available_until=timezone.now())
    assert find_twins() == []


def test_one_place_decides_who_may_be_seen():
    """A query that asks for `is_visible` alone would show movies outside their window."""
    query = re.compile(r"is_visible\s*=\s*(?:True|False)\b")
    hides = {"movie/api/routes/catalogue_writes.py", "movie/events/data_removal.py"}
    counts = {"movie/operations/dashboard.py"}  # how many staff hid
    allowed = {"movie/catalogue/models.py", "movie/catalogue/admin.py", *hides, *counts}
    found = {
        str(path.relative_to(site.BASE_DIR))
        for path in Path(site.BASE_DIR, "movie").rglob("*.py")
        if "/tests/" not in str(path) and "/migrations/" not in str(path) and query.search(path.read_text())
    }
    assert found <= allowed
