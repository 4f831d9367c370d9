"""Photographed posters: chosen, shown, served by the site itself, and drawn ones where there are none."""

from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from movie.catalogue import photographs
from movie.catalogue.fact_sources import FactOrigin, FactSource
from movie.catalogue.tests.films import make_film
from movie.catalogue.tests.tmdb_server import jpeg, png

pytestmark = pytest.mark.django_db
NOTICE = (
    "This product uses TMDB and the TMDB APIs but is not endorsed, certified, or otherwise approved by TMDB."
)


@pytest.fixture
def films(settings, tmp_path):
    settings.PHOTOGRAPH_DIR = tmp_path / "photographs"
    return make_film("Heat", 1995, stars=[5]), make_film("Alien", 1979, stars=[4])


@pytest.fixture
def photographed(films):
    heat, _alien = films
    heat.photograph = photographs.store(jpeg())
    heat.save()
    return heat


def page(client, address="/browse/"):
    return client.get(address).content.decode()


def choose(client, kind):
    return client.post(reverse("pages:choose_posters"), {"posters": kind, "next": "/browse/?page=1"})


def test_the_choice_is_offered_only_where_there_are_photographs(client, films):
    assert "Photographed" not in page(client)
    photographs.store(png())
    assert "Photographed" in page(client)


def test_drawn_posters_are_the_default_and_the_choice_is_remembered_without_a_script(
    client, films, photographed
):
    address = f"/posters/{photographed.pk}/{photographed.photograph}"
    assert address not in page(client)
    response = choose(client, "photographed")
    assert (response.status_code, response["Location"]) == (303, "/browse/?page=1")
    for where in ("/browse/", f"/movies/{photographed.pk}/", "/"):
        markup = page(client, where)
        assert address in markup, where
        assert 'value="photographed" aria-pressed="true"' in markup
    assert f"/posters/{films[1].pk}.svg" in page(client), "a film without a photograph has its drawing"
    choose(client, "drawn")
    assert address not in page(client) and client.cookies["posters"].value == ""


def test_a_photograph_is_served_by_the_site_and_kept_by_browsers(client, photographed):
    response = client.get(f"/posters/{photographed.pk}/{photographed.photograph}")
    assert response.content == jpeg()
    assert response["Content-Type"] == "image/jpeg" and response["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in response["Cache-Control"]
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize("name", ["0" * 64 + ".jpg", "x", "0" * 64 + ".svg", "%5c..%5cx"])
def test_a_photograph_that_is_gone_gives_way_to_the_drawing(client, films, name):
    response = client.get(f"/posters/{films[0].pk}/{name}")
    assert (response.status_code, response["Location"]) == (302, f"/posters/{films[0].pk}.svg")


@pytest.mark.parametrize("name", ["../../secret.jpg", "%2e%2e%2f%2e%2e%2fsecret.jpg", "..%2fsecret.jpg"])
def test_no_address_leads_out_of_the_folder(client, films, settings, name):
    photographs.store(png())
    secret = Path(settings.PHOTOGRAPH_DIR).parent / "secret.jpg"
    secret.write_bytes(jpeg())
    assert client.get(f"/posters/{films[0].pk}/{name}").status_code == 404
    assert photographs.stored_path(f"../{secret.name}") is None


def test_without_the_folder_posters_are_drawn_whatever_was_chosen(client, photographed, settings):
    choose(client, "photographed")
    settings.PHOTOGRAPH_DIR = Path(settings.PHOTOGRAPH_DIR) / "elsewhere"
    assert photographed.photograph not in page(client)


def test_photographs_in_suggestions_cost_no_query_for_each_film(client, photographed):
    address = reverse("pages:search_suggest") + "?q=hea"
    client.get(address)
    with CaptureQueriesContext(connection) as drawn:
        assert f"/posters/{photographed.pk}.svg" in page(client, address)
    choose(client, "photographed")
    with CaptureQueriesContext(connection) as shown:
        assert photographed.photograph in page(client, address)
    assert len(shown) == len(drawn)


def test_no_page_names_a_host_of_images(client, photographed):
    choose(client, "photographed")
    response = client.get("/browse/")
    assert (
        "tmdb" not in response["Content-Security-Policy"]
        and "image.tmdb.org" not in response.content.decode()
    )


# -- whose facts they are ---------------------------------------------------------------------------


def test_the_notice_of_tmdb_stands_where_its_facts_are_shown(client, photographed):
    assert NOTICE not in page(client, f"/movies/{photographed.pk}/")
    FactOrigin.objects.record("TMDB", {(photographed.pk, "synopsis"): "A text."})
    FactSource.objects.credit({("TMDB", "synopsis"): 1}, {"TMDB": "TMDB API Terms of Use"})
    for address in (f"/movies/{photographed.pk}/", "/about/data/"):
        assert NOTICE in page(client, address)
        client.cookies["django_language"] = "ko"
        translated = page(client, address)
        assert NOTICE in translated and "TMDB는" in translated
        del client.cookies["django_language"]


def test_a_trailer_is_a_link_and_nothing_is_loaded(client, films):
    heat, alien = films
    heat.trailer_url = "https://www.youtube.com/watch?v=abc"
    heat.save()
    markup = page(client, f"/movies/{heat.pk}/")
    assert '<a href="https://www.youtube.com/watch?v=abc" rel="external noopener">YouTube</a>' in markup
    assert markup.count("youtube.com") == 1
    assert "Trailer" not in page(client, f"/movies/{alien.pk}/")
