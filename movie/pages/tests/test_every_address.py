"""Every address of the site, as the address table has them: whoever asks, the site never breaks."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.urls.resolvers import RegexPattern, RoutePattern
from django.utils import timezone

from movie.api.models import ApiClient
from movie.catalogue.models import Genre, Movie, Person, Rating
from movie.catalogue.tests.films import make_film
from movie.events.stream import get_event_stream
from movie.events.stream.backlog import backlog
from movie.experiments.models import Experiment, ExperimentArm
from movie.papers.models import Comment
from movie.papers.tests.writing import make_review
from movie.training.models import TrainingRun

BROWSER = {"user-agent": "Mozilla/5.0 Firefox/140.0", "accept": "text/html,application/xhtml+xml"}
LEFT_OUT = ("account_logout",)  # ends the session; see the tests of accounts


def patterns(resolver: Any = None, parents: tuple = ()) -> Iterator[tuple[tuple, URLPattern]]:
    for each in (resolver or get_resolver()).url_patterns:
        if isinstance(each, URLResolver):
            yield from patterns(each, (*parents, each.pattern))
        else:
            yield (*parents, each.pattern), each


def address_of(parts: tuple, known: dict[str, Any]) -> str | None:
    """The address with something that exists for each part; None for a regular expression with parts."""
    address = ""
    for part in parts:
        if isinstance(part, RoutePattern):
            text = str(part._route)
            for name, converter in part.converters.items():
                value = known.get(
                    name, 1 if type(converter).__name__ in ("IntConverter", "IdConverter") else "x"
                )
                for written in (
                    f"<{name}>",
                    *(f"<{kind}:{name}>" for kind in ("int", "id", "str", "slug", "path")),
                ):
                    text = text.replace(written, str(value))
            address += text
        elif isinstance(part, RegexPattern):
            if "(" in part._regex:
                return None
            address += part._regex.lstrip("^").rstrip("$")
    return "/" + address


@pytest.fixture
def site(api_site, settings) -> dict[str, Any]:
    """Something behind every address: films, a person, a review of a trained model, an experiment, a key."""
    make_film("Heat", 1995, directors=["Michael Mann"], cast=["Al Pacino"], genres=["Crime"], stars=[4, 5])
    boss = get_user_model().objects.create_superuser("boss", "boss@example.org", "x")
    review = make_review("neighbours", model="neighbours")
    comment = Comment.objects.create(
        review=review, author=boss, body="Good.", post_id="01890a5d-ac96-774b-bcce-b302099a8057"
    )
    experiment = Experiment.objects.create(name="models")
    for name, model in (("control", "popular"), ("new", "neighbours")):
        ExperimentArm.objects.create(
            experiment=experiment, name=name, predictor=model, share="0.5", is_control=name == "control"
        )
    experiment.state = Experiment.State.RUNNING
    experiment.save()
    ApiClient.objects.create(slug="shop")
    TrainingRun.objects.create(model="ease")
    Rating.objects.create(visitor=f"user:{boss.pk}", movie_id=2, value=4, rated_at=timezone.now())
    return {
        "movie_id": 1,
        "person_id": Person.objects.first().pk,
        "genre_id": Genre.objects.first().pk,
        "name": "models",
        "slug": "neighbours",
        "dotted": "predictors.models.neighbours",
        "comment_id": comment.pk,
        "model": "neighbours",
        "object_id": 1,
        "visitor": "guest:1",
    }


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
        if pattern.name not in LEFT_OUT and (address := address_of(parts, site)):
            addresses[address] = pattern.name
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
    for address in [*filter(None, addresses), f"/api/v1/movies/{number}", f"/api/v1/movies/{number}/similar"]:
        assert client.get(address).status_code == 404, address
