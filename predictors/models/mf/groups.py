"""Matrix factorisation of ratings with learned priors: variational Bayes, mixtures of taste groups.

    stars = mean + a_u + b_i + x_u'y_i + e,      e ~ Normal(0, noise)
    theta_u = [a_u, x_u] ~ sum over groups g of pi_g Normal(c_g, C)      users
    phi_i   = [b_i, y_i] ~ the same with groups and a covariance of its own      items

The posterior is taken as independent between rows (Lim and Teh, KDD Cup 2007; here with mixtures as priors),
and users and items are updated in turn. With the other side's means and covariances at hand, a row's
posterior is exact: one linear solve for all groups together, as they share C. Everything that
plain matrix factorisation leaves to be tuned (how strongly to shrink, biases or vectors, and towards
what) is learned from the training ratings. With one group this is a normal prior with a learned mean and
covariance; with several, a person of forty ratings borrows nearly all they need from their group.

Of several processes each computes the posterior of its part of the rows and gets means and covariances of the
others; the sums over all rows that the priors need are added up over the processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from predictors.epoch_loop import EpochLoop
from predictors.models.mf.solver import RatingFactors, fit_ratings
from pytorch_models.training.process_group import ALONE, ProcessGroup

START_EPOCHS, START_RIDGE, START_BIAS_RIDGE = 8, 0.05, 10.0  # of the plain factorisation it starts from
LEAST_VARIANCE = 1e-5
PRIOR_COUNT = 1.0  # pseudo-members of every group


@dataclass(frozen=True)
class GroupPrior:
    """Holds a mixture: shares (K,), means (K, D), covariance (D, D), float64; D is 1 + d, the bias first."""

    shares: np.ndarray
    means: np.ndarray
    covariance: np.ndarray

    def posterior(self, precision: np.ndarray, evidence: np.ndarray) -> Posterior:
        """Compute the posterior of R rows with likelihood exp(-theta'precision theta / 2 + theta'evidence).

        precision (R, D, D), evidence (R, D); a row of zeros has no ratings.
        """
        own = np.linalg.inv(self.covariance)
        within = np.linalg.inv(precision + own)  # (R, D, D), the same for every group
        sides = (self.means @ own)[None] + evidence[:, None]  # (R, K, D)
        centres = np.einsum("rij,rkj->rki", within, sides)
        likelihood = np.log(self.shares) - 0.5 * np.einsum("ki,ij,kj->k", self.means, own, self.means)
        likelihood = likelihood + 0.5 * np.einsum("rki,rki->rk", sides, centres)
        chances = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        means = np.einsum("rk,rki->ri", chances, centres)
        second = np.einsum("rk,rki,rkj->rij", chances, centres, centres)
        return Posterior(means, within + second - _outer(means), chances, centres, within)

    @classmethod
    def around(cls, rows: np.ndarray, groups: int, seed: int) -> GroupPrior:
        """Initialise the mixture from (R, D) points by k-means."""
        from scipy.cluster.vq import kmeans2  # only training needs it

        groups = min(groups, len(rows))
        if groups > 1:
            centres, member_of = kmeans2(rows, groups, minit="++", rng=np.random.default_rng(seed))
        else:
            centres, member_of = rows.mean(axis=0, keepdims=True), np.zeros(len(rows), dtype=int)
        away = rows - centres[member_of]
        sizes = np.bincount(member_of, minlength=groups) + PRIOR_COUNT
        covariance = away.T @ away / len(rows)
        return cls(sizes / sizes.sum(), centres, _with_least_variance(covariance))


@dataclass(frozen=True)
class Posterior:
    """Holds the posterior of R rows: means (R, D), covariances (R, D, D) and group probabilities (R, K).

    Given the group: centres (R, K, D) and within (R, D, D).
    """

    means: np.ndarray
    covariances: np.ndarray
    chances: np.ndarray
    centres: np.ndarray
    within: np.ndarray

    def fit_prior(self, group: ProcessGroup = ALONE) -> GroupPrior:
        """Return the mixture that maximises the expected likelihood of these rows (the M step).

        In a group of processes: of the rows of all. Raises ProcessGroupError.
        """
        n_rows = group.sum(np.array(len(self.means)))
        members = group.sum(self.chances.sum(axis=0))
        shares = (members + PRIOR_COUNT) / (members + PRIOR_COUNT).sum()
        centres = group.sum(np.einsum("rk,rki->ki", self.chances, self.centres))
        means = centres / np.maximum(members, 1e-3)[:, None]
        away = self.centres - means
        spread = self.within.sum(axis=0) + np.einsum("rk,rki,rkj->ij", self.chances, away, away)
        return GroupPrior(shares, means, _with_least_variance(group.sum(spread) / n_rows))

    def gather_moments(self, n_rows: int, group: ProcessGroup) -> tuple[np.ndarray, np.ndarray]:
        """Return means and covariances of all n_rows rows, of which these are the part of this process."""
        if group.size == 1:
            return self.means, self.covariances
        rows = [np.arange(n_rows)[part] for part in group.parts]
        found = []
        for own in (self.means, self.covariances):
            whole = np.empty((n_rows, *own.shape[1:]))
            whole[group.part] = own
            group.gather(whole, rows)
            found.append(whole)
        return found[0], found[1]


@dataclass(frozen=True)
class GroupFactors:
    """Holds the parameters that predict stars; fields as in `mf.solver.RatingFactors`.

    mean              of all ratings, stars
    item_biases       (n_items,) float32, stars above the mean
    items             (n_items, d) float32
    item_covariances  (n_items, 1 + d, 1 + d) float32 posterior covariance of an item's bias and vector
    prior             of users
    noise             variance of e, stars squared
    """

    mean: float
    item_biases: np.ndarray
    items: np.ndarray
    item_covariances: np.ndarray
    prior: GroupPrior
    noise: float

    def fold_in(self, above_item: sparse.csr_matrix, weights: np.ndarray) -> np.ndarray:
        """Solve for (B, 1 + d) float32 bias and vector of users; see RatingFactors.fold_in."""
        return self.posterior(above_item, weights).means.astype(np.float32)

    def posterior(self, above_item: sparse.csr_matrix, weights: np.ndarray) -> Posterior:
        """Return the posterior of users with these ratings, the probability of each group included."""
        rows = np.column_stack([self.item_biases, self.items]).astype(np.float64)
        precision, evidence = _evidence(above_item, weights, rows, self.item_covariances.astype(np.float64))
        return self.prior.posterior(precision / self.noise, evidence / self.noise)

    def stars(self, users: np.ndarray, items: np.ndarray | slice) -> np.ndarray:
        """Predict (B, K) float32 stars, not clipped: mean + a_u + b_i + x_u'y_i."""
        return (
            np.float32(self.mean)
            + users[:, :1]
            + self.item_biases[items]
            + users[:, 1:] @ self.items[items].T
        )

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the tensors that `from_tensors` needs beside mean, biases and vectors."""
        return {
            "item_covariances": self.item_covariances,
            "group_shares": self.prior.shares,
            "group_means": self.prior.means,
            "group_covariance": self.prior.covariance,
            "noise": np.array([self.noise]),
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, np.ndarray]) -> GroupFactors:
        prior = GroupPrior(tensors["group_shares"], tensors["group_means"], tensors["group_covariance"])
        return cls(
            float(tensors["mean"][0]),
            tensors["biases"],
            tensors["items"],
            tensors["item_covariances"],
            prior,
            float(tensors["noise"][0]),
        )


def fit_groups(
    stars: sparse.csr_matrix,
    *,
    n_dims: int,
    loop: EpochLoop,
    groups: int,
    item_groups: int = 1,
    seed: int,
) -> GroupFactors:
    """Learn from stars (n_users, n_items) CSR, whose entries are the ratings.

    Starts from a plain factorisation with k-means on its vectors. The processes of the loop's group fit one
    model. Raises what `EpochLoop` raises.
    """
    stars, process_group = stars.tocsr(), loop.group
    n_users, n_items = stars.shape
    mean = float(stars.data.mean(dtype=np.float64))
    by_user = _with_data(stars, stars.data.astype(np.float64) - mean)
    by_item = by_user.T.tocsr()
    own_users, own_items = (_part(matrix, process_group) for matrix in (by_user, by_item))
    state = loop.state or _start(
        stars,
        by_user,
        n_dims=n_dims,
        groups=groups,
        item_groups=item_groups,
        seed=seed,
        process_group=process_group,
    )
    items, covariances, noise = state["items"], state["covariances"], float(state["noise"][0])
    user_prior, item_prior = _prior_of(state, "user"), _prior_of(state, "item")
    for _ in loop:
        above = _with_data(own_users, own_users.data - items[own_users.indices, 0])
        precision, evidence = _evidence(above, np.ones(above.nnz), items, covariances)
        of_users = user_prior.posterior(precision / noise, evidence / noise)
        user_prior = of_users.fit_prior(process_group)
        users, unsure = of_users.gather_moments(n_users, process_group)

        above = _with_data(own_items, own_items.data - users[own_items.indices, 0])
        precision, evidence = _evidence(above, np.ones(above.nnz), users, unsure)
        of_items = item_prior.posterior(precision / noise, evidence / noise)
        item_prior = of_items.fit_prior(process_group)
        items, covariances = of_items.gather_moments(n_items, process_group)

        found = of_items.means
        squares = np.sum(above.data**2 + unsure[own_items.indices, 0, 0]) - 2 * np.sum(found * evidence)
        squares += np.sum(precision * (of_items.covariances + _outer(found)))
        noise = float(process_group.sum(np.array(squares))) / by_item.nnz
        loop.end_epoch(_state(items, covariances, noise, user_prior, item_prior))
    return GroupFactors(
        mean,
        items[:, 0].astype(np.float32),
        items[:, 1:].astype(np.float32),
        covariances.astype(np.float32),
        user_prior,
        noise,
    )


def _start(
    stars: sparse.csr_matrix,
    by_user: sparse.csr_matrix,
    *,
    n_dims: int,
    groups: int,
    item_groups: int,
    seed: int,
    process_group: ProcessGroup,
) -> dict[str, np.ndarray]:
    """Return the state that the epochs begin with, that of the first process in all."""
    start: RatingFactors = fit_ratings(
        stars,
        n_dims=n_dims,
        loop=EpochLoop(START_EPOCHS, group=process_group),
        ridge=START_RIDGE,
        bias_ridge=START_BIAS_RIDGE,
        seed=seed,
    )
    items = np.column_stack([start.item_biases, start.items]).astype(np.float64)
    above = _with_data(by_user, by_user.data - items[by_user.indices, 0])
    ones = np.ones(above.nnz, np.float32)
    users = start.fold_in(above.astype(np.float32), ones, process_group).astype(np.float64)
    priors = GroupPrior.around(users, groups, seed), GroupPrior.around(items, item_groups, seed)
    covariances = np.zeros((*items.shape, items.shape[1]))
    return process_group.from_first(_state(items, covariances, _error(above, users, items), *priors))


def _state(
    items: np.ndarray,
    covariances: np.ndarray,
    noise: float,
    user_prior: GroupPrior,
    item_prior: GroupPrior,
) -> dict[str, np.ndarray]:
    """Return the arrays that an epoch begins with; `items` are bias and vector of each."""
    priors = {"user": user_prior, "item": item_prior}
    of_priors = {
        f"{side}_{name}": array for side, prior in priors.items() for name, array in vars(prior).items()
    }
    return {"items": items, "covariances": covariances, "noise": np.array([noise]), **of_priors}


def _prior_of(state: Mapping[str, np.ndarray], side: str) -> GroupPrior:
    return GroupPrior(*(state[f"{side}_{name}"] for name in ("shares", "means", "covariance")))


def _part(rows: sparse.csr_matrix, group: ProcessGroup) -> sparse.csr_matrix:
    """Return the rows of a matrix that this process computes."""
    return rows if group.size == 1 else rows[group.part]


def _evidence(
    residuals: sparse.csr_matrix, weights: np.ndarray, others: np.ndarray, covariances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the evidence of ratings about the bias and vector of their row, in expectation.

    residuals (R, n) CSR: stars above mean and the other side's bias; weights parallel to its data;
    others (n, D) bias and vector there, covariances (n, D, D).

    Returns sum of w E[f f'] as (R, D, D) and sum of w E[f (residual)] as (R, D), with f = [1, vector].
    """
    n, width = others.shape
    features = others.copy()
    features[:, 0] = 1
    second = _outer(features)
    second[:, 1:, 1:] += covariances[:, 1:, 1:]
    cross = covariances[:, 0].copy()  # of the other side's bias with its vector
    cross[:, 0] = 0
    counted = _with_data(residuals, weights.astype(np.float64))
    weighted = _with_data(residuals, counted.data * residuals.data)
    precision = (counted @ second.reshape(n, -1)).reshape(-1, width, width)
    return precision, weighted @ features - counted @ cross


def _error(above: sparse.csr_matrix, users: np.ndarray, items: np.ndarray) -> float:
    """Return the mean squared error of users' biases and vectors on ratings above the items' biases."""
    rows = np.repeat(np.arange(above.shape[0]), np.diff(above.indptr))
    predicted = users[rows, 0] + np.einsum("nd,nd->n", users[rows, 1:], items[above.indices, 1:])
    return float(np.mean((above.data - predicted) ** 2))


def _with_data(matrix: sparse.csr_matrix, data: np.ndarray) -> sparse.csr_matrix:
    """Replace the values of a sparse matrix and keep its structure."""
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _outer(rows: np.ndarray) -> np.ndarray:
    """Return the outer product of each row with itself: (R, D) -> (R, D, D)."""
    return rows[:, :, None] * rows[:, None, :]


def _with_least_variance(covariance: np.ndarray) -> np.ndarray:
    """Add LEAST_VARIANCE to the diagonal of a (D, D) covariance."""
    return covariance + LEAST_VARIANCE * np.eye(len(covariance))
