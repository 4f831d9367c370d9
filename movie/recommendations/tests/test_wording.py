"""What reasons say, word for word: every relation, every role, everything a visitor can have done."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache

from movie.catalogue.models import Credit, Movie, Rating
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
    return [reason.phrase.text for reason in why(film, history, *paths).reasons]


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
    assert said(film, did((heat, "rating", 4.5)), route) == [f"{expected}, which you rated 4½"]


@pytest.mark.parametrize(
    ("events", "clause"),
    [
        ([("rating", 3.0)], "which you rated 3"),
        ([("click", None), ("watchlist", None), ("rating", 5.0)], "which you rated 5"),
        ([("watchlist", None)], "which is on your watchlist"),
        ([("click", None), ("watchlist", None)], "which is on your watchlist"),
        ([("click", None)], "which you looked at"),
        ([("watchlist", None), ("watchlist", 0.0), ("click", None)], "which you looked at"),
        ([("rating", 5.0), ("rating", None), ("click", None)], "which you looked at"),
    ],
)
def test_a_film_of_yours_is_named_with_what_you_did_last(events, clause):
    heat, film = make_film("Heat", genres=["Crime"]), make_film("Collateral", genres=["Crime"])
    history = did(*((heat, kind, value) for kind, value in events))
    route = path(heat, ("in_genre", "genre:Crime", "in_genre", film))
    assert said(film, history, route) == [f"Filed under Crime, like Heat, {clause}"]


@pytest.mark.parametrize("events", [[("rating", 2.5)], [("click", None), ("dismiss", None)], []])
def test_what_you_disliked_or_never_met_begins_no_reason(events):
    heat, film = make_film("Heat", genres=["Crime"]), make_film("Collateral", genres=["Crime"])
    other = make_film("Alien")
    history = did((other, "rating", 5.0), *((heat, kind, value) for kind, value in events))
    answer = why(film, history, path(heat, ("in_genre", "genre:Crime", "in_genre", film)))
    assert answer.reasons == ()
    assert "Nothing in the catalogue connects it to a film you liked" in answer.fallback_text


def test_countries_decades_and_other_people():
    heat = make_film("Heat", 1995, countries=["United States"], stars=[5, 5, 4])
    film = make_film("Ronin", 1998, countries=["United States"])
    for n in range(3):  # the same people, one of them unlike the others
        visitor = Rating.objects.filter(movie=heat).order_by("pk")[n].visitor
        Rating.objects.create(movie=film, visitor=visitor, value=[4.0, 3.0, 1.0][n], rated_at=NOW)
    history = did((heat, "rating", 4.0))
    country = path(heat, ("from_country", "country:United States", "from_country", film))
    decade = path(heat, ("of_decade", "decade:1990", "of_decade", film))
    people = path(heat, ("rated_by", SOMEONE, "rated_by", film))
    assert said(film, history, country) == [
        "Made in the same country (United States) as Heat, which you rated 4"
    ]
    assert said(film, history, decade) == ["From the 1990s, like Heat, which you rated 4"]
    answer = why(film, history, people)
    assert answer.reasons[0].phrase.text == "People who liked Heat, which you rated 4, also liked this"
    assert "2 people liked both" in [stop.node.name for stop in answer.reasons[0].paths[0]]


def test_one_person_is_not_people():
    heat, film = make_film("Heat"), make_film("Ronin")
    for movie in (heat, film):
        Rating.objects.create(movie=movie, visitor="user:7", value=5.0, rated_at=NOW)
    history = did((heat, "rating", 4.0))
    assert said(film, history, path(heat, ("rated_by", SOMEONE, "rated_by", film))) == []
    assert said(film, history, path(heat, ("rated_by", "user:7", "rated_by", film))) == []


def test_paths_over_the_same_node_are_one_reason_and_roles_keep_them_apart():
    films = [with_roles(f"Part {n}", "Ann", "d") for n in (1, 2, 3)]
    acted = with_roles("Cameo", "Ann", "c")
    film = with_roles("New", "Ann", "d")
    history = did(*((each, "rating", 4.0) for each in (*films, acted)))
    ann = f"person:{person('Ann').pk}"
    routes = [path(each, ("directed_by", ann, "directed_by", film)) for each in films]
    cameo = path(acted, ("starring", ann, "directed_by", film))
    assert said(film, history, *routes[:2]) == [
        "Directed by Ann, who made Part 1, which you rated 4, and Part 2, which you rated 4"
    ]
    answer = why(film, history, *routes, cameo)
    assert [reason.phrase.text for reason in answer.reasons] == [
        "Directed by Ann, who made Part 1, which you rated 4, and 2 others of yours",
        "Directed by Ann, who is in Cameo, which you rated 4",
    ]
    assert [reason.percent for reason in answer.reasons] == [75, 25]
    assert [len(reason.paths) for reason in answer.reasons] == [3, 1]


def test_what_several_films_share_with_other_people_holds_for_each_and_not_for_all_together():
    first, second, third = (make_film(f"Film {n}") for n in (1, 2, 3))
    film = make_film("New")
    for n, movie in enumerate((first, second, third)):
        for visitor in (f"user:{n}", f"user:{n + 10}"):
            Rating.objects.create(movie=movie, visitor=visitor, value=5.0, rated_at=NOW)
            Rating.objects.create(movie=film, visitor=visitor, value=5.0, rated_at=NOW)
    history = did(*((each, "rating", 4.0) for each in (first, second, third)))
    routes = [path(each, ("rated_by", SOMEONE, "rated_by", film)) for each in (first, second, third)]
    assert said(film, history, *routes[:2]) == [
        "People who liked Film 1, which you rated 4, or Film 2, which you rated 4, also liked this"
    ]
    assert said(film, history, *routes) == [
        "People who liked Film 1, which you rated 4, or one of 2 others of yours, also liked this"
    ]


@pytest.mark.parametrize(
    ("there", "entity", "expected"),
    [
        ("starring", "person", "Alien, which shares Ann with Heat, which you rated 5"),
        ("in_genre", "genre:Crime", "Alien, itself filed under Crime like Heat, which you rated 5"),
        (
            "from_country",
            "country:France",
            "Alien, itself made in the same country (France) as Heat, which you rated 5",
        ),
        ("of_decade", "decade:1990", "Alien, itself from the 1990s like Heat, which you rated 5"),
        ("rated_by", SOMEONE, "Alien, itself liked by people who liked Heat, which you rated 5"),
    ],
)
def test_longer_paths_are_one_sentence(there, entity, expected):
    facts = {"genres": ["Crime"], "countries": ["France"], "cast": ["Ann"]}
    heat, alien = make_film("Heat", 1990, **facts), make_film("Alien", 1999, **facts, directors=["Bob"])
    film = make_film("New", directors=["Bob"])
    for visitor in ("user:1", "user:2"):
        for movie in (heat, alien, film):
            Rating.objects.create(movie=movie, visitor=visitor, value=5.0, rated_at=NOW)
    entity = f"person:{person('Ann').pk}" if entity == "person" else entity
    history = did((heat, "rating", 5.0))
    first = (there, entity, there, alien)
    bob = f"person:{person('Bob').pk}"
    by_director = path(heat, first, ("directed_by", bob, "directed_by", film))
    assert said(film, history, by_director) == [f"Directed by Bob, who made {expected}"]
    by_people = path(heat, first, ("rated_by", SOMEONE, "rated_by", film))
    assert said(film, history, by_people) == [f"Liked by people who liked {expected}"]


def test_no_path_leads_past_a_film_you_disliked():
    heat, bad = make_film("Heat", genres=["Crime"]), make_film("Bad", 1995, genres=["Crime"])
    film = make_film("New", 1996)
    route = path(
        heat, ("in_genre", "genre:Crime", "in_genre", bad), ("of_decade", "decade:1990", "of_decade", film)
    )
    assert said(film, did((heat, "rating", 5.0)), route)
    assert said(film, did((heat, "rating", 5.0), (bad, "rating", 1.0)), route) == []


def test_films_and_people_are_links_and_their_names_are_text():
    heat = with_roles("Heat <i>", "Ann & Co", "d")
    film = with_roles("New", "Ann & Co", "d")
    someone = person("Ann & Co")
    route = path(heat, ("directed_by", f"person:{someone.pk}", "directed_by", film))
    phrase = why(film, did((heat, "rating", 5.0)), route).reasons[0].phrase
    assert phrase.html == (
        f'Directed by <a href="/people/{someone.pk}/">Ann &amp; Co</a>, who made '
        f'<a href="/movies/{heat.pk}/">Heat &lt;i&gt;</a>, which you rated 5'
    )


def test_people_of_one_name_are_one_and_the_link_leads_to_who_made_the_recommended_film():
    heat, film = with_roles("Heat", "Ann Lee", "d"), make_film("New")
    first = person("Ann Lee")
    second = type(first).objects.create(name="ANN  LEE")
    Credit.objects.create(movie=film, person=second, role="director")
    route = path(heat, ("directed_by", f"person:{first.pk}", "directed_by", film))
    reason = why(film, did((heat, "rating", 5.0)), route).reasons[0]
    assert reason.phrase.text == "Directed by ANN  LEE, who made Heat, which you rated 5"
    assert f'"/people/{second.pk}/"' in reason.phrase.html
