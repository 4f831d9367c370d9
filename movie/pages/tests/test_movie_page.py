"""The page of a film: its facts, its ratings, what the visitor did with it, and films like it."""

import re
from datetime import UTC, datetime

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from movie.catalogue.details import count_stars, rating_histogram
from movie.catalogue.models import ExternalId, Movie, Rating
from movie.catalogue.tests.films import make_film
from movie.events.models import Event
from movie.events.recording import new_event_id, record
from movie.visitors.visitor import guest_key_of
from predictors.history import Interaction

pytestmark = pytest.mark.django_db
MOST_QUERIES = 10


@pytest.fixture(autouse=True)
def _nothing_cached(settings, tmp_path):
    settings.MODEL_DIR = tmp_path  # no trained model: similar films are chosen by genre
    cache.clear()


@pytest.fixture
def heat():
    film = make_film(
        "Heat",
        1995,
        runtime=170,
        synopsis="A detective and a thief.\n\nBoth are good at their work.",
        genres=["Crime", "Drama"],
        countries=["USA"],
        languages=["English", "Spanish"],
        directors=["Michael Mann"],
        writers=["Michael Mann"],
        cast=["Al Pacino", "Robert De Niro", *(f"Bit Player {n}" for n in range(20))],
        titles={"ko": "히트", "fr": "Heat, la confrontation"},
        stars=[5, 5, 4.5, 4, 0.5],
    )
    for source, value in (("imdb", "tt0113277"), ("tmdb", "949"), ("movielens", "6"), ("ml-100k", "273")):
        ExternalId.objects.create(movie=film, source=source, value=value)
    return film


@pytest.fixture
def alike():
    return [make_film(f"Caper {n}", 1990 + n, genres=["Crime"], directors=[f"D {n}"]) for n in range(15)]


def key_of(client: Client) -> str:
    request = RequestFactory().get("/")
    request.COOKIES = {name: morsel.value for name, morsel in client.cookies.items()}
    key = guest_key_of(request)
    assert key
    return key


def do(client: Client, film: Movie, kind: str, value: float | None = None) -> None:
    record(Interaction(new_event_id(), key_of(client), kind, film.pk, datetime.now(UTC), value))


def page_of(client: Client, film: Movie, query: str = "") -> str:
    response = client.get(film.get_absolute_url() + query)
    assert response.status_code == 200
    return response.content.decode()


def test_all_facts_are_there_and_people_are_links(client, heat):
    page = page_of(client, heat)
    for fact in (
        "<h1>Heat</h1>",
        "1995",
        "170 minutes",
        "Crime",
        "USA",
        "Spanish",
        "Both are good at their work.",
    ):
        assert fact in page
    for name in ("Michael Mann", "Al Pacino", "Bit Player 19"):
        assert re.search(rf'<a href="/people/\d+/">{name}</a>', page)
    assert '<cite lang="ko">히트</cite>' in page
    assert re.search(r'<a href="/genres/\d+/">Crime</a>', page)
    assert 'href="/browse/?decade=1990"' in page


def test_links_elsewhere_are_plain_and_only_where_the_id_is_an_address(client, heat):
    page = page_of(client, heat)
    assert 'href="https://www.imdb.com/title/tt0113277/"' in page
    assert 'href="https://www.themoviedb.org/movie/949"' in page
    assert 'href="https://movielens.org/movies/6"' in page
    assert "/273" not in page


def test_a_film_with_a_title_alone_has_a_page(client):
    page = page_of(client, make_film("Unknown"))
    assert "<h1>Unknown</h1>" in page
    assert "Nobody has rated this film yet" in page
    assert "None" not in page


def test_histogram_counts_every_half_star(client, heat):
    bars = rating_histogram(heat)
    assert [bar.value for bar in bars] == [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5]
    assert [bar.count for bar in bars] == [1, 0, 0, 0, 0, 0, 0, 1, 1, 2]
    assert [bar.share for bar in bars] == pytest.approx([0.2, 0, 0, 0, 0, 0, 0, 0.2, 0.2, 0.4])
    assert bars[-1].height == 2 * bars[0].height == 100
    assert all(bar.y + bar.height == 100 for bar in bars)
    page = page_of(client, heat)
    assert len(re.findall(r'<rect class="bar', page)) == 10
    assert "from 5 ratings" in page
    assert '<span class="mean">3.8</span>' in page
    assert re.search(r'<th scope="row">5★</th><td>2</td><td>40 %</td>', page)


