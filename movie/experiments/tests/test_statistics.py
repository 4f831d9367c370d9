"""The formulas against other ways to the same numbers, and against simulated visitors."""

import numpy as np
import pytest
from scipy import integrate, stats

from benchmarks.experiments import TAU, arms
from movie.experiments.statistics import (
    SRM_CONCENTRATION,
    Moments,
    always_valid_p,
    ci_half_width,
    compare,
    interval,
    ratio,
    sample_ratio_test,
)


def moments(x, y):
    x, y = np.asarray(x, float), np.asarray(y, float)
    return Moments(len(x), x.sum(), y.sum(), (x * x).sum(), (x * y).sum(), (y * y).sum())


def test_with_one_list_each_the_ratio_is_a_mean_with_the_variance_of_a_mean():
    clicks = np.random.default_rng(1).poisson(0.4, 500)
    value, variance = ratio(moments(np.ones(500), clicks))
    assert value == pytest.approx(clicks.mean())
    assert variance * value**2 == pytest.approx(clicks.var(ddof=1) / 500)


def test_the_variance_is_that_of_visitors_not_of_lists():
    """Against the jackknife over visitors, who click always or never: as few as they are, as unsure it is."""
    rng = np.random.default_rng(2)
    lists = 1 + rng.poisson(20, 300)
    clicks = lists * (rng.random(300) < 0.3)
    value, variance = ratio(moments(lists, clicks))
    without = (clicks.sum() - clicks) / (lists.sum() - lists)
    jackknife = 299 / 300 * ((without - without.mean()) ** 2).sum()
    assert variance * value**2 == pytest.approx(jackknife, rel=0.02)
    as_if_independent = value * (1 - value) / lists.sum()
    assert variance * value**2 > 10 * as_if_independent


@pytest.mark.parametrize(("effect", "variance"), [(0.0, 0.001), (0.1, 0.001), (-0.3, 0.02), (0.05, 0.0001)])
def test_the_p_value_is_the_likelihood_ratio_of_the_mixture(effect, variance):
    """Against the integral over all effects that it stands for."""
    mixed, _ = integrate.quad(
        lambda theta: stats.norm.pdf(effect, theta, variance**0.5) * stats.norm.pdf(theta, 0, TAU),
        -2,
        2,
        points=[effect],
    )
    likelihood_ratio = mixed / stats.norm.pdf(effect, 0, variance**0.5)
    assert always_valid_p(effect, variance, TAU) == pytest.approx(min(1, 1 / likelihood_ratio), rel=1e-6)


def test_the_interval_leaves_out_zero_exactly_when_the_p_value_is_below_alpha():
    variance = np.geomspace(1e-5, 0.1, 50)
    for alpha in (0.05, 0.01):
        edge = ci_half_width(variance, TAU, alpha)
        assert always_valid_p(edge, variance, TAU) == pytest.approx(np.full(50, alpha))


def test_an_interval_of_nothing_is_no_number():
    empty = interval(Moments(0, 0, 0, 0, 0, 0), TAU)
    assert all(np.isnan(each) for each in empty)


def test_looking_after_every_list_seldom_finds_what_is_not_there_and_finds_what_is():
    found = {}
    for lift in (0.0, 0.8):
        found[lift] = 0
        for seed in range(150):
            control, treatment = arms(np.random.default_rng(seed), 1_500, lift)
            shown = compare(control, treatment, TAU)
            found[lift] += bool((control.has_min_sample & treatment.has_min_sample & (shown.p <= 0.05)).any())
    assert found[0.0] <= 12  # 7.5 expected at most
    assert found[0.8] >= 145


def test_the_simulated_sums_are_those_of_the_visitors():
    control, treatment = arms(np.random.default_rng(3), 2_000, 0.0)
    assert control.visitors[-1] + treatment.visitors[-1] == 2_000
    lists = control.x[-1] + treatment.x[-1]
    assert lists / 2_000 == pytest.approx(5, rel=0.03)
    squares = (control.xx[-1] + treatment.xx[-1]) / 2_000
    assert squares == pytest.approx(29, rel=0.05)  # 25 and the variance of Poisson(4)
    assert (control.y[-1] + treatment.y[-1]) / lists == pytest.approx(0.1, rel=0.1)


def test_the_sample_ratio_against_other_implementations():
    found = sample_ratio_test([520.0, 480.0], [0.5, 0.5])
    assert found.chi_square_p == pytest.approx(stats.chisquare([520, 480]).pvalue)
    half = SRM_CONCENTRATION / 2
    factor = stats.betabinom.pmf(450, 1000, half, half) / stats.binom.pmf(450, 1000, 0.5)
    assert sample_ratio_test([450.0, 550.0], [0.5, 0.5]).sequential_p == pytest.approx(min(1, 1 / factor))


def test_a_lost_tenth_of_one_arm_is_an_alarm_and_chance_is_none():
    assert sample_ratio_test([10_000.0, 9_000.0], [0.5, 0.5]).is_alarming
    assert not sample_ratio_test([10_000.0, 9_850.0], [0.5, 0.5]).is_alarming
    assert not sample_ratio_test([9_010.0, 990.0, 0.0], [0.9, 0.1, 1e-9]).is_alarming
    rng = np.random.default_rng(4)
    second = rng.random((200, 3_000)) < 0.5
    found = sample_ratio_test([np.cumsum(~second, 1), np.cumsum(second, 1)], [0.5, 0.5])
    assert (found.sequential_p < 0.001).any(1).sum() <= 1
