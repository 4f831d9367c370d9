"""Batches of the factorisation: entire users with all their items, and drawn items that a batch shares."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from datasets.negatives import Positives, ranges


@dataclass(frozen=True)
class Batch:
    """Holds the pairs of some users.

    users     (U,) int64
    rows      (P,) int64, into users: whose each pair is
    items     (P,) int64
    drawn     (N,) int64, items of the sampled softmax, with repetitions
    positive  (U, N) bool, where a drawn item is one of the user's own
    n_pairs   pairs of the whole batch, of which these may be a part
    """

    users: torch.Tensor
    rows: torch.Tensor
    items: torch.Tensor
    drawn: torch.Tensor
    positive: torch.Tensor
    n_pairs: int

    def touched(self) -> dict[str, torch.Tensor]:
        """Return the rows of the tables `users` and `items` that the loss looks at, int64 ascending."""
        return {"users": self.users.sort().values, "items": torch.cat([self.items, self.drawn]).unique()}

    def part(self, users: slice) -> Batch:
        """Return some of the users with their pairs."""
        is_here = torch.zeros(len(self.users), dtype=torch.bool)
        is_here[users] = True
        position = is_here.cumsum(0) - 1
        pairs = is_here[self.rows]
        return replace(
            self,
            users=self.users[users],
            rows=position[self.rows[pairs]],
            items=self.items[pairs],
            positive=self.positive[users],
        )

    def to(self, device: torch.device) -> Batch:
        tensors = (self.users, self.rows, self.items, self.drawn, self.positive)
        users, rows, items, drawn, positive = (tensor.to(device) for tensor in tensors)
        return Batch(users, rows, items, drawn, positive, self.n_pairs)


class Batches:
    """Yields the batches of an epoch, the same ones whenever the same epoch is asked for.

    `size` pairs make a batch. `n_drawn` items are drawn per batch, each with the probability `shares`
    (n_items,) float64. Raises ValueError where no user has both an item and another one without.
    """

    def __init__(
        self, positives: Positives, shares: np.ndarray, *, size: int, n_drawn: int, seed: int
    ) -> None:
        self.positives, self.n_drawn, self.seed = positives, n_drawn, seed
        self.cumulative = np.cumsum(shares)
        self.counts = np.diff(positives.indptr)
        self.users = np.flatnonzero((self.counts > 0) & positives.have_negatives)
        if not len(self.users):
            raise ValueError("no user has both a positive and a negative")
        self.steps_per_epoch = math.ceil(int(self.counts[self.users].sum()) / size)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(self.users)
        pairs_before = np.cumsum(self.counts[order]) - self.counts[order]
        # Equal shares of the pairs, each user in the batch where their first pair falls.
        batch = pairs_before * self.steps_per_epoch // int(self.counts[order].sum())
        for users in np.split(order, np.searchsorted(batch, np.arange(1, self.steps_per_epoch))):
            if len(users):
                yield self._batch(users, rng)

    def _batch(self, users: np.ndarray, rng: np.random.Generator) -> Batch:
        counts = self.counts[users]
        items = self.positives.keys[ranges(self.positives.indptr[users], counts)] % self.positives.n_items
        drawn = np.searchsorted(self.cumulative, rng.random(self.n_drawn), side="right")
        drawn = np.minimum(drawn, self.positives.n_items - 1)  # the last sum may round to below 1
        each, column = np.unique(drawn, return_inverse=True)
        return Batch(
            torch.from_numpy(users),
            torch.from_numpy(np.repeat(np.arange(len(users)), counts)),
            torch.from_numpy(items),
            torch.from_numpy(drawn),
            torch.from_numpy(self.positives.among(users, each)[:, column]),
            len(items),
        )
