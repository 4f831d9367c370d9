"""Every address of the site, as the address table has them: whoever asks, the site never breaks."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.urls.resolvers import RoutePattern

from movie.catalogue.models import Movie
from movie.events.stream import get_event_stream
from movie.events.stream.backlog import backlog
from movie.pages.tests.addresses import address_of, patterns, populate

BROWSER = {"user-agent": "Mozilla/5.0 Firefox/140.0", "accept": "text/html,application/xhtml+xml"}
LEFT_OUT = ("account_logout",)  # ends the session; see the tests of accounts


@pytest.fixture
def site(api_site) -> dict[str, Any]:
    return populate()


def asking(who: str) -> Client:
    client = Client(raise_request_exception=False, headers=BROWSER)
    if who == "member":
        client.force_login(get_user_model().objects.create_user("ann", "ann@example.org", "x"))
    elif who == "staff":
        client.force_login(get_user_model().objects.get(username="boss"))
    client.get("/")
    for film in (1, 3, 5):
        client.post(reverse("pages:rate", args=[film]), {"value": "5"})
    return client


def deliver_outbox() -> None:
    """Deliver recorded events where there is an outbox, so that pages read from archive and database."""
    if get_event_stream().uses_outbox:
        call_command("create_event_topic", partitions=2)
        call_command("relay_events", once=True)
        assert not any(waiting.rows for waiting in backlog().values())


@pytest.mark.parametrize("who", ["guest", "member", "staff"])
def test_no_address_breaks(site, who, settings):
    settings.WRITE_RATE_LIMIT = 1_000_000
    client = asking(who)
    addresses = {}
    for parts, pattern in patterns():
        if pattern.name not in LEFT_OUT:
            addresses[address_of(parts, site)] = pattern.name
    assert len(addresses) > 150
    broken = []
    for _uncached_then_cached in range(2):
        for address in addresses:
            if (status := client.get(address).status_code) >= 500:
                broken.append(("GET", address, status))
        deliver_outbox()
    for address, name in addresses.items():
        if address.startswith("/admin") or name in ("forget_all", "admin:logout"):
            continue
        if (status := client.post(address, {}).status_code) >= 500:
            broken.append(("POST", address, status))
    assert not broken
    assert Movie.objects.filter(pk=1).exists()


@pytest.mark.parametrize("number", [2**63, 10**19, 10**40])
def test_an_id_that_no_row_can_have_is_not_found(site, number):
    client = asking("staff")
    known = {name: number for name in site if name.endswith("_id") and name != "object_id"}
    addresses = {
        address_of(parts, site | known)
        for parts, _pattern in patterns()
        if any(
            type(converter).__name__ in ("IntConverter", "IdConverter")
            for part in parts
            if isinstance(part, RoutePattern)
            for converter in part.converters.values()
        )
    }
    assert len(addresses) >= 15
    named = [address for address in addresses if str(number) in address]
    for address in [*named, f"/api/v1/movies/{number}", f"/api/v1/movies/{number}/similar"]:
        answer = client.get(address)
        asks_for_password = "/reauthenticate/" in answer.get("Location", "")
        assert answer.status_code in (404, 405) or asks_for_password, address  # 405: POST alone
