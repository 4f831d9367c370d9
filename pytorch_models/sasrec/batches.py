"""Batches of SASRec: one window of every history per epoch, with like lengths together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

LENGTH_JITTER = 16  # sequences whose lengths differ by less than this may share a batch


@dataclass(frozen=True)
class Batch:
    """Holds inputs (B, T) int64 padded behind with 0, real (B, T) bool, targets (real.sum(),) int64."""

    inputs: torch.Tensor
    real: torch.Tensor
    targets: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(self.inputs.to(device), self.real.to(device), self.targets.to(device))


@dataclass(frozen=True)
class Windows:
    """Yields one window of every history per epoch, in batches of like lengths so that padding is rare.

    items (N,) with the rows of user u at indptr[u]:indptr[u + 1], oldest first. A history longer than
    max_length + 1 gives a window at a random offset, drawn anew each epoch. A batch holds at most
    `tokens` items, or one sequence.
    """

    items: np.ndarray
    indptr: np.ndarray
    max_length: int
    tokens: int
    seed: int

    @property
    def tokens_per_epoch(self) -> int:
        return int(np.minimum(np.maximum(np.diff(self.indptr) - 1, 0), self.max_length).sum())

    def batches_per_epoch(self) -> int:
        """Return the number of batches of the first epoch; later ones may differ by one or two."""
        return len(self._groups(np.random.default_rng([self.seed, 0]))[2])

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; the same (seed, epoch) gives the same batches."""
        starts, lengths, groups = self._groups(np.random.default_rng([self.seed, epoch]))
        for users in groups:
            width = int(lengths[users].max())
            offsets = np.arange(width)
            real = offsets < lengths[users, None]  # (B, T)
            rows = starts[users, None] + np.where(real, offsets, 0)
            inputs = np.where(real, self.items[rows], 0).astype(np.int64)
            targets = self.items[(rows + 1)[real]].astype(np.int64)
            yield Batch(torch.from_numpy(inputs), torch.from_numpy(real), torch.from_numpy(targets))

    def _groups(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Return first row and length of each window, and the batches as arrays of window numbers."""
        counts = np.diff(self.indptr)
        users = np.flatnonzero(counts >= 2)
        lengths = np.minimum(counts[users] - 1, self.max_length)
        slack = counts[users] - 1 - lengths
        starts = self.indptr[users] + rng.integers(0, slack + 1)
        order = np.argsort(-(lengths + rng.random(len(users)) * LENGTH_JITTER), kind="stable")
        groups, first = [], 0
        while first < len(order):
            widest = np.maximum.accumulate(lengths[order[first : first + self.tokens]])
            fitting = widest * np.arange(1, len(widest) + 1) <= self.tokens
            size = max(1, int(fitting.sum()))
            groups.append(order[first : first + size])
            first += size
        return starts, lengths, [groups[index] for index in rng.permutation(len(groups))]
