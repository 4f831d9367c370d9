"""Titles in Korean and Chinese: shown on every page with the English one beside, at the cost of one query."""

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation

from movie.catalogue.models import Movie, Rating
from movie.catalogue.suggestions import suggestions
from movie.catalogue.tests.films import LONG_AGO, make_film
from movie.catalogue.translations import load_local_titles
from movie.pages.taste import MIN_OTHERS
from movie.programmes.models import Programme

pytestmark = pytest.mark.django_db

IN_KOREAN = {"HTTP_ACCEPT_LANGUAGE": "ko"}
PAGE = {"Accept": "text/html"}


@pytest.fixture
def heat():
    cache.clear()
    make_film("Ronin", 1998, directors=["John Frankenheimer"], genres=["Crime"], stars=[4])
    return make_film(
        "Heat",
        1995,
        directors=["Michael Mann"],
        genres=["Crime"],
        titles={"ko": "히트", "zh-hans": "盗火线", "de": "Hitze"},
        stars=[5, 4],
    )


def queries_of_titles(captured):
    return [each["sql"] for each in captured if '"catalogue_movietitle"."language" =' in each["sql"]]


@pytest.mark.parametrize(("language", "title"), [("en", "Heat"), ("ko", "히트"), ("zh-hans", "盗火线")])
def test_a_title_is_in_the_language_of_the_visitor(heat, language, title):
    films = list(Movie.objects.order_by("pk"))
    with translation.override(language):
        load_local_titles(films)
        load_local_titles(films)
    assert [film.display_title for film in films] == ["Ronin", title]
    assert str(films[1]) == f"{title} (1995)"


def test_titles_cost_one_query_and_none_in_english(heat, django_assert_num_queries):
    films = list(Movie.objects.all())
    with django_assert_num_queries(0), translation.override("en"):
        load_local_titles(films)
    with django_assert_num_queries(1), translation.override("ko"):
        load_local_titles(films)
        load_local_titles(films)


def addresses(film):
    return {
        "home": reverse("pages:home"),
        "browse": reverse("pages:browse"),
        "search": reverse("pages:search") + "?q=heat",
        "suggestions": reverse("pages:search_suggest") + "?q=heat",
        "film": film.get_absolute_url(),
        "person": film.credits.get().person.get_absolute_url(),
        "genre": reverse("pages:genre", args=[film.genres.get().pk]),
        "history": reverse("pages:history"),
        "why": reverse("pages:why", args=[film.pk]),
    }


def rate(client, film):
    address = reverse("pages:rate", args=[film.pk])
    return client.post(address, {"value": "5"}, follow=True, **IN_KOREAN)


@pytest.mark.parametrize(
    "page", ["home", "browse", "search", "suggestions", "film", "person", "genre", "history", "why"]
)
def test_pages_show_the_korean_title_with_the_english_one_beside(heat, client, page):
    if page == "history":
        rate(client, heat)
    with CaptureQueriesContext(connection) as captured:
        shown = client.get(addresses(heat)[page], **IN_KOREAN).content.decode()
    assert "히트" in shown
    assert 'lang="en">Heat</' in shown
    assert len(queries_of_titles(captured)) <= 1
    with CaptureQueriesContext(connection) as captured:
        shown = client.get(addresses(heat)[page]).content.decode()
    assert "Heat" in shown
    assert not queries_of_titles(captured)
    if page != "film":  # which lists all titles
        assert "히트" not in shown


def test_a_film_s_page_does_not_list_the_title_of_its_heading_again(heat, client):
    shown = client.get(heat.get_absolute_url(), **IN_KOREAN).content.decode()
    assert "<h1>히트</h1>" in shown
    assert '<cite lang="ko">' not in shown
    assert '<cite lang="de">Hitze</cite>' in shown


def test_messages_name_the_korean_title(heat, client):
    assert "히트" in "".join(str(each) for each in rate(client, heat).context["messages"])


@pytest.mark.parametrize("typed", ["히트", "heat"])
def test_search_finds_both_titles(heat, typed):
    with translation.override("ko"):
        assert [film.movie.display_title for film in suggestions(typed).movies] == ["히트"]


def opened_after_rating(client, film, address):
    """Return a page of someone who gave a film half a star, where others like it."""
    for number in range(MIN_OTHERS):
        Rating.objects.create(visitor=f"ml:{number}", movie=film, value=5, rated_at=LONG_AGO)
    Movie.objects.refresh_aggregates()
    client.post(reverse("pages:rate", args=[film.pk]), {"value": "0.5"})
    return client.get(address, **IN_KOREAN).content.decode()


def test_the_taste_page_and_its_card_name_the_korean_title(heat, client):
    shown = opened_after_rating(client, heat, reverse("pages:taste"))
    assert "히트" in shown and 'lang="en">Heat</' in shown
    assert "히트" in client.get(reverse("pages:taste_card"), **IN_KOREAN).content.decode()


def test_a_programme_names_the_korean_title_and_says_what_was_done(heat, client):
    client.get("/")
    client.post(reverse("pages:make_programme"), {"title": "밤", "movie": heat.pk}, headers=PAGE)
    programme = Programme.objects.get()
    shown = client.get(programme.get_absolute_url(), **IN_KOREAN).content.decode()
    assert "히트" in shown and 'lang="en">Heat</' in shown
    chosen = client.get(reverse("pages:choose_programme", args=[heat.pk]), **IN_KOREAN).content.decode()
    assert "히트 (1995)" in chosen
    address = reverse("pages:programme_film", args=[programme.pk, heat.pk])
    for do in ("add", "up", "remove"):
        answer = client.post(address, {"do": do}, headers=PAGE, follow=True, **IN_KOREAN)
        assert ["히트" in str(each) for each in answer.context["messages"]] == [True]


def test_a_group_s_list_names_the_korean_title(heat, client):
    """Ronin was liked, so Heat is listed."""
    client.get("/")
    client.post(reverse("pages:rate", args=[Movie.objects.get(title="Ronin").pk]), {"value": "5"})
    link = client.post(reverse("pages:start_group"), {"name": "Ann"}, headers=PAGE)["Location"]
    shown = client.get(link, **IN_KOREAN).content.decode()
    assert "히트" in shown and 'lang="en">Heat</' in shown
