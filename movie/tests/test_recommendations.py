"""From a visitor's history to films on a page: fallbacks are named, hidden and seen films stay away."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.core.cache import cache

from datasets.interactions import Interactions
from evaluation.trainer import FROM_SITE, train
from movie.models import Movie, Rating
from movie.recommendations import (
    ABOUT,
    COUNTED,
    MOST_RATED,
    model_choices,
    rank_for,
    recommend_for,
    registry,
    similar_to,
)
from movie.tests.films import make_film
from predictors.history import History, Interaction
from predictors.plugins import MODELS

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def films(settings, tmp_path) -> list[Movie]:
    settings.MODEL_DIR = tmp_path
    cache.clear()
    films = [make_film(f"Film {number}") for number in range(12)]
    for number, film in enumerate(films):
        for visitor in range(12 - number):
            Rating.objects.create(visitor=f"test:{visitor}", movie=film, value=4.0, rated_at=NOW)
    Movie.objects.refresh_aggregates()
    return films


def trained(films: list[Movie], *names: str) -> None:
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(40), 6)
    items = np.concatenate([rng.permutation(len(films))[:6] for _ in range(40)])
    data = Interactions.from_columns(
        users, items, user_ids=np.arange(40), item_ids=np.array([film.pk for film in films])
    )
    for name in names:
        train(name, data, registry().store, id_space=FROM_SITE, activate=True)


def liked(*films: Movie) -> History:
    return History(
        Interaction(f"{n:03}", "guest:1", "rating", film.pk, NOW + timedelta(seconds=n), 5.0)
        for n, film in enumerate(films)
    )


def test_without_any_trained_model_the_most_rated_films_answer_and_say_so(films):
    ranked = recommend_for("guest:1", k=3, model="sasrec", history=liked(films[0]))
    assert ranked.model == MOST_RATED
    assert [entry.movie for entry in ranked.entries] == films[1:4]
    assert "SASRec is not trained yet" in ranked.fallback


def test_a_model_that_needs_a_liked_film_falls_back_and_the_page_is_told_why(films, settings):
    settings.DEFAULT_MODELS = ["popular"]
    trained(films, "popular", "neighbours")
    ranked = rank_for("guest:1", model="neighbours", history=History.EMPTY)
    assert (ranked.requested, ranked.model) == ("neighbours", "popular")
    assert ranked.fallback == "Item neighbours needs a film you liked first."
    assert rank_for("guest:1", model="neighbours", history=liked(films[0])).fallback == ""


def test_lists_stand_in_the_order_of_the_model_not_of_the_database(films):
    trained(films, "neighbours")
    history = liked(films[3])
    predictor = registry().get("neighbours")
    expected = [found.movie_id for found in predictor.recommend(history, 8)]
    ranked = recommend_for("guest:1", k=8, model="neighbours", history=history)
    assert [entry.movie.pk for entry in ranked.entries] == expected
    assert [entry.rank for entry in ranked.entries] == list(range(1, len(expected) + 1))
    assert ranked.version == predictor.version


def test_a_film_that_was_hidden_leaves_every_list_at_once(films):
    trained(films, "popular", "neighbours")
    history = liked(films[0])
    recommend_for("guest:1", history=history)  # the hidden films are cached now
    Movie.objects.filter(pk=films[1].pk).update(is_visible=False)
    for name in ("popular", "neighbours"):
        shown = recommend_for("guest:1", k=12, model=name, history=history).entries
        assert films[1] not in [entry.movie for entry in shown]
    assert films[1] not in [entry.movie for entry in similar_to(films[0]).entries]


def test_films_are_read_in_one_query_however_many_there_are(films, django_assert_max_num_queries):
    trained(films, "popular", "neighbours")
    history = liked(films[0], films[1])
    recommend_for("guest:1", history=history)
    with django_assert_max_num_queries(1):
        recommend_for("guest:1", k=10, history=history)


def test_a_reason_points_to_a_film_of_the_history_and_to_its_stars(films):
    trained(films, "neighbours")
    ranked = recommend_for("guest:1", k=3, model="neighbours", history=liked(films[2]))
    assert {entry.reason for entry in ranked.entries} == {"Because you rated Film 2 5"}


def test_every_kind_of_model_has_a_name_and_a_summary_on_pages(films):
    assert set(MODELS) == set(ABOUT) - set(COUNTED)
    assert {choice.name for choice in model_choices()} == set(MODELS)
