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
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from predictors.models.mf.solver import fit_ratings

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
        return cls(sizes / sizes.sum(), centres, _never_flat(covariance))


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

    def prior(self) -> GroupPrior:
        """Return the mixture that maximises the expected likelihood of these rows (the M step)."""
        members = self.chances.sum(axis=0)
        shares = (members + PRIOR_COUNT) / (members + PRIOR_COUNT).sum()
        means = np.einsum("rk,rki->ki", self.chances, self.centres) / np.maximum(members, 1e-3)[:, None]
        away = self.centres - means
        spread = self.within.sum(axis=0) + np.einsum("rk,rki,rkj->ij", self.chances, away, away)
        return GroupPrior(shares, means, _never_flat(spread / len(self.means)))


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
    epochs: int,
    groups: int,
    item_groups: int = 1,
    seed: int,
    after_epoch: Callable[[int], bool] = lambda epoch: True,
) -> GroupFactors:
    """Learn from stars (n_users, n_items) CSR, whose entries are the ratings.

    Starts from a plain factorisation with k-means on its vectors; training ends early when `after_epoch`
    returns False.
    """
    stars = stars.tocsr()
    start = fit_ratings(
        stars,
        n_dims=n_dims,
        epochs=START_EPOCHS,
        ridge=START_RIDGE,
        bias_ridge=START_BIAS_RIDGE,
        seed=seed,
    )
    by_user = _with_data(stars, stars.data.astype(np.float64) - start.mean)
    by_item = by_user.T.tocsr()
    items = np.column_stack([start.item_biases, start.items]).astype(np.float64)
    above = _with_data(by_user, by_user.data - items[by_user.indices, 0])
    users = start.fold_in(above.astype(np.float32), np.ones(above.nnz, np.float32)).astype(np.float64)
    user_prior = GroupPrior.around(users, groups, seed)
    item_prior = GroupPrior.around(items, item_groups, seed)
    noise = _error(above, users, items)
    covariances = np.zeros((*items.shape, items.shape[1]))
    ones = np.ones(by_user.nnz)
    for epoch in range(1, epochs + 1):
        above = _with_data(by_user, by_user.data - items[by_user.indices, 0])
        precision, evidence = _evidence(above, ones, items, covariances)
        of_users = user_prior.posterior(precision / noise, evidence / noise)
        user_prior = of_users.prior()

        above = _with_data(by_item, by_item.data - of_users.means[by_item.indices, 0])
        precision, evidence = _evidence(above, ones, of_users.means, of_users.covariances)
        of_items = item_prior.posterior(precision / noise, evidence / noise)
        item_prior = of_items.prior()

        items, covariances = of_items.means, of_items.covariances
        unsure = of_users.covariances[by_item.indices, 0, 0]
        squares = np.sum(above.data**2 + unsure) - 2 * np.sum(items * evidence)
        noise = float(squares + np.sum(precision * (covariances + _outer(items)))) / by_item.nnz
        if not after_epoch(epoch):
            break
    return GroupFactors(
        start.mean,
        items[:, 0].astype(np.float32),
        items[:, 1:].astype(np.float32),
        covariances.astype(np.float32),
        user_prior,
        noise,
    )


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
    together = covariances[:, 0].copy()  # of the other side's bias with its vector
    together[:, 0] = 0
    counted = _with_data(residuals, weights.astype(np.float64))
    weighted = _with_data(residuals, counted.data * residuals.data)
    precision = (counted @ second.reshape(n, -1)).reshape(-1, width, width)
    return precision, weighted @ features - counted @ together


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


def _never_flat(covariance: np.ndarray) -> np.ndarray:
    return covariance + LEAST_VARIANCE * np.eye(len(covariance))
