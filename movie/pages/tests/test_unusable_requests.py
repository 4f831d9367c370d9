"""What no page of the admin sends is refused; a fault of our own code stays one."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from movie.catalogue.admin import MovieAdmin
from movie.catalogue.models import Rating
from movie.catalogue.tests.films import make_film


@pytest.fixture
def staff(db):
    client = Client(raise_request_exception=False)
    client.force_login(get_user_model().objects.create_superuser("boss", "boss@example.org", "x"))
    return client


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        ("/admin/catalogue/genre/", {"action": "delete_selected", "_selected_action": "-1 days"}),
        ("/admin/catalogue/rating/add/", {"movie": '{"a": 1}', "value": "0.5", "visitor": "guest:1"}),
    ],
)
def test_a_row_that_is_no_number_is_refused(staff, address, fields):
    assert staff.post(address, fields).status_code == 400


def test_an_empty_name_of_a_field_is_refused(staff):
    film = make_film("Heat", 1995, stars=[4])
    rating = Rating.objects.get(movie=film)
    assert staff.get(f"/admin/catalogue/rating/{rating.pk}/change/?_to_field=").status_code == 400


def test_a_fault_of_our_own_code_is_no_refusal(staff, monkeypatch):
    def broken(*args):
        raise ValueError("a mistake")

    monkeypatch.setattr(MovieAdmin, "get_queryset", broken)
    assert staff.get("/admin/catalogue/movie/").status_code == 500


@pytest.mark.parametrize("name", ["account_login", "account_signup", "account_reset_password"])
def test_an_address_that_cannot_be_read_breaks_no_page_of_accounts(db, name):
    client = Client(raise_request_exception=False)
    assert client.get(reverse(name), {"next": "http://["}).status_code == 200
    assert client.post(reverse(name), {"next": "http://["}).status_code == 200


def test_an_address_that_cannot_be_read_leads_nowhere(db):
    get_user_model().objects.create_user("ann", password="a-long-enough-passphrase")
    fields = {"login": "ann", "password": "a-long-enough-passphrase", "next": "http://["}
    assert Client().post(reverse("account_login"), fields).headers["Location"] == "/"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data; boundary=", b"--x--", 404),
        ("multipart/form-data; boundary=\xe9", b"--x--", 404),
        ("application/x-www-form-urlencoded; charset=ascii", b"next=/", 415),
        ("application/x-www-form-urlencoded", b"a=1&" * 2000, 404),
    ],
)
def test_a_body_that_cannot_be_read_does_not_break_the_page_of_an_error(db, content_type, body, status):
    client = Client(raise_request_exception=False)
    assert client.generic("POST", "/nothing/", body, content_type).status_code == status
