"""Confidence intervals over users: of a mean, and of the difference of two models on the same users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
_RESAMPLES_AT_ONCE = 4_000_000  # drawn indices held in memory at a time


@dataclass(frozen=True, slots=True)
class Difference:
    """Holds the mean of one model less that of another over the same users, with its interval."""

    value: float
    low: float
    high: float
    n_users: int

    @property
    def is_clear(self) -> bool:
        """True if the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def bootstrap_interval(
    samples: Sequence[np.ndarray], *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Return the percentile interval of the mean, resampling users (Efron 1979).

    samples   one (users, M) array per run; users are drawn within each run, and the means of the
              runs are averaged. Pass one array of per-user averages when all runs ask the same users.

    Returns (M,) lower and (M,) upper bounds.
    """
    rng = np.random.default_rng(seed)
    means = np.zeros((resamples, samples[0].shape[1]))
    for values in samples:
        n_users = len(values)
        step = max(1, _RESAMPLES_AT_ONCE // n_users)
        for start in range(0, resamples, step):
            n_rows = min(step, resamples - start)
            drawn = rng.integers(0, n_users, (n_rows, n_users))
            drawn += np.arange(n_rows)[:, None] * n_users
            weights = np.bincount(drawn.ravel(), minlength=n_rows * n_users).reshape(n_rows, n_users)
            means[start : start + n_rows] += weights @ values / n_users
    tail = (1 - level) / 2
    lower, upper = np.quantile(means / len(samples), [tail, 1 - tail], axis=0)
    return lower, upper


def paired_interval(
    candidate: np.ndarray,
    baseline: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Difference:
    """Return the mean difference over users with its paired bootstrap interval.

    candidate, baseline  (U,) values of the same users in the same order

    Users that are hard for both models cancel out, so that the interval is narrower than two intervals of
    the means would suggest. Raises ValueError when the users cannot be the same, or there are none.
    """
    candidate, baseline = np.asarray(candidate, np.float64), np.asarray(baseline, np.float64)
    if candidate.shape != baseline.shape or candidate.ndim != 1 or not len(candidate):
        raise ValueError(
            f"a paired interval needs one value per user of both models, "
            f"not {candidate.shape} and {baseline.shape}"
        )
    differences = candidate - baseline
    lower, upper = bootstrap_interval([differences[:, None]], seed=seed, resamples=resamples, level=level)
    return Difference(float(differences.mean()), float(lower[0]), float(upper[0]), len(differences))


def group_means(values: np.ndarray, groups: np.ndarray) -> dict[int, np.ndarray]:
    """Return the (M,) mean of each group of users, by the number of the group.

    values (U, M); groups (U,) int, users with a negative number belong to no group
    """
    return {int(group): values[groups == group].mean(axis=0) for group in np.unique(groups[groups >= 0])}
