"""EASE where the matrix of all pairs of items does not fit: each item by a regression on its nearest items.

Column j of EASE's weights is the ridge regression of item j on all others (Steck, WWW 2019, eq. 8, with the
dropout of Steck, NeurIPS 2020). Here the others are the items S that share most users with j:

    b = (X_S'X_S + ridge * I + dropout / (1 - dropout) * diag(X_S'X_S)) ** -1  X_S'x_j

Beside the rows and the result only one such system is in memory, and which items are nearest: each weight is
written where it stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy import linalg, sparse

from predictors.errors import TrainingError
from predictors.models.nearest_items import nearest_blocks

SHRINKAGE = 20.0  # of the similarity by which the nearest are found, as of `neighbours`
FOUND = 0.2  # of the progress bar; the rest are the regressions
REPORT_EVERY = 500  # items


def local_weights(
    matrix: sparse.csr_matrix,
    *,
    ridge: float,
    dropout: float,
    intercept: bool,
    neighbours: int,
    report: Callable[[float, str], None] = lambda done, message: None,
) -> sparse.csr_matrix:
    """Return (n, n) float32 weights, from the item of the row to the item of the column.

    matrix  (n_users, n) float32 of ones; every item has a user
    report  is called with the share that is done, and a message
    """
    n_items = matrix.shape[1]
    weights_of_row = np.zeros(n_items, dtype=np.int64)
    nearest: deque[tuple[np.ndarray, np.ndarray]] = deque()  # blocks, each let go once it is solved
    for block in nearest_blocks(
        matrix,
        neighbours,
        shrinkage=SHRINKAGE,
        report=lambda done: report(FOUND * done / n_items, f"nearest of {done:,} of {n_items:,} items"),
    ):
        weights_of_row += np.bincount(block.indices, minlength=n_items)
        nearest.append((block.indices, block.indptr))
    by_item = matrix.tocsc()
    counts = np.diff(by_item.indptr).astype(np.float32)
    n_users = np.float32((np.diff(matrix.indptr) > 0).sum())
    indptr = np.concatenate([[0], np.cumsum(weights_of_row)])
    free = indptr[:-1].copy()  # of each row, where its next weight goes: items are solved in order
    weights, columns = np.empty(indptr[-1], dtype=np.float32), np.empty(indptr[-1], dtype=np.int32)
    item = 0
    while nearest:
        indices, ends = nearest.popleft()
        for first, end in pairwise(ends):
            others = indices[first:end]
            if len(others):
                chosen = by_item[:, np.append(others, item)]
                gram = (chosen.T @ chosen).toarray()
                if intercept:
                    each = counts[np.append(others, item)]
                    gram -= np.outer(each, each / n_users)
                system, target = gram[:-1, :-1], gram[:-1, -1]
                system[np.diag_indices_from(system)] += dropout / (1 - dropout) * counts[others] + ridge
                _, solved, failed = linalg.lapack.sposv(system, target, lower=True)
                if failed:
                    raise TrainingError("the matrix of films cannot be inverted; use a larger ridge")
                weights[free[others]], columns[free[others]] = solved, item
                free[others] += 1
            if item % REPORT_EVERY == 0:
                report(FOUND + (1 - FOUND) * item / n_items, f"{item:,} of {n_items:,} items")
            item += 1
    return sparse.csr_matrix((weights, columns, indptr), shape=(n_items, n_items))
