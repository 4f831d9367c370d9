"""Accounts as people use them: sign up, sign in and out, forget the password, try too often."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from movie.catalogue.models import Movie, Rating

PASSWORD = "a long enough passphrase"


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture
def ada(db):
    return get_user_model().objects.create_user("ada", "ada@example.org", PASSWORD)


def signup(client, **changes):
    form = {"username": "grace", "email": "", "password1": PASSWORD, "password2": PASSWORD, **changes}
    return client.post(reverse("account_signup"), form)


def login(client, password=PASSWORD, name="ada"):
    return client.post(reverse("account_login"), {"login": name, "password": password})


def is_member(client):
    return "_auth_user_id" in client.session


def test_signing_up_needs_no_email_and_keeps_what_the_guest_did(client, db):
    film = Movie.objects.create(title="Heat")
    client.get(reverse("pages:history"))
    client.post(reverse("pages:rate", args=[film.pk]), {"value": "4.5"})
    page = client.get(reverse("account_signup")).content.decode()
    assert "without it, a forgotten password cannot be reset" in page
    response = signup(client)
    assert response.status_code == 302
    user = get_user_model().objects.get(username="grace")
    assert Rating.objects.get().visitor == f"user:{user.pk}"
    assert "in your account now" in client.get(reverse("pages:history")).content.decode()
    assert not mail.outbox


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"username": ""}, "This field is required"),
        ({"password1": "12345", "password2": "12345"}, "too short"),
        ({"password2": "something else 77"}, "same password"),
        ({"username": "ada"}, "already exists"),
        ({"email": "nobody"}, "valid email"),
    ],
)
def test_a_wrong_sign_up_says_what_is_wrong_and_makes_no_account(client, ada, wrong, words):
    response = signup(client, **wrong)
    assert response.status_code == 200
    assert words in response.content.decode()
    assert get_user_model().objects.count() == 1


def test_signing_in_by_name_or_by_address(ada):
    for name in ("ada", "ada@example.org"):
        client = Client()
        assert login(client, name=name)["Location"] == reverse("pages:home")
        assert is_member(client)


def test_signing_in_leads_back_to_where_one_was(client, ada):
    form = {"login": "ada", "password": PASSWORD, "next": "/history/"}
    assert client.post(reverse("account_login"), form)["Location"] == "/history/"
    other = Client()
    response = other.post(reverse("account_login"), {**form, "next": "https://evil.example/"})
    assert response["Location"] == reverse("pages:home")


def test_signing_out_takes_a_post(client, ada):
    login(client)
    page = client.get(reverse("account_logout"))
    assert page.status_code == 200 and is_member(client)
    assert 'method="post"' in page.content.decode()
    client.post(reverse("account_logout"))
    assert not is_member(client)


def test_a_forgotten_password_is_replaced_through_a_mail(client, ada):
    response = client.post(reverse("account_reset_password"), {"email": "ada@example.org"})
    assert response["Location"] == reverse("account_reset_password_done")
    (message,) = mail.outbox
    assert message.to == ["ada@example.org"] and message.subject.startswith("[Reelgraph]")
    link = re.search(r"http://testserver(/\S+)", message.body).group(1)
    form_page = client.get(link, follow=True)
    address = form_page.redirect_chain[-1][0]
    new = "another passphrase entirely"
    done = client.post(address, {"password1": new, "password2": new}, follow=True)
    assert "Password saved" in done.content.decode()
    for password, works in ((PASSWORD, False), (new, True)):
        fresh = Client()
        login(fresh, password)
        assert is_member(fresh) is works
    assert "no longer works" in Client().get(link, follow=True).content.decode(), "a link works once"


def test_an_administrator_made_without_a_password_sets_one_through_a_mail(client, db):
    call_command("createsuperuser", interactive=False, username="boss", email="boss@example.org")
    boss = get_user_model().objects.get(username="boss")
    assert not boss.has_usable_password()
    client.post(reverse("account_reset_password"), {"email": "boss@example.org"})
    link = re.search(r"http://testserver(/\S+)", mail.outbox[0].body).group(1)
    address = client.get(link, follow=True).redirect_chain[-1][0]
    client.post(address, {"password1": PASSWORD, "password2": PASSWORD})
    boss.refresh_from_db()
    assert boss.check_password(PASSWORD)


def test_asking_for_a_reset_tells_nobody_who_has_an_account(client, ada):
    known = client.post(reverse("account_reset_password"), {"email": "ada@example.org"})
    unknown = client.post(reverse("account_reset_password"), {"email": "eve@example.org"})
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert sorted(each.to[0] for each in mail.outbox) == ["ada@example.org", "eve@example.org"], "one each"


def from_elsewhere(number):
    return {"REMOTE_ADDR": f"192.0.2.{number}"}


def test_guessing_passwords_is_stopped_even_for_the_right_one(client, ada):
    for number in range(9):
        assert "not correct" in login(client, f"guess {number}").content.decode()
    assert login(client, "guess 9").status_code == 429
    stopped = login(client)
    assert stopped.status_code == 429 and "Too many failed sign-ins" in stopped.content.decode()
    assert not is_member(client)


@pytest.mark.parametrize("name", ["ada", "ada@example.org"])
def test_nobody_locks_somebody_else_out(ada, name):
    for number in range(40):
        login(Client(**from_elsewhere(number // 14)), f"guess {number}", name)
    owner = Client(**from_elsewhere(9))
    assert login(owner, name=name).status_code == 302 and is_member(owner)


def test_all_addresses_of_one_customer_are_one(ada):
    """An IPv6 customer has 2^64 addresses; a neighbour is somebody else."""
    for number in range(10):
        login(Client(REMOTE_ADDR=f"2001:db8:0:1::{number:x}"), f"guess {number}")
    assert login(Client(REMOTE_ADDR="2001:db8:0:1:ffff::1")).status_code == 429
    neighbour = Client(REMOTE_ADDR="2001:db8:0:2::1")
    assert login(neighbour).status_code == 302


def test_a_new_password_lets_the_owner_in_at_once(client, ada):
    for number in range(10):
        login(client, f"guess {number}")
    client.post(reverse("account_reset_password"), {"email": "ada@example.org"})
    link = re.search(r"http://testserver(/\S+)", mail.outbox[-1].body).group(1)
    address = client.get(link, follow=True).redirect_chain[-1][0]
    new = "another passphrase entirely"
    client.post(address, {"password1": new, "password2": new})
    assert login(client, new).status_code == 302


def test_signing_up_in_bulk_is_stopped_with_a_page_of_ours(client, db):
    for _ in range(20):
        signup(client, username="")
    response = signup(client)
    assert response.status_code == 429
    assert_is_ours(response.content.decode())
    assert not get_user_model().objects.exists()


def test_changing_the_password_asks_for_the_old_one(client, ada):
    login(client)
    new = "another passphrase entirely"
    address = reverse("account_change_password")
    assert (
        client.post(address, {"oldpassword": "wrong", "password1": new, "password2": new}).status_code == 200
    )
    assert (
        client.post(address, {"oldpassword": PASSWORD, "password1": new, "password2": new}).status_code == 302
    )
    assert is_member(client)
    ada.refresh_from_db()
    assert ada.check_password(new)


def confirm_password(client, address, **form):
    """Go to an address that asks for the password again, and give it; return the page behind it."""
    asked = client.post(address, form) if form else client.get(address)
    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    return client.post(asked["Location"], {"password": PASSWORD, "next": address}, follow=True)


def test_an_address_can_be_added_later(client, db):
    signup(client)
    added = confirm_password(client, reverse("account_email"), email="grace@example.org", action_add="")
    assert "grace@example.org" in added.content.decode()
    assert mail.outbox[0].to == ["grace@example.org"]
    link = re.search(r"http://testserver(/\S+)", mail.outbox[0].body).group(1)
    assert 'method="post"' in client.get(link).content.decode()
    client.post(link)
    assert get_user_model().objects.get().email == "grace@example.org"
    assert get_user_model().objects.get().emailaddress_set.get().verified


@pytest.mark.parametrize("language", ["en", "ko", "zh-hans"])
@pytest.mark.parametrize(
    "name",
    [
        "account_login",
        "account_signup",
        "account_reset_password",
        "account_reset_password_done",
        "account_reset_password_from_key_done",
        "account_inactive",
        "account_email_verification_sent",
    ],
)
def test_every_page_stands_in_our_layout_without_inline_code(client, db, name, language):
    response = client.get(reverse(name), headers={"Accept-Language": language})
    assert_is_ours(response.content.decode())


@pytest.mark.parametrize(
    "name", ["account_change_password", "account_email", "account_logout", "account_reauthenticate"]
)
def test_members_pages_too(client, ada, name):
    login(client)
    assert_is_ours(client.get(reverse(name)).content.decode())


def assert_is_ours(html):
    assert 'class="wordmark"' in html and "<h1>" in html
    assert "style=" not in html and "<style" not in html
    assert re.search(r"<script(?![^>]*\bsrc=)", html) is None
    for identifier in re.findall(r'<input(?![^>]*type="hidden")[^>]*\bid="([^"]+)"', html):
        assert f'for="{identifier}"' in html, f"{identifier} has no label"
