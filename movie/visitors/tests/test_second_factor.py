"""A second factor from its enrolment to a sign-in, and who is asked for one."""

import base64
import re
import time
from types import SimpleNamespace

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from movie.operations.checks import staff_second_factor_is_decided
from movie.visitors.account_adapters import MFAAdapter

PASSWORD = "a long enough passphrase"
NOW = time.time()


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture(autouse=True)
def no_half_minute_ends(monkeypatch):
    """Stop the clock of codes, one of which may end before it is asked for."""
    monkeypatch.setattr(totp, "time", SimpleNamespace(time=lambda: NOW))


@pytest.fixture
def boss(db):
    return get_user_model().objects.create_superuser("boss", "boss@example.org", PASSWORD)


def login(client, password=PASSWORD):
    return client.post(reverse("account_login"), {"login": "boss", "password": password})


def is_in(client):
    return "_auth_user_id" in client.session


def code_of(secret):
    """What an authenticator app shows."""
    return totp.format_hotp_value(totp.hotp_value(secret, int(NOW) // 30))


def again_with_password(client, address):
    asked = client.get(address)
    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    return client.post(asked["Location"], {"password": PASSWORD, "next": address}, follow=True)


def enrol(client):
    """Set up an app; return its secret and the recovery codes."""
    login(client)
    page = again_with_password(client, reverse("mfa_activate_totp")).content.decode()
    secret = re.search(r'id="authenticator_secret"[^>]*value="(\w+)"', page).group(1)
    done = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)}, follow=True)
    assert done.status_code == 200
    codes = re.findall(r"\b\d{8}\b", client.get(reverse("mfa_view_recovery_codes")).content.decode())
    cache.clear()  # the code of this half-minute may be used again
    return secret, codes


def test_an_app_from_its_enrolment_to_the_next_sign_in(transactional_db, boss):
    secret, codes = enrol(Client())
    assert len(codes) == 10
    (told,) = mail.outbox
    assert told.to == ["boss@example.org"] and "authenticator app" in told.body.casefold()

    client = Client()
    asked = login(client)
    assert asked["Location"] == reverse("mfa_authenticate") and not is_in(client)
    assert "authenticator app" in client.get(asked["Location"]).content.decode()
    wrong = client.post(asked["Location"], {"code": "000000"})
    assert wrong.status_code == 200 and not is_in(client)
    assert client.post(asked["Location"], {"code": code_of(secret)}).status_code == 302
    assert is_in(client)
    assert client.get(reverse("admin:index")).status_code == 200


def test_a_code_and_a_recovery_code_work_once(boss):
    secret, codes = enrol(Client())
    for code in (code_of(secret), codes[0]):
        for works in (True, False):
            client = Client()
            login(client)
            client.post(reverse("mfa_authenticate"), {"code": code})
            assert is_in(client) is works
    client = Client()
    login(client)
    client.post(reverse("mfa_authenticate"), {"code": codes[1]})
    assert "8 codes are left" in client.get(reverse("mfa_index")).content.decode()


def test_a_change_stands_while_the_mail_server_is_away(transactional_db, boss, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    enrol(Client())
    assert Authenticator.objects.filter(user=boss, type="totp").exists()


def test_guessing_codes_is_stopped_from_every_address(boss):
    """Whoever guesses codes knows the password: the account waits, whatever address it comes from."""
    secret, _codes = enrol(Client())
    for number in range(6):
        client = Client(REMOTE_ADDR=f"192.0.2.{number}")
        login(client)
        page = client.post(reverse("mfa_authenticate"), {"code": "000000"}).content.decode()
    assert "Too many" in page
    client = Client(REMOTE_ADDR="192.0.2.99")
    login(client)
    client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert not is_in(client)


def test_the_admin_has_no_other_door(boss):
    guest = Client()
    for page in ("admin:index", "admin:auth_user_changelist"):
        address = reverse(page)
        turned_away = guest.get(address, follow=True)
        assert turned_away.redirect_chain[-1][0].startswith(reverse("account_login"))
    posted = guest.post(reverse("admin:login"), {"username": "boss", "password": PASSWORD})
    assert posted["Location"].startswith(reverse("account_login")) and not is_in(guest)
    secret, _codes = enrol(Client())
    client = Client()
    form = {"login": "boss", "password": PASSWORD, "next": reverse("admin:index")}
    assert client.post(reverse("account_login"), form)["Location"].startswith(reverse("mfa_authenticate"))
    assert client.get(reverse("admin:index")).status_code == 302
    entered = client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert entered["Location"] == reverse("admin:index")
    assert client.get(reverse("admin:password_change"))["Location"] == reverse("account_change_password")


def test_staff_without_a_required_second_factor_are_led_to_one(boss, settings):
    client = Client()
    login(client)
    assert client.get(reverse("admin:index")).status_code == 200
    settings.STAFF_SECOND_FACTOR = "required"
    page = client.get(reverse("admin:index"), follow=True)
    assert page.redirect_chain[-1][0] == reverse("mfa_index")
    assert "The administration asks for a second factor" in page.content.decode()
    assert client.get(reverse("experiments:list")).status_code == 403
    enrol(client)
    assert client.get(reverse("admin:index")).status_code == 200
    assert client.get(reverse("experiments:list")).status_code == 200


def test_who_lost_everything_is_let_in_by_a_command(boss, capsys):
    enrol(Client())
    call_command("remove_second_factor", "boss")
    assert "with the password alone" in capsys.readouterr().out
    client = Client()
    assert login(client).status_code == 302 and is_in(client)
    with pytest.raises(CommandError, match="no account nobody"):
        call_command("remove_second_factor", "nobody")


def test_members_are_not_asked(db, settings):
    settings.STAFF_SECOND_FACTOR = "required"
    get_user_model().objects.create_user("ann", password=PASSWORD)
    client = Client()
    client.post(reverse("account_login"), {"login": "ann", "password": PASSWORD})
    assert client.get(reverse("pages:account")).status_code == 200
    assert client.get(reverse("admin:login")).status_code == 403


@pytest.mark.parametrize(("answer", "asks"), [("", True), ("optional", False), ("required", False)])
def test_the_deploy_check_asks_until_it_is_answered(settings, answer, asks):
    settings.STAFF_SECOND_FACTOR = answer
    assert bool(staff_second_factor_is_decided(None)) is asks


def test_a_copy_of_the_database_gives_nobody_a_second_factor(boss, settings):
    secret, _codes = enrol(Client())
    stored = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in stored and base64.b32encode(secret.encode()).decode() not in stored
    adapter = MFAAdapter()
    kept = Authenticator.objects.get(type="totp").data["secret"]
    assert adapter.decrypt(kept) == secret
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "a new one" + "x" * 50
    assert adapter.decrypt(kept) == secret, "the former key opens it while it is a fallback"
    settings.SECRET_KEY_FALLBACKS = []
    unreadable = adapter.decrypt(kept)
    assert len(unreadable) >= 32 and unreadable != adapter.decrypt(kept), "no code fits"


@pytest.mark.parametrize("language", ["en", "ko", "zh-hans"])
@pytest.mark.parametrize("name", ["mfa_index", "mfa_activate_totp", "mfa_add_webauthn", "mfa_list_webauthn"])
def test_the_pages_stand_in_our_layout(boss, name, language):
    client = Client(headers={"Accept-Language": language})
    login(client)
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    html = client.get(reverse(name), follow=True).content.decode()
    assert 'class="wordmark"' in html and "<h1>" in html
    assert "style=" not in html and "<style" not in html
    assert re.search(r'<script(?![^>]*(\bsrc=|type="application/json"))', html) is None
