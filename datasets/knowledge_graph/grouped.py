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
