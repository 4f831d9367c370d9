"""Matrix factorisation with learned priors: near the floor of a made-up world, exact where it can be told."""

import numpy as np
import pytest
from scipy import sparse

from datasets.synthetic import World, WorldOptions, make_world
from predictors.epoch_loop import EpochLoop
from predictors.models.mf.groups import GroupFactors, GroupPrior, fit_groups
from predictors.run import Run


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(WorldOptions(users=500, items=80, ratings=20_000, groups=4, genres=5, seed=3))


@pytest.fixture(scope="module")
def held_out(world) -> np.ndarray:
    return np.random.default_rng(1).random(len(world.stars)) < 0.2


def matrix_of(world: World, rows: np.ndarray) -> sparse.csr_matrix:
    pairs = (world.users[rows], world.items[rows])
    return sparse.csr_matrix((world.stars[rows].astype(np.float32), pairs), shape=world.levels.shape)


def above_items(factors: GroupFactors, stars: sparse.csr_matrix) -> sparse.csr_matrix:
    data = stars.data - factors.mean - factors.item_biases[stars.indices]
    return sparse.csr_matrix((data, stars.indices, stars.indptr), shape=stars.shape)


@pytest.fixture(scope="module")
def factors(world, held_out) -> GroupFactors:
    return fit_groups(
        matrix_of(world, ~held_out), n_dims=4, loop=EpochLoop(25), groups=6, item_groups=5, seed=1
    )


def above_floor(factors: GroupFactors, world: World, held_out: np.ndarray) -> float:
    """Squared distance from the true expectation, as a share of the floor."""
    known = above_items(factors, matrix_of(world, ~held_out))
    users = factors.fold_in(known, np.ones(known.nnz, np.float32))
    asked = world.users[held_out], world.items[held_out]
    truth, variance = world.expected(*asked)
    return float(np.mean((factors.stars(users, slice(None))[asked] - truth) ** 2) / variance.mean())


def test_it_comes_near_the_floor_and_knows_the_noise(factors, world, held_out):
    assert above_floor(factors, world, held_out) < 0.035
    assert factors.noise == pytest.approx(world.floor(~held_out), rel=0.05)


def test_groups_are_worth_more_than_one_prior_for_all(factors, world, held_out):
    alone = fit_groups(matrix_of(world, ~held_out), n_dims=4, loop=EpochLoop(25), groups=1, seed=1)
    assert above_floor(factors, world, held_out) < 0.6 * above_floor(alone, world, held_out)


def test_people_are_put_into_their_groups(factors, world, held_out):
    known = above_items(factors, matrix_of(world, ~held_out))
    chances = factors.posterior(known, np.ones(known.nnz)).chances
    assert np.allclose(chances.sum(axis=1), 1)
    found = chances.argmax(axis=1)
    commonest = sum(np.bincount(world.group_of[found == group]).max() for group in np.unique(found))
    assert commonest / len(found) > 0.95


def test_nothing_known_is_the_prior(factors):
    nobody = sparse.csr_matrix((1, len(factors.items)))
    expected = factors.prior.shares @ factors.prior.means
    np.testing.assert_allclose(factors.fold_in(nobody, np.empty(0))[0], expected, atol=1e-6)


def test_the_posterior_is_that_of_adding_up_over_a_grid():
    prior = GroupPrior(
        np.array([0.3, 0.7]), np.array([[-1.0, 0.5], [1.0, 0.0]]), np.array([[0.5, 0.1], [0.1, 0.3]])
    )
    precision, evidence = np.array([[1.2, 0.3], [0.3, 0.8]]), np.array([0.4, -0.6])
    side = np.linspace(-6, 6, 401)
    points = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    inverse = np.linalg.inv(prior.covariance)
    density = np.zeros((len(points), 2))
    for group in range(2):
        away = points - prior.means[group]
        density[:, group] = prior.shares[group] * np.exp(-0.5 * np.einsum("ni,ij,nj->n", away, inverse, away))
    likelihood = np.exp(points @ evidence - 0.5 * np.einsum("ni,ij,nj->n", points, precision, points))
    weights = density * likelihood[:, None] / np.sum(density * likelihood[:, None])
    mean = weights.sum(axis=1) @ points
    covariance = np.cov(points.T, aweights=weights.sum(axis=1), ddof=0)
    found = prior.posterior(precision[None], evidence[None])
    np.testing.assert_allclose(found.means[0], mean, atol=1e-6)
    np.testing.assert_allclose(found.covariances[0], covariance, atol=1e-6)
    np.testing.assert_allclose(found.chances[0], weights.sum(axis=0), atol=1e-6)


def test_training_can_be_ended_and_is_the_same_twice(world, held_out):
    stars = matrix_of(world, ~held_out)
    short = EpochLoop(20, Run(cpu_budget_seconds=1e-6))
    once = fit_groups(stars, n_dims=3, loop=short, groups=3, seed=5)
    again = fit_groups(stars, n_dims=3, loop=EpochLoop(1), groups=3, seed=5)
    np.testing.assert_array_equal(once.items, again.items)


def test_more_groups_than_people_do_no_harm():
    stars = sparse.csr_matrix(np.array([[5, 1, 0], [0, 4, 2]], dtype=np.float32))
    factors = fit_groups(stars, n_dims=2, loop=EpochLoop(3), groups=9, item_groups=9, seed=1)
    assert np.isfinite(factors.stars(np.zeros((1, 3), np.float32), slice(None))).all()
