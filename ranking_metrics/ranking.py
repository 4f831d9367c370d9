"""Ranking metrics over whole batches of users, and their confidence intervals.

A ranking is a matrix of hits: (B, k) bool, best place first. All gains are binary.

    HR@k         1 when any target is among the first k
    Recall@k     hits / targets, or hits / min(k, targets) (Liang et al. 2018, eq. 6)
    Precision@k  hits / k
    NDCG@k       DCG / ideal DCG, discount 1 / log2(1 + place) (Jarvelin and Kekalainen 2002)
    MRR@k        1 / place of the first target within k, else 0
    MRR          the same without a cut
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 1000
_RESAMPLES_AT_ONCE = 4_000_000  # drawn indices held in memory at a time


def cutoff(metric: str) -> int | None:
    """The k of "NDCG@10"; None for "MRR". Raises ValueError on anything that is no metric."""
    name, at, k = metric.partition("@")
    if name not in ("HR", "Recall", "Precision", "NDCG", "MRR") or (at and not k.isdecimal()):
        raise ValueError(f"no metric is called {metric!r}")
    if not at and name != "MRR":
        raise ValueError(f"{metric!r} needs a cut-off such as {name}@10")
    return int(k) if at else None


def per_user(
    hits: np.ndarray,
    n_targets: np.ndarray,
    metrics: Sequence[str],
    *,
    first_places: np.ndarray | None = None,
    capped_recall: bool = False,
) -> np.ndarray:
    """One value per user and metric.

    hits          (B, K) bool, K at least the largest cut-off that is not beyond the catalogue
    n_targets     (B,) int, each at least 1
    first_places  (B,) place of the first target in the whole ranking, from 1; needed for "MRR"
    capped_recall divide by min(k, targets), so that 1 can be reached

    Returns (B, len(metrics)) float64. Raises ValueError on an unknown metric.
    """
    values = np.empty((len(hits), len(metrics)))
    for column, metric in enumerate(metrics):
        k = cutoff(metric)
        if k is None:
            if first_places is None:
                raise ValueError("MRR without a cut-off needs first_places")
            values[:, column] = 1.0 / first_places
            continue
        top = hits[:, :k]
        name = metric.partition("@")[0]
        if name == "HR":
            values[:, column] = top.any(axis=1)
        elif name == "Recall":
            values[:, column] = top.sum(axis=1) / (np.minimum(n_targets, k) if capped_recall else n_targets)
        elif name == "Precision":
            values[:, column] = top.sum(axis=1) / k
        elif name == "MRR":
            values[:, column] = np.where(top.any(axis=1), 1.0 / (top.argmax(axis=1) + 1), 0.0)
        else:
            discounts = 1.0 / np.log2(np.arange(2, k + 2))
            ideal = np.cumsum(discounts)[np.minimum(n_targets, k) - 1]
            values[:, column] = top @ discounts[: top.shape[1]] / ideal
    return values


def hits_of(ranked: np.ndarray, target_mask: np.ndarray) -> np.ndarray:
    """(B, k) bool: which of the ranked items are targets.

    ranked (B, k) int64 item indices padded with -1; target_mask (B, n_items) bool
    """
    return np.take_along_axis(target_mask, np.maximum(ranked, 0), axis=1) & (ranked >= 0)


def first_places(scores: np.ndarray, target_mask: np.ndarray) -> np.ndarray:
    """(B,) int64 place, from 1, of each row's best target in the full ranking; equal scores by index.

    scores (B, n_items) with -inf where masked; target_mask (B, n_items) bool, one target per row at least
    """
    best = np.where(target_mask, scores, -np.inf).max(axis=1)[:, None]
    ties = scores == best
    leading = (ties & target_mask).argmax(axis=1)[:, None]
    ahead = (scores > best) | (ties & (np.arange(scores.shape[1]) < leading))
    return ahead.sum(axis=1) + 1


def popularity(items: np.ndarray, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """What `novelty` and `popularity_bias` average over, from training rows alone.

    Returns (n_items,) float64 self-information -log2(share of the training rows), each item counted
    once more than it occurs so that unseen items stay finite, and (n_items,) float64 popularity
    percentile in 0..1 (equally popular items share their mean).
    """
    counts = np.bincount(items, minlength=n_items)
    information = -np.log2((counts + 1) / (counts.sum() + n_items))
    _, place, equals = np.unique(counts, return_inverse=True, return_counts=True)
    below = np.cumsum(equals) - equals
    percentile = (below + (equals - 1) / 2)[place] / max(n_items - 1, 1)
    return information, percentile


def mean_of_ranked(ranked: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(B,) mean of an item property over each ranking; 0 for an empty one.

    ranked (B, k) int64 padded with -1; values (n_items,)
    """
    known = ranked >= 0
    total = np.where(known, values[np.maximum(ranked, 0)], 0.0).sum(axis=1)
    return total / np.maximum(known.sum(axis=1), 1)


def bootstrap_interval(
    samples: Sequence[np.ndarray], *, seed: int = 0, resamples: int = RESAMPLES, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the mean, resampling users.

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
