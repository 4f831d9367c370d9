"""Browsing: filters, orders, pages and addresses, as a visitor meets them."""

import re
from datetime import UTC, datetime

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from movie.catalogue.models import Movie, Rating
from movie.catalogue.tests.films import empty_catalogue, make_film
from movie.core.ids import new_event_id
from movie.events.recording import record
from predictors.history import Interaction

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_cached():
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(scope="module")
def films(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        make_film(
            "Heat",
            1995,
            genres=["Crime", "Drama"],
            countries=["USA"],
            languages=["English"],
            stars=[5, 4, 4.5],
        )
        make_film("Alien", 1979, genres=["Horror", "Sci-Fi"], countries=["UK", "USA"], stars=[4, 4, 5, 5])
        make_film("Amélie", 2001, genres=["Comedy"], countries=["France"], languages=["French"], stars=[5])
        make_film("Fargo", 1996, genres=["Comedy", "Crime", "Drama"], stars=[3, 3, 3, 3, 3])
        make_film("The Hidden One", 1996, genres=["Comedy", "Western"], is_visible=False)
        make_film("Undated")
    yield
    empty_catalogue(django_db_blocker)


def get(client: Client, query: str = "", **headers: str):
    return client.get(reverse("pages:browse") + query, **headers)


def titles(response) -> list[str]:
    return [film.title for film in response.context["page_obj"]]


def test_all_visible_films_are_there_most_rated_first(client, films):
    response = get(client)
    assert titles(response) == ["Fargo", "Alien", "Heat", "Amélie", "Undated"]
    assert "5 films" in response.content.decode()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?in=Crime", {"Heat", "Fargo"}),
        ("?in=Crime&in=Comedy", {"Fargo"}),
        ("?in=Crime&out=Comedy", {"Heat"}),
        ("?out=Comedy&out=Horror", {"Heat", "Undated"}),
        ("?in=sci-fi", {"Alien"}),
        ("?decade=1990", {"Heat", "Fargo"}),
        ("?country=USA", {"Heat", "Alien"}),
        ("?language=French", {"Amélie"}),
        ("?in=Drama&decade=1990&country=USA&language=English", {"Heat"}),
    ],
)
def test_filters_narrow_together(client, films, query, expected):
    assert set(titles(get(client, query))) == expected


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("popular", ["Fargo", "Alien", "Heat", "Amélie", "Undated"]),
        ("newest", ["Amélie", "Fargo", "Heat", "Alien", "Undated"]),
        ("oldest", ["Alien", "Heat", "Fargo", "Amélie", "Undated"]),
        ("title", ["Alien", "Amélie", "Fargo", "Heat", "Undated"]),
    ],
)
def test_orders(client, films, sort, expected):
    assert titles(get(client, f"?sort={sort}")) == expected


def test_best_rated_does_not_trust_a_single_enthusiast(client, films):
    """One rating of 5 stars weighs less than four with a mean of 4.5; a mean of 3 comes last."""
    assert titles(get(client, "?sort=best"))[:3] == ["Alien", "Heat", "Amélie"]
    assert titles(get(client, "?sort=best"))[-1] == "Fargo"


def test_your_rating_sorts_by_the_visitor_alone(client, films):
    client.get(reverse("pages:browse"))
    key = _guest_key(client)
    for title, value in (("Undated", 4.5), ("Heat", 2)):
        Rating.objects.create(
            visitor=key, movie=Movie.objects.get(title=title), value=value, rated_at=datetime.now(UTC)
        )
    assert titles(get(client, "?sort=yours"))[:3] == ["Undated", "Heat", "Fargo"]
    assert titles(get(Client(), "?sort=yours"))[0] == "Fargo"


def _guest_key(client: Client) -> str:
    from django.http import HttpRequest

    from movie.visitors.visitor import guest_key_of

    request = HttpRequest()
    request.COOKIES = {name: morsel.value for name, morsel in client.cookies.items()}
    key = guest_key_of(request)
    assert key
    return key


def test_genres_hidden_films_have_alone_are_not_offered(client, films):
    page = get(client).content.decode()
    assert "Comedy" in page
    assert "Western" not in page
    assert "The Hidden One" not in page


