"""Programmes as visitors use them: made, ordered, shown or kept, and gone with their owner."""

import json
from xml.etree import ElementTree

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film
from movie.events.movie_merging import merge_movies
from movie.pages.personal_data import export_of
from movie.programmes.editing import MAX_FILMS, MAX_PROGRAMMES, make_programme
from movie.programmes.models import Programme, ProgrammeEntry

PAGE = {"Accept": "text/html"}
PASSWORD = "a long enough passphrase"


@pytest.fixture(autouse=True)
def no_limit(settings):
    settings.WRITE_RATE_LIMIT = 1_000_000


@pytest.fixture
def films(db):
    return [make_film(title, 1990, genres=["Crime"]) for title in ("Heat", "Ronin", "Thief", "Alien")]


@pytest.fixture
def ada(client, db):
    client.force_login(get_user_model().objects.create_user("ada", password=PASSWORD))
    return client


def guest():
    client = Client()
    client.get("/")
    return client


def make(client, title="Nights", film=None):
    fields = {"title": title} | ({"movie": film.pk} if film else {})
    client.post(reverse("pages:make_programme"), fields, headers=PAGE)
    return Programme.objects.order_by("pk").last()


def do(client, what, programme, film):
    address = reverse("pages:programme_film", args=[programme.pk, film.pk])
    return client.post(address, {"do": what}, headers=PAGE)


def titles(programme):
    return list(programme.entries.values_list("movie__title", flat=True))


def edit(client, programme, **fields):
    address = reverse("pages:edit_programme", args=[programme.pk])
    return client.post(address, {"title": programme.title, **fields}, headers=PAGE)


def test_a_guest_makes_a_programme_from_the_page_of_a_film(films):
    client = guest()
    assert (
        reverse("pages:choose_programme", args=[films[0].pk])
        in client.get(films[0].get_absolute_url()).content.decode()
    )
    programme = make(client, "Los Angeles at night", films[0])
    assert titles(programme) == ["Heat"] and not programme.is_public
    assert do(client, "add", programme, films[1])["Location"] == programme.get_absolute_url()
    do(client, "add", programme, films[1])
    assert titles(programme) == ["Heat", "Ronin"]
    html = client.get(programme.get_absolute_url()).content.decode()
    assert "Los Angeles at night" in html and "2 films" in html and "private" in html


def test_films_move_and_go(films):
    client = guest()
    programme = make(client, film=films[0])
    for film in films[1:3]:
        do(client, "add", programme, film)
    do(client, "up", programme, films[2])
    assert titles(programme) == ["Heat", "Thief", "Ronin"]
    do(client, "up", programme, films[0])
    do(client, "down", programme, films[1])
    assert titles(programme) == ["Heat", "Thief", "Ronin"]
    do(client, "down", programme, films[0])
    do(client, "remove", programme, films[2])
    assert titles(programme) == ["Heat", "Ronin"]
    assert do(client, "burn", programme, films[0]).status_code == 422
    assert do(client, "up", programme, films[3]).status_code == 303


def test_a_private_programme_is_nobody_elses(films):
    client, other = guest(), guest()
    programme = make(client, film=films[0])
    for name in ("programme", "programme_cover"):
        assert other.get(reverse(f"pages:{name}", args=[programme.pk])).status_code == 404
    assert "Nights" not in other.get(reverse("pages:programmes")).content.decode()


def test_a_member_shows_a_programme_with_their_name_and_others_cannot_change_it(ada, films):
    programme = make(ada, film=films[0])
    edit(ada, programme, title="Nights of 1990", note="In cars.", is_public="on")
    other = guest()
    html = other.get(programme.get_absolute_url()).content.decode()
    assert "Nights of 1990" in html and "In cars." in html and "ada" in html and "Heat" in html
    assert "Nights of 1990" in other.get(reverse("pages:programmes")).content.decode()
    assert reverse("pages:edit_programme", args=[programme.pk]) not in html
    assert edit(other, programme, title="Mine").status_code == 404
    assert do(other, "remove", programme, films[0]).status_code == 404
    delete = reverse("pages:delete_programme", args=[programme.pk])
    assert other.post(delete).status_code == 404 and ada.get(delete).status_code == 405
    programme.refresh_from_db()
    assert (programme.title, titles(programme)) == ("Nights of 1990", ["Heat"])
    edit(ada, programme)
    assert other.get(programme.get_absolute_url()).status_code == 404


