"""First embeddings of LightGCN and NGCF that are not random: singular vectors or a trained LightGCN."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from predictors.models.singular_vectors import right_singular_vectors

if TYPE_CHECKING:
    from predictors.run import Run
    from predictors.training_data import TrainingData

RANDOM, SINGULAR, LIGHTGCN = "random", "singular", "lightgcn"
ITERATIONS = 4  # of the randomised SVD
# Chosen on a fifth of each Gowalla user's training rows.
BATCH_SIZE, N_NEGATIVES, LEARNING_RATE, TEMPERATURE, LENGTH_POWER = 8192, 4096, 0.01, 0.1, 0.25
REST = 0.1  # of the length of the other columns, where a small graph has too few singular vectors


def singular_start(matrix: sparse.csr_matrix, dim: int, seed: int) -> np.ndarray:
    """Compute the first singular vectors of D_U ** -0.5  X  D_I ** -0.5, times their values, users first.

    matrix X (n_users, n_items). Returns (n_users + n_items, dim) float32, rows of users and of items each of
    mean squared length 1.
    """
    of_user = np.sqrt(np.maximum(np.diff(matrix.indptr), 1)).astype(np.float32)
    of_item = np.sqrt(np.maximum(np.bincount(matrix.indices, minlength=matrix.shape[1]), 1))
    normalised = sparse.csr_matrix(
        (
            1 / (np.repeat(of_user, np.diff(matrix.indptr)) * of_item[matrix.indices].astype(np.float32)),
            matrix.indices,
            matrix.indptr,
        ),
        shape=matrix.shape,
    )
    vectors, squares = right_singular_vectors(normalised, dim, ITERATIONS, seed=seed)
    users, items = normalised @ vectors, vectors * np.sqrt(squares)
    started = np.concatenate([_of_length_1(users), _of_length_1(items)])
    missing = dim - started.shape[1]
    if missing:
        rest = np.random.default_rng(seed).standard_normal((len(started), missing)) * REST / np.sqrt(missing)
        started = np.concatenate([started, rest], axis=1)
    return np.ascontiguousarray(started, dtype=np.float32)


def lightgcn_start(data: TrainingData, config: Any, run: Run) -> np.ndarray:
    """Train a LightGCN on the same rows and return its final vectors, users first, (n_nodes, dim) float32.

    It begins with singular vectors and compares cosines, with NGCF's other options. Users have length 1,
    items their length to the power of LENGTH_POWER; rows of users and of items have mean squared length 1.
    """
    from predictors.models.graph.lightgcn import LightgcnConfig, LightgcnPredictor

    lightgcn = LightgcnConfig(
        dim=config.dim,
        layers=config.layers,
        epochs=config.lightgcn_epochs,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        l2=config.l2,
        temperature=TEMPERATURE,
        similarity="cosine",
        length_power=LENGTH_POWER,
        n_negatives=N_NEGATIVES,
        start=SINGULAR,
        evaluate_every=1,
    )
    quiet = replace(run, checkpoint_dir=None, resume=False, hooks=(), cpu_budget_seconds=0.0)
    fitted = LightgcnPredictor.fit(data, lightgcn, quiet)
    users, items = np.asarray(fitted.trained_users), fitted.node.item_vectors
    lengths = np.linalg.norm(users, axis=1, keepdims=True)
    users = users / np.maximum(lengths, np.finfo(np.float32).tiny)
    return np.concatenate([_of_length_1(users), _of_length_1(items)]).astype(np.float32)


def _of_length_1(rows: np.ndarray) -> np.ndarray:
    """Return rows (N, dim) divided by one number, so that their mean squared length is 1."""
    return rows / max(float(np.sqrt((rows**2).sum(axis=1).mean())), float(np.finfo(np.float32).tiny))
