"""Batches of SASRec: one window of every history per epoch, with like lengths together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

UNTIMED = 0.1  # of the windows, so that a model also answers where times are unknown
LENGTH_JITTER = 16  # sequences whose lengths differ by less than this may share a batch


@dataclass(frozen=True)
class Batch:
    """Holds inputs (B, T) int64 padded behind with 0, real (B, T) bool, targets (real.sum(),) int64.

    gaps       (B, T) int64 buckets of the time from each input to the next item; None without times
    negatives  (S,) int64 items of the sampled loss, each once; None for the loss over the full catalogue
    """

    inputs: torch.Tensor
    real: torch.Tensor
    targets: torch.Tensor
    gaps: torch.Tensor | None = None
    negatives: torch.Tensor | None = None

    def items(self) -> torch.Tensor | None:
        """Return the items that the loss looks at, int64 ascending, each once; None = the full catalogue."""
        if self.negatives is None:
            return None
        return torch.cat([self.inputs.flatten(), self.targets, self.negatives]).unique()

    def part(self, rows: slice) -> Batch:
        """Return some of the B sequences, padded as before."""
        is_here = torch.zeros(len(self.real), 1, dtype=torch.bool)
        is_here[rows] = True
        targets = self.targets[is_here.expand_as(self.real)[self.real]]
        gaps = None if self.gaps is None else self.gaps[rows]
        return replace(self, inputs=self.inputs[rows], real=self.real[rows], targets=targets, gaps=gaps)

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.inputs.to(device),
            self.real.to(device),
            self.targets.to(device),
            None if self.gaps is None else self.gaps.to(device),
            None if self.negatives is None else self.negatives.to(device),
        )


@dataclass(frozen=True)
class Windows:
    """Yields one window of every history per epoch, in batches of like lengths so that padding is rare.

    items (N,) with the rows of user u at indptr[u]:indptr[u + 1], oldest first. A history longer than
    max_length + 1 gives a window at a random offset, drawn anew each epoch. A batch holds at most
    `tokens` items, or one sequence. With gaps (N,) int64, the bucket of the time from each row to the next,
    a share UNTIMED of the windows has the bucket 0, "unknown", throughout. With `negatives` each batch draws
    so many of the `n_items` items alike, or all of them.
    """

    items: np.ndarray
    indptr: np.ndarray
    max_length: int
    tokens: int
    seed: int
    gaps: np.ndarray | None = None
    n_items: int = 0
    negatives: int = 0

    @property
    def tokens_per_epoch(self) -> int:
        return int(np.minimum(np.maximum(np.diff(self.indptr) - 1, 0), self.max_length).sum())

    def batches_per_epoch(self) -> int:
        """Return the number of batches of the first epoch; later ones may differ by one or two."""
        return len(self._groups(np.random.default_rng([self.seed, 0]))[2])

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; the same (seed, epoch) gives the same batches."""
        starts, lengths, groups = self._groups(np.random.default_rng([self.seed, epoch]))
        is_timed = np.random.default_rng([self.seed, epoch, 1]).random(len(starts)) >= UNTIMED
        drawing = np.random.default_rng([self.seed, epoch, 2])
        for users in groups:
            width = int(lengths[users].max())
            offsets = np.arange(width)
            real = offsets < lengths[users, None]  # (B, T)
            rows = starts[users, None] + np.where(real, offsets, 0)
            inputs = np.where(real, self.items[rows], 0).astype(np.int64)
            targets = self.items[(rows + 1)[real]].astype(np.int64)
            gaps = None
            if self.gaps is not None:
                gaps = torch.from_numpy(np.where(real & is_timed[users, None], self.gaps[rows], 0))
            negatives = None
            if self.negatives:
                n = min(self.negatives, self.n_items)
                negatives = torch.from_numpy(drawing.choice(self.n_items, n, replace=False))
            yield Batch(
                torch.from_numpy(inputs), torch.from_numpy(real), torch.from_numpy(targets), gaps, negatives
            )

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
