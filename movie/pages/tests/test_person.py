"""The page of a person: films by role, newest first."""

import re

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from movie.catalogue.models import Person
from movie.catalogue.tests.films import make_film, person

pytestmark = pytest.mark.django_db
MOST_QUERIES = 6


@pytest.fixture(autouse=True)
def _nothing_cached():
    cache.clear()


@pytest.fixture
def eastwood():
    make_film("Unforgiven", 1992, directors=["Clint Eastwood"], cast=["Clint Eastwood"], stars=[5, 5])
    make_film("Bird", 1988, directors=["Clint Eastwood"], stars=[4])
    make_film("Dirty Harry", 1971, directors=["Don Siegel"], cast=["Clint Eastwood"], stars=[4, 4, 4])
    make_film("Never Shown", 2001, cast=["Clint Eastwood"], is_visible=False)
    return person("Clint Eastwood")


def test_films_stand_under_their_roles_newest_first(client, eastwood):
    response = client.get(eastwood.get_absolute_url())
    assert [
        (str(role), [listed.movie.title for listed in films]) for role, films in response.context["roles"]
    ] == [
        ("Director", ["Unforgiven", "Bird"]),
        ("Cast", ["Unforgiven", "Dirty Harry"]),
    ]
    page = response.content.decode()
    assert "<h1>Clint Eastwood</h1>" in page
    assert "Never Shown" not in page


def test_long_careers_start_with_what_is_most_rated(client):
    for n in range(9):
        make_film(f"Picture {n}", 1960 + n, directors=["John Ford"], stars=[4] * (n % 4))
    response = client.get(person("John Ford").get_absolute_url())
    assert [listed.movie.title for listed in response.context["known_for"]][:2] == ["Picture 3", "Picture 7"]
    page = response.content.decode()
    years = re.findall(r'class="filmography-year">(\d+)<', page)
    assert years == [str(year) for year in range(1968, 1959, -1)]


def test_someone_without_a_visible_film_gets_a_way_on(client):
    make_film("Never Shown", cast=["Nobody Yet"], is_visible=False)
    response = client.get(person("Nobody Yet").get_absolute_url())
    assert response.status_code == 200
    assert "Browse all films" in response.content.decode()


def test_unknown_people_are_not_found(client):
    assert client.get("/people/987654321/").status_code == 404


def test_query_count_stays_small(client, eastwood):
    client.get(eastwood.get_absolute_url())
    with CaptureQueriesContext(connection) as few:
        client.get(eastwood.get_absolute_url())
    assert len(few) <= MOST_QUERIES, [query["sql"] for query in few]
    for n in range(30):
        make_film(f"Western {n}", 1960 + n, genres=["Western"], cast=["Clint Eastwood"])
    assert Person.objects.filter(name="Clint Eastwood").count() == 1
    with CaptureQueriesContext(connection) as many:
        client.get(eastwood.get_absolute_url())
    assert len(many) <= MOST_QUERIES
