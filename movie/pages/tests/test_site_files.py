"""The files at the root of the site, what caches may keep, and senders without an address."""

import json
import re
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from movie.catalogue.models import Rating
from movie.catalogue.tests.films import make_film


def test_crawlers_are_told_what_to_leave_alone(client):
    response = client.get("/robots.txt")
    assert response["Content-Type"].startswith("text/plain")
    rules = response.content.decode().splitlines()
    assert rules[0] == "User-agent: *"
    for name in ("recommend", "compare", "history", "account", "search", "home"):
        address = reverse(f"pages:{name}")
        assert (f"Disallow: {address}" in rules) == (name != "home")
    assert f"Disallow: {reverse('admin:index')}" in rules
    assert not response.cookies


def test_a_contact_is_named_only_where_there_is_one(client, settings, db):
    assert client.get("/.well-known/security.txt").status_code == 404
    settings.SECURITY_CONTACT = "mailto:security@example.org"
    lines = client.get("/.well-known/security.txt").content.decode().splitlines()
    assert lines[0] == "Contact: mailto:security@example.org"
    assert lines[1].startswith("Expires: 20")


def test_a_browser_that_asks_for_an_icon_finds_the_mark(client):
    response = client.get("/favicon.ico")
    assert response["Location"].endswith("pages/mark.svg")
    assert client.get(response["Location"]).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/search/suggest/?q=heat", "/api/docs/", "/", "/recommend/"])
def test_what_differs_by_visitor_or_language_is_kept_by_no_shared_cache(client, address):
    assert "private" in client.get(address)["Cache-Control"]


@pytest.mark.django_db
@pytest.mark.parametrize("proxy", [False, True])
@pytest.mark.parametrize("address", ["", "unknown", "192.0.2.1:1234", "\xff"])
def test_a_sender_without_an_address_is_served(settings, proxy, address):
    """A Unix socket has none, and a proxy may say `unknown`."""
    if proxy:
        settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    film = make_film("Heat")
    said = {"REMOTE_ADDR": "" if proxy else address, "HTTP_X_FORWARDED_FOR": address}
    client = Client(raise_request_exception=False)
    for path in ("/", "/accounts/login/", "/api/v1/movies", "/admin/login/", "/metrics"):
        assert client.get(path, **said).status_code < 500, path
    assert client.post(f"/movies/{film.pk}/rate/", {"value": "4"}, **said).status_code == 303
    assert client.post("/accounts/login/", {"login": "x", "password": "y"}, **said).status_code == 200
    assert Rating.objects.get().value == 4


@pytest.fixture
def boss(client, db):
    client.force_login(get_user_model().objects.create_superuser("boss", "b@example.org", "x"))
    return client


@pytest.mark.parametrize("model", ["movie", "rating"])
@pytest.mark.parametrize("query", ["bogus=1", "format=99", "title__nothing=1", "is_visible__exact=x", "e=1"])
def test_an_export_with_unknown_parameters_breaks_nothing(boss, model, query):
    address = reverse(f"admin:catalogue_{model}_export")
    for response in (
        boss.get(f"{address}?{query}", follow=True),
        boss.post(f"{address}?{query}", {"format": "99"}, follow=True),
    ):
        assert response.status_code == 200


@pytest.mark.parametrize("model", ["movie", "rating"])
@pytest.mark.parametrize("name", ["nope", "../../etc/passwd", "a\0b", "x" * 5000, "."])
def test_a_preview_that_is_gone_has_to_be_made_again(boss, model, name):
    sent = {"import_file_name": name, "original_file_name": "x.csv", "format": "0", "resource": ""}
    response = boss.post(reverse(f"admin:catalogue_{model}_process_import"), sent, follow=True)
    assert response.status_code == 200


def test_a_shared_link_has_a_picture_with_an_absolute_address_and_phones_an_icon(client, db):
    page = client.get("/").content.decode()
    picture = re.search(r'property="og:image" content="http://testserver(/static/pages/share[^"]*)"', page)
    manifest = json.loads(Path(finders.find("pages/site.webmanifest")).read_text())
    assert picture
    assert 'rel="manifest"' in page
    for name in ("share.png", "icon-180.png", *(icon["src"] for icon in manifest["icons"])):
        assert finders.find(f"pages/{name}"), name
