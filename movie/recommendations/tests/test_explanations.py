"""Explanations are true: every connection holds however the catalogue has changed since the paths were found,
and hidden films support nothing."""

from collections import Counter
from random import Random

import pytest
from django.core.cache import cache
from hypothesis import given, settings
from hypothesis import strategies as st

from movie.catalogue.models import Credit, Movie, Person, Rating
from movie.catalogue.tests.films import make_film
from movie.recommendations.explanations.explain import READ, history_about
from movie.recommendations.explanations.explanation import Explanation, whole_percents
from movie.recommendations.tests.histories import KINDS, NOW, check_influences, history_of, trained
from movie.recommendations.tests.paths import CataloguePaths, explain
from movie.recommendations.tests.sentences import Reader
from movie.training.model_info import IMPERSONAL_MODELS, MODEL_INFO
from predictors.history import History

pytestmark = pytest.mark.django_db
N_FILMS = 28
EXAMPLES = 100


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


HISTORIES = st.lists(st.tuples(st.integers(0, N_FILMS - 1), st.sampled_from(KINDS)), min_size=1, max_size=12)


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


def test_a_film_whose_best_supporters_are_all_hidden_says_what_its_score_came_from(films, monkeypatch):
    """The next ones are not named; whether they are visible is known without reading them."""
    shares = [(film.pk, 1.0 / (n + 1)) for n, film in enumerate(films[: READ + 2])]
    monkeypatch.setattr(
        "movie.recommendations.explanations.explain._influences", lambda ids, *_: dict.fromkeys(ids, shares)
    )
    history = history_of([(n, ("rating", 5.0)) for n in range(READ + 2)], films)
    Movie.objects.filter(pk__in=[pk for pk, _share in shares[:READ]]).update(is_visible=False)
    cache.clear()
    (why,) = explain([films[20].pk], history, model="neighbours").values()
    assert why.influences == ()
    assert why.fallback_text and not why.rest_percent


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
