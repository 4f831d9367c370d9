"""Negative sampling for pairwise and sampled-softmax losses: uniform, popularity-mixed, hard.

No sampler returns a pair of the `Positives` that it was made with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

NEGATIVE_SAMPLERS = ("uniform", "popularity", "hard")
_REDRAWS = 8  # after so many draws the few rows still on a positive choose from what is left
_BLOCK = 512  # users scored at one time


class Positives:
    """Holds the items of each user as sorted keys `user * n_items + item`.

    Several columns of (users, items) may be given, each (N,) integers.
    """

    def __init__(self, n_users: int, n_items: int, *columns: tuple[np.ndarray, np.ndarray]) -> None:
        keys = [
            np.asarray(users, np.int64) * n_items + np.asarray(items, np.int64) for users, items in columns
        ]
        self.n_users, self.n_items = n_users, n_items
        self.keys = np.unique(np.concatenate(keys)) if keys else np.empty(0, np.int64)
        self.indptr = np.searchsorted(self.keys, np.arange(n_users + 1, dtype=np.int64) * n_items)

    def contain(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return (...) bool, whether each pair of users (...) and items (...) is a positive."""
        wanted = np.asarray(users, np.int64) * self.n_items + items
        if not len(self.keys):
            return np.zeros(wanted.shape, dtype=bool)
        position = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return self.keys[position] == wanted

    def among(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return (B, N) bool: which of the items (N,), each named once, are positives of which users (B,)."""
        position = np.full(self.n_items, -1)
        position[items] = np.arange(len(items))
        counts = self.indptr[users + 1] - self.indptr[users]
        columns = position[self.keys[ranges(self.indptr[users], counts)] % self.n_items]
        rows = np.repeat(np.arange(len(users)), counts)
        found = np.zeros((len(users), len(items)), dtype=bool)
        found[rows[columns >= 0], columns[columns >= 0]] = True
        return found

    def items_of(self, user: int) -> np.ndarray:
        """Return (T,) int64 the items of a user, ascending."""
        return self.keys[self.indptr[user] : self.indptr[user + 1]] - user * self.n_items

    @property
    def have_negatives(self) -> np.ndarray:
        """(n_users,) bool, False for a user of the full catalogue, who cannot be trained on."""
        return np.diff(self.indptr) < self.n_items


class Negatives(ABC):
    """Draws items that are no positives of a user."""

    def __init__(self, positives: Positives) -> None:
        self.positives = positives

    @abstractmethod
    def propose(self, users: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        """Return (B, k) int64 items for users (B,); `draw` replaces the positives among them."""

    def draw(self, users: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        """Draw (B, k) int64 items that are no positives of the users (B,).

        Raises ValueError for a user of the full catalogue.
        """
        users = np.asarray(users, dtype=np.int64)
        items = self.propose(users, k, rng)
        for _ in range(_REDRAWS):
            rows, columns = np.nonzero(self.positives.contain(users[:, None], items))
            if not len(rows):
                return items
            items[rows, columns] = self.propose(users[rows], 1, rng)[:, 0]
        rows, columns = np.nonzero(self.positives.contain(users[:, None], items))
        for row, column in zip(rows, columns, strict=True):
            user = int(users[row])
            left = np.setdiff1d(np.arange(self.positives.n_items), self.positives.items_of(user))
            if not len(left):
                raise ValueError(f"user {user} has the full catalogue; there is no negative to draw")
            items[row, column] = rng.choice(left)
        return items

    def due(self, epoch: int) -> bool:
        """Return whether `refresh` must be called before this epoch, counted from 0."""
        return False

    def refresh(self, user_vectors: np.ndarray, item_vectors: np.ndarray) -> None:  # noqa: B027 - most ignore it
        """Take the current model's vectors: (n_users, d) and (n_items, d) float32, score = dot product."""


class UniformNegatives(Negatives):
    """Draws every item alike (BPR, UAI 2009, section 5)."""

    def propose(self, users: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, self.positives.n_items, (len(users), k))


class PopularityNegatives(Negatives):
    """Draws a share of the items by popularity ** exponent, the others uniformly.

    popularity  (n_items,) counts in the training data; exponent .75 is word2vec's (NIPS 2013, 2.2)
    """

    def __init__(
        self, positives: Positives, popularity: np.ndarray, *, share: float = 0.5, exponent: float = 0.75
    ) -> None:
        super().__init__(positives)
        weights = np.asarray(popularity, dtype=np.float64) ** exponent
        if not 0 <= share <= 1 or not weights.sum() > 0:
            raise ValueError("share must be between 0 and 1, and some item must be popular")
        self.share = share
        self.cumulative = np.cumsum(weights) / weights.sum()

    def propose(self, users: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        shape = (len(users), k)
        uniform = rng.integers(0, self.positives.n_items, shape)
        popular = np.searchsorted(self.cumulative, rng.random(shape), side="right")
        popular = np.minimum(popular, self.positives.n_items - 1)  # the last sum may round to below 1
        return np.where(rng.random(shape) < self.share, popular, uniform)


class HardNegatives(Negatives):
    """Draws a share of the items from the user's pool: the items that the current model ranks highest.

    The pool is refreshed before epoch `first_epoch` and every `every` epochs after it; until then
    draws are uniform, since the ranking of an untrained model is noise (dynamic negative sampling,
    SIGIR 2013, in its scheduled form). The `skip` best are left out: they are the likeliest to be
    positives that were not observed.
    """

    def __init__(
        self,
        positives: Positives,
        *,
        pool: int = 200,
        skip: int = 0,
        share: float = 0.5,
        first_epoch: int = 5,
        every: int = 5,
    ) -> None:
        super().__init__(positives)
        if pool < 1 or skip < 0 or every < 1 or not 0 <= share <= 1:
            raise ValueError("pool and every must be 1 or more, skip 0 or more, share between 0 and 1")
        self.pool_size, self.skip, self.share = pool, skip, share
        self.first_epoch, self.every = first_epoch, every
        self.pool: np.ndarray | None = None  # (n_users, pool) int32

    @property
    def pool_width(self) -> int:
        depth = min(self.pool_size + self.skip, self.positives.n_items)
        return depth - min(self.skip, depth - 1)

    def due(self, epoch: int) -> bool:
        return epoch >= self.first_epoch and (epoch - self.first_epoch) % self.every == 0

    def refresh(self, user_vectors: np.ndarray, item_vectors: np.ndarray) -> None:
        """Rank the catalogue for every user in blocks; memory _BLOCK x n_items floats."""
        positives = self.positives
        depth = min(self.pool_size + self.skip, positives.n_items)
        pool = np.empty((positives.n_users, self.pool_width), dtype=np.int32)
        for start in range(0, positives.n_users, _BLOCK):
            stop = min(start + _BLOCK, positives.n_users)
            scores = user_vectors[start:stop] @ item_vectors.T
            first, last = positives.indptr[start], positives.indptr[stop]
            rows, items = np.divmod(positives.keys[first:last], positives.n_items)
            scores[rows - start, items] = -np.inf
            best = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
            order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
            best = np.take_along_axis(best, order, axis=1)
            pool[start:stop] = best[:, depth - self.pool_width :]
        self.pool = pool

    def propose(self, users: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        shape = (len(users), k)
        uniform = rng.integers(0, self.positives.n_items, shape)
        if self.pool is None:
            return uniform
        hard = self.pool[users[:, None], rng.integers(0, self.pool.shape[1], shape)]
        return np.where(rng.random(shape) < self.share, hard, uniform)


def sampler(
    kind: str,
    positives: Positives,
    popularity: np.ndarray,
    *,
    hard_share: float = 0.5,
    hard_pool: int = 200,
    refresh_every: int = 5,
) -> Negatives:
    """Build one of NEGATIVE_SAMPLERS by name. Raises ValueError on another name."""
    if kind == "uniform":
        return UniformNegatives(positives)
    if kind == "popularity":
        return PopularityNegatives(positives, popularity)
    if kind == "hard":
        return HardNegatives(
            positives, share=hard_share, pool=hard_pool, first_epoch=refresh_every, every=refresh_every
        )
    raise ValueError(f"there is no kind of negatives {kind!r}; known: {', '.join(NEGATIVE_SAMPLERS)}")


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return starts[0], starts[0] + 1, ... (counts[0] of them), starts[1], ... as one int64 array."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
