"""The doors: what a form, a script, a beacon and a plain link may do, and what they are told."""

import json

import pytest
from django.core.cache import cache
from django.test import Client, override_settings
from django.urls import reverse

from movie.catalogue.models import Movie, Rating
from movie.core.ids import new_event_id
from movie.events.history import get_history
from movie.events.models import Event
from movie.visitors.visitor import GUEST_COOKIE

HTMX = {"HX-Request": "true"}
PAGE = {"Accept": "text/html"}


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture
def film(db):
    return Movie.objects.create(title="Heat", year=1995)


@pytest.fixture
def guest(client, film):
    client.get(reverse("pages:history"))
    return client


def act(client, name, film, headers=None, **fields):
    return client.post(reverse(f"pages:{name}", args=[film.pk]), fields, headers=headers or PAGE)


def history(client):
    return get_history(Event.objects.values_list("visitor", flat=True).first() or "nobody")


def test_a_rating_comes_back_to_the_page_with_a_message(guest, film):
    response = act(guest, "rate", film, value="3.5", surface="browse", next="/browse/?page=2")
    assert (response.status_code, response["Location"]) == (303, "/browse/?page=2")
    record = Event.objects.get()
    assert (record.kind, record.value, record.surface) == ("rating", 3.5, "browse")
    assert "Heat" in guest.get(reverse("pages:history")).content.decode()


@pytest.mark.parametrize("value", [half / 2 for half in range(1, 11)])
def test_every_half_star_is_a_rating(guest, film, value):
    act(guest, "rate", film, value=f"{value:g}")
    assert Rating.objects.get().value == value


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_next_leads_nowhere_else(guest, film, target):
    assert act(guest, "rate", film, value="4", next=target)["Location"] == film.get_absolute_url()


def test_htmx_gets_the_control_as_it_now_stands(guest, film):
    response = act(guest, "rate", film, HTMX, value="4.5")
    assert response.status_code == 200
    assert 'value="4.5" checked' in response.content.decode()
    response = act(guest, "rate", film, HTMX, value="")
    assert " checked" not in response.content.decode()
    assert not Rating.objects.exists()


def test_dismissing_leaves_an_undo_that_brings_the_card_back(guest, film):
    response = act(guest, "dismiss", film, HTMX, reason="Because you rated Ronin", rank="3")
    assert reverse("pages:undo", args=[film.pk]) in response.content.decode()
    assert film.pk in history(guest).dismissed
    response = act(guest, "undo", film, HTMX, part="card", reason="Because you rated Ronin", rank="3")
    assert "Because you rated Ronin" in response.content.decode()
    assert film.pk not in history(guest).dismissed


def test_the_reason_that_comes_back_is_text_and_never_markup(guest, film):
    response = act(guest, "undo", film, HTMX, part="card", reason="<script>alert(1)</script>")
    assert b"<script>alert" not in response.content


def test_undo_says_when_there_is_nothing_to_undo(guest, film):
    act(guest, "rate", film, value="4")
    act(guest, "undo", film)
    assert not Rating.objects.exists()
    act(guest, "undo", film)
    assert "nothing to take back" in guest.get(reverse("pages:history")).content.decode()


def test_the_watchlist_and_a_dismissal_can_be_given_up(guest, film):
    act(guest, "watchlist", film)
    act(guest, "dismiss", film)
    assert film.pk in history(guest).watchlist & history(guest).dismissed
    act(guest, "watchlist", film, value="0")
    act(guest, "dismiss", film, value="0")
    assert not history(guest).watchlist | history(guest).dismissed


def test_the_watchlist_answers_htmx_with_the_card(guest, film):
    assert b"Take off the watchlist" in act(guest, "watchlist", film, HTMX).content
    assert b"Add to watchlist" in act(guest, "watchlist", film, HTMX, value="0").content


def test_the_same_form_sent_twice_counts_once(guest, film):
    form = {"value": "4", "event_id": new_event_id()}
    for _ in range(2):
        assert act(guest, "rate", film, **form).status_code == 303
    assert Event.objects.count() == 1
    film.refresh_from_db()
    assert film.rating_count == 1


def test_an_event_id_of_somebody_else_changes_nothing_of_theirs(guest, film):
    form = {"value": "4", "event_id": new_event_id()}
    act(guest, "rate", film, **form)
    other = Client()
    other.get(reverse("pages:history"))
    act(other, "rate", film, **{**form, "value": "1"})
    assert sorted(Rating.objects.values_list("value", flat=True)) == [1.0, 4.0]


@pytest.mark.parametrize(
    ("name", "fields", "field"),
    [
        ("rate", {"value": "4.2"}, "value"),
        ("rate", {"value": "six"}, "value"),
        ("rate", {"value": "nan"}, "value"),
        ("rate", {"value": "-1"}, "value"),
        ("rate", {}, "value"),
        ("rate", {"value": "4", "event_id": "1"}, "event_id"),
        ("rate", {"value": "4", "surface": "x" * 33}, "surface"),
        ("rate", {"value": "4", "recommendation_id": "x" * 37}, "recommendation_id"),
        ("watchlist", {"value": "2"}, "value"),
        ("undo", {"part": "everything"}, "part"),
        ("click", {"event_id": "' OR 1=1"}, "event_id"),
    ],
)
@pytest.mark.parametrize("headers", [PAGE, HTMX, {"Accept": "*/*"}])
def test_bad_input_is_refused_by_name(guest, film, name, fields, field, headers):  # noqa: PLR0917
    response = act(guest, name, film, headers, **fields)
    assert response.status_code == 422
    assert f"{field}: " in response.content.decode()
    assert not Event.objects.exists() and not Rating.objects.exists()


