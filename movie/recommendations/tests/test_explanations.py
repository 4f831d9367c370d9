"""Explanations are true: the card, the sheet and the page name the same film, the one that moved the score
most, and every connection holds however the catalogue has changed since the paths were found."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest
from django.core.cache import cache
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.interactions import Interactions
from evaluation.trainer import FROM_SITE, train
from movie.catalogue.models import Credit, Movie, Person, Rating
from movie.catalogue.tests.films import make_film
from movie.recommendations.explanations.explain import IMPERSONAL_MODELS, history_about
from movie.recommendations.explanations.explanation import Explanation, whole_percents
from movie.recommendations.ranked_list import load_movies, mean_sentence
from movie.recommendations.ranking import recommend
from movie.recommendations.tests.paths import CataloguePaths, explain
from movie.training.model_info import MODEL_INFO
from movie.training.registry import registry
from predictors.history import History, Interaction
from predictors.plugins import MODELS

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 1, tzinfo=UTC)
N_FILMS = 28
EXAMPLES = 100
HISTORIES_PER_MODEL = 12
QUICK: dict[str, dict[str, object]] = {  # options that make training a matter of seconds
    "sasrec": {"epochs": 2, "dim": 16, "threads": 1},
    "next_item": {"sasrec": {"epochs": 2, "dim": 16, "threads": 1}},
    "lightgcn": {"epochs": 2},
    "ngcf": {"epochs": 2},
    "kprn": {"epochs": 1},
}
KINDS = (
    *(("rating", stars / 2) for stars in range(1, 11)),
    ("click", None),
    ("watchlist", None),
    ("dismiss", None),
)


@pytest.fixture(autouse=True)
def _no_models(settings, tmp_path):
    settings.MODEL_DIR = tmp_path
    cache.clear()


@pytest.fixture
def films() -> list[Movie]:
    """Films of few people, genres and countries, so that much leads from each to each; rated by 30 people."""
    chance = Random(5)
    people = [f"Person {n}" for n in range(12)]
    made = [
        make_film(
            f"Film {n}",
            chance.choice([None, *range(1970, 2000, 4)]),
            genres=chance.sample(["Crime", "Drama", "War", "Western"], chance.randint(0, 2)),
            countries=chance.sample(["France", "Japan", "Mexico"], chance.randint(0, 1)),
            directors=chance.sample(people, chance.randint(0, 2)),
            writers=chance.sample(people, chance.randint(0, 2)),
            cast=chance.sample(people, chance.randint(0, 3)),
        )
        for n in range(N_FILMS)
    ]
    Rating.objects.bulk_create(
        Rating(visitor=f"test:{visitor}", movie=film, value=chance.randint(1, 10) / 2, rated_at=NOW)
        for visitor in range(30)
        for film in chance.sample(made, 12)
    )
    Movie.objects.refresh_aggregates()
    return made


@pytest.fixture
def many_films() -> list[Movie]:
    """230 films in 12 circles of taste, rated by 60 people."""
    chance = Random(6)
    made = Movie.objects.bulk_create(Movie(title=f"Film {n}", sort_title=f"film {n}") for n in range(230))
    ratings = []
    for visitor in range(60):
        near = [film for n, film in enumerate(made) if n % 12 in (visitor % 12, (visitor + 1) % 12)]
        for film in {*chance.sample(near, 16), *chance.sample(made, 8)}:
            stars = chance.choice((3.0, 4.0, 4.5, 5.0))
            ratings.append(Rating(visitor=f"test:{visitor}", movie=film, value=stars, rated_at=NOW))
    Rating.objects.bulk_create(ratings)
    Movie.objects.refresh_aggregates()
    return made


def history_of(events: list[tuple[int, tuple[str, float | None]]], films: list[Movie]) -> History:
    return History(
        Interaction(f"{n:03}", "guest:1", kind, films[film].pk, NOW + timedelta(minutes=n), value)
        for n, (film, (kind, value)) in enumerate(events)
    )


HISTORIES = st.lists(st.tuples(st.integers(0, N_FILMS - 1), st.sampled_from(KINDS)), min_size=1, max_size=12)


# -- an independent reading of the sentences ------------------------------------------------------------

DONE = {
    "Directed by": "d", "Written by": "w", "With": "c", "Written and directed by": "dw",
    "Directed by and with": "dc", "Written by and with": "wc", "Written and directed by, and with,": "dwc",
    "made": "d", "directed": "d", "wrote": "w", "also wrote": "w", "is in": "c", "is also in": "c",
    "wrote and directed": "dw", "also wrote and directed": "dw", "directed and is in": "dc",
    "also directed and is in": "dc", "wrote and is in": "wc", "also wrote and is in": "wc",
    "wrote, directed and is in": "dwc", "also wrote, directed and is in": "dwc",
}  # fmt: skip
FILM, PERSON = r"Film \d+", r"Person \d+"


class Reader:
    """Reads an English sentence about `film` and asks the database about every claim in it."""

    def __init__(self, film: Movie, history: History) -> None:
        self.film, self.history = film, history
        self.by_title = {movie.title: movie for movie in Movie.objects.visible()}
        self.claims: Counter[str] = Counter()

    def check(self, text: str) -> None:
        found = re.fullmatch(rf"(.+?) ({PERSON}), who (.+?) (?={FILM})(.+)", text)
        assert found and found[1] in DONE, f"cannot be read: {text}"
        self._person(self.film, *found.groups())

    def _person(self, film: Movie, made: str, name: str, did: str, rest: str) -> None:
        self.claims["person"] += 1
        for before in self._films(rest):
            assert _roles(film, name) == set(DONE[made]), (film, name, made)
            assert _roles(before, name) == set(DONE[did]), (before, name, did)

    def _genre(self, film: Movie, name: str, rest: str) -> None:
        self.claims["genre"] += 1
        assert all(each.genres.filter(name=name).exists() for each in (film, *self._films(rest)))

    def _country(self, film: Movie, name: str, rest: str) -> None:
        self.claims["country"] += 1
        assert all(each.countries.filter(name=name).exists() for each in (film, *self._films(rest)))

    def _decade(self, film: Movie, name: str, rest: str) -> None:
        self.claims["decade"] += 1
        assert {each.year // 10 * 10 for each in (film, *self._films(rest))} == {int(name)}

    def _films(self, text: str) -> list[Movie]:
        """The films that the end of a sentence names, each with what is said of it checked."""
        title = re.match(FILM, text)[0]
        film, rest = self.by_title[title], text[len(title) :]
        for pattern, follow in (
            (rf", which shares ({PERSON}) with (.+)", self._shares),
            (r", itself filed under ([\w-]+) like (.+)", self._genre),
            (r", itself made in the same country \((\w+)\) as (.+)", self._country),
            (r", itself from the (\d{4})s like (.+)", self._decade),
        ):
            if longer := re.fullmatch(pattern, rest):
                self.claims["long"] += 1
                follow(film, *longer.groups())
                return [film]
        clause = re.match(r", which (you rated [\d½]+★|is on your watchlist|you looked at)", rest)
        assert clause, text
        self._standing(film, clause[1])
        assert rest[clause.end() :] == ""
        return [film]

    def _shares(self, film: Movie, name: str, rest: str) -> None:
        assert all(_roles(each, name) for each in (film, *self._films(rest)))

    def _standing(self, film: Movie, clause: str) -> None:
        assert film.pk in self.history.liked
        assert film.pk not in self.history.disliked
        if clause.startswith("you rated"):
            stars = clause.removeprefix("you rated ").removesuffix("★").replace("½", ".5")
            assert self.history.ratings[film.pk] == float(stars) >= 3
        elif clause == "is on your watchlist":
            assert film.pk in self.history.watchlist
        else:
            assert film.pk in self.history.clicked


def _roles(film: Movie, name: str) -> set[str]:
    roles = Credit.objects.filter(movie=film, person__name=name).values_list("role", flat=True)
    return {role[0] for role in roles}


def check_paths(why: Explanation, history: History) -> None:
    """A drawn path begins with the visitor, goes on over a liked film, and ends with the film explained."""
    for connection in why.connections:
        kinds = [stop.node.kind for stop in connection.path]
        assert kinds[0] == "you"
        assert kinds[1::2] == ["movie"] * (len(kinds) // 2)
        assert connection.path[1].node.pk in history.liked
        assert connection.path[-1].node.pk == why.movie.pk
        assert all(stop.node.url for stop in connection.path)


def change_the_catalogue(chance: Random) -> None:
    """What can happen between the building of a graph and a page: edges go, films are hidden."""
    for model in (Credit, Movie.genres.through, Movie.countries.through, Rating):
        rows = list(model.objects.order_by("pk").values_list("pk", flat=True))
        model.objects.filter(pk__in=chance.sample(rows, len(rows) // 3)).delete()
    Movie.objects.filter(pk__in=chance.sample(list(Movie.objects.values_list("pk", flat=True)), 3)).update(
        is_visible=False
    )
    Movie.objects.filter(year__lt=1980).update(year=2005)


@pytest.mark.parametrize("changed", [False, True], ids=["as it was", "changed since"])
def test_every_connection_is_true(films, changed):
    explainer = CataloguePaths()
    if changed:
        change_the_catalogue(Random(3))
    read: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True)
    @given(HISTORIES, st.integers(0, N_FILMS - 1))
    def check(events, start):
        history = history_of(events, films)
        asked = [films[(start + step) % N_FILMS].pk for step in range(4)]
        for pk, why in explain(asked, history, explainer=explainer).items():
            assert why.movie.pk == pk
            assert why.movie.is_visible
            assert len(why.connections) <= 3
            check_paths(why, history)
            reader = Reader(why.movie, history)
            for connection in why.connections:
                reader.check(connection.phrase.text)
            read.update(reader.claims)

    check()
    # Of everything that can be said, something was said and read.
    assert read["person"] >= 20 and read["long"] >= 5, read
    if changed:
        stale = explainer.explain(history_of([(0, ("rating", 5.0))], films), [film.pk for film in films[1:]])
        assert any(found.reasons for found in stale)


def test_credits_moved_to_another_role_are_not_claimed():
    heat, film = make_film("Heat", directors=["Ann"]), make_film("Ronin", directors=["Ann"])
    history = history_of([(0, ("rating", 5.0))], [heat])
    explainer = CataloguePaths()
    Credit.objects.filter(movie=film).update(role="writer")
    assert explain([film.pk], history, explainer=explainer)[film.pk].connections == ()
    Person.objects.all().delete()
    assert explain([film.pk], history, explainer=explainer)[film.pk].connections == ()


def test_a_film_of_the_history_is_no_reason_for_itself(films):
    history = history_of([(0, ("click", None)), (1, ("rating", 5.0))], films)
    why = explain([films[0].pk], history, explainer=CataloguePaths())[films[0].pk]
    assert {connection.path[1].node.pk for connection in why.connections} <= {films[1].pk}


def test_hidden_and_unknown_films_are_left_out(films):
    Movie.objects.filter(pk=films[1].pk).update(is_visible=False)
    history = history_of([(0, ("rating", 5.0))], films)
    told = explain([films[1].pk, 987654, films[2].pk], history, explainer=CataloguePaths())
    assert list(told) == [films[2].pk]


def test_only_what_the_history_says_of_one_film(films):
    history = history_of([(0, ("rating", 5.0)), (1, ("rating", 4.0))], films)
    assert history_about(history, films[1].pk).liked == (films[1].pk,)


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=8))
def test_whole_percents_sum_to_100_and_are_near(weights):
    shares = [weight / sum(weights) for weight in weights]
    percents = whole_percents(shares)
    assert sum(percents) == 100
    assert all(abs(percent - 100 * share) < 1 for percent, share in zip(percents, shares, strict=True))


# -- what moved the score ---------------------------------------------------------------------------------


def trained(films: list[Movie], *names: str) -> None:
    liked = Rating.objects.filter(value__gte=3).order_by("visitor", "pk")
    rows = list(liked.values_list("visitor", "movie_id"))
    visitors = {visitor: n for n, visitor in enumerate(dict.fromkeys(visitor for visitor, _film in rows))}
    place = {film.pk: n for n, film in enumerate(films)}
    data = Interactions.from_columns(
        np.array([visitors[visitor] for visitor, _film in rows]),
        np.array([place[film] for _visitor, film in rows]),
        values=np.array(liked.values_list("value", flat=True)),
        at=np.arange(len(rows)),
        user_ids=np.arange(len(visitors)),
        item_ids=np.array([film.pk for film in films]),
    )
    for name in names:
        options = QUICK.get(name, {})
        train(name, data, registry().store, id_space=FROM_SITE, activate=True, options=options)


def random_history(films: list[Movie], chance: Random, longest: int) -> History:
    some = chance.sample(range(len(films)), chance.randint(1, longest))
    return history_of([(film, chance.choice(KINDS)) for film in some], films)


@pytest.mark.parametrize("model", MODELS)
def test_the_card_the_sheet_and_the_page_say_the_same(many_films, model):
    """The card's film is the first influence, liked, not below the visitor's own mean, and in the history."""
    trained(many_films, *(["popular"] if model == "popular" else ["popular", model]))
    chance, named = Random(7), 0
    for _ in range(HISTORIES_PER_MODEL):
        history = random_history(many_films, chance, longest=200)
        cache.clear()  # lists are kept by event ids, which are made up here
        ranked = recommend(history, k=6, model=model)
        if ranked.model != model:
            continue  # nothing liked, or too little
        load_movies(ranked)
        found = explain([entry.movie.pk for entry in ranked.entries], history, model=model)
        for entry in ranked.entries:
            why = found[entry.movie.pk]
            if not why.influences:
                assert entry.reason == mean_sentence(entry.movie)
                assert why.fallback_text
                continue
            named += 1
            assert why.headline is not None
            assert entry.reason == why.headline.text == why.influences[0].sentence.text
            check_influences(why, history)
            assert why.as_dict()["reasons"][0]["sentence"] == entry.reason
        first = ranked.entries[0]
        (alone,) = explain([first.movie.pk], history, model=model).values()
        assert alone.headline == found[first.movie.pk].headline
    assert (named == 0) if model == "popular" else (named > HISTORIES_PER_MODEL)


def check_influences(why: Explanation, history: History) -> None:
    mean = sum(history.ratings.values()) / len(history.ratings) if history.ratings else 0
    shares = [influence.share for influence in why.influences]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) + why.rest == pytest.approx(1.0)
    assert sum(influence.percent for influence in why.influences) + why.rest_percent == 100
    for influence in why.influences:
        pk = influence.movie.pk
        assert pk in history.liked and pk != why.movie.pk
        assert history.ratings.get(pk, mean) >= mean - 1e-6
        text = influence.sentence.text
        if pk in history.ratings:
            said = f"{history.ratings[pk]:g}".replace(".5", "½").removeprefix("0½")
            assert text == f"Because you rated {influence.movie.title} {said}★"
        elif pk in history.watchlist:
            assert text == f"Because {influence.movie.title} is on your watchlist"
        else:
            assert text == f"Because you looked at {influence.movie.title}" and pk in history.clicked


def test_reasons_cost_the_same_however_many_people_rated(films, django_assert_num_queries):
    trained(films, "popular", "neighbours")
    history = history_of([(n, ("rating", 5.0)) for n in range(6)], films)
    explain([films[10].pk], history, model="neighbours")
    with django_assert_num_queries(1):  # the films
        explain([films[10].pk], history, model="neighbours")


def test_a_film_that_was_hidden_supports_nothing(films):
    trained(films, "popular", "neighbours")
    history = history_of([(n, ("rating", 5.0)) for n in range(6)], films)
    asked = [film.pk for film in films[6:]]
    first = next(why for why in explain(asked, history, model="neighbours").values() if why.influences)
    hidden = first.influences[0].movie
    Movie.objects.filter(pk=hidden.pk).update(is_visible=False)
    (after,) = explain([first.movie.pk], history, model="neighbours").values()
    assert hidden.pk not in [influence.movie.pk for influence in after.influences]
    if after.influences:
        check_influences(after, history)


@pytest.mark.parametrize("model", sorted(MODEL_INFO))
def test_a_film_that_nothing_supports_says_what_its_score_came_from(films, model):
    history = history_of([(0, ("rating", 5.0))], films)
    why = explain([films[1].pk], history, model=model)[films[1].pk]
    assert why.influences == () and why.headline is None
    assert str(MODEL_INFO[model].summary) in why.fallback_text
    assert ("is the same for everyone" in why.fallback_text) == (model in IMPERSONAL_MODELS)


def test_without_a_history_nothing_is_said_about_taste(films):
    why = explain([films[0].pk], History.EMPTY, model="for_you", explainer=CataloguePaths())[films[0].pk]
    assert why.influences == why.connections == ()
    assert "not liked a film yet" in why.fallback_text


def test_the_row_of_films_like_one_names_that_film(films):
    trained(films, "popular", "neighbours")
    history = history_of([(n, ("rating", 5.0)) for n in range(6)], films)
    (why,) = explain([films[10].pk], history_about(history, films[3].pk), model="neighbours").values()
    assert [influence.movie.pk for influence in why.influences] in ([films[3].pk], [])
