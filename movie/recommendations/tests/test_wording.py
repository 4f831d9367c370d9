"""What reasons say, word for word: every relation, every role, everything a visitor can have done."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache

from movie.catalogue.models import Credit, Movie
from movie.catalogue.tests.films import make_film, person
from movie.recommendations.explanations.explanation import Explanation
from movie.recommendations.tests.paths import explain
from predictors.explain import SOMEONE, PathReason, PathStep
from predictors.explain import Explanation as PathExplanation
from predictors.history import History, Interaction

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RELATIONS = {"director": "directed_by", "writer": "written_by", "cast": "starring"}


@pytest.fixture(autouse=True)
def _no_models(settings, tmp_path):
    settings.MODEL_DIR = tmp_path
    cache.clear()


class Told:
    """An explainer that says what it is told to, with equal shares."""

    def __init__(self, *paths: tuple[PathStep, ...]) -> None:
        self.paths = paths

    def explain(self, history, movie_ids, limit=3):
        share = 1 / len(self.paths)
        reasons = tuple(PathReason(path, share) for path in self.paths)
        return [PathExplanation(movie_id, reasons, 0.0, len(reasons)) for movie_id in movie_ids]


def path(start: Movie, *hops: tuple[str, str, str, Movie]) -> tuple[PathStep, ...]:
    """hops: relation from the film, entity, relation to the next film (without ^-1), that film."""
    steps = [PathStep("rated", f"movie:{start.pk}")]
    for there, entity, back, film in hops:
        steps += [PathStep(there, entity), PathStep(f"{back}^-1", f"movie:{film.pk}")]
    return tuple(steps)


def did(*events: tuple[Movie, str, float | None]) -> History:
    return History(
        Interaction(f"{n:03}", "guest:1", kind, film.pk, NOW + timedelta(minutes=n), value)
        for n, (film, kind, value) in enumerate(events)
    )


def why(film: Movie, history: History, *paths: tuple[PathStep, ...]) -> Explanation:
    return explain([film.pk], history, explainer=Told(*paths))[film.pk]


def said(film: Movie, history: History, *paths: tuple[PathStep, ...]) -> list[str]:
    return [connection.phrase.text for connection in why(film, history, *paths).connections]


def with_roles(title: str, name: str, roles: str) -> Movie:
    """d, w and c stand for director, writer and cast."""
    people = {"d": "directors", "w": "writers", "c": "cast"}
    return make_film(title, 1995, **{people[role]: [name] for role in roles})


ROLES = {"d": "director", "w": "writer", "c": "cast"}


@pytest.mark.parametrize(
    ("roles", "roles_before", "expected"),
    [
        ("d", "d", "Directed by Ann, who made Heat"),
        ("w", "w", "Written by Ann, who also wrote Heat"),
        ("c", "c", "With Ann, who is also in Heat"),
        ("dw", "dw", "Written and directed by Ann, who also wrote and directed Heat"),
        ("dc", "dc", "Directed by and with Ann, who also directed and is in Heat"),
        ("wc", "wc", "Written by and with Ann, who also wrote and is in Heat"),
        ("dwc", "dwc", "Written and directed by, and with, Ann, who also wrote, directed and is in Heat"),
        ("w", "d", "Written by Ann, who directed Heat"),
        ("d", "w", "Directed by Ann, who wrote Heat"),
        ("d", "c", "Directed by Ann, who is in Heat"),
        ("c", "dw", "With Ann, who wrote and directed Heat"),
        ("c", "dc", "With Ann, who directed and is in Heat"),
        ("d", "wc", "Directed by Ann, who wrote and is in Heat"),
        ("w", "dwc", "Written by Ann, who wrote, directed and is in Heat"),
        ("dw", "d", "Written and directed by Ann, who directed Heat"),
    ],
)
def test_a_person_is_said_to_have_done_what_the_credits_say_they_did(roles, roles_before, expected):
    heat, film = with_roles("Heat", "Ann", roles_before), with_roles("Collateral", "Ann", roles)
    there, back = RELATIONS[ROLES[roles_before[0]]], RELATIONS[ROLES[roles[0]]]
    route = path(heat, (there, f"person:{person('Ann').pk}", back, film))
    assert said(film, did((heat, "rating", 4.5)), route) == [f"{expected}, which you rated 4½★"]


@pytest.mark.parametrize(
    ("events", "clause"),
    [
        ([("rating", 3.0)], "which you rated 3★"),
        ([("click", None), ("watchlist", None), ("rating", 5.0)], "which you rated 5★"),
        ([("watchlist", None)], "which is on your watchlist"),
        ([("click", None), ("watchlist", None)], "which is on your watchlist"),
        ([("click", None)], "which you looked at"),
        ([("watchlist", None), ("watchlist", 0.0), ("click", None)], "which you looked at"),
        ([("rating", 5.0), ("rating", None), ("click", None)], "which you looked at"),
    ],
)
def test_a_film_of_yours_is_named_with_what_you_did_last(events, clause):
    heat, film = with_roles("Heat", "Ann", "d"), with_roles("Collateral", "Ann", "d")
    history = did(*((heat, kind, value) for kind, value in events))
    route = path(heat, ("directed_by", f"person:{person('Ann').pk}", "directed_by", film))
    assert said(film, history, route) == [f"Directed by Ann, who made Heat, {clause}"]


@pytest.mark.parametrize("events", [[("rating", 2.5)], [("click", None), ("dismiss", None)], []])
def test_what_you_disliked_or_never_met_begins_no_reason(events):
    heat, film = with_roles("Heat", "Ann", "d"), with_roles("Collateral", "Ann", "d")
    other = make_film("Alien")
    history = did((other, "rating", 5.0), *((heat, kind, value) for kind, value in events))
    route = path(heat, ("directed_by", f"person:{person('Ann').pk}", "directed_by", film))
    assert said(film, history, route) == []


@pytest.mark.parametrize(
    ("relation", "entity"),
    [
        ("in_genre", "genre:Crime"),
        ("from_country", "country:France"),
        ("of_decade", "decade:1990"),
        ("rated_by", SOMEONE),
        ("rated_by", "user:7"),
    ],
)
def test_a_genre_a_country_a_decade_or_other_visitors_alone_connect_nothing(relation, entity):
    facts = {"genres": ["Crime"], "countries": ["France"], "stars": [5, 5]}
    heat, film = make_film("Heat", 1995, **facts), make_film("Ronin", 1998, **facts)
    assert said(film, did((heat, "rating", 4.0)), path(heat, (relation, entity, relation, film))) == []


def test_a_small_part_connects_nothing():
    """The sixth of a cast; whoever directs or writes counts wherever they are named."""
    crowd = [f"Extra {n}" for n in range(5)]
    heat = make_film("Heat", cast=[*crowd, "Ann"])
    led, directed = make_film("Led", cast=["Ann"]), make_film("Directed", directors=["Ann"])
    ann = f"person:{person('Ann').pk}"
    to_led = path(heat, ("starring", ann, "starring", led))
    assert said(led, did((heat, "rating", 4.0)), to_led) == []
    from_directed = path(directed, ("directed_by", ann, "starring", led))
    assert said(led, did((directed, "rating", 4.0)), from_directed) == [
        "With Ann, who directed Directed, which you rated 4★"
    ]


def test_each_person_connects_once_by_the_heaviest_path():
    films = [with_roles(f"Part {n}", "Ann", "d") for n in (1, 2)]
    film = make_film("New", directors=["Ann"], writers=["Bob"])
    earlier = with_roles("Draft", "Bob", "w")
    history = did(*((each, "rating", 4.0) for each in (*films, earlier)))
    ann, bob = f"person:{person('Ann').pk}", f"person:{person('Bob').pk}"
    routes = [path(each, ("directed_by", ann, "directed_by", film)) for each in films]
    by_bob = path(earlier, ("written_by", bob, "written_by", film))
    assert said(film, history, *routes, by_bob) == [
        "Directed by Ann, who made Part 1, which you rated 4★",
        "Written by Bob, who also wrote Draft, which you rated 4★",
    ]


def test_a_number_stands_beside_a_path_only_where_kprn_made_the_list_and_it_weighs():
    """One of two paths holds half of the weight, one of six a sixth."""
    films = [with_roles(f"Part {n}", f"Person {n}", "d") for n in range(6)]
    film = make_film("New", directors=[f"Person {n}" for n in range(6)])
    history = did(*((each, "rating", 4.0) for each in films))
    routes = [
        path(each, ("directed_by", f"person:{person(f'Person {n}').pk}", "directed_by", film))
        for n, each in enumerate(films)
    ]

    def percents(model, *some):
        found = explain([film.pk], history, model=model, explainer=Told(*some))[film.pk]
        return [connection.percent for connection in found.connections]

    assert percents("kprn", *routes[:2]) == [50, 50]
    assert percents("ease", *routes[:2]) == [0, 0]
    assert percents("kprn", *routes) == [0, 0, 0]


@pytest.mark.parametrize(
    ("there", "entity", "expected"),
    [
        ("starring", "person", "Alien, which shares Ann with Heat, which you rated 5★"),
        ("in_genre", "genre:Crime", "Alien, itself filed under Crime like Heat, which you rated 5★"),
        (
            "from_country",
            "country:France",
            "Alien, itself made in the same country (France) as Heat, which you rated 5★",
        ),
        ("of_decade", "decade:1990", "Alien, itself from the 1990s like Heat, which you rated 5★"),
    ],
)
def test_longer_paths_are_one_sentence(there, entity, expected):
    facts = {"genres": ["Crime"], "countries": ["France"], "cast": ["Ann"]}
    heat, alien = make_film("Heat", 1990, **facts), make_film("Alien", 1999, **facts, directors=["Bob"])
    film = make_film("New", directors=["Bob"])
    entity = f"person:{person('Ann').pk}" if entity == "person" else entity
    history = did((heat, "rating", 5.0))
    first = (there, entity, there, alien)
    bob = f"person:{person('Bob').pk}"
    by_director = path(heat, first, ("directed_by", bob, "directed_by", film))
    assert said(film, history, by_director) == [f"Directed by Bob, who made {expected}"]


def test_no_path_leads_past_a_film_you_disliked():
    heat = make_film("Heat", genres=["Crime"])
    bad = make_film("Bad", genres=["Crime"], directors=["Ann"])
    film = make_film("New", directors=["Ann"])
    ann = f"person:{person('Ann').pk}"
    route = path(
        heat, ("in_genre", "genre:Crime", "in_genre", bad), ("directed_by", ann, "directed_by", film)
    )
    assert said(film, did((heat, "rating", 5.0)), route)
    assert said(film, did((heat, "rating", 5.0), (bad, "rating", 1.0)), route) == []


def test_films_and_people_are_links_and_their_names_are_text():
    heat = with_roles("Heat <i>", "Ann & Co", "d")
    film = with_roles("New", "Ann & Co", "d")
    someone = person("Ann & Co")
    route = path(heat, ("directed_by", f"person:{someone.pk}", "directed_by", film))
    phrase = why(film, did((heat, "rating", 5.0)), route).connections[0].phrase
    assert phrase.html == (
        f'Directed by <a href="/people/{someone.pk}/">Ann &amp; Co</a>, who made '
        f'<a href="/movies/{heat.pk}/">Heat &lt;i&gt;</a>, which you rated 5★'
    )


def test_people_of_one_name_are_one_and_the_link_leads_to_who_made_the_recommended_film():
    heat, film = with_roles("Heat", "Ann Lee", "d"), make_film("New")
    first = person("Ann Lee")
    second = type(first).objects.create(name="ANN  LEE")
    Credit.objects.create(movie=film, person=second, role="director")
    route = path(heat, ("directed_by", f"person:{first.pk}", "directed_by", film))
    connection = why(film, did((heat, "rating", 5.0)), route).connections[0]
    assert connection.phrase.text == "Directed by ANN  LEE, who made Heat, which you rated 5★"
    assert f'"/people/{second.pk}/"' in connection.phrase.html