@pytest.mark.parametrize("name", ["rate", "click", "dismiss", "undo", "watchlist"])
def test_films_that_are_hidden_or_unknown_are_not_found(guest, film, name):
    Movie.objects.filter(pk=film.pk).update(is_visible=False)
    assert act(guest, name, film, value="4").status_code == 404
    assert guest.post(reverse(f"pages:{name}", args=[987654]), {"value": "4"}).status_code == 404
    assert guest.get(reverse("pages:go", args=[film.pk])).status_code == 404
    assert not Event.objects.exists()


@pytest.mark.parametrize("name", ["rate", "click", "dismiss", "undo", "watchlist", "forget_movie"])
def test_nothing_is_written_by_get_or_without_a_csrf_token(film, name):
    strict = Client(enforce_csrf_checks=True)
    strict.get(reverse("pages:history"))
    assert strict.get(reverse(f"pages:{name}", args=[film.pk])).status_code == 405
    assert strict.post(reverse(f"pages:{name}", args=[film.pk]), {"value": "4"}).status_code == 403
    assert not Event.objects.exists()


def test_a_beacon_with_the_token_of_the_page_is_counted(film):
    strict = Client(enforce_csrf_checks=True)
    page = strict.get(reverse("pages:history"))
    token = str(page.context["csrf_token"])
    response = strict.post(
        reverse("pages:click", args=[film.pk]),
        {"csrfmiddlewaretoken": token, "event_id": new_event_id(), "surface": "home"},
        headers={"Accept": "*/*"},
    )
    assert response.status_code == 204
    record = Event.objects.get()
    assert (record.kind, record.surface, record.movie) == ("click", "home", film)


def test_a_rating_sent_by_beacon_when_the_page_closes_is_kept(guest, film):
    assert act(guest, "rate", film, {"Accept": "*/*"}, value="4").status_code == 204
    assert Rating.objects.get().value == 4.0


# -- the plain link ---------------------------------------------------------------------------

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}


def test_a_link_followed_on_the_site_is_a_click_and_leads_to_the_film(guest, film):
    address = reverse("pages:go", args=[film.pk]) + f"?e={new_event_id()}&from=home&rec=r-1"
    for _ in range(2):
        response = guest.get(address, headers=SAME_ORIGIN)
        assert (response.status_code, response["Location"]) == (302, film.get_absolute_url())
    record = Event.objects.get()
    assert (record.kind, record.surface, record.recommendation_id) == ("click", "home", "r-1")
    assert "no-store" in response["Cache-Control"]


def test_an_old_browser_is_known_by_its_referrer(guest, film):
    guest.get(reverse("pages:go", args=[film.pk]), headers={"Referer": "http://testserver/browse/"})
    assert Event.objects.count() == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site", "Referer": "http://testserver/"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"},
        {"Referer": "http://testserver.evil.example/"},
        {"Referer": "https://evil.example/?http://testserver/"},
        {**SAME_ORIGIN, "Sec-Purpose": "prefetch;prerender"},
        {**SAME_ORIGIN, "Purpose": "prefetch"},
        {**SAME_ORIGIN, "X-Moz": "prefetch"},
    ],
)
def test_other_gets_lead_on_and_count_nothing(guest, film, headers):
    assert guest.get(reverse("pages:go", args=[film.pk]), headers=headers).status_code == 302
    assert not Event.objects.exists()


def test_a_robot_without_cookies_leaves_no_trace(film):
    assert Client().get(reverse("pages:go", args=[film.pk]), headers=SAME_ORIGIN).status_code == 302
    assert not Event.objects.exists()


def test_a_mangled_link_still_leads_to_the_film(guest, film):
    response = guest.get(reverse("pages:go", args=[film.pk]) + "?e=1&from=" + "x" * 99, headers=SAME_ORIGIN)
    assert response.status_code == 302
    assert not Event.objects.exists()


# -- not too often ----------------------------------------------------------------------------


@override_settings(WRITE_RATE_LIMIT=3)
def test_one_visitor_cannot_flood_the_log_and_others_go_on(guest, film):
    assert [act(guest, "rate", film, value="4").status_code for _ in range(4)] == [303, 303, 303, 429]
    response = act(guest, "rate", film, HTMX, value="4")
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= 60
    other = Client()
    other.get(reverse("pages:history"))
    assert act(other, "rate", film, value="4").status_code == 303


def test_a_guest_without_an_address_may_rate(guest, film):
    """As behind a server on a Unix socket."""
    answer = guest.post(reverse("pages:rate", args=[film.pk]), {"value": "4"}, REMOTE_ADDR="")
    assert answer.status_code == 303
    assert Rating.objects.get().value == 4.0


@override_settings(WRITE_RATE_LIMIT=1)
def test_dropping_the_cookie_does_not_get_round_the_limit(guest, film):
    def without_cookie():
        guest.cookies.pop(GUEST_COOKIE, None)
        return act(guest, "rate", film, value="4").status_code

    assert [without_cookie() for _ in range(11)] == [303] * 10 + [429]


def test_a_change_of_the_watchlist_is_seen_heard_and_taken_back(client, film):
    htmx = {"HTTP_HX_REQUEST": "true"}
    answer = client.post(reverse("pages:watchlist", args=[film.pk]), {"next": "/"}, **htmx)
    assert json.loads(answer["HX-Trigger"]) == {"announce": f"{film.title} is on your watchlist."}
    shown = answer.content.decode()
    undo = reverse("pages:undo", args=[film.pk])
    assert "<span>On your watchlist</span>" in shown
    assert f'hx-post="{undo}"' in shown
    back = client.post(undo, {"part": "card", "next": "/"}, **htmx)
    assert "taken back" in json.loads(back["HX-Trigger"])["announce"]
    assert "card-ribbon" not in back.content.decode()
