"""Influences: what each liked item adds to a score, exact for sums and measured elsewhere."""

from typing import Any

import numpy as np
import pytest

from datasets.interactions import Interactions
from predictors.history import History
from predictors.influences import FEWEST_REMOVED, ITEMS_SCORED, MAX_REMOVED, Influences, leave_one_out
from predictors.models.als import AlsPredictor
from predictors.models.ease import EasePredictor
from predictors.models.graph_filter import GraphFilterPredictor
from predictors.models.linear_sequence import LinearSequencePredictor
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.popular import PopularPredictor
from predictors.models.transitions import TransitionsPredictor
from predictors.query import Query
from predictors.tests.small_world import FILM_IDS, N_FILMS, interactions, told

N_ITEMS = 60


@pytest.fixture(scope="module")
def data() -> Interactions:
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(200), 12)
    items = np.concatenate([rng.permutation(N_ITEMS)[:12] for _ in range(200)])
    return Interactions.from_columns(
        users, items, user_ids=np.arange(200), item_ids=np.arange(100, 100 + N_ITEMS)
    )


SUMS = (EasePredictor, NeighboursPredictor, GraphFilterPredictor)
SUMS_OF_THE_ORDER = (LinearSequencePredictor, TransitionsPredictor)


@pytest.mark.parametrize("kind", SUMS)
def test_the_exact_parts_are_the_falls(data, kind):
    predictor = kind.fit(data)
    query = Query.from_indices(np.arange(8), 0.5 + np.arange(8) % 5 / 10)
    targets = np.arange(20, 50)
    exact, measured = predictor.influences(query, targets), leave_one_out(predictor, query, targets)
    assert exact.items.tolist() == measured.items.tolist()
    np.testing.assert_allclose(exact.amounts, measured.amounts, atol=2e-4 * np.abs(exact.amounts).max())


@pytest.mark.parametrize("kind", [*SUMS, *SUMS_OF_THE_ORDER])
def test_the_exact_parts_and_what_no_film_adds_are_the_score(kind):
    options: dict[str, Any] = {"ridge": (5.0,) * 3} if kind is LinearSequencePredictor else {}
    predictor = kind.fit(interactions(), kind.config_class(**options))
    query, targets = Query.from_indices([3, 9, 20], [1.0, 0.5, 0.8]), np.arange(25, N_FILMS)
    nothing = predictor.score([Query.from_indices([])], targets)[0]
    added = predictor.influences(query, targets).amounts.sum(axis=0)
    np.testing.assert_allclose(added + nothing, predictor.score([query], targets)[0], rtol=1e-3, atol=1e-4)


def test_the_parts_of_the_solve_are_the_score():
    predictor = AlsPredictor.fit(interactions(), AlsPredictor.config_class(factors=8))
    query, targets = Query.from_indices([3, 9, 20]), np.arange(N_FILMS)
    parts = predictor.influences(query, targets).amounts.sum(axis=0)
    np.testing.assert_allclose(parts, predictor.score([query])[0], rtol=1e-3, atol=1e-4)


class Counting(NeighboursPredictor):
    batches: list[int] = []

    def _score(self, queries):
        self.batches.append(len(queries))
        return super()._score(queries)


def test_the_strongest_films_are_left_out_once_each_and_the_model_is_asked_once(data):
    predictor = Counting.fit(data)
    weights = np.linspace(1.0, 0.5, 59)  # the first are the strongest
    found = leave_one_out(predictor, Query.from_indices(np.arange(59), weights), np.array([59]))
    assert predictor.batches == [MAX_REMOVED + 1]
    assert found.items.tolist() == list(range(MAX_REMOVED))


def test_the_latest_of_equals_are_left_out(data):
    predictor = NeighboursPredictor.fit(data)
    found = leave_one_out(predictor, Query.from_indices(np.arange(59)), np.array([59]))
    assert found.items.tolist() == list(range(59 - MAX_REMOVED, 59))


def test_of_a_long_history_few_films_are_left_out_so_that_the_work_is_bounded(monkeypatch):
    n_items = 5_000
    items = np.arange(n_items)
    predictor = PopularPredictor.fit(
        Interactions.from_columns(np.zeros(n_items, int), items, user_ids=np.arange(1), item_ids=items)
    )
    work = []

    def score(queries):
        work.append(sum(len(query.liked) for query in queries))
        return np.zeros((len(queries), n_items), np.float32)

    monkeypatch.setattr(predictor, "_score", score)
    for n_films in (10, 100, 1_000, 4_900):
        leave_one_out(predictor, Query.from_indices(np.arange(n_films)), np.array([4_999]))
    assert work[0] < 11 * 11
    assert max(work) <= max(ITEMS_SCORED + 1_000, (FEWEST_REMOVED + 1) * 4_900)


def test_a_history_too_short_to_lose_a_film_shares_alike(data):
    found = leave_one_out(NeighboursPredictor.fit(data), Query.from_indices([4]), np.array([7, 8]))
    np.testing.assert_array_equal(found.shares(Query.from_indices([4])), [[1.0, 1.0]])


def test_without_a_liked_film_and_without_a_view_of_the_history_nothing_adds(data):
    targets = np.array([30, 31])
    for predictor, query in (
        (NeighboursPredictor.fit(data), Query.from_indices([])),
        (PopularPredictor.fit(data), Query.from_indices([0, 1, 2])),
    ):
        assert not predictor.influences(query, targets).amounts.any()
        assert predictor.reasons(query, targets) == [(), ()]


def test_shares_are_of_what_supports_the_score():
    amounts = np.array([[3.0, -1.0], [1.0, -2.0], [-4.0, 0.0]])
    query = Query.from_indices([5, 6, 7])
    shares = Influences(query.liked, amounts).shares(query)
    np.testing.assert_allclose(shares, [[0.75, 0], [0.25, 0], [0, 0]])


def test_the_mean_is_that_of_all_ratings_also_of_films_that_the_model_does_not_know():
    """4 stars stand below the mean of 4, 5 and 5, and above that of 4, 5 and 0.5 stars."""
    predictor = NeighboursPredictor.fit(interactions())
    for unknown, supports in ((5.0, False), (0.5, True)):
        history: History = told(
            ("rating", FILM_IDS[3], 4.0), ("rating", FILM_IDS[4], 5.0), ("rating", "not there", unknown)
        )
        query = predictor.encode(history)
        influences = Influences(query.liked, np.ones((len(query.liked), 1)))
        row = influences.items.tolist().index(3)
        assert bool(influences.shares(query)[row, 0]) is supports
