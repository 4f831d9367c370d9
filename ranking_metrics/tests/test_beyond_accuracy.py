"""Metrics beyond accuracy equal their definitions, computed the slow way."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import rankdata

from ranking_metrics import beyond_accuracy

N_USERS, N_ITEMS, K = 50, 30, 5


@pytest.fixture(scope="module")
def lists() -> np.ndarray:
    rng = np.random.default_rng(2)
    likely = rng.dirichlet(np.full(N_ITEMS, 0.5))
    return np.stack([rng.choice(N_ITEMS, K, replace=False, p=likely) for _ in range(N_USERS)])


def counts_of(lists: np.ndarray) -> np.ndarray:
    return np.bincount(lists.ravel(), minlength=N_ITEMS)


def test_popularity_comes_from_training_rows():
    items = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
    information, percentile = beyond_accuracy.popularity(items, 4)
    np.testing.assert_allclose(information, -np.log2(np.array([7, 3, 2, 1]) / 13))
    np.testing.assert_allclose(percentile, [1, 2 / 3, 1 / 3, 0])
    counts = np.random.default_rng(0).integers(0, 6, 50)
    rows = np.repeat(np.arange(50), counts)
    np.testing.assert_allclose(beyond_accuracy.popularity(rows, 50)[1], (rankdata(counts) - 1) / 49)
    ranked = np.array([[0, 3], [1, -1], [-1, -1]])
    np.testing.assert_allclose(beyond_accuracy.mean_of_ranked(ranked, percentile), [0.5, 2 / 3, 0])


def test_diversity_is_one_minus_the_mean_cosine_of_all_pairs(lists):
    rng = np.random.default_rng(0)
    met = rng.random((20, N_ITEMS)) < 0.3
    users, items = np.nonzero(met)
    columns = beyond_accuracy.unit_columns(users, items, 20, N_ITEMS)
    found = beyond_accuracy.intra_list_diversity(lists, columns)
    for row, ranked in enumerate(lists):
        cosines = []
        for one, other in combinations(ranked, 2):
            a, b = met[:, one].astype(float), met[:, other].astype(float)
            norm = np.linalg.norm(a) * np.linalg.norm(b)
            cosines.append(a @ b / norm if norm else 0.0)
        assert found[row] == pytest.approx(1 - np.mean(cosines), abs=1e-6)
    short = np.array([[3, -1, -1], [-1, -1, -1], [3, 4, -1]])
    values = beyond_accuracy.intra_list_diversity(short, columns)
    assert values[:2].tolist() == [0, 0]
    assert values[2] > 0


def test_calibration_is_the_divergence_of_two_distributions_of_labels():
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    histories = [np.array([0, 0, 1]), np.array([2]), np.array([3])]
    ranked = np.array([[0, 1], [0, -1], [0, 1]])
    wanted, found = np.array([2 / 3, 1 / 3]), np.array([0.5, 0.5])
    smoothed = 0.99 * found + 0.01 * wanted
    values = beyond_accuracy.calibration(ranked, histories, labels)
    assert values[0] == pytest.approx((wanted * np.log(wanted / smoothed)).sum())
    assert values[1] > values[0], "a list of one genre for a taste of two"
    assert values[2] == 0, "a history that says nothing about labels asks for nothing"
    same = beyond_accuracy.calibration(np.array([[2, -1]]), [np.array([0, 1])], labels)
    assert same[0] == pytest.approx(0, abs=1e-12)


def test_gini_is_the_mean_difference_of_all_pairs(lists):
    counts = counts_of(lists)
    differences = np.abs(counts[:, None] - counts[None, :]).sum()
    expected = differences / (2 * N_ITEMS**2 * counts.mean())
    assert beyond_accuracy.gini(counts) == pytest.approx(expected)
    assert beyond_accuracy.gini(np.full(7, 3)) == pytest.approx(0)
    assert beyond_accuracy.gini(np.zeros(7)) == 0
    assert beyond_accuracy.gini(np.eye(100)[0]) == pytest.approx(0.99)


def test_personalization_is_what_two_lists_do_not_share(lists):
    shared = [len(set(one) & set(other)) / K for one, other in combinations(lists.tolist(), 2)]
    found = beyond_accuracy.personalization(counts_of(lists), N_USERS, K)
    assert found == pytest.approx(1 - np.mean(shared))
    assert beyond_accuracy.personalization(counts_of(lists[:1]), 1, K) == 0
    everyone = np.tile(lists[0], (N_USERS, 1))
    assert beyond_accuracy.personalization(counts_of(everyone), N_USERS, K) == pytest.approx(0)


def test_distinct_items_are_the_mean_over_random_draws(lists):
    counts = counts_of(lists)
    rng = np.random.default_rng(1)
    seen = [len(np.unique(lists[rng.permutation(N_USERS)[:8]])) for _ in range(3000)]
    assert beyond_accuracy.distinct_in_lists(counts, N_USERS, 8) == pytest.approx(np.mean(seen), rel=0.01)
    assert beyond_accuracy.distinct_in_lists(counts, N_USERS) == len(np.unique(lists))


def test_stratified_recall_counts_rare_items_more():
    weights = beyond_accuracy.inverse_popularity(np.array([0] * 16 + [1] * 4), 3)
    np.testing.assert_allclose(weights, [1 / 4, 1 / 2, 1])
    # one user finds the popular one of {0, 2}, another one the rarer one of {0, 1}
    found = beyond_accuracy.stratified_recall(0.25 + 0.5, 1.25 + 0.75)
    assert found == pytest.approx(0.75 / 2.0)
    assert beyond_accuracy.stratified_recall(0.0, 0.0) == 0
