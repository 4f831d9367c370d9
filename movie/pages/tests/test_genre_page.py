"""The page of a genre."""

import re

import pytest
from django.core.cache import cache

from movie.catalogue.facets import facets
from movie.catalogue.models import Genre, Movie
from movie.catalogue.tests.films import make_film

pytestmark = pytest.mark.django_db
MOST_QUERIES = 9 + 2  # two read the genres of films that this process has not drawn yet


@pytest.fixture(autouse=True)
def _nothing_cached():
    cache.clear()


@pytest.fixture
def crime() -> Genre:
    for n in range(9):
        make_film(
            f"Heist {n}",
            1960 + 5 * n,
            genres=["Crime"],
            directors=["Ann" if n < 6 else "Bob"],
            stars=[4.0] * (20 - n),
        )
    make_film("Gem", 1999, genres=["Crime", "Drama"], stars=[5.0] * 5)
    make_film("Elsewhere", 1999, genres=["Drama"], stars=[5.0] * 30)
    return Genre.objects.get(name="Crime")


def titles(listed) -> list[str]:
    return [entry.movie.title for entry in listed]


def test_it_shows_the_best_known_then_the_best_rated_besides(client, crime):
    response = client.get(f"/genres/{crime.pk}/")
    assert "<h1>Crime</h1>" in response.content.decode()
    assert titles(response.context["known"]) == [f"Heist {n}" for n in range(6)]
    assert titles(response.context["best"])[0] == "Gem"
    assert not set(titles(response.context["best"])) & {*titles(response.context["known"]), "Elsewhere"}


def test_it_leads_on_to_directors_decades_and_all_films(client, crime):
    page = client.get(f"/genres/{crime.pk}/").content.decode()
    assert re.search(r'<a href="/people/\d+/">Ann</a> <span class="soft">6</span>', page)
    assert 'href="/browse/?in=Crime&amp;decade=1990"' in page
    assert 'href="/browse/?in=Crime"' in page
    assert "10 films" in page


def test_hidden_films_and_empty_genres(client, crime, django_assert_max_num_queries):
    Movie.objects.filter(title="Heist 0").update(is_visible=False)
    facets()  # counted for an earlier page
    with django_assert_max_num_queries(MOST_QUERIES):
        page = client.get(f"/genres/{crime.pk}/").content.decode()
    assert "Heist 0" not in page
    assert "9 films" in page
    Movie.objects.update(is_visible=False)
    assert "No film of this genre is shown here." in client.get(f"/genres/{crime.pk}/").content.decode()
    assert client.get("/genres/987654/").status_code == 404


def test_the_visitors_own_rating_is_on_the_cards(client, crime):
    film = Movie.objects.get(title="Heist 1")
    client.get("/")
    client.post(f"/movies/{film.pk}/rate/", {"value": "3.5"})
    response = client.get(f"/genres/{crime.pk}/")
    assert response.context["ratings"] == {film.pk: 3.5}


@pytest.mark.django_db(transaction=True)
def test_decades_and_directors_follow_a_change_of_films_at_once(client, crime):
    def facts():
        context = client.get(f"/genres/{crime.pk}/").context
        years = {decade: n_films for decade, n_films, _address in context["decades"]}
        return years, [(each["person__name"], each["films"]) for each in context["directors"]]

    assert facts() == ({1990: 3, 1980: 2, 1970: 2, 1960: 2, 2000: 1}, [("Ann", 6), ("Bob", 3)])
    Movie.objects.filter(title="Heist 8").update(is_visible=False)
    assert facts() == ({1990: 3, 1980: 2, 1970: 2, 1960: 2}, [("Ann", 6), ("Bob", 2)])
