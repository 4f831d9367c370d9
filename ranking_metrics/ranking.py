"""Ranking metrics over batches of users.

A ranking is a matrix of hits: (B, k) bool, best rank first. All gains are binary.

    HR@k         1 when any target is among the first k
    Recall@k     hits / targets, or hits / min(k, targets) (Liang et al. 2018, eq. 6)
    Precision@k  hits / k
    NDCG@k       DCG / ideal DCG, discount 1 / log2(1 + rank) (Jarvelin and Kekalainen 2002)
    MRR@k        1 / rank of the first target within k, else 0
    MRR          the same without a cut
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def cutoff(metric: str) -> int | None:
    """Return the k of "NDCG@10", None for "MRR". Raises ValueError on anything that is no metric."""
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
    first_ranks: np.ndarray | None = None,
    capped_recall: bool = False,
) -> np.ndarray:
    """Return one value per user and metric.

    hits          (B, K) bool, K at least the largest cut-off that is not beyond the catalogue
    n_targets     (B,) int, each at least 1
    first_ranks  (B,) rank of the first target in the full ranking, from 1; needed for "MRR"
    capped_recall divide by min(k, targets), so that 1 can be reached

    Returns (B, len(metrics)) float64. Raises ValueError on an unknown metric.
    """
    values = np.empty((len(hits), len(metrics)))
    for column, metric in enumerate(metrics):
        k = cutoff(metric)
        if k is None:
            if first_ranks is None:
                raise ValueError("MRR without a cut-off needs first_ranks")
            values[:, column] = 1.0 / first_ranks
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
    """Return (B, k) bool: which of the ranked items are targets.

    ranked (B, k) int64 item indices padded with -1; target_mask (B, n_items) bool
    """
    return np.take_along_axis(target_mask, np.maximum(ranked, 0), axis=1) & (ranked >= 0)


def first_ranks(scores: np.ndarray, target_mask: np.ndarray) -> np.ndarray:
    """Return the (B,) float64 rank, from 1, of each row's best target; equal scores are ordered by index.

    scores (B, n_items) with -inf where masked; target_mask (B, n_items) bool, one target per row at least.
    A row whose targets all score -inf has the rank inf.
    """
    best = np.where(target_mask, scores, -np.inf).max(axis=1)[:, None]
    ties = scores == best
    leading = (ties & target_mask).argmax(axis=1)[:, None]
    ahead = (scores > best) | (ties & (np.arange(scores.shape[1]) < leading))
    return np.where(best[:, 0] == -np.inf, np.inf, ahead.sum(axis=1) + 1.0)
