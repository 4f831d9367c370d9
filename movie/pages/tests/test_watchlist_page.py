"""The watchlist as a page: its orders, its cards, and what it costs."""

import pytest
from django.test import Client
from django.urls import reverse

from movie.catalogue.models import Movie
from movie.recommendations.ranking import rank_among, visitor_history
from movie.visitors.visitor import Visitor
from predictors.base import Predictor
from predictors.history import History

PAGE = reverse("pages:my_watchlist")


def put(client, *films, action="watchlist", **fields):
    for film in films:
        client.post(reverse(f"pages:{action}", args=[film]), fields)


def shown(response):
    return [entry.movie.pk for entry in response.context["entries"]]


@pytest.fixture
def western_fan(api_site, settings):
    """A guest who likes westerns (odd films) and saved films of both kinds."""
    settings.WRITE_RATE_LIMIT = 1_000_000
    client = Client()
    client.get("/")
    put(client, 1, 3, 5, action="rate", value="5")
    put(client, 8, 9, 10, 11)
    return client


def test_an_empty_watchlist_says_how_to_fill_it(client, db):
    html = client.get(PAGE).content.decode()
    assert "Nothing here yet" in html and f'href="{reverse("pages:recommend")}"' in html


def test_what_fits_comes_first_in_the_order_of_the_model_that_answers(western_fan):
    response = western_fan.get(PAGE)
    assert set(shown(response)[:2]) == {9, 11} and set(shown(response)[2:]) == {8, 10}
    assert response.context["ranked"].model == "neighbours"
    assert "Answered by" in response.content.decode()


def test_films_on_the_list_do_not_speak_for_themselves(western_fan):
    """Horror films that wait there do not pull each other up."""
    put(western_fan, 12, 14, 16, 18)
    assert set(shown(western_fan.get(PAGE))[:2]) == {9, 11}


def test_runtime_and_year(western_fan):
    for film, minutes in ((8, 120), (9, 90), (10, None), (11, 200)):
        Movie.objects.filter(pk=film).update(runtime=minutes)
    response = western_fan.get(PAGE, {"sort": "runtime"})
    assert shown(response) == [9, 8, 11, 10]
    assert "90 minutes" in response.content.decode()
    assert shown(western_fan.get(PAGE, {"sort": "year"})) == [11, 10, 9, 8]
    assert shown(western_fan.get(PAGE, {"sort": "nonsense"})) == shown(western_fan.get(PAGE))


def test_rated_films_come_last_and_hidden_ones_not_at_all(western_fan):
    put(western_fan, 9, action="rate", value="5")
    Movie.objects.filter(pk=8).update(is_visible=False)
    assert shown(western_fan.get(PAGE)) == [11, 10, 9]


def test_a_guest_without_ratings_gets_the_most_rated_first(api_site, settings):
    settings.DEFAULT_MODELS = ("neighbours",)
    client = Client()
    client.get("/")
    put(client, 2, 7, 12)
    counts = [Movie.objects.get(pk=pk).rating_count for pk in shown(client.get(PAGE))]
    assert len(counts) == 3 and counts == sorted(counts, reverse=True)


def test_the_page_is_private_and_takes_one_question_to_the_model(western_fan, monkeypatch):
    asked = []
    score = Predictor.score
    monkeypatch.setattr(Predictor, "score", lambda *a, **k: asked.append(1) or score(*a, **k))
    response = western_fan.get(PAGE)
    assert len(asked) == 1
    assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))


def test_queries_do_not_grow_with_the_list(western_fan, django_assert_max_num_queries):
    western_fan.get(PAGE)
    put(western_fan, *range(12, 24))
    with django_assert_max_num_queries(6):
        assert len(shown(western_fan.get(PAGE))) == 16


def test_a_ribbon_marks_what_is_on_the_list(western_fan):
    html = western_fan.get(PAGE).content.decode()
    assert html.count('class="ribbon"') == 4
    put(western_fan, 9, value="0")
    answer = western_fan.post(
        reverse("pages:watchlist", args=[8]), {"value": "0"}, headers={"HX-Request": "true"}
    )
    assert 'class="ribbon"' not in answer.content.decode()
    assert western_fan.get(PAGE).content.decode().count('class="ribbon"') == 2


def test_my_pages_lead_to_each_other(western_fan):
    html = western_fan.get(reverse("pages:history")).content.decode()
    assert f'href="{PAGE}"' in html and f'href="{reverse("pages:taste")}"' in html
    assert f'href="{PAGE}" aria-current="page"' in western_fan.get(PAGE).content.decode()


def test_movies_that_the_model_does_not_know_come_last(api_site):
    new = Movie.objects.create(title="New", year=2025)
    history = History.from_stars({1: 5.0, 3: 5.0})
    ranked = rank_among(history, [new.pk, 9, 8], model="neighbours")
    assert ranked.films == [9, 8, new.pk] and ranked.model == "neighbours"


def test_a_guest_without_a_cookie_has_an_empty_watchlist(db):
    assert not visitor_history(Visitor.new_guest()).watchlist
