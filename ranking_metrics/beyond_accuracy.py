"""Metrics of recommendation lists that look beyond hits: novelty, diversity, concentration, calibration.

Lists are matrices (B, k) of item indices, best first, padded with -1.

    novelty@k              mean self-information -log2(share of the training rows) of the list's items
    popularity_bias@k      mean popularity percentile of the list's items
    diversity@k            1 - mean cosine of the list's pairs of items (Ziegler et al. 2005, eq. 3)
    calibration@k          KL divergence of the list's labels from the history's labels (Steck 2018, eq. 4-6):
                           0 is calibrated, more is worse
    coverage@k             share of the catalogue that appears in any list
    gini@k                 Gini index of how often each item of the catalogue is recommended: 0 all alike
    films_per_1000@k       distinct items in a thousand lists drawn at random
    personalization@k      1 - mean share of items that two lists have in common
    stratified_recall@k    recall in which an item counts 1 / popularity ** beta (Steck 2011, eq. 6 and 10)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

BETA = 0.5  # Steck 2011 corrects with the square root of an item's popularity
THOUSAND = 1000
_LISTS_AT_ONCE = 64  # whose pairs of items are compared at a time: bounds the memory
SMOOTHING = 0.01  # alpha of Steck 2018, eq. 6: keeps the divergence finite


# -- properties of items, from training rows alone -------------------------------------------------


def popularity(items: np.ndarray, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the item properties that novelty and popularity bias average over.

    Returns (n_items,) float64 self-information -log2(share of the training rows), each item counted
    once more than it occurs so that unseen items stay finite, and (n_items,) float64 popularity
    percentile in 0..1 (equally popular items share their mean).
    """
    counts = np.bincount(items, minlength=n_items)
    information = -np.log2((counts + 1) / (counts.sum() + n_items))
    _, level, equals = np.unique(counts, return_inverse=True, return_counts=True)
    below = np.cumsum(equals) - equals
    percentile = (below + (equals - 1) / 2)[level] / max(n_items - 1, 1)
    return information, percentile


def inverse_popularity(items: np.ndarray, n_items: int, beta: float = BETA) -> np.ndarray:
    """Return (n_items,) float64 weights 1 / count ** beta; items without rows count as one."""
    return np.maximum(np.bincount(items, minlength=n_items), 1) ** -float(beta)


def unit_columns(users: np.ndarray, items: np.ndarray, n_users: int, n_items: int) -> sparse.csc_matrix:
    """Return (n_users, n_items) float32 columns of length 1, whose products are cosines of items."""
    matrix = sparse.csc_matrix((np.ones(len(users), np.float32), (users, items)), shape=(n_users, n_items))
    matrix.data[:] = 1
    lengths = np.sqrt(np.diff(matrix.indptr))
    matrix.data /= np.repeat(np.maximum(lengths, 1), np.diff(matrix.indptr)).astype(np.float32)
    return matrix


# -- one value per list ----------------------------------------------------------------------------


