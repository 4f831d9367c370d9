"""Shared code of models whose scores are sums over the items of a history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from predictors.query import Query


def as_matrix(queries: Sequence[Query], n_items: int, dislike_weight: float = 0.0) -> sparse.csr_matrix:
    """Build (B, n_items) float32: weights of liked items, -`dislike_weight` for disliked ones."""
    columns = [np.concatenate([query.liked, query.disliked]) for query in queries]
    values = [
        np.concatenate([query.weights, np.full(len(query.disliked), -dislike_weight)]) for query in queries
    ]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in columns], dtype=np.int64)])
    parts = (
        np.concatenate([*values, []]).astype(np.float32),
        np.concatenate([*columns, []]).astype(np.int64),
        indptr,
    )
    return sparse.csr_matrix(parts, shape=(len(queries), n_items))


def largest_of_rows(matrix: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """Return the k largest values of each row, among equals the lower index. Sorts the matrix's indices."""
    matrix.sort_indices()
    keep = np.ones(matrix.nnz, dtype=bool)
    for row in np.flatnonzero(np.diff(matrix.indptr) > k).tolist():
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        values = matrix.data[part]
        least = np.partition(values, len(values) - k)[len(values) - k]
        keep[part] = values > least
        equal = np.flatnonzero(values == least)
        keep[part][equal[: k - np.count_nonzero(keep[part])]] = True
    indptr = np.concatenate([[0], np.cumsum(keep)])[matrix.indptr]
    return sparse.csr_matrix((matrix.data[keep], matrix.indices[keep], indptr), shape=matrix.shape)
