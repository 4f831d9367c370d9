""" "Why?": on every card of a list, in a sheet, on a page of its own, and on the film's page."""

import html
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

import movie.recommendations.explanations.connections
from datasets.interactions import Interactions
from evaluation.trainer import FROM_SITE, train
from movie.catalogue.models import Movie, Rating
from movie.catalogue.tests.films import make_film
from movie.events.recording import new_event_id
from movie.recommendations.explanations.explanation import Explanation
from movie.recommendations.tests.paths import CataloguePaths
from movie.training.registry import registry

pytestmark = pytest.mark.django_db
IN_SHEET = {"HX-Request": "true", "HX-Target": "why-sheet", "HX-Boosted": "true"}
MOST_QUERIES = 14  # of the page of one film, with everything around it
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def films(settings, tmp_path, monkeypatch) -> list[Movie]:
    """Forty films by four directors. Paths are found in the catalogue; popular and neighbours are trained."""
    settings.MODEL_DIR = tmp_path
    cache.clear()
    films = [
        make_film(
            f"Film {n}", 1950 + n, genres=["Crime" if n % 2 else "War"], directors=[f"Director {n % 4}"]
        )
        for n in range(40)
    ]
    Rating.objects.bulk_create(
        Rating(visitor=f"test:{visitor}", movie=films[(visitor * 7 + n * 3) % 40], value=4.0, rated_at=NOW)
        for visitor in range(30)
        for n in range(12)
    )
    Movie.objects.refresh_aggregates()
    rows = list(Rating.objects.order_by("visitor", "pk").values_list("visitor", "movie_id"))
    place = {film.pk: n for n, film in enumerate(films)}
    data = Interactions.from_columns(
        np.array([int(visitor.removeprefix("test:")) for visitor, _film in rows]),
        np.array([place[film] for _visitor, film in rows]),
        user_ids=np.arange(30),
        item_ids=np.array([film.pk for film in films]),
    )
    for name in ("popular", "neighbours"):
        train(name, data, registry().store, id_space=FROM_SITE, activate=True)
    paths = CataloguePaths()
    monkeypatch.setattr(movie.recommendations.explanations.connections, "_kprn", lambda: paths)
    return films


@pytest.fixture
def guest(films) -> Client:
    """Somebody who rated two films."""
    client = Client()
    client.get("/")
    for film, stars in ((films[0], "4.5"), (films[5], "4.5")):
        client.post(f"/movies/{film.pk}/rate/", {"event_id": new_event_id(), "value": stars})
    return client


def why_links(page: str) -> list[str]:
    return [link.replace("&amp;", "&") for link in re.findall(r'class="why-link" href="([^"]+)"', page)]


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_every_card_of_a_personal_list_links_to_why(guest):
    page = guest.get("/recommend/").content.decode()
    links = why_links(page)
    assert len(links) == page.count('<article class="card"') > 10
    assert all(re.fullmatch(r"/movies/\d+/why/\?model=neighbours", link) for link in links)
    assert 'id="why-sheet"' in page
    home = why_links(guest.get("/").content.decode())
    assert any(re.search(r"\?model=neighbours&like=\d+$", link) for link in home)
    assert any(link.endswith("?model=popular") for link in home)


def test_whoever_liked_nothing_yet_is_not_offered_reasons(films):
    client = Client()
    assert why_links(client.get("/").content.decode()) == []
    assert why_links(client.get("/recommend/").content.decode()) == []
    page = client.get(f"/movies/{films[0].pk}/why/").content.decode()
    assert "Rate a few films" in page


def test_the_page_says_why_in_sentences_with_shares_and_paths(guest, films):
    for address in why_links(guest.get("/recommend/").content.decode()):
        response = guest.get(address)
        why = response.context["why"]
        if len(why.influences) == 2 and why.connections:
            break
    page = response.content.decode()
    assert why.headline.html in page
    assert len(why.influences) == 2
    for influence in why.influences:
        assert influence.phrase.html in page
        assert f'<rect class="share-part" width="{influence.percent}"' in page
    assert why.connections
    assert page.count('<ol class="path') == len(why.connections)
    assert 'href="/history/">You</a>' in page
    assert "KPRN" not in page
    assert "private" in response["Cache-Control"]


def test_htmx_gets_the_part_for_the_sheet_and_caches_keep_them_apart(guest):
    (address, *_) = why_links(guest.get("/recommend/").content.decode())
    part, page = guest.get(address, headers=IN_SHEET), guest.get(address)
    assert "<html" not in part.content.decode()
    assert "<html" in page.content.decode()
    assert 'id="why-heading"' in part.content.decode()
    assert {"HX-Request", "HX-Target"} <= {name.strip() for name in part["Vary"].split(",")}


def test_the_row_about_one_film_is_explained_by_that_film_alone(guest, films):
    response = guest.get(f"/movies/{films[4].pk}/why/?model=neighbours&like={films[0].pk}")
    assert _films_named(response.context["why"]) == {films[0].pk}
    ignored = guest.get(f"/movies/{films[4].pk}/why/?model=neighbours&like={films[9].pk}")
    assert _films_named(ignored.context["why"]) <= {films[0].pk, films[5].pk}
    assert not ignored.context["is_one_row"]


