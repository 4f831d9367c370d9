"""Matrix factorisation by alternating least squares: implicit (iALS) and of ratings with biases.

Both alternate between users and items; with one side held fixed every row of the other is a small
ridge regression of its own, solved exactly. The same regression folds a new user in: training and
serving cannot disagree. The only random numbers are those of the first item factors. Of several processes
each solves its part of the rows and gets those of the others: bit for bit what one process finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from predictors.epoch_loop import EpochLoop
from pytorch_models.training.process_group import ALONE, ProcessGroup

CHUNK_FLOATS = 4_000_000  # gathered factors in memory at one time
INITIAL_SCALE = 0.1  # standard deviation of the length of a first factor


def ridge_rows(
    weights: sparse.csr_matrix,
    targets: np.ndarray,
    features: np.ndarray,
    ridge: np.ndarray,
    gram: np.ndarray | None = None,
    *,
    group: ProcessGroup = ALONE,
) -> np.ndarray:
    """Solve one weighted ridge regression per row, exactly:

        x_r = (gram + sum over j of w_rj f_j f_j' + diag(ridge_r)) ** -1  sum over j of t_rj f_j

    weights  (R, n) CSR with w; which entries are there says which j a row has, zeros included
    targets  (nnz,) float32 t, parallel to weights.data: the weight times the value to fit
    features (n, d) float32
    ridge    (R, d) float32, above 0
    gram     (d, d) float32 that every row shares; None = 0
    group    processes that solve the same rows together; each gets all

    Returns (R, d) float32; rows without entries are 0. Raises ProcessGroupError.
    """
    n_dims = features.shape[1]
    solved = np.zeros((weights.shape[0], n_dims), dtype=np.float32)
    diagonal = np.arange(n_dims)
    chunks = []
    for chunk, longest in _chunks(weights.indptr, n_dims):
        chunks.append(chunk)
        rows = chunk[group.part]
        entries, filled = _padded(weights.indptr, rows, longest)
        gathered = features[weights.indices[entries]]  # (C, L, d)
        amounts = np.where(filled, weights.data[entries], 0).astype(np.float32)  # (C, L)
        values = np.where(filled, targets[entries], 0).astype(np.float32)
        system = np.matmul((gathered * amounts[:, :, None]).transpose(0, 2, 1), gathered)  # (C, d, d)
        if gram is not None:
            system += gram
        system[:, diagonal, diagonal] += ridge[rows]
        wanted = np.matmul(values[:, None, :], gathered)[:, 0]  # (C, d)
        solved[rows] = np.linalg.solve(system, wanted[:, :, None])[:, :, 0]
    if group.size > 1:
        none = np.empty(0, dtype=np.int64)
        group.gather(
            solved, [np.concatenate([none, *(chunk[part] for chunk in chunks)]) for part in group.parts]
        )
    return solved


def _chunks(indptr: np.ndarray, n_dims: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield rows of a CSR that have entries, in chunks of similar length, with the length of the longest."""
    lengths = np.diff(indptr)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    first = 0
    while first < len(order):
        # Lengths ascend, so the last row of a chunk is its longest.
        last = first + 1
        while (
            last < len(order)
            and (last + 1 - first) * (lengths[order[last]] + n_dims) * n_dims <= CHUNK_FLOATS
        ):
            last += 1
        yield order[first:last], int(lengths[order[last - 1]])
        first = last


def _padded(indptr: np.ndarray, rows: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (C, L) entries of data of these rows, padded to the longest, and (C, L) which are filled."""
    within = np.arange(longest)
    filled = within < np.diff(indptr)[rows][:, None]
    return indptr[rows][:, None] + np.where(filled, within, 0), filled


# -- implicit feedback ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ImplicitFactors:
    """Holds the parameters that fold a user in.

    items             (n_items, d) float32
    ridge             lambda
    ridge_exponent    nu
    unobserved_weight alpha_0
    """

    items: np.ndarray
    ridge: float
    ridge_exponent: float
    unobserved_weight: float

    def gram(self) -> np.ndarray:
        """Return (d, d) float32 alpha_0 Y'Y, the part of every user's system that all items share."""
        return self.unobserved_weight * (self.items.T @ self.items)

    def fold_in(
        self, weights: sparse.csr_matrix, gram: np.ndarray, group: ProcessGroup = ALONE
    ) -> np.ndarray:
        """Solve for (B, d) float32 vectors of users with these items, one linear solve each.

        weights (B, n_items) CSR: confidence that an item is liked or, below 0, that it is not.
        gram is that of `gram()`.
        """
        confidence = sparse.csr_matrix(
            (np.abs(weights.data), weights.indices, weights.indptr), shape=weights.shape
        )
        ridge = np.tile(self.ridge_of(np.diff(weights.indptr))[:, None], self.items.shape[1])
        return ridge_rows(confidence, np.maximum(weights.data, 0), self.items, ridge, gram, group=group)

    def ridge_of(self, counts: np.ndarray | int) -> np.ndarray:
        """Return the ridge of users with so many items, float32 in the shape of `counts`."""
        return scaled_ridge(counts, len(self.items), self.ridge, self.ridge_exponent, self.unobserved_weight)


def scaled_ridge(
    counts: np.ndarray | int, n_others: int, ridge: float, exponent: float, unobserved_weight: float
) -> np.ndarray:
    """Return float32 like `counts`: ridge * (count + alpha_0 * n_others) ** nu, by entries of a row."""
    known = np.asarray(counts) + unobserved_weight * n_others
    return np.asarray(ridge * known**exponent, dtype=np.float32)


def fit_implicit(
    weights: sparse.csr_matrix,
    *,
    n_dims: int,
    loop: EpochLoop,
    ridge: float,
    ridge_exponent: float,
    unobserved_weight: float,
    seed: int,
) -> ImplicitFactors:
    """Fit implicit ALS (Hu, Koren and Volinsky, ICDM 2008, eqs. 4-5) in the form of Rendle et al.
    (RecSys 2022, "Revisiting the performance of iALS", eqs. 4-6), minimising:

        sum over observed (u, i) of w_ui (1 - x_u'y_i)**2 + alpha_0 * sum over all (u, i) of (x_u'y_i)**2
        + ridge * (sum over u of (n_u + alpha_0 * n_items) ** nu |x_u|**2 + the same for items)

    weights (n_users, n_items) CSR, confidence of each interaction, above 0. The processes of the loop's group
    fit one model. Raises what `EpochLoop` raises.
    """
    weights = weights.tocsr()
    by_item = weights.T.tocsr()
    n_users, n_items = weights.shape
    rng = np.random.default_rng(seed)
    items = rng.normal(0, INITIAL_SCALE / np.sqrt(n_dims), (n_items, n_dims)).astype(np.float32)
    items = loop.state.get("items", items)
    item_ridge = scaled_ridge(np.diff(by_item.indptr), n_users, ridge, ridge_exponent, unobserved_weight)
    factors = ImplicitFactors(items, ridge, ridge_exponent, unobserved_weight)
    for _ in loop:
        users = factors.fold_in(weights, factors.gram(), loop.group)
        gram = unobserved_weight * (users.T @ users)
        ridges = np.tile(item_ridge[:, None], n_dims)
        items = ridge_rows(by_item, by_item.data, users, ridges, gram, group=loop.group)
        factors = ImplicitFactors(items, ridge, ridge_exponent, unobserved_weight)
        loop.end_epoch({"items": items})
    return factors


# -- ratings -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RatingFactors:
    """Holds the parameters that predict stars.

    mean        of all ratings, stars
    item_biases (n_items,) float32, stars above the mean
    items       (n_items, d) float32
    ridge       lambda: per rating of a row
    bias_ridge  of a user's or an item's bias
    """

    mean: float
    item_biases: np.ndarray
    items: np.ndarray
    ridge: float
    bias_ridge: float

    def fold_in(
        self, above_item: sparse.csr_matrix, weights: np.ndarray, group: ProcessGroup = ALONE
    ) -> np.ndarray:
        """Solve for (B, 1 + d) float32 bias and vector of users with these ratings, one linear solve each.

        above_item (B, n_items) CSR: stars minus the mean and the item's bias; weights (nnz,) parallel
        to its data: the weight of each rating, 1 for stars that were given.
        """
        return _one_side(above_item, weights, self.items, self.ridge, self.bias_ridge, group=group)

    def stars(self, users: np.ndarray, items: np.ndarray | slice) -> np.ndarray:
        """Predict (B, K) float32 stars, not clipped: mean + b_u + b_i + x_u'y_i (Koren 2009, eq. 4)."""
        return (
            np.float32(self.mean)
            + users[:, :1]
            + self.item_biases[items]
            + users[:, 1:] @ self.items[items].T
        )


def fit_ratings(
    stars: sparse.csr_matrix,
    *,
    n_dims: int,
    loop: EpochLoop,
    ridge: float,
    bias_ridge: float,
    seed: int,
) -> RatingFactors:
    """Fit matrix factorisation with biases (Koren, Bell and Volinsky, Computer 2009, eqs. 4-5) by
    alternating least squares whose ridge grows with the number of ratings of a row (Zhou et al., AAIM
    2008, eq. 1). A row's bias is solved together with its vector.

    stars (n_users, n_items) CSR; an entry is a rating. Rows without ratings get zeros. The processes of the
    loop's group fit one model. Raises what `EpochLoop` raises.
    """
    stars = stars.tocsr()
    n_items = stars.shape[1]
    mean = float(stars.data.mean(dtype=np.float64))
    by_user = sparse.csr_matrix((stars.data - np.float32(mean), stars.indices, stars.indptr), stars.shape)
    by_item = by_user.T.tocsr()
    ones = np.ones(len(stars.data), dtype=np.float32)
    rng = np.random.default_rng(seed)
    found = loop.state.get("items")
    if found is None:
        vectors = rng.normal(0, INITIAL_SCALE / np.sqrt(n_dims), (n_items, n_dims)).astype(np.float32)
        found = np.column_stack([_shrunk_means(by_item, bias_ridge), vectors])
    for _ in loop:
        biases, vectors = found[:, 0], np.ascontiguousarray(found[:, 1:])
        above = _minus_columns(by_user, biases)
        users = _one_side(above, ones, vectors, ridge, bias_ridge, group=loop.group)
        above = _minus_columns(by_item, users[:, 0])
        found = _one_side(above, ones, users[:, 1:], ridge, bias_ridge, group=loop.group)
        loop.end_epoch({"items": found})
    return RatingFactors(mean, found[:, 0].copy(), found[:, 1:].copy(), ridge, bias_ridge)


def _one_side(
    residuals: sparse.csr_matrix,
    weights: np.ndarray,
    others: np.ndarray,
    ridge: float,
    bias_ridge: float,
    *,
    group: ProcessGroup = ALONE,
) -> np.ndarray:
    """Solve for (R, 1 + d) float32 bias and vector of each row from (R, n) residuals and (n, d) vectors."""
    n_rows, n_dims = residuals.shape[0], others.shape[1]
    features = np.column_stack([np.ones(len(others), dtype=np.float32), others])
    counts = np.diff(residuals.indptr)
    penalties = np.empty((n_rows, 1 + n_dims), dtype=np.float32)
    penalties[:, 0] = bias_ridge
    penalties[:, 1:] = ridge * np.maximum(counts, 1)[:, None]
    weighted = sparse.csr_matrix((weights, residuals.indices, residuals.indptr), shape=residuals.shape)
    return ridge_rows(weighted, weights * residuals.data, features, penalties, group=group)


def _minus_columns(matrix: sparse.csr_matrix, biases: np.ndarray) -> sparse.csr_matrix:
    """Subtract from each entry the bias of its column."""
    return sparse.csr_matrix(
        (matrix.data - biases[matrix.indices], matrix.indices, matrix.indptr), shape=matrix.shape
    )


def _shrunk_means(rows: sparse.csr_matrix, ridge: float) -> np.ndarray:
    """Return (R,) float32: sum of each row's entries / (their number + ridge)."""
    sums = np.asarray(rows.sum(axis=1)).ravel()
    return (sums / (np.diff(rows.indptr) + ridge)).astype(np.float32)
