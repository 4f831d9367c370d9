"""Transitions: counts by hand, and what a history is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictors.base import Query
from predictors.errors import TrainingError
from predictors.models.transitions import TransitionsPredictor
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, from_rows, interactions

PLAIN = {"popularity_exponent": 0, "window": 3}


def test_what_follows_counts_by_its_distance_over_how_many_met_the_first():
    rows = from_rows([0] * 5 + [1] * 2, [0, 1, 2, 3, 4, 0, 1])
    weights = fit_model(TransitionsPredictor, rows, options=PLAIN).weights[:5, :5].toarray()
    expected = np.zeros((5, 5))
    expected[0] = [0, (1 + 1) / 2, 1 / 2 / 2, 1 / 3 / 2, 0]
    expected[1] = [0, 0, 1 / 2, 1 / 4, 1 / 6]
    expected[2, 3:], expected[3, 4] = [1, 1 / 2], 1
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_popularity_of_what_follows_is_divided_out():
    rows = from_rows([0] * 3 + [1] * 2 + [2], [0, 1, 2, 0, 2, 2])
    plain = fit_model(TransitionsPredictor, rows, options=PLAIN).weights
    divided = fit_model(TransitionsPredictor, rows, options={**PLAIN, "popularity_exponent": 0.5}).weights
    assert divided[0, 1] == plain[0, 1]  # one person met it
    assert divided[0, 2] == pytest.approx(plain[0, 2] / np.sqrt(3))


def test_a_film_met_again_does_not_follow_itself_and_people_are_not_joined():
    weights = fit_model(TransitionsPredictor, from_rows([0, 0, 1], [3, 3, 4]), options=PLAIN).weights
    assert weights.nnz == 0


def test_the_most_frequent_are_kept():
    rows = from_rows([0] * 3 + [1] * 2, [0, 1, 2, 0, 2])
    kept = fit_model(TransitionsPredictor, rows, options={**PLAIN, "kept": 1}).weights
    assert kept[0].indices.tolist() == [2]


def test_older_films_and_weaker_ones_count_less():
    predictor = fit_model(TransitionsPredictor, interactions(), options={"recency": 0.5})
    alone = predictor.item_weights(np.array([3, 20]))
    scores = predictor.score([Query.from_indices([3, 20], [1.0, 0.6])])[0]
    np.testing.assert_allclose(scores, 0.5 * alone[0] + 0.6 * alone[1], rtol=1e-5)
    ((reason,),) = predictor.reasons(Query.from_indices([3, 20]), [21])
    assert reason.movie_id == FILM_IDS[20]


def test_rows_without_an_order_are_refused_unless_the_file_has_one():
    without = replace(interactions(), has_time=False)
    with pytest.raises(TrainingError, match="times"):
        TransitionsPredictor.fit(without)
    in_order = fit_model(TransitionsPredictor, without, options={"file_order": True})
    assert (in_order.weights != TransitionsPredictor.fit(interactions()).weights).nnz == 0


@pytest.mark.parametrize(
    "wrong", [{"window": 0}, {"recency": 0}, {"recency": 2}, {"kept": 0}, {"popularity_exponent": -1}]
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(TrainingError, match=next(iter(wrong))):
        fit_model(TransitionsPredictor, interactions(), options=wrong)
