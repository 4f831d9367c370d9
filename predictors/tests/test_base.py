from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from predictors.errors import CannotAnswer, InvalidScores, TrainingError
from predictors.history import History, Interaction
from predictors.id_map import IdMap
from predictors.query import Query
from predictors.ranking import GROUPS, RESCORED, AllScores, top_k
from predictors.tests.small_world import interactions
from predictors.tests.stub_predictor import CountPredictor
from predictors.training_data import TrainingData


def rated(*films: int, value: float = 5.0) -> History:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return History(
        Interaction(f"{n:03}", "guest:1", "rating", film, now, value) for n, film in enumerate(films)
    )


@pytest.fixture
def predictor() -> CountPredictor:
    return CountPredictor(IdMap([10, 20, 30, 40]), np.array([1, 4, 4, 2]))


def test_best_first_and_equal_scores_in_catalogue_order(predictor):
    assert [found.movie_id for found in predictor.recommend(History.EMPTY, 4)] == [20, 30, 40, 10]


def test_seen_and_excluded_films_are_never_returned(predictor):
    found = predictor.recommend(rated(20), 4, exclude=[40, 999])
    assert [item.movie_id for item in found] == [30, 10]


def test_a_history_that_covers_the_catalogue_leaves_nothing(predictor):
    assert predictor.recommend(rated(10, 20, 30, 40), 5) == []


def test_k_beyond_the_catalogue_and_k_zero(predictor):
    assert len(predictor.recommend(History.EMPTY, 100)) == 4
    assert predictor.recommend(History.EMPTY, 0) == []
    with pytest.raises(ValueError, match="k must not be negative"):
        predictor.recommend(History.EMPTY, -1)


def test_unknown_ids_are_reported_and_do_no_harm(predictor):
    query = predictor.encode(rated(20, 777))
    assert query.unknown == (777,)
    assert query.liked.tolist() == [1]


def test_a_predictor_that_needs_a_history_says_why_it_cannot_answer(predictor):
    predictor.min_history = 1
    with pytest.raises(CannotAnswer) as nothing:
        predictor.recommend(History.EMPTY, 3)
    assert nothing.value.reason == "history_too_short"
    with pytest.raises(CannotAnswer) as foreign:
        predictor.score_history(rated(777))
    assert foreign.value.reason == "no_known_films"


def test_a_nan_is_refused_with_the_name_of_the_model(predictor):
    predictor.counts[2] = np.nan
    for ask in (
        lambda: predictor.recommend(History.EMPTY, 3),
        lambda: predictor.retrieve([Query.from_indices([1])], 3),
        lambda: predictor.score([Query.from_indices([1])], [2]),
    ):
        with pytest.raises(InvalidScores, match="popular"):
            ask()


def test_candidates_get_the_scores_that_they_have_among_all(predictor):
    queries = [Query.from_indices([1]), Query.from_indices([2])]
    everything = predictor.score(queries)
    np.testing.assert_array_equal(predictor.score(queries, [3, 1]), everything[:, [3, 1]])
    each = np.array([[0, 2], [3, 3]])
    np.testing.assert_array_equal(predictor.score(queries, each), np.take_along_axis(everything, each, 1))


def test_data_is_checked_before_a_model_sees_it():
    rows = interactions()
    with pytest.raises(TrainingError, match="no interactions"):
        CountPredictor.fit(rows.select(np.zeros(len(rows), dtype=bool)))
    with pytest.raises(TrainingError, match="unknown item"):
        CountPredictor.fit(replace(rows, item_ids=rows.item_ids[:3]))
    with pytest.raises(TrainingError, match="more than once"):
        CountPredictor.fit(replace(rows, item_ids=np.zeros(rows.n_items, dtype=np.int64)))
    with pytest.raises(TrainingError, match="validation"):
        CountPredictor.fit(TrainingData(rows, replace(rows, user_ids=np.arange(9_999))))


def test_ranking_does_not_change_what_the_model_holds(predictor):
    predictor.retrieve([Query.from_indices([1])], 2)
    assert predictor.counts.tolist() == [1, 4, 4, 2]


@pytest.mark.parametrize("shape", [(50, 40), (3, 4 * GROUPS), (3, 9 * GROUPS + 7)])
@pytest.mark.parametrize("levels", [6, 100_000])
@pytest.mark.parametrize("k", [10, GROUPS])
def test_top_k_agrees_with_a_full_stable_sort(shape, levels, k):
    rng = np.random.default_rng(1)
    scores = rng.integers(0, levels, shape).astype(np.float32)
    scores[rng.random(shape) < 0.3] = -np.inf
    scores[0, 5:] = -np.inf
    indices, best = top_k(scores, k)
    for row in range(shape[0]):
        order = np.argsort(-scores[row], kind="stable")
        expected = order[scores[row, order] > -np.inf][:k].tolist()
        assert indices[row][indices[row] >= 0].tolist() == expected
        assert np.array_equal(best[row, : len(expected)], scores[row, expected])


def test_of_equal_approximate_scores_the_first_get_exact_ones():
    asked = []

    def rescore(items):
        asked.append(items.tolist())
        return -items.astype(np.float32)

    scores = np.zeros(9 * GROUPS, np.float32)
    scores[[5000, 7000]] = 1.0
    items, exact = AllScores(scores, rescore).top_k(3)
    assert items.tolist() == [0, 1, 2] and exact.tolist() == [0, -1, -2]
    assert sorted(asked[0]) == [*range(2 * 3 + RESCORED - 2), 5000, 7000]


def test_a_model_without_items_has_an_empty_list():
    for rescore in (None, lambda items: items.astype(np.float32)):
        items, scores = AllScores(np.empty(0, np.float32), rescore).top_k(3)
        assert (items.dtype, scores.dtype, len(items), len(scores)) == (np.int64, np.float32, 0, 0)
