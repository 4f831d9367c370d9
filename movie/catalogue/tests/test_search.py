"""Search: titles in every language, people, typing mistakes, and what the search box offers."""

import unicodedata

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from movie.catalogue.models import Movie
from movie.catalogue.people_search import search_people
from movie.catalogue.search import closest_titles, search_movies
from movie.catalogue.suggestions import suggestions
from movie.catalogue.tests.films import empty_catalogue, make_film
from movie.catalogue.titles import search_key

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_cached():
    cache.clear()


@pytest.fixture(scope="module")
def films(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        make_film(
            "Parasite", 2019, directors=["봉준호"], cast=["송강호"], titles={"ko": "기생충"}, stars=[5, 5]
        )
        make_film("The Host", 2006, directors=["봉준호"], titles={"ko": "괴물"}, stars=[4])
        make_film("Hero", 2002, directors=["Zhang Yimou"], titles={"zh-hans": "英雄"}, genres=["Drama"])
        make_film("In the Mood for Love", 2000, titles={"zh": "花樣年華"}, cast=["Maggie Cheung"])
        make_film(
            "Amélie", 2001, titles={"fr": "Le Fabuleux Destin d’Amélie Poulain"}, cast=["Audrey Tautou"]
        )
        make_film("Heat", 1995, directors=["Michael Mann"], cast=["Al Pacino"], stars=[4])
        make_film("Heat", 1986, stars=[2, 2, 2])
        make_film("Heathers", 1988, stars=[4] * 9)
        make_film("Body Heat", 1981, stars=[4] * 5)
        make_film("Cheaters", 2000, stars=[4] * 12)
        make_film("100% Wolf", 2020)
        make_film("Se7en_Untold", 1996)
        make_film("Secret Heat", 1999, is_visible=False, directors=["Hidden Person"])
    yield
    empty_catalogue(django_db_blocker)


def found(text: str) -> list[str]:
    return [str(film) for film in search_movies(text)]


@pytest.mark.parametrize(
    ("typed", "film"),
    [
        ("기생충", "Parasite (2019)"),
        ("괴물", "The Host (2006)"),
        (unicodedata.normalize("NFD", "괴물"), "The Host (2006)"),
        ("기생", "Parasite (2019)"),
        ("英雄", "Hero (2002)"),
        ("年華", "In the Mood for Love (2000)"),
        ("amelie", "Amélie (2001)"),
        ("AMÉLIE", "Amélie (2001)"),
        (unicodedata.normalize("NFD", "Amélie"), "Amélie (2001)"),
        ("destin d'amelie", "Amélie (2001)"),
        ("  mood   LOVE ", "In the Mood for Love (2000)"),
        ("heat 1986", "Heat (1986)"),
        ("100%", "100% Wolf (2020)"),
        ("se7en_", "Se7en_Untold (1996)"),
    ],
)
def test_the_film_someone_means_comes_first(films, typed, film):
    assert found(typed)[0] == film


@pytest.mark.parametrize("typed", ["%", "_", "%%", "h_at", "heat%"])
def test_wildcards_are_plain_characters(films, typed):
    assert set(found(typed)) <= {"100% Wolf (2020)", "Se7en_Untold (1996)"}


@pytest.mark.parametrize("typed", ["", "   ", "\u200b\n", "zzzz", "'; DROP TABLE catalogue_movie; --", "\\"])
def test_nothing_is_found_for_nothing(films, typed):
    assert found(typed) == []


def test_whole_title_then_beginning_then_word_then_anywhere_each_by_popularity(films):
    assert found("heat") == [
        "Heat (1986)",
        "Heat (1995)",
        "Heathers (1988)",
        "Body Heat (1981)",
        "Cheaters (2000)",
    ]


def test_a_film_is_found_once_by_its_best_title(films):
    film = make_film("Ran", 1985, titles={"ja": "乱", "en": "Ran Ran Ran", "fr": "Le Ran"})
    assert [(each.pk, each.match) for each in search_movies("ran")] == [(film.pk, 0)]


def test_titles_that_pages_do_not_show_come_after_those_that_they_do_and_are_named(films, client):
    make_film("Wend Kuuni", 1982, titles={"en-x": "God's Gift"}, stars=[5] * 3)
    make_film("The Godfather", 1972, stars=[5])
    make_film("Playing God", 1997, stars=[1])
    make_film("Le Parrain", 1973, titles={"en-x": "God"})
    assert found("god") == [
        "Le Parrain (1973)",
        "The Godfather (1972)",
        "Playing God (1997)",
        "Wend Kuuni (1982)",
    ]
    listed = client.get(reverse("pages:search"), {"q": "god"}).context["listed"]
    assert [(str(each.movie), each.reason) for each in listed][::3] == [
        ("Le Parrain (1973)", "Also called God"),
        ("Wend Kuuni (1982)", "Also called God's Gift · 5.0 from 3 ratings"),
    ]
    assert [each.reason for each in listed][1:3] == ["5.0 from 1 rating", "1.0 from 1 rating"]


def test_hidden_films_and_people_who_have_no_other_are_not_found(films):
    assert "Secret Heat (1999)" not in found("heat")
    assert list(search_people("hidden person")) == []


def test_people_are_found_by_any_part_of_the_name_with_their_number_of_films(films):
    assert [(p.name, p.n_movies) for p in search_people("봉준")] == [("봉준호", 2)]
    assert [p.name for p in search_people("mann michael")] == ["Michael Mann"]
    assert [p.name for p in search_people("mag")] == ["Maggie Cheung"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("parasyte", "Parasite"), ("heatherz", "Heathers"), ("in the mod for love", "In the Mood for Love"),
     ("micheal mann", "Michael Mann"), ("fabuleux destni", "Le Fabuleux Destin d’Amélie Poulain")],
)  # fmt: skip
def test_a_slip_is_answered_with_the_closest_title(films, typed, meant):
    assert closest_titles(typed)[0] == meant


