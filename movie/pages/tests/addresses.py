"""The address table of the site, and a site with something behind every address."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern, RoutePattern
from django.utils import timezone

from movie.api.models import ApiClient
from movie.catalogue.models import Genre, Movie, Person, Rating
from movie.catalogue.tests.films import make_film
from movie.experiments.models import Experiment, ExperimentArm
from movie.papers.models import Comment
from movie.papers.tests.writing import make_review
from movie.programmes.editing import change_programme, make_programme
from movie.programmes.membership import start_group
from movie.training.models import TrainingRun

PASSWORD = "a-long-enough-passphrase"
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
NAMED_GROUP = "(?P<"
ValueOf = Callable[[str, Any], object]  # (name of a parameter, its converter if it has one)


def patterns(resolver: Any = None, parents: tuple = ()) -> Iterator[tuple[tuple, URLPattern]]:
    """Yield every address pattern of the table after the patterns that lead to it."""
    for each in (resolver or get_resolver()).url_patterns:
        if isinstance(each, URLResolver):
            yield from patterns(each, (*parents, each.pattern))
        else:
            yield (*parents, each.pattern), each


def address_of(parts: tuple, known: Mapping[str, object]) -> str:
    """Return an address with something that exists for each parameter, else with 1 or a word."""

    def value_of(name: str, converter: Any) -> object:
        is_number = converter is not None and not re.fullmatch(converter.regex, "x")
        return known.get(name, 1 if is_number else "x")

    return fill_address(parts, value_of)


def fill_address(parts: tuple, value_of: ValueOf) -> str:
    """Return an address; `value_of(name, converter)` fills each of its parameters."""
    address = ""
    for part in parts:
        if isinstance(part, RoutePattern):
            converters = part.converters
            address += PARAMETER.sub(
                lambda found: str(value_of(found[1], converters[found[1]])),  # noqa: B023 - called at once
                str(part._route),
            )
        elif isinstance(part, RegexPattern):
            address += _fill_groups(part._regex.lstrip("^").rstrip("$").replace("\\Z", ""), value_of)
    return "/" + address


def _fill_groups(regex: str, value_of: ValueOf) -> str:
    """Return the regular expression with a value in place of each named group."""
    while (start := regex.find(NAMED_GROUP)) >= 0:
        name = regex[start + len(NAMED_GROUP) : regex.index(">", start)]
        depth = 0
        for end in range(start, len(regex)):
            depth += {"(": 1, ")": -1}.get(regex[end], 0)
            if not depth:
                break
        regex = f"{regex[:start]}{value_of(name, None)}{regex[end + 1 :]}"
    return regex


def populate() -> dict[str, Any]:
    """Put something behind every address: a film with people, a review of a trained model, an experiment,
    a program, a training. Return the parameters of addresses that exist. Needs the fixture `api_site`.
    """
    make_film("Heat", 1995, directors=["Michael Mann"], cast=["Al Pacino"], genres=["Crime"], stars=[4, 5])
    boss = get_user_model().objects.create_superuser("boss", "boss@example.org", PASSWORD)
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
    public = make_programme(f"user:{boss.pk}", "Nights", Movie.objects.first())
    change_programme(public, title="Nights", note="", is_public=True)
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
        "token": start_group("guest:1", "Ann").token,
        "programme_id": public.pk,
    }
