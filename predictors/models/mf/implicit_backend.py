"""Implicit ALS fitted by the library implicit, whose conjugate gradients take a fraction of the time.

The library has one ridge for all rows of both sides, and minimises

    sum over observed (u, i) of w_ui / alpha_0 * (x_u'y_i - t_ui)**2 + sum over all (u, i) of (x_u'y_i)**2
    + lambda * (sum over u of |x_u|**2 + sum over i of |y_i|**2),      t_ui = 1 + alpha_0 / w_ui

(Takacs, Pilaszy and Tikk, RecSys 2011, for the steps). lambda is the geometric mean of the ridges that a user
and an item of mean length have in `solver.fit_implicit`, over alpha_0. The items are scaled as two ridges
would have scaled them, so that new users are folded in by the same solve as ever.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from predictors.epoch_loop import EpochLoop
from predictors.errors import PackageMissing, TrainingError
from predictors.models.mf.solver import ImplicitFactors, scaled_ridge


def fit_by_library(
    weights: sparse.csr_matrix,
    *,
    n_dims: int,
    loop: EpochLoop,
    ridge: float,
    ridge_exponent: float,
    unobserved_weight: float,
    seed: int,
) -> ImplicitFactors:
    """Fit as `solver.fit_implicit`, with its arguments.

    Raises PackageMissing without the library, TrainingError in one of several processes.
    """
    if loop.group.size > 1:
        raise TrainingError("backend=implicit fits in one process; several train backend=native")
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ModuleNotFoundError as error:
        raise PackageMissing(
            "backend=implicit needs a package: .venv/bin/pip install -r requirements-implicit.txt"
        ) from error

    n_users, n_items = weights.shape
    of_user, of_item = (
        float(scaled_ridge(weights.nnz / n, n_others, ridge, ridge_exponent, unobserved_weight))
        for n, n_others in ((n_users, n_items), (n_items, n_users))
    )
    model = AlternatingLeastSquares(
        factors=n_dims,
        regularization=np.sqrt(of_user * of_item) / unobserved_weight,
        alpha=1.0,
        iterations=1,
        random_state=seed,
    )
    confidence = weights.tocsr().copy()
    confidence.data = (1 + confidence.data / unobserved_weight).astype(np.float32)
    model.item_factors, model.user_factors = loop.state.get("items"), loop.state.get("users")
    for _ in loop:
        model.fit(confidence, show_progress=False)  # goes on from the factors of the epoch before
        loop.end_epoch({"items": model.item_factors, "users": model.user_factors})
    items = np.asarray(model.item_factors, dtype=np.float32) * np.float32((of_user / of_item) ** 0.25)
    return ImplicitFactors(items, ridge, ridge_exponent, unobserved_weight)