def test_each_genre_is_a_group_of_three_radios_with_the_state_of_the_address(client, films):
    page = get(client, "?in=Crime&out=Horror").content.decode()
    groups = dict(
        re.findall(r"<fieldset class=\"three-way\">\s*<legend>([^<]+)</legend>(.*?)</fieldset>", page, re.S)
    )
    assert set(groups) == {"Comedy", "Crime", "Drama", "Horror", "Sci-Fi"}
    checked = {
        name: re.search(r"value=\"(\w*)\"[^>]*checked", re.sub(r"\s+", " ", group)).group(1)
        for name, group in groups.items()
    }
    assert checked == {"Comedy": "", "Crime": "in", "Drama": "", "Horror": "out", "Sci-Fi": ""}


def test_a_submitted_form_leads_to_a_short_address(client, films):
    form = get(client).context["form"]
    crime, horror = (
        next(f.html_name for f in form.genre_fields if f.label == name) for name in ("Crime", "Horror")
    )
    response = get(client, f"?decade=1990&language=&country=&sort=popular&{crime}=in&{horror}=out")
    assert response.status_code == 302
    assert response["Location"] == "/browse/?in=Crime&out=Horror&decade=1990"
    assert titles(client.get(response["Location"])) == ["Fargo", "Heat"]


def test_every_active_filter_is_a_chip_that_takes_it_away(client, films):
    response = get(client, "?in=Crime&out=Comedy&decade=1990&sort=title")
    chips = dict(response.context["form"].chips())
    assert chips["Crime"] == "/browse/?out=Comedy&decade=1990&sort=title"
    assert chips["without Comedy"] == "/browse/?in=Crime&decade=1990&sort=title"
    assert chips["1990s"] == "/browse/?in=Crime&out=Comedy&sort=title"
    assert chips["Crime"].replace("&", "&amp;") in response.content.decode()


def test_nothing_found_offers_to_take_filters_away(client, films):
    page = get(client, "?in=Crime&decade=1970").content.decode()
    assert "No film fits all of these filters" in page
    assert 'href="/browse/?in=Crime"' in page
    assert 'href="/browse/?decade=1970"' in page


@pytest.mark.parametrize(
    ("query", "note"),
    [
        ("?in=Kung-Fu", "There is no genre “Kung-Fu” here."),
        ("?decade=soon", "Decade: “soon” is not known here"),
        ("?country=Atlantis", "Country: “Atlantis” is not known here"),
        ("?sort=random()", "Sort by: “random()” is not known here"),
        ("?in=Crime&out=Crime", "both wanted and unwanted"),
        ("?page=two", "“two” is no page number"),
        ("?page=99", "There is no page 99; this is page 1."),
        ("?page=-1", "There is no page -1; this is page 1."),
        ("?page=99999999999999999999999999", "this is page 1."),
        ("?decade=%00", "Decade:"),
        ("?in=%F0%9F%8E%AC", "There is no genre “🎬” here."),
    ],
)
def test_what_is_not_understood_is_left_out_and_said(client, films, query, note):
    response = get(client, query)
    assert response.status_code == 200
    assert note in response.content.decode()
    assert response.context["page_obj"].object_list


def test_markup_in_the_address_stays_text(client, films):
    page = get(client, "?in=<script>alert(1)</script>&country=<b>").content.decode()
    assert "<script>alert" not in page
    assert "<b>" not in page


def test_htmx_gets_the_results_alone_and_the_address_to_show(client, films):
    headers = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "browse-results"}
    response = get(client, "?decade=1990&language=&sort=popular", **headers)
    page = response.content.decode()
    assert response["HX-Push-Url"] == "/browse/?decade=1990"
    assert "<html" not in page
    assert 'hx-swap-oob="innerHTML"' in page
    assert titles(response) == ["Fargo", "Heat"]
    assert 'name="next" value="/browse/?decade=1990"' in page
    assert "HX-Request" in response["Vary"]


def test_back_in_the_history_gets_the_whole_page(client, films):
    headers = {"HTTP_HX_REQUEST": "true", "HTTP_HX_HISTORY_RESTORE_REQUEST": "true"}
    assert "<html" in get(client, "?decade=1990", **headers).content.decode()


def test_the_visitors_own_rating_is_on_the_card(client, films):
    get(client)
    heat = Movie.objects.get(title="Heat")
    record(Interaction(new_event_id(), _guest_key(client), "rating", heat.pk, datetime.now(UTC), 3.5))
    page = get(client, "?country=USA&in=Crime").content.decode()
    assert re.search(r'value="3.5" checked', page)


def test_only_reading_is_allowed(client, films):
    assert client.post(reverse("pages:browse")).status_code == 405