def test_letters_without_a_likeness_suggest_nothing(films):
    assert closest_titles("xqzwvk") == []
    assert closest_titles("") == []
    assert "Secret Heat" not in closest_titles("secret heet")


def test_search_page_shows_films_and_people(client, films):
    page = client.get(reverse("pages:search"), {"q": "heat"}).content.decode()
    assert "Results for “heat”" in page
    assert "5 films" in page
    assert "Body Heat" in page
    page = client.get(reverse("pages:search"), {"q": "mann"}).content.decode()
    assert "Michael Mann" in page
    assert "1 film" in page


def test_search_page_offers_what_was_probably_meant(client, films):
    page = client.get(reverse("pages:search"), {"q": "parasyte"}).content.decode()
    assert "Nothing is called “parasyte” here." in page
    assert 'href="/search/?q=Parasite"' in page


def test_search_without_words_asks_for_them_and_is_quick(client, films):
    client.get(reverse("pages:search"))
    with CaptureQueriesContext(connection) as captured:
        page = client.get(reverse("pages:search")).content.decode()
    assert 'name="q"' in page
    assert "Nothing is called" not in page
    assert len(captured) <= 3


@pytest.mark.parametrize(
    "query", ["?q=" + "x" * 5000, "?q=%00heat", "?q=heat&page=zz", "?q=<script>alert(1)</script>"]
)
def test_odd_searches_are_answered(client, films, query):
    response = client.get(reverse("pages:search") + query)
    assert response.status_code == 200
    assert "<script>alert" not in response.content.decode()


def test_search_page_query_count(client, films):
    client.get(reverse("pages:search"), {"q": "heat"})
    with CaptureQueriesContext(connection) as captured:
        client.get(reverse("pages:search"), {"q": "heat"})
    assert len(captured) <= 8, [query["sql"] for query in captured]


def test_suggestions_are_options_that_lead_somewhere(client, films):
    page = client.get(reverse("pages:search_suggest"), {"q": "hea"}).content.decode()
    assert page.count('role="option"') == 6  # five films, and the page of all results
    assert "/go/" in page
    assert 'href="/search/?q=hea"' in page
    page = client.get(reverse("pages:search_suggest"), {"q": "pacino"}).content.decode()
    assert "Al Pacino" in page
    assert "/people/" in page


@pytest.mark.parametrize("typed", ["", "  ", "zzzz"])
def test_no_suggestion_for_nothing(client, films, typed):
    response = client.get(reverse("pages:search_suggest"), {"q": typed})
    assert response.status_code == 200
    assert 'role="option"' not in response.content.decode()


def test_suggestions_need_few_queries(client, films):
    with CaptureQueriesContext(connection) as captured:
        page = client.get(reverse("pages:search_suggest"), {"q": "h"}).content.decode()
    assert 'role="option"' in page
    assert len(captured) <= 6, [query["sql"] for query in captured]


def test_a_suggested_film_has_the_poster_of_its_card(films):
    """The same address, so the browser draws it from its cache."""
    from movie.pages.templatetags.reelgraph import poster_url

    film = Movie.objects.get(title="Hero")
    assert poster_url(suggestions("hero").movies[0].movie) == poster_url(film)
    assert suggestions("hero").movies[0].directors == ["Zhang Yimou"]


@pytest.mark.parametrize(
    ("text", "key"),
    [("Amélie", "amelie"), ("Łódź", "lodz"), ("Smørrebrød", "smorrebrod"), ("Straße", "strasse"),
     ("Phở", "pho"), ("ガメラ", "ガメラ"), ("기생충", "기생충"), ("Schindler’s", "schindler's"), ("Й", "й")],
)  # fmt: skip
def test_latin_letters_lose_their_accents_and_no_others_do(text, key):
    assert search_key(text) == key
    assert search_key(unicodedata.normalize("NFD", text)) == key
    assert search_key(key) == key


@pytest.fixture
def gangsters(db):
    make_film("The Godfather", 1972, stars=[5] * 3)
    make_film("God Said, 'Ha!'", 1998, stars=[4])
    make_film("Kundun", 1997, titles={"": "God of the Mountains"}, stars=[4] * 9)
    make_film("Ronin", 1998, titles={"": "Godfather"}, stars=[4] * 9)


@pytest.mark.parametrize(
    ("typed", "films"),
    [
        ("god", ["The Godfather", "God Said, 'Ha!'", "Kundun", "Ronin"]),
        ("godfather", ["The Godfather", "Ronin"]),
        ("the godfather", ["The Godfather", "Ronin"]),
        ("a godfather", ["The Godfather", "Ronin"]),
    ],
)
def test_articles_count_for_nothing_and_other_titles_come_after(gangsters, typed, films):
    assert [film.title for film in search_movies(typed)] == films


def test_films_come_before_people(films, client):
    make_film("Pacino at Work", 2003)
    page = client.get(reverse("pages:search"), {"q": "pacino"}).content.decode()
    assert page.index("Pacino at Work") < page.index("Al Pacino")
