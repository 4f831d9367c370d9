"""The first five minutes: a progress that never blocks, and the personal row after the second rating."""

import pytest
from django.core.cache import cache
from django.urls import reverse

from movie.catalogue.models import Genre
from movie.catalogue.tests.films import make_film

HTMX = {"HX-Request": "true"}


@pytest.fixture
def films(db):
    cache.clear()
    genre = Genre.objects.create(name="Drama")
    found = [make_film(f"Film {number}") for number in range(12)]
    for film in found:
        film.genres.add(genre)
    return found


def rate(client, film, value):
    address = reverse("pages:rate", args=[film.pk])
    return client.post(address, {"value": value}, headers={**HTMX, "Accept": "text/html"})


def test_a_newcomer_sees_how_far_they_are_groups_to_pick_from_and_the_offer_to_bring_films(client, films):
    html = client.get(reverse("pages:home")).content.decode()
    assert "0 of 2 films rated" in html and 'hx-trigger="rated from:body"' in html
    assert reverse("pages:genre", args=[Genre.objects.get().pk]) in html
    assert reverse("pages:history_import") in html


def test_after_the_second_rating_the_personal_row_comes_and_asks_no_more(client, films):
    client.get(reverse("pages:home"))
    assert rate(client, films[0], "4")["HX-Trigger"] == "rated"
    first = client.get(reverse("pages:programme"), headers=HTMX).content.decode()
    assert "1 of 2 films rated" in first and "rated from:body" in first
    rate(client, films[1], "4.5")
    second = client.get(reverse("pages:programme"), headers=HTMX).content.decode()
    assert "Your programme is ready" in second and "rated from:body" not in second
    assert 'data-movie="' in second and "#programme-status" in second


def test_without_javascript_the_next_page_is_the_programme(client, films):
    assert client.get(reverse("pages:programme"))["Location"] == reverse("pages:home")
    for film in films[:2]:
        client.post(reverse("pages:rate", args=[film.pk]), {"value": "4"}, headers={"Accept": "text/html"})
    html = client.get(reverse("pages:home")).content.decode()
    assert "For you" in html and "films rated" not in html