def test_a_guest_cannot_publish(films):
    client = guest()
    programme = make(client, film=films[0])
    edit(client, programme, is_public="on")
    programme.refresh_from_db()
    assert not programme.is_public
    assert "stays private" in client.get(programme.get_absolute_url()).content.decode()


def test_what_the_site_hides_is_its_owners_alone(ada, films):
    programme = make(ada, film=films[0])
    edit(ada, programme, is_public="on")
    Programme.objects.update(is_hidden=True)
    assert guest().get(programme.get_absolute_url()).status_code == 404
    assert "hidden by the people who run this site" in ada.get(programme.get_absolute_url()).content.decode()


def test_staff_see_public_programmes_alone(ada, films, admin_client):
    programme = make(ada, "Mine alone", films[0])
    address = reverse("admin:programmes_programme_changelist")
    assert "Mine alone" not in admin_client.get(address).content.decode()
    edit(ada, programme, is_public="on")
    assert "Mine alone" in admin_client.get(address).content.decode()
    admin_client.post(address, {"action": "hide", "_selected_action": [programme.pk]})
    assert Programme.objects.get().is_hidden


@pytest.mark.parametrize("title", ["", "  ", "x" * 81, "a\u202eb"])
def test_a_title_that_cannot_be_is_refused(films, title):
    response = guest().post(reverse("pages:make_programme"), {"title": title}, headers=PAGE)
    assert response.status_code == 422 and not Programme.objects.exists()


def test_programmes_are_small_and_few(films):
    client = guest()
    programme = make(client)
    for number in range(MAX_FILMS):
        assert do(client, "add", programme, make_film(f"Film {number}")).status_code == 303
    assert do(client, "add", programme, films[0]).status_code == 409
    for number in range(MAX_PROGRAMMES - 1):
        make_programme(programme.visitor, f"P {number}")
    assert client.post(reverse("pages:make_programme"), {"title": "One more"}).status_code == 409


def test_the_cover_is_drawn_and_cached_by_its_owners_browser_alone(films):
    client = guest()
    programme = make(client, 'Nights <&> "days"', films[0])
    html = client.get(programme.get_absolute_url()).content.decode()
    response = client.get(reverse("pages:programme_cover", args=[programme.pk]))
    ElementTree.fromstring(response.content)  # noqa: S314 - our own
    assert f"?v={programme.cover_version}" in html
    assert (
        response["Cache-Control"].startswith("private") and "sandbox" in response["Content-Security-Policy"]
    )
    for address in (reverse("pages:programmes"), programme.get_absolute_url()):
        assert {"private", "no-store"} <= set(client.get(address)["Cache-Control"].split(", "))


def test_hidden_films_are_left_out(films):
    client = guest()
    programme = make(client, film=films[0])
    do(client, "add", programme, films[1])
    Movie.objects.filter(pk=films[0].pk).update(is_visible=False)
    shown = client.get(programme.get_absolute_url()).context["entries"]
    assert [entry.movie.title for entry in shown] == ["Ronin"]
    assert "1 film" in client.get(reverse("pages:programmes")).content.decode()


def test_a_guest_who_signs_in_keeps_programmes_and_a_closed_account_leaves_none(films):
    client = guest()
    make(client, film=films[0])
    user = get_user_model().objects.create_user("ben", password=PASSWORD)
    client.post(reverse("account_login"), {"login": "ben", "password": PASSWORD})
    assert Programme.objects.get().visitor == f"user:{user.pk}"
    rows = json.loads(json.dumps(export_of(user)["tables"], default=str))
    assert [row["title"] for row in rows["programmes.programme"]] == ["Nights"]
    assert [row["movie_id"] for row in rows["programmes.programmeentry"]] == [films[0].pk]
    user.delete()
    assert not Programme.objects.exists() and not ProgrammeEntry.objects.exists()


def test_merged_films_stay_in_their_programmes(films):
    client = guest()
    one, both = make(client, "One", films[1]), make(client, "Both", films[0])
    do(client, "add", both, films[1])
    merge_movies(films[0], [films[1]])
    assert titles(one) == ["Heat"] and titles(both) == ["Heat"]


@pytest.mark.parametrize("n_programmes", [1, 6])
def test_the_list_costs_the_same_for_any_number(ada, films, n_programmes, django_assert_max_num_queries):
    for number in range(n_programmes):
        edit(ada, make(ada, f"P {number}", films[0]), is_public="on")
    reader = guest()
    with django_assert_max_num_queries(4):
        assert len(reader.get(reverse("pages:programmes")).context["page_obj"].object_list) == n_programmes
