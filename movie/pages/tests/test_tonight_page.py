"""Three films for tonight: lengths, reasons, and what the page says of films of unknown length."""

import pytest
from django.test import Client
from django.urls import reverse

from movie.catalogue.models import Movie
from movie.recommendations.movie_index import index_holder

PAGE = reverse("pages:tonight")


def shown(response):
    return [entry.movie.pk for entry in response.context["ranked"].entries]


@pytest.fixture
def evening(api_site, settings) -> Client:
    """A guest who likes westerns (odd films); films 1 to 12 last 70 to 125 minutes."""
    settings.WRITE_RATE_LIMIT = 1_000_000
    for film in range(1, 13):
        Movie.objects.filter(pk=film).update(runtime=65 + 5 * film)
    client = Client()
    client.get("/")
    for film in (1, 3):
        client.post(reverse("pages:rate", args=[film]), {"value": "5"})
    return client


def test_three_films_with_their_length_and_one_reason_each(evening):
    response = evening.get(PAGE, {"minutes": "120"})
    html = response.content.decode()
    assert len(shown(response)) == 3
    for entry in response.context["ranked"].entries:
        assert entry.movie.runtime <= 120
        assert entry.reason.startswith(f"{entry.movie.runtime} minutes · Because you rated Film ")
        assert f"/movies/{entry.movie.pk}/why/?model=neighbours" in html
    assert 'href="/tonight/?minutes=120" aria-current="page"' in html


def test_the_reason_is_the_first_sentence_of_why(evening):
    response = evening.get(PAGE, {"minutes": "120"})
    for entry in response.context["ranked"].entries:
        why = evening.get(reverse("pages:why", args=[entry.movie.pk]), {"model": "neighbours"})
        assert entry.reason.partition(" · ")[2] == why.context["why"].headline.text


def test_other_films_come_by_a_link(evening):
    first = evening.get(PAGE, {"minutes": "125"})
    link = "/tonight/?minutes=125&amp;turn=2"
    assert f'href="{link}"' in first.content.decode()
    second = evening.get(link.replace("&amp;", "&"))
    assert not set(shown(first)) & set(shown(second))


def test_films_of_unknown_length_are_left_out_and_said(evening):
    html = evening.get(PAGE).content.decode()
    assert "The running time of 12 films is not known here; they are left out." in html
    Movie.objects.update(runtime=100)
    index_holder.cache_clear()
    assert "is not known here" not in evening.get(PAGE).content.decode()


def test_where_no_length_is_known_the_page_says_so(evening):
    Movie.objects.update(runtime=None)
    index_holder.cache_clear()
    assert "No film here has a known running time yet" in evening.get(PAGE).content.decode()
    Movie.objects.update(runtime=200)
    index_holder.cache_clear()
    assert "is known to be this short" in evening.get(PAGE).content.decode()


@pytest.mark.parametrize("asked", ["0", "-5", "1.5", "ninety", "99999", "١٢", "²"])
def test_a_length_that_is_none_is_said_and_the_default_holds(evening, asked):
    response = evening.get(PAGE, {"minutes": asked})
    assert response.status_code == 200 and response.context["minutes"] == 100
    assert f"“{asked}” is no length from 1 to 999 minutes" in response.content.decode()


@pytest.mark.parametrize("turn", ["0", "x", "10000", "-1"])
def test_any_turn_is_answered(evening, turn):
    assert evening.get(PAGE, {"turn": turn}).status_code == 200


def test_a_newcomer_is_told_whose_taste_it_is(evening):
    html = Client().get(PAGE, {"minutes": "120"}).content.decode()
    assert "so these are films that everyone likes" in html


def test_browse_filters_by_length(evening):
    response = evening.get(reverse("pages:browse"), {"runtime": "80"})
    assert [each.movie.pk for each in response.context["listed"]] and all(
        each.movie.runtime <= 80 for each in response.context["listed"]
    )
    assert "At most 80 minutes" in response.content.decode()
    assert response.context["filters"].query() == "runtime=80"


def test_the_api_filters_by_length(evening, client):
    found = client.post(
        "/api/v1/recommend",
        {"history": [1, 3], "filters": {"runtime_to": 90}},
        content_type="application/json",
    ).json()
    assert {each["movie_id"] for each in found["recommendations"]} <= {2, 4, 5}
    assert found["recommendations"]