def _films_named(why: Explanation) -> set[int | None]:
    starts = {connection.path[1].node.pk for connection in why.connections}
    return {influence.movie.pk for influence in why.influences} | starts


def test_the_card_the_sheet_and_the_page_of_a_film_say_the_same(guest):
    page = guest.get("/recommend/").content.decode()
    cards = re.findall(r'class="reason">([^<]*?) ?<a class="why-link" href="([^"]+)"', page)
    assert len(cards) > 10
    told = 0
    for reason, address in cards[:8]:
        if not reason.startswith("Because you rated Film"):
            continue
        told += 1
        for where in (guest.get(address, headers=IN_SHEET), guest.get(address.split("why/")[0])):
            (headline,) = re.findall(r'class="why-headline">(.+?)</p>', where.content.decode())
            assert text_of(headline).split() == reason.split()
    assert told >= 4


def test_the_page_of_a_film_gives_the_reason_of_the_list_that_led_there(guest, films):
    liked = f"model=neighbours&like={films[0].pk}"
    home = html.unescape(guest.get("/").content.decode())
    link = re.search(rf'href="(/go/\d+/[^"]+&{liked})" data-href="(/movies/\d+/\?{liked})"', home)
    followed = guest.get(link[1])
    assert followed.status_code == 302 and followed["Location"] == link[2]
    page = guest.get(link[2])
    assert _films_named(page.context["explained"]) == {films[0].pk}
    assert "From the row of films like one in your history." in page.content.decode()
    # A list that is the same for everyone has no reason to give: the visitor's own model has.
    popular = guest.get(f"/movies/{films[4].pk}/?model=popular")
    assert popular.context["explained"].model == "neighbours"
    assert (
        guest.get(f"/go/{films[4].pk}/?model=%22%3E&like={'9' * 99}")["Location"]
        == films[4].get_absolute_url()
    )


def test_a_card_that_the_dial_moved_can_be_dismissed(guest, films):
    fields = {"event_id": new_event_id(), "why": "model=for_you&familiarity=-0.5"}
    gone = guest.post(f"/movies/{films[4].pk}/dismiss/", fields, headers={"HX-Request": "true"})
    assert gone.status_code == 200


def test_the_same_for_everyone_is_said_of_popular_films(films, monkeypatch):
    monkeypatch.setattr(movie.recommendations.explanations.connections, "_kprn", lambda: None)
    client = Client()
    client.get("/")
    client.post(f"/movies/{films[0].pk}/rate/", {"event_id": new_event_id(), "value": "5"})
    page = text_of(client.get(f"/movies/{films[1].pk}/why/?model=popular").content.decode())
    assert "Popular is the same for everyone." in page
    assert f"4.0 from {Rating.objects.filter(movie=films[1]).count()} ratings." in page


@pytest.mark.parametrize(
    "query",
    [
        "model=nonsense",
        "like=99999999999999999999999",
        "like=x",
        "model=kprn&like=&from=%3Cb%3E",
        "rec=" + "x" * 99,
    ],
)
def test_odd_addresses_are_answered(guest, films, query):
    assert guest.get(f"/movies/{films[3].pk}/why/?{query}").status_code == 200


def test_unknown_and_hidden_films_are_not_there(guest, films):
    Movie.objects.filter(pk=films[3].pk).update(is_visible=False)
    assert guest.get(f"/movies/{films[3].pk}/why/").status_code == 404
    assert guest.get("/movies/987654/why/").status_code == 404
    assert guest.post(f"/movies/{films[4].pk}/why/").status_code == 405


def test_the_films_own_page_says_why_without_more_queries_than_it_may(guest, films):
    address = films[4].get_absolute_url()
    guest.get(address)
    with CaptureQueriesContext(connection) as captured:
        page = guest.get(address).content.decode()
    assert "Why this film?" in page
    assert len(captured) <= MOST_QUERIES


def test_a_film_you_have_seen_or_hidden_is_not_explained_on_its_page(guest, films):
    assert "Why this film?" not in guest.get(films[0].get_absolute_url()).content.decode()
    guest.post(f"/movies/{films[4].pk}/dismiss/", {"event_id": new_event_id()})
    assert "Why this film?" not in guest.get(films[4].get_absolute_url()).content.decode()
    assert "Why this film?" not in Client().get(films[4].get_absolute_url()).content.decode()


def test_a_card_that_was_dismissed_and_taken_back_still_links_to_why(guest, films):
    fields = {"event_id": new_event_id(), "why": "model=neighbours&like=3"}
    gone = guest.post(f"/movies/{films[4].pk}/dismiss/", fields, headers={"HX-Request": "true"})
    assert 'name="why" value="model=neighbours&amp;like=3"' in gone.content.decode()
    back = guest.post(
        f"/movies/{films[4].pk}/undo/",
        {**fields, "event_id": new_event_id(), "part": "card"},
        headers={"HX-Request": "true"},
    )
    assert why_links(back.content.decode()) == [f"/movies/{films[4].pk}/why/?model=neighbours&like=3"]
    odd = guest.post(
        f"/movies/{films[4].pk}/undo/",
        {"event_id": new_event_id(), "part": "card", "why": "javascript:alert(1)"},
        headers={"HX-Request": "true"},
    )
    assert odd.status_code == 422
