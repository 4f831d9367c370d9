"""Batches of pairs for the losses of LightGCN and NGCF, and the model in training that they depend on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from datasets.bipartite_graph import BipartiteGraph
from datasets.negatives import HardNegatives, Negatives, ranges
from pytorch_models.graph.config import DRAWN, GraphFitConfig
from pytorch_models.graph.lightgcn import LightGCN
from pytorch_models.graph.ngcf import NGCF
from pytorch_models.graph.propagation import Propagate

GraphModel = LightGCN | NGCF


@dataclass(frozen=True)
class Step:
    """Holds one batch: pairs by user row.

    users (U,) int64; rows (P,) int64 into users; items (P,) int64; negatives (P,) int64 for BPR,
    (N,) int64 shared for a drawn softmax, None for the full catalogue; positives (U, N) bool, where
    a drawn item is one
    """

    users: torch.Tensor
    rows: torch.Tensor
    items: torch.Tensor
    negatives: torch.Tensor | None
    positives: torch.Tensor | None = None


class FittedGraph(nn.Module):
    """Holds a graph model in training with its pool of hard negatives.

    The pool and the epoch it was made in are buffers: they are part of a checkpoint, and a resumed
    run draws the same negatives as an uninterrupted one.
    """

    pool: torch.Tensor
    pool_epoch: torch.Tensor

    def __init__(self, model: GraphModel, propagate: Propagate, negatives: Negatives) -> None:
        super().__init__()
        self.model, self.propagate, self.negatives = model, propagate, negatives
        if isinstance(negatives, HardNegatives):
            shape = (negatives.positives.n_users, negatives.pool_width)
            self.register_buffer("pool", torch.zeros(shape, dtype=torch.int32))
            self.register_buffer("pool_epoch", torch.tensor(-1))

    def refresh_negatives(self, epoch: int) -> None:
        """Rank for every user with the current weights, when the schedule says so."""
        if not isinstance(self.negatives, HardNegatives):
            return
        if self.negatives.due(epoch) and int(self.pool_epoch) != epoch:
            users, items = self.vectors()
            self.negatives.refresh(users, items)
            self.pool.copy_(torch.as_tensor(self.negatives.pool))
            self.pool_epoch.fill_(epoch)
        elif int(self.pool_epoch) >= 0:
            self.negatives.pool = self.pool.cpu().numpy()

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (n_users, f) and (n_items, f) float32 final vectors, without dropout."""
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            final = self.model(self.propagate).cpu().numpy()
        self.model.train(was_training)
        n_users = self.model.config.n_users
        return final[:n_users], final[n_users:]


class Batches:
    """Yields the batches of an epoch, the same ones whenever the same epoch is asked for."""

    def __init__(self, graph: BipartiteGraph, fitted: FittedGraph, config: GraphFitConfig) -> None:
        matrix = graph.user_items
        self.indptr, self.items = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
        self.fitted, self.config = fitted, config
        counts = np.diff(self.indptr)
        # A user of the full catalogue has no negative, and nothing to be recommended.
        self.users = np.flatnonzero((counts > 0) & fitted.negatives.positives.have_negatives)
        self.counts = counts
        if not len(self.users):
            raise ValueError("no user has both a positive and a negative")
        n_pairs = int(counts[self.users].sum())
        self.steps_per_epoch = math.ceil(n_pairs / config.batch_size)
        self.pair_users = np.repeat(self.users, counts[self.users])
        self.pair_items = self.items[ranges(self.indptr[self.users], counts[self.users])]

    def __call__(self, epoch: int) -> Iterator[Step]:
        self.fitted.model.embedding.requires_grad_(epoch >= self.config.frozen_epochs)
        self.fitted.refresh_negatives(epoch)
        rng = np.random.default_rng([self.config.seed, epoch])
        yield from self._pairs(rng) if self.config.loss == "bpr" else self._all_pairs_of_users(rng)

    def _pairs(self, rng: np.random.Generator) -> Iterator[Step]:
        order = rng.permutation(len(self.pair_users))
        negatives = self.fitted.negatives.draw(self.pair_users, 1, rng)[:, 0]
        for chosen in np.array_split(order, self.steps_per_epoch):
            rows = torch.arange(len(chosen))
            yield Step(
                _tensor(self.pair_users[chosen]),
                rows,
                _tensor(self.pair_items[chosen]),
                _tensor(negatives[chosen]),
            )

    def _all_pairs_of_users(self, rng: np.random.Generator) -> Iterator[Step]:
        order = rng.permutation(self.users)
        pairs_before = np.cumsum(self.counts[order]) - self.counts[order]
        # Equal shares of the pairs, each user in the batch where their first pair falls.
        batch = pairs_before * self.steps_per_epoch // int(self.counts[order].sum())
        for number in range(self.steps_per_epoch):
            users = order[batch == number]
            if len(users):
                yield self._users_step(users, rng)

    def _users_step(self, users: np.ndarray, rng: np.random.Generator) -> Step:
        counts = self.counts[users]
        rows = np.repeat(np.arange(len(users)), counts)
        items = self.items[ranges(self.indptr[users], counts)]
        step = Step(_tensor(users), _tensor(rows), _tensor(items), None)
        drawn = self._drawn(users, rng)
        if drawn is None:
            return step
        is_positive = self.fitted.negatives.positives.among(users, drawn)
        return replace(step, negatives=_tensor(drawn), positives=_tensor(is_positive))

    def _drawn(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """Return (N,) int64 items shared by a batch, each once; None for the full catalogue."""
        n, n_items = self.config.n_negatives, self.fitted.model.config.n_items
        if self.config.negatives == "uniform":
            return rng.permutation(n_items)[:n] if 0 < n < n_items else None
        per_user = math.ceil((n or DRAWN) / len(users))
        return np.unique(self.fitted.negatives.draw(users, per_user, rng))


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
