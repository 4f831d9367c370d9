"""Array operations over rows that belong to groups."""

from __future__ import annotations

import numpy as np


def csr_entries(indptr: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (T,) int64 the entries of these CSR rows, and the position of each entry's row in `rows`."""
    starts = indptr[rows]
    sizes = indptr[rows + 1] - starts
    owner = np.repeat(np.arange(len(rows)), sizes)
    return np.repeat(starts, sizes) + within_groups(sizes), owner


def within_groups(sizes: np.ndarray) -> np.ndarray:
    """Return 0, 1, .. size - 1 for each group in turn, (sum of sizes,) int64."""
    ends = np.cumsum(sizes)
    return np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - sizes, sizes)


def top_k_per_group(
    group: np.ndarray, weight: np.ndarray, k: int | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the k largest weights of each group, by group and weight, and their rank.

    Ties keep the lower index. `k` is one number, or (N,) int64 by row.
    """
    order = np.lexsort((-weight, group))
    ordered = group[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(new)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    kept = rank < (k[order] if isinstance(k, np.ndarray) else k)
    return order[kept], rank[kept]


def latest_per_user(users: np.ndarray, items: np.ndarray, limit: int, n_items: int) -> np.ndarray:
    """Return the rows of the last `limit` different items of each user; rows of a user come oldest first."""
    # The last row of each pair stands for it, so that an item that occurs again counts as new.
    _, from_end = np.unique((users * max(n_items, 1) + items)[::-1], return_index=True)
    rows = np.sort(len(users) - 1 - from_end)
    rows = rows[np.argsort(users[rows], kind="stable")]
    counts = np.bincount(users[rows])
    rank_from_end = np.repeat(np.cumsum(counts), counts) - np.arange(len(rows))  # the newest has 1
    return rows[rank_from_end <= limit]
