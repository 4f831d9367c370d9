"""EASE where the matrix of all pairs of items does not fit: each item by a regression on its nearest items.

Column j of EASE's weights is the ridge regression of item j on all others (Steck, WWW 2019, eq. 8, with the
dropout of Steck, NeurIPS 2020). Here the others are the items S that most of the same users met:

    b = (X_S'X_S + ridge * I + dropout / (1 - dropout) * diag(X_S'X_S)) ** -1  X_S'x_j

Nothing larger than one such system is in memory beside the rows and the result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import linalg, sparse

from predictors.errors import TrainingError
from predictors.models.nearest_items import nearest_items

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
    nearest = nearest_items(
        matrix,
        neighbours,
        shrinkage=SHRINKAGE,
        report=lambda done: report(FOUND * done / n_items, f"nearest of {done:,} of {n_items:,} items"),
    )
    by_item = matrix.tocsc()
    counts = np.diff(by_item.indptr).astype(np.float32)
    n_users = np.float32((np.diff(matrix.indptr) > 0).sum())
    weights = np.empty(nearest.nnz, dtype=np.float32)
    for item in range(n_items):
        row = slice(nearest.indptr[item], nearest.indptr[item + 1])
        others = nearest.indices[row]
        if len(others):
            chosen = by_item[:, np.append(others, item)]
            gram = (chosen.T @ chosen).toarray()
            if intercept:
                each = counts[np.append(others, item)]
                gram -= np.outer(each, each / n_users)
            system, target = gram[:-1, :-1], gram[:-1, -1]
            system[np.diag_indices_from(system)] += dropout / (1 - dropout) * counts[others] + ridge
            _, weights[row], failed = linalg.lapack.sposv(system, target, lower=True)
            if failed:
                raise TrainingError("the matrix of films cannot be inverted; use a larger ridge")
        if item % REPORT_EVERY == 0:
            report(FOUND + (1 - FOUND) * item / n_items, f"{item:,} of {n_items:,} items")
    # Row j of `nearest` names the items that j is regressed on: a column of the weights.
    return sparse.csc_matrix((weights, nearest.indices, nearest.indptr), shape=nearest.shape).tocsr()