def test_stars_of_a_film_that_many_rated_are_counted_when_its_ratings_change(
    heat, monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr("movie.catalogue.details.MANY_RATINGS", heat.rating_count)
    counted = count_stars(heat)
    assert list(counted.items()) == [(0.5, 1), (4.0, 1), (4.5, 1), (5.0, 2)]
    with django_assert_num_queries(0):
        assert count_stars(heat) == counted
    guest = "guest:00000000-0000-4000-8000-000000000001"
    record(Interaction(new_event_id(), guest, "rating", heat.pk, datetime.now(UTC), 4))
    heat.refresh_from_db()
    assert count_stars(heat) == {0.5: 1, 4: 2, 4.5: 1, 5: 2}


def test_bars_are_drawn_with_points_in_every_language(client, heat, settings):
    settings.LANGUAGES = [("en", "English"), ("de", "German")]
    page = client.get(heat.get_absolute_url(), headers={"accept-language": "de"}).content.decode()
    assert re.search(r'height="50\.0"', page)
    assert not re.search(r'(?:y|height)="\d+,\d', page)


def test_the_visitors_rating_is_checked_and_its_bar_marked(client, heat):
    page_of(client, heat)
    do(client, heat, "rating", 4.5)
    page = page_of(client, heat)
    assert re.search(r'value="4.5" checked', page)
    assert page.count("bar-yours") == 1
    assert "bar-yours" not in page_of(Client(), heat)


def test_watchlist_and_dismissal_show_where_they_stand(client, heat):
    page = page_of(client, heat)
    assert "Add to watchlist" in page
    assert "Not interested" in page
    do(client, heat, "watchlist")
    assert "On your watchlist" in page_of(client, heat)
    do(client, heat, "dismiss")
    page = page_of(client, heat)
    assert "You are not interested in this film." in page
    assert re.search(rf'action="/movies/{heat.pk}/dismiss/".*?name="value" value="0">Undo<', page, re.S)


def test_buttons_of_the_page_take_back_what_they_did(client, heat):
    page_of(client, heat)
    for address in ("dismiss", "watchlist"):
        before = page_of(client, heat)
        for value in ({}, {"value": "0"}):
            response = client.post(
                f"{heat.get_absolute_url()}{address}/",
                {"event_id": new_event_id(), "next": heat.get_absolute_url(), **value},
                headers={"origin": "http://testserver", "sec-fetch-site": "same-origin"},
            )
            assert response.status_code == 303
            after = page_of(client, heat)
            assert ("On your watchlist" in after) == (address == "watchlist" and not value)
            assert ("You are not interested" in after) == (address == "dismiss" and not value)
        assert "Add to watchlist" in before


def test_similar_films_are_named_with_who_chose_them(client, heat, alike):
    response = client.get(heat.get_absolute_url())
    similar = [entry.movie for entry in response.context["similar"].entries]
    assert len(similar) == 12
    assert heat not in similar
    assert "Chosen by genre" in response.content.decode()


def test_similar_films_leave_out_what_was_rated_and_dismissed(client, heat, alike):
    page_of(client, heat)
    do(client, alike[0], "rating", 4)
    do(client, alike[1], "dismiss")
    shown = {entry.movie.pk for entry in client.get(heat.get_absolute_url()).context["similar"].entries}
    assert not shown & {alike[0].pk, alike[1].pk}


@pytest.mark.parametrize("visible", [False, None])
def test_hidden_and_missing_films_are_not_found(client, visible):
    film = make_film("Secret", is_visible=False) if visible is False else Movie(pk=987654321)
    assert client.get(f"/movies/{film.pk}/").status_code == 404


def test_looking_writes_nothing(client, heat):
    for _ in range(2):
        page_of(client, heat, "?from=home&rec=0192")
    assert not Event.objects.exists()
    assert Rating.objects.count() == 5


def test_what_is_done_here_is_counted_for_the_list_one_came_from(client, heat):
    page = page_of(client, heat, '?from=home&rec=abc"><script>')
    assert 'name="surface" value="home"' in page
    assert 'name="recommendation_id" value="abc&quot;&gt;&lt;script&gt;"' in page
    assert 'name="surface" value="movie"' in page_of(client, heat)


def test_query_count_does_not_depend_on_who_asks(client, heat, alike, django_user_model):
    page_of(client, heat)
    with CaptureQueriesContext(connection) as guest:
        page_of(client, heat)
    assert len(guest) <= MOST_QUERIES, [query["sql"] for query in guest]
    member = Client()
    member.force_login(django_user_model.objects.create_user("cinephile", password="reel-to-reel"))
    page_of(member, heat)
    with CaptureQueriesContext(connection) as captured:
        page_of(member, heat)
    assert len(captured) <= MOST_QUERIES, [query["sql"] for query in captured]


def test_nothing_on_the_page_is_inline(client, heat, alike):
    page = page_of(client, heat)
    assert " style=" not in page
    assert "<style" not in page
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"\son\w+=", page)