def mean_of_ranked(ranked: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the (B,) mean of an item property over each list; 0 for an empty one.

    ranked (B, k) int64 padded with -1; values (n_items,)
    """
    known = ranked >= 0
    total = np.where(known, values[np.maximum(ranked, 0)], 0.0).sum(axis=1)
    return total / np.maximum(known.sum(axis=1), 1)


def intra_list_diversity(ranked: np.ndarray, columns: sparse.csc_matrix) -> np.ndarray:
    """Return (B,) 1 - mean cosine over the pairs of each list; 0 for a list of fewer than two items.

    ranked (B, k) int64 padded with -1; columns as `unit_columns` gives them
    """
    parts = [
        _diversity(ranked[start : start + _LISTS_AT_ONCE], columns)
        for start in range(0, len(ranked), _LISTS_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def _diversity(ranked: np.ndarray, columns: sparse.csc_matrix) -> np.ndarray:
    known = ranked >= 0
    if not known.any():
        return np.zeros(len(ranked))
    items, inverse = np.unique(np.where(known, ranked, ranked[known][0]), return_inverse=True)
    inverse = inverse.reshape(ranked.shape)
    some = columns[:, items]
    cosines = (some.T @ some).toarray().astype(np.float64)
    pairs = cosines[inverse[:, :, None], inverse[:, None, :]]  # (B, k, k)
    both = known[:, :, None] & known[:, None, :]
    both[:, np.arange(ranked.shape[1]), np.arange(ranked.shape[1])] = False
    n_pairs = both.sum(axis=(1, 2))
    mean = np.where(both, pairs, 0.0).sum(axis=(1, 2)) / np.maximum(n_pairs, 1)
    return np.where(n_pairs > 0, 1.0 - mean, 0.0)


def label_shares(item_lists: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return (B, L) the share of each label in each list; an item's labels share its weight.

    labels  (n_items, L) 0 or 1
    """
    weights = labels / np.maximum(labels.sum(axis=1, keepdims=True), 1)
    sums = np.stack([weights[np.asarray(items, np.int64)].sum(axis=0) for items in item_lists])
    return sums / np.maximum(sums.sum(axis=1, keepdims=True), 1e-12)


def calibration(ranked: np.ndarray, histories: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return (B,) KL divergence, in nats, of each list's labels from those of its history.

    ranked (B, k) int64 padded with -1; labels (n_items, L) 0 or 1. A history without labels gives 0.
    """
    wanted = label_shares(histories, labels)
    found = label_shares([row[row >= 0] for row in ranked], labels)
    smoothed = (1 - SMOOTHING) * found + SMOOTHING * wanted
    ratio = np.divide(wanted, smoothed, out=np.ones_like(wanted), where=wanted > 0)
    return (wanted * np.log(ratio)).sum(axis=1)


# -- one value for all lists together --------------------------------------------------------------


def gini(counts: np.ndarray) -> float:
    """Return the Gini index of how often items are recommended: 0 if all alike, towards 1 if a few only.

    counts  (n_items,) over the full catalogue
    """
    ordered = np.sort(np.asarray(counts, np.float64))
    total, n = ordered.sum(), len(ordered)
    if not total:
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))


def personalization(counts: np.ndarray, n_lists: int, k: int) -> float:
    """Return 1 - the mean share of items that two different lists have in common.

    counts  (n_items,) in how many of the `n_lists` lists of `k` items each item stands

    Equal to the mean over all pairs of lists: an item in c lists is shared by c (c - 1) / 2 pairs.
    """
    if n_lists < 2 or not k:
        return 0.0
    counts = np.asarray(counts, np.float64)
    shared = (counts * (counts - 1)).sum() / (n_lists * (n_lists - 1))
    return float(1.0 - shared / k)


def distinct_in_lists(counts: np.ndarray, n_lists: int, drawn: int = THOUSAND) -> float:
    """Return the expected number of distinct items in so many lists, drawn without replacement.

    counts  (n_items,) in how many of the `n_lists` lists each item stands

    With fewer lists than `drawn` the number in all of them (Hurlbert's rarefaction, 1971, over lists).
    """
    counts = np.asarray(counts, np.int64)
    found = counts[counts > 0]
    if n_lists <= drawn:
        return float(len(found))
    # P(an item is in none of the m drawn lists) = product over j < c of (n - m - j) / (n - j)
    logs = np.cumsum(np.log(n_lists - drawn - np.arange(n_lists - drawn)))
    logs -= np.cumsum(np.log(n_lists - np.arange(n_lists - drawn)))
    missing = np.zeros(len(found))
    rare = found <= n_lists - drawn
    missing[rare] = np.exp(logs[found[rare] - 1])
    return float((1 - missing).sum())


def stratified_recall(hit_weight: float, target_weight: float) -> float:
    """Return popularity-stratified recall: the weight of the hits by the weight of all targets.

    hit_weight, target_weight  sums of `inverse_popularity` over all users' hits and targets
    """
    return hit_weight / target_weight if target_weight else 0.0
