"""Popularity from training data: counts, shrunk stars, age."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.interactions import Interactions
from predictors.errors import TrainingError
from predictors.history import History
from predictors.models.popular import PopularPredictor
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, from_rows

# Film 0 is met three times, film 1 twice, film 2 once.
USERS, ITEMS = [0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 2]


def ranked(predictor: PopularPredictor, k: int = 3) -> list:
    return [found.movie_id for found in predictor.recommend(History.EMPTY, k)]


def test_what_more_people_met_comes_first() -> None:
    predictor = PopularPredictor.fit(from_rows(USERS, ITEMS))
    assert ranked(predictor) == FILM_IDS[:3]


def test_scores_are_the_formula() -> None:
    values = np.array([5, 3, 4, 2, 5, 5], dtype=np.float32)
    options = {"rating_weight": 0.5, "prior": 2.0, "half_life_days": 2.0}
    predictor = fit_model(PopularPredictor, from_rows(USERS, ITEMS, values=values), options=options)
    mean = values.mean()
    ages = np.arange(5, -1, -1)  # the small data set has one row a day
    for film in range(3):
        mine = np.array(ITEMS) == film
        count = (0.5 ** (ages[mine] / 2.0)).sum()
        shrunk = (2.0 * mean + values[mine].sum()) / (2.0 + mine.sum())
        expected = np.log1p(count) + 0.5 * (shrunk - mean)
        assert predictor.scores[film] == pytest.approx(expected, rel=1e-6)


def test_one_high_rating_does_not_beat_many_good_ones() -> None:
    users, items = [*range(9), 9], [0] * 9 + [1]
    values = np.array([4.5] * 9 + [5.0])
    predictor = fit_model(
        PopularPredictor,
        from_rows(users, items, values=values),
        options={"rating_weight": 1.0, "prior": 20.0},
    )
    assert ranked(predictor, 2) == FILM_IDS[:2]


def test_old_interactions_fade() -> None:
    users, items = [0, 1, 2, 3, 4], [0, 0, 0, 1, 1]  # film 1 was met last
    without = fit_model(PopularPredictor, from_rows(users, items), options={"half_life_days": 0})
    fading = fit_model(PopularPredictor, from_rows(users, items), options={"half_life_days": 1})
    assert ranked(without, 2) == [FILM_IDS[0], FILM_IDS[1]]
    assert ranked(fading, 2) == [FILM_IDS[1], FILM_IDS[0]]


def after_a_pause(days: int, later: list[int]) -> Interactions:
    """30 people like film 0 best, then film 1; after a pause each of `later` is met once."""
    users, items = [*range(30), *range(20), *(30 + np.arange(len(later)))], [0] * 30 + [1] * 20 + later
    data = from_rows([int(user) for user in users], items)
    pause = np.where(np.arange(len(data)) < 50, 0, days * 86_400)
    return Interactions.from_columns(
        data.users,
        data.items,
        at=data.at + pause[np.argsort(np.argsort(data.at))],
        user_ids=data.user_ids,
        item_ids=data.item_ids,
    )


def test_the_first_visitors_do_not_outvote_ratings_that_ended_years_before() -> None:
    predictor = PopularPredictor.fit(after_a_pause(28 * 365, later=[5, 5, 6, 7, 5, 6, 8]))
    assert ranked(predictor, 2) == [FILM_IDS[0], FILM_IDS[1]]


def test_of_a_pause_a_month_counts_at_most() -> None:
    for shorter, longer, is_same in ((30, 3000, True), (5, 29, False)):
        scores = [PopularPredictor.fit(after_a_pause(days, later=[5])).scores for days in (shorter, longer)]
        assert np.allclose(*scores, rtol=1e-4) == is_same


@pytest.mark.parametrize("first_row", [0, 10**8, 10**12])
def test_without_times_nothing_fades(first_row: int) -> None:
    data = from_rows([0, 1, 2, 3, 4], [0, 0, 0, 1, 1])
    untimed = type(data).from_columns(
        data.users,
        data.items,
        at=first_row + np.arange(len(data)),  # numbers of rows, however large
        user_ids=data.user_ids,
        item_ids=data.item_ids,
        has_time=False,
    )
    predictor = fit_model(PopularPredictor, untimed, options={"half_life_days": 1e-6})
    assert ranked(predictor, 2) == [FILM_IDS[0], FILM_IDS[1]]


@pytest.mark.parametrize("options", [{"prior": 0}, {"half_life_days": -1}, {"prior": "many"}])
def test_unusable_options_are_refused(options: dict) -> None:
    with pytest.raises(TrainingError):
        fit_model(PopularPredictor, from_rows(USERS, ITEMS), options=options)
