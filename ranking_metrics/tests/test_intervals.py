"""Intervals agree with theory."""

import numpy as np
import pytest

from ranking_metrics import intervals


def test_bootstrap_interval_is_that_of_the_mean():
    rng = np.random.default_rng(4)
    values = rng.normal([0.3, 5.0], [0.1, 2.0], (2000, 2))
    lower, upper = intervals.bootstrap_interval([values], seed=1)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    np.testing.assert_allclose(lower, values.mean(axis=0) - 1.96 * error, atol=0.15 * 2 * error.max())
    np.testing.assert_allclose((upper - lower) / (2 * 1.96 * error), 1, atol=0.1)
    again = intervals.bootstrap_interval([values], seed=1)
    np.testing.assert_array_equal(again[0], lower)


def test_runs_with_other_users_narrow_the_interval():
    rng = np.random.default_rng(4)
    runs = [rng.normal(0.3, 0.1, (500, 1)) for _ in range(4)]
    alone = intervals.bootstrap_interval(runs[:1])
    together = intervals.bootstrap_interval(runs)
    assert (together[1] - together[0])[0] == pytest.approx((alone[1] - alone[0])[0] / 2, rel=0.15)


def test_a_paired_interval_leaves_out_what_is_hard_for_both():
    rng = np.random.default_rng(7)
    hard = rng.normal(0, 1, 1000)
    baseline = hard + rng.normal(0, 0.05, 1000)
    candidate = hard + 0.02 + rng.normal(0, 0.05, 1000)
    found = intervals.paired_interval(candidate, baseline)
    assert found.n_users == 1000
    assert found.low < found.value < found.high
    assert found.is_clear
    error = (candidate - baseline).std(ddof=1) / np.sqrt(1000)
    assert (found.high - found.low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)
    marginal = intervals.bootstrap_interval([candidate[:, None]])
    assert (marginal[1] - marginal[0])[0] > 5 * (found.high - found.low)
    opposite = intervals.paired_interval(baseline, candidate)
    assert opposite.value == pytest.approx(-found.value)
    assert not intervals.paired_interval(baseline, baseline).is_clear


@pytest.mark.parametrize("other", [np.zeros(3), np.zeros((4, 1)), np.zeros(0)])
def test_other_users_cannot_be_paired(other):
    with pytest.raises(ValueError, match="one value per user"):
        intervals.paired_interval(np.zeros(0) if other.size == 0 else np.zeros(4), other)


def test_groups_have_means_of_their_own():
    values = np.array([[1.0, 2], [3, 4], [5, 6], [7, 8]])
    found = intervals.group_means(values, np.array([1, 0, 1, -1]))
    assert {group: mean.tolist() for group, mean in found.items()} == {0: [3, 4], 1: [3, 4]}
