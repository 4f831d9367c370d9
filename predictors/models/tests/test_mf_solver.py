import numpy as np
import pytest
from scipy import sparse

from predictors.epoch_loop import EpochLoop
from predictors.models.mf.solver import ImplicitFactors, fit_implicit, fit_ratings, ridge_rows, scaled_ridge


def ragged(n_rows: int, n_columns: int, seed: int = 0) -> sparse.csr_matrix:
    """Rows of very different length, some empty; entries in (0.2, 1)."""
    rng = np.random.default_rng(seed)
    dense = np.where(
        rng.random((n_rows, n_columns)) < rng.random(n_rows)[:, None] ** 2,
        rng.uniform(0.2, 1.0, (n_rows, n_columns)),
        0,
    )
    dense[3] = 0
    dense[5] = 0.5
    return sparse.csr_matrix(dense.astype(np.float32))


def test_each_row_is_the_ridge_regression_that_numpy_finds_in_float64():
    rng = np.random.default_rng(1)
    weights = ragged(40, 60)
    targets = rng.normal(size=weights.nnz).astype(np.float32)
    features = rng.normal(size=(60, 7)).astype(np.float32)
    ridge = rng.uniform(0.5, 2, (40, 7)).astype(np.float32)
    gram = (features.T @ features * 0.1).astype(np.float32)
    solved = ridge_rows(weights, targets, features, ridge, gram)
    for row in range(40):
        part = slice(weights.indptr[row], weights.indptr[row + 1])
        met = features[weights.indices[part]].astype(np.float64)
        system = gram + (met * weights.data[part, None]).T @ met + np.diag(ridge[row])
        np.testing.assert_allclose(solved[row], np.linalg.solve(system, met.T @ targets[part]), atol=2e-5)
    assert not solved[3].any()  # nothing known of it


def test_chunks_change_nothing(monkeypatch):
    weights = ragged(40, 60)
    features = np.random.default_rng(2).normal(size=(60, 5)).astype(np.float32)
    ridge = np.ones((40, 5), np.float32)
    at_once = ridge_rows(weights, weights.data, features, ridge)
    monkeypatch.setattr("predictors.models.mf.solver.CHUNK_FLOATS", 1)
    np.testing.assert_allclose(ridge_rows(weights, weights.data, features, ridge), at_once, atol=1e-6)


def implicit(matrix: sparse.csr_matrix, epochs: int, seed: int = 1) -> ImplicitFactors:
    return fit_implicit(
        matrix,
        n_dims=8,
        loop=EpochLoop(epochs),
        ridge=0.02,
        ridge_exponent=1.0,
        unobserved_weight=0.1,
        seed=seed,
    )


def implicit_loss(factors: ImplicitFactors, matrix: sparse.csr_matrix) -> float:
    """The objective, term by term, over all pairs."""
    users = factors.fold_in(matrix, factors.gram()).astype(np.float64)
    items = factors.items.astype(np.float64)
    scores, weights = users @ items.T, matrix.toarray()
    n_users, n_items = matrix.shape
    loss = (weights * (1 - scores) ** 2).sum() + 0.1 * (scores**2).sum()
    user_ridge = scaled_ridge(np.diff(matrix.indptr), n_items, 0.02, 1.0, 0.1)
    item_ridge = scaled_ridge(np.diff(matrix.tocsc().indptr), n_users, 0.02, 1.0, 0.1)
    return loss + user_ridge @ (users**2).sum(1) + item_ridge @ (items**2).sum(1)


def test_every_implicit_epoch_lowers_the_objective():
    matrix = ragged(60, 40)
    losses = [implicit_loss(implicit(matrix, epochs), matrix) for epochs in (1, 2, 4, 8)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_an_item_known_not_to_be_liked_scores_lower_than_an_unknown_one():
    factors = implicit(ragged(60, 40), 5)
    told = np.zeros((2, 40), np.float32)
    told[:, :6] = 1
    told[1, 10] = -1
    neutral, disliking = factors.fold_in(sparse.csr_matrix(told), factors.gram()) @ factors.items.T
    assert disliking[10] < neutral[10]


def test_the_same_seed_gives_the_same_factors_and_another_one_others():
    matrix = ragged(30, 20)
    np.testing.assert_array_equal(implicit(matrix, 2).items, implicit(matrix, 2).items)
    assert not np.array_equal(implicit(matrix, 2).items, implicit(matrix, 2, seed=2).items)


@pytest.fixture(scope="module")
def rated() -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Stars of two tastes with biases and noise of 0.3 stars: nine tenths to learn from, one held out."""
    rng = np.random.default_rng(4)
    taste, kind = rng.normal(size=(300, 2)), rng.normal(size=(80, 2))
    stars = 3.2 + rng.normal(0, 0.4, (300, 1)) + rng.normal(0, 0.5, 80) + 0.5 * taste @ kind.T
    stars += rng.normal(0, 0.3, stars.shape)
    known, held_out = rng.random(stars.shape) < 0.5, rng.random(stars.shape) < 0.1
    return (
        sparse.csr_matrix(np.where(known & ~held_out, stars, 0).astype(np.float32)),
        sparse.csr_matrix(np.where(known & held_out, stars, 0).astype(np.float32)),
    )


def rating_error(rated: tuple[sparse.csr_matrix, sparse.csr_matrix], n_dims: int, ridge: float) -> float:
    known, held_out = rated
    factors = fit_ratings(known, n_dims=n_dims, loop=EpochLoop(10), ridge=ridge, bias_ridge=2.0, seed=1)
    above = known.copy()
    above.data = known.data - np.float32(factors.mean) - factors.item_biases[known.indices]
    users = factors.fold_in(above, np.ones(known.nnz, np.float32))
    predicted = factors.stars(users, slice(None))
    rows, columns = held_out.nonzero()
    return float(np.sqrt(np.mean((predicted[rows, columns] - held_out[rows, columns].A1) ** 2)))


def test_ratings_are_predicted_almost_to_their_noise_and_better_than_by_biases(rated):
    biases_alone = rating_error(rated, 2, ridge=1e6)
    assert biases_alone > 0.6
    assert rating_error(rated, 2, ridge=0.02) < 0.36  # the noise is 0.3
