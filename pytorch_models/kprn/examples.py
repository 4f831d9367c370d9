"""The examples of KPRN's training: the history that is given, and the films to score.

An example is one person with a part of their films as the history, some others of theirs to find
(positives) and NEGATIVES films they do not have for each. All examples of a batch share one path search.

Half of the examples are given films in the order of time and asked for the next ones, half are given films
drawn at random and asked for others: the site meets both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from datasets.interactions import Interactions
from datasets.knowledge_graph.path_graph import PathGraph
from datasets.knowledge_graph.paths import Caps, Histories, Targets
from datasets.knowledge_graph.search import candidates, find_paths
from pytorch_models.kprn.config import KprnFitConfig
from pytorch_models.kprn.network import TreeBatch

NEGATIVES = 4  # for each positive, as in the paper
MIN_FILMS = 2  # of a person who can be an example: one given, one asked for


@dataclass(frozen=True)
class Example:
    """Holds the examples of one step: the paths, and which targets are positives.

    tree       paths to all targets
    owner      (N,) int64, the example of each target
    positive   (N,) bool
    """

    tree: TreeBatch
    owner: torch.Tensor
    positive: torch.Tensor


class Examples:
    """Yields batches of examples, the same ones whenever an epoch is asked for again."""

    def __init__(
        self, rows: Interactions, graph: PathGraph, caps: Caps, config: KprnFitConfig, per_epoch: int
    ) -> None:
        self.rows, self.graph, self.caps, self.config = rows, graph, caps, config
        self.per_epoch = per_epoch
        self.counts = np.diff(rows.indptr)
        self.people = np.flatnonzero(self.counts >= MIN_FILMS)
        if not len(self.people):
            raise ValueError("nobody has two films, so there is nothing to ask for")
        # As often as they have films to ask for; the square root keeps the busiest from crowding out others.
        self.chance = np.sqrt(self.counts[self.people])
        self.chance = self.chance / self.chance.sum()
        self.interactions = rows.csr(np.int8)

    def __call__(self, epoch: int) -> Iterator[Example]:
        for batch in range(self.per_epoch):
            example = self.draw(np.random.default_rng([self.config.seed, epoch, batch]))
            if example is not None:
                yield example

    def draw(self, rng: np.random.Generator) -> Example | None:
        """Draw one batch; None when no positive of it can be reached."""
        config, n_items = self.config, self.rows.n_items
        users = self.people[rng.choice(len(self.people), config.examples, p=self.chance)]
        histories, positives = self._shown(users, rng)
        known = self.interactions[users].toarray() > 0  # (B, n_items)
        found = np.zeros_like(known)
        nothing = [np.empty(0, dtype=np.int64)] * len(users)
        for row, films in zip(found, candidates(self.graph, histories, nothing, self.caps), strict=True):
            row[films] = True
        if config.negatives != "uniform":
            # Where negatives are films of an open search, positives are too: otherwise the model would
            # learn that unreachable items are good.
            kept = found[positives.owner, positives.films]
            positives = Targets(positives.films[kept], positives.owner[kept])
        negatives = self._negatives(known, found, rng)
        films = np.concatenate([positives.films, negatives.films])
        owner = np.concatenate([positives.owner, negatives.owner])
        is_positive = np.arange(len(films)) < len(positives.films)
        # A target is asked about once per example.
        _, once = np.unique(owner * n_items + films, return_index=True)
        targets = Targets(films[once], owner[once])
        paths = find_paths(self.graph, histories, targets, self.caps, known=is_positive[once])
        reached = np.zeros(len(once), dtype=bool)
        reached[paths.target] = True
        if not (reached & is_positive[once]).any():
            return None
        return Example(
            TreeBatch.from_paths(self.graph, paths, targets.films, is_positive[once]),
            torch.from_numpy(targets.owner),
            torch.from_numpy(is_positive[once] & reached),
        )

    def _shown(self, users: np.ndarray, rng: np.random.Generator) -> tuple[Histories, Targets]:
        """Choose what each person is given and asked for.

        In the order of time: the films up to a random moment, and the following ones; at random: any films,
        and any others.
        """
        config, rows = self.config, self.rows
        sizes = self.counts[users]
        owner = np.repeat(np.arange(len(users)), sizes)
        ends = np.cumsum(sizes)
        rank = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
        row = rows.indptr[users][owner] + rank
        by_time = rng.random(len(users)) < config.time_share
        shuffled = np.lexsort((rng.random(len(rank)), owner))
        drawn = np.empty(len(rank), dtype=np.int64)
        drawn[shuffled] = rank
        order = np.where(by_time[owner], rank, drawn)
        # At random as many short histories as long ones, on a scale of ratios: guests have few films.
        longest = np.minimum(config.history, sizes - 1)
        length = np.floor(np.exp(rng.random(len(users)) * np.log(longest + 1))).astype(np.int64)
        moment = 1 + np.floor(rng.random(len(users)) * (sizes - 1)).astype(np.int64)
        moment = np.where(by_time, moment, np.clip(length, 1, longest))
        shown = (order < moment[owner]) & (order >= (moment - config.history)[owner])
        asked = (order >= moment[owner]) & (order < (moment + config.positives)[owner])
        films = rows.items[row].astype(np.int64)
        histories = Histories.from_columns(films[shown], owner[shown], len(users))
        return histories, Targets(films[asked], owner[asked])

    def _negatives(self, known: np.ndarray, found: np.ndarray, rng: np.random.Generator) -> Targets:
        """Draw films that each example's person does not have, uniformly; hard ones among those `found`.

        known, found (B, n_items) bool. A film drawn twice counts once.
        """
        wanted = NEGATIVES * self.config.positives
        hard = {"uniform": 0, "mixed": wanted // 2, "hard": wanted}[self.config.negatives]
        parts = []
        for number, free in ((wanted - hard, ~known), (hard, found & ~known)):
            ends = np.cumsum(free, axis=1)  # the k-th free film is where the count first reaches k
            draws = np.ceil(rng.random((len(known), number)) * ends[:, -1:]).astype(np.int64)
            keys = np.arange(len(known))[:, None] * (known.shape[1] + 1)
            positions = np.searchsorted((ends + keys).ravel(), (draws + keys).ravel())
            owner, films = np.divmod(positions, known.shape[1])
            some = draws.ravel() > 0
            parts.append((films[some], owner[some]))
        films, owner = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Targets(films, owner)
