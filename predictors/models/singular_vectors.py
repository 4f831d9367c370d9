"""The first singular vectors of a large sparse matrix, by random projections."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import linalg, sparse

OVERSAMPLING = 16  # further random directions, so that the wanted ones come out exactly


def right_singular_vectors(
    matrix: sparse.csr_matrix,
    factors: int,
    iterations: int,
    *,
    seed: int,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the first right singular vectors (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1).

    Returns (n, k) float32 orthonormal, largest singular value first, k = min(factors, both sides), and the
    squares of the values, (k,) float32. More iterations make the last ones exact.
    """
    n_rows, n_columns = matrix.shape
    n_factors = min(factors, n_rows, n_columns)
    n_directions = min(n_factors + OVERSAMPLING, n_rows, n_columns)
    flipped = matrix.T.tocsr()
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((n_columns, n_directions)).astype(np.float32)
    for done in range(iterations + 1):
        basis = _orthonormal(flipped @ (matrix @ basis))
        progress((done + 1) / (iterations + 2))
    # basis spans the wanted rows: the small matrix (matrix @ basis) has the same singular values.
    small = matrix @ basis
    squares, rotation = linalg.eigh(small.T.astype(np.float64) @ small.astype(np.float64))
    vectors = np.ascontiguousarray(basis @ rotation[:, ::-1][:, :n_factors].astype(np.float32))
    return vectors, np.maximum(squares[::-1][:n_factors], np.finfo(np.float32).tiny).astype(np.float32)


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the same space, (n, d) float32."""
    return linalg.qr(columns, mode="economic", overwrite_a=True, check_finite=False)[0]
