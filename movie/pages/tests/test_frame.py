"""The frame of a page is rendered once for all who see the same, and holds nothing of another visitor."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.template.loader import get_template
from django.test import Client

from movie.pages.templatetags import frame

pytestmark = pytest.mark.django_db
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


def page(client: Client, address: str = "/privacy/", language: str = "en") -> str:
    return client.get(address, headers={"accept-language": language}).content.decode()


def test_two_visitors_share_a_frame_and_no_token():
    frame._rendered.cache_clear()
    first, second = page(Client()), page(Client())
    assert frame._rendered.cache_info().misses == 1
    assert len(set(TOKEN.findall(first))) == 1
    assert set(TOKEN.findall(first)).isdisjoint(TOKEN.findall(second))


def test_an_address_opens_no_slot(client):
    sought = page(client, "/search/?q=%00csrf_token%00<b>")
    assert 'value="\0csrf_token\0&lt;b&gt;"' in sought


def test_a_frame_knows_the_page_the_account_the_language_and_the_theme(client):
    User.objects.create_user("Wu & Co", "wu@example.org", "a-long-password")
    assert "Wu " not in page(client)
    client.force_login(User.objects.get())
    assert "Wu &amp; Co" in page(client)
    assert "Administration" not in page(client)
    User.objects.update(is_staff=True)
    assert "Administration" in page(client)
    client.logout()
    assert "Wu " not in page(client)
    assert "본문으로 건너뛰기" in page(client, language="ko")
    client.cookies["theme"] = "dark"
    assert 'value="dark" aria-pressed="true"' in page(client)
    assert 'aria-current="page">Browse' in page(client, "/browse/")
    assert 'name="next" value="/privacy/?from=here"' in page(client, "/privacy/?from=here")


@pytest.mark.parametrize("action", ["view", "change"])
def test_staff_who_may_see_experiments_have_a_link_that_opens(client, action):
    user = User.objects.create_user("ada", "ada@example.org", "a-long-password", is_staff=True)
    client.force_login(user)
    assert 'href="/experiments/"' not in page(client)
    wanted = {"content_type__app_label": "experiments", "codename": f"{action}_experiment"}
    user.user_permissions.add(Permission.objects.get(**wanted))
    assert 'href="/experiments/"' in page(client)
    assert client.get("/experiments/").status_code == 200


def test_pages_without_a_mark_in_the_masthead_share_a_frame():
    frame._rendered.cache_clear()
    for address in ("/privacy/", "/data/", "/search/?q=heat"):
        page(Client(), address)
    assert frame._rendered.cache_info().misses == 1
    masthead = get_template("frame/_masthead.html").template.source
    assert set(re.findall(r'page == "([a-z_:]+)"', masthead)) == frame.NAVIGATION
