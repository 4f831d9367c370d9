"""Browsing page by page: numbers, addresses, and what a page costs."""

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from movie.catalogue import browse
from movie.catalogue.models import Genre, Movie, MovieTitle

pytestmark = pytest.mark.django_db
MOST_QUERIES = 8


@pytest.fixture(autouse=True)
def _nothing_cached():
    cache.clear()
    yield
    cache.clear()


def get(client: Client, query: str = ""):
    return client.get(reverse("pages:browse") + query)


def titles(response) -> list[str]:
    return [film.title for film in response.context["page_obj"]]


def test_an_empty_catalogue_says_so(client):
    response = get(client)
    assert response.status_code == 200
    assert "There are no films yet" in response.content.decode()


@pytest.fixture
def many_films():
    films = Movie.objects.bulk_create(
        Movie(
            title=f"Film {n:03}",
            sort_title=f"Film {n:03}",
            year=1950 + n % 50,
            rating_count=n % 7,
            rating_average=4,
        )
        for n in range(100)
    )
    MovieTitle.objects.bulk_create(
        MovieTitle(movie=film, title=film.title, search_key=film.title.casefold()) for film in films
    )


@pytest.mark.parametrize("sort", ["popular", "best", "newest", "oldest", "title", "yours"])
def test_pages_hold_every_film_once(client, many_films, sort):
    seen = [title for page in range(1, 6) for title in titles(get(client, f"?sort={sort}&page={page}"))]
    assert len(seen) == 100
    assert len(set(seen)) == 100


def test_pages_are_numbered_in_the_address_and_keep_the_filters(client, many_films):
    response = get(client, "?decade=1950&sort=title&page=1")
    page = response.content.decode()
    assert len(titles(response)) == 20
    assert "page=2" not in page
    page = get(client, "?sort=title&page=2").content.decode()
    assert "100 films" in page
    assert "25 to 48 on this page" in page
    assert 'href="?sort=title&amp;page=3"' in page
    assert 'aria-current="page">2<' in page


def test_number_of_queries_does_not_grow_with_the_films(client, many_films):
    get(client)
    with CaptureQueriesContext(
        connection,
    ) as warm:
        get(client, "?page=2")
    assert len(warm) <= MOST_QUERIES, [query["sql"] for query in warm]
    with CaptureQueriesContext(connection) as later:
        get(client, "?page=5&sort=best")
    assert len(later) <= len(warm)


def test_a_members_page_keeps_the_number_of_queries(client, django_user_model, many_films):
    client.force_login(django_user_model.objects.create_user("cinephile", password="reel-to-reel"))
    get(client)
    with CaptureQueriesContext(connection) as captured:
        get(client, "?sort=yours&page=3")
    assert len(captured) <= MOST_QUERIES, [query["sql"] for query in captured]


def test_of_several_filters_so_many_films_are_counted_and_more_are_said_to_be_there(
    client, many_films, monkeypatch
):
    genre = Genre.objects.create(name="Drama")
    Movie.genres.through.objects.bulk_create(
        Movie.genres.through(movie=film, genre=genre) for film in Movie.objects.all()
    )
    monkeypatch.setattr(browse, "COUNTED", 30)
    page = get(client, "?in=Drama&page=5").content.decode()
    assert "100 films" in page  # of one filter, as the filter offers it
    Movie.objects.update(runtime=80)
    page = get(client, "?in=Drama&runtime=90&page=2").content.decode()
    assert "More than 30 films" in page and "25 to 30 on this page" in page


@pytest.mark.parametrize("rare", [0, 1_000])
@pytest.mark.parametrize("sort", ["popular", "best"])
def test_films_of_a_filter_are_the_same_however_they_are_read(client, many_films, monkeypatch, rare, sort):
    monkeypatch.setattr(browse, "RARE", rare)
    drama = Genre.objects.create(name="Drama")
    some = list(Movie.objects.filter(year__lt=1960)[:7])
    drama.movies.set(some)
    found = titles(get(client, f"?in=Drama&decade=1950&sort={sort}"))
    assert len(found) == 7 and set(found) == {film.title for film in some}
