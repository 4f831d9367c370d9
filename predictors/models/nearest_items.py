"""Finds the items that share most users, block by block so that memory is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import sparse

from predictors.history_features import largest_of_rows

BLOCK = 512  # items whose similarities are counted at one time, and
BLOCK_ENTRIES = 1_000_000  # similarities at one time: 30 MB at worst


def nearest_items(
    matrix: sparse.csr_matrix,
    k: int,
    *,
    shrinkage: float,
    exponent: float = 0.5,
    report: Callable[[int], None] = lambda done: None,
) -> sparse.csr_matrix:
    """Return the blocks of `nearest_blocks`, with its arguments, as one (n_items, n_items) float32 matrix."""
    blocks = list(nearest_blocks(matrix, k, shrinkage=shrinkage, exponent=exponent, report=report))
    return sparse.vstack(blocks, format="csr", dtype=np.float32)


def nearest_blocks(
    matrix: sparse.csr_matrix,
    k: int,
    *,
    shrinkage: float,
    exponent: float = 0.5,
    report: Callable[[int], None] = lambda done: None,
) -> Iterator[sparse.csr_matrix]:
    """Yield the k largest similarities s_ij of the next B items i as (B, n_items) float32, by ascending j.

        s_ij = n_ij / (n_i ** (1 - e) * n_j ** e + shrinkage)

    n_i users have item i, n_ij both; e is the exponent, and s_ii is left out.

    matrix  (n_users, n_items) of ones
    report  is called with the number of items that are done
    """
    by_user = matrix.tocsr()
    by_item = matrix.T.tocsr()
    counts = np.diff(by_item.indptr).astype(np.float32)
    of_row, of_column = counts ** (1 - exponent), counts**exponent
    n_items = len(counts)
    step = max(1, min(BLOCK, BLOCK_ENTRIES // max(n_items, 1)))
    for start in range(0, n_items, step):
        stop = min(start + step, n_items)
        together = (by_item[start:stop] @ by_user).tocsr()
        rows = np.repeat(np.arange(start, stop), np.diff(together.indptr))
        scale = of_row[rows] * of_column[together.indices]
        together.data /= np.maximum(scale + np.float32(shrinkage), np.float32(1e-9))
        together.data[rows == together.indices] = 0
        together.eliminate_zeros()
        yield largest_of_rows(together, k)
        report(stop)
