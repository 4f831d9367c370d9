"""Statistics of an experiment that hold at every look.

Arrays in, arrays out: one real experiment and a thousand simulated ones go through the same lines.

A metric is a ratio R = sum(y) / sum(x) over visitors, such as clicks over lists shown. What one visitor does
hangs together, so the visitor is the unit: the variance comes from the visitors' own sums by the delta method
(Deng, Knoblich and Lu 2018, "Applying the Delta Method in Metric Analytics"). It is that of log R, so that
an effect is a ratio of arms and is told in percent.

Intervals and p-values hold at all looks together: the mixture sequential probability ratio test of Johari,
Koomen, Pekelis and Walsh 2017, "Peeking at A/B Tests", with a normal mixture of standard deviation tau over
the effect theta, of which there is an estimate with variance v:

    Lambda = sqrt(v / (v + tau^2)) exp(tau^2 estimate^2 / (2 v (v + tau^2))),   p = min(1, 1 / Lambda)
    |theta - estimate| < sqrt(v (v + tau^2) / tau^2 (2 log(1 / alpha) + log((v + tau^2) / v)))

With a variance that is itself estimated this is the asymptotic confidence sequence of Waudby-Smith, Arbour,
Sinha, Kennedy and Ramdas 2024, "Time-uniform central limit theory and asymptotic confidence sequences"; their
rho^2 t is tau^2 / v. Visitors who come back make later looks resemble earlier ones more than independent
visitors would, which makes the test stricter, not looser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64] | float

ALPHA = 0.05
SRM_ALPHA = 0.001
# How strongly an experiment believes, before it starts, that the shares are as set: as if it had seen so many
# visitors. A standard deviation of 2.5 points at equal shares.
SRM_CONCENTRATION = 400.0
LEAST_VISITORS, LEAST_EVENTS = 100, 25  # in each arm; with fewer a normal approximation is not to be trusted


class Moments(NamedTuple):
    """The number of visitors of an arm and sums over them, as numbers or arrays of the same shape."""

    visitors: Floats
    x: Floats
    y: Floats
    xx: Floats
    xy: Floats
    yy: Floats

    @property
    def has_min_sample(self) -> npt.NDArray[np.bool_] | bool:
        return (np.asarray(self.visitors) >= LEAST_VISITORS) & (np.asarray(self.y) >= LEAST_EVENTS)


class Interval(NamedTuple):
    value: Floats
    low: Floats
    high: Floats


class Effect(NamedTuple):
    """An effect: `lift` is R of the treatment over R of the control minus 1, `p` is always valid."""

    lift: Interval
    p: Floats


class SampleRatio(NamedTuple):
    """Test of whether visitors came to the arms by their shares."""

    chi_square_p: Floats  # for a single look
    sequential_p: Floats  # for any number of looks

    @property
    def is_alarming(self) -> bool:
        return bool(self.sequential_p < SRM_ALPHA)


def ratio(of: Moments) -> tuple[Floats, Floats]:
    """Return R and the variance of log R. NaN where nothing was counted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        visitors, x, y = (np.asarray(each, float) for each in (of.visitors, of.x, of.y))
        value = y / x
        squares = of.yy - 2 * value * of.xy + value**2 * of.xx
        correction = visitors / (visitors - 1)
        return value, np.maximum(squares, 0.0) / y**2 * correction


def ci_half_width(variance: Floats, tau: float, alpha: float = ALPHA) -> Floats:
    """Return half the width of the interval around an estimate with this variance."""
    v = np.asarray(variance, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(v * (v + tau**2) / tau**2 * (2 * np.log(1 / alpha) + np.log((v + tau**2) / v)))


def always_valid_p(effect: Floats, variance: Floats, tau: float) -> Floats:
    v = np.asarray(variance, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_lambda = 0.5 * np.log(v / (v + tau**2)) + (tau * np.asarray(effect)) ** 2 / (2 * v * (v + tau**2))
    return np.exp(-np.maximum(log_lambda, 0.0))


def interval(of: Moments, tau: float, alpha: float = ALPHA) -> Interval:
    """Return R of one arm with its interval."""
    value, variance = ratio(of)
    factor = np.exp(ci_half_width(variance, tau, alpha))
    return Interval(value, value / factor, value * factor)


def compare(control: Moments, treatment: Moments, tau: float, alpha: float = ALPHA) -> Effect:
    """Return the effect of the treatment. Whether there is `has_min_sample` is for the caller to ask."""
    (r_control, v_control), (r_treatment, v_treatment) = ratio(control), ratio(treatment)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.log(r_treatment) - np.log(r_control)
    variance = v_control + v_treatment
    width = ci_half_width(variance, tau, alpha)
    lift = Interval(np.expm1(effect), np.expm1(effect - width), np.expm1(effect + width))
    return Effect(lift, always_valid_p(effect, variance, tau))


def sample_ratio_test(counts: Sequence[Floats], shares: Sequence[float]) -> SampleRatio:
    """Test `counts` of visitors in each arm against the shares that were set.

    Besides the chi-square test, which is for one look, the sequential test of Lindon and Malek 2022,
    "Anytime-Valid Inference for Multinomial Count Data": the Bayes factor of a Dirichlet mixture
    around the shares against the shares themselves is a martingale while they hold.
    """
    from scipy.special import chdtrc, gammaln

    observed = np.stack([np.asarray(each, float) for each in counts])
    share = np.asarray(shares, float).reshape(-1, *[1] * (observed.ndim - 1))
    total = observed.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = ((observed - total * share) ** 2 / (total * share)).sum(0)
    prior = SRM_CONCENTRATION * share
    log_factor = gammaln(SRM_CONCENTRATION) - gammaln(SRM_CONCENTRATION + total)
    log_factor += (gammaln(prior + observed) - gammaln(prior) - observed * np.log(share)).sum(0)
    chi_square = np.where(total > 0, chdtrc(len(counts) - 1, np.nan_to_num(distance)), 1.0)
    return SampleRatio(chi_square, np.exp(-np.maximum(log_factor, 0.0)))
