"""Guests who are shown a part of their items, as the candidates that the members find for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from predictors.base import Predictor, Query
from ranking_metrics.ranking import hits_of, per_user

if TYPE_CHECKING:
    from datasets.interactions import Interactions

RANDOM, TIME = "random", "time"
ORDERS = (RANDOM, TIME)
KNOTS = (1, 2, 3, 5, 10, 20, 50, 100)  # lengths at which weights are fitted
# From here on guests are also shown four fifths of their items: with little left to find, other
# weights are the best. The last knot, which stands for all longer histories, has these alone.
NEARLY_ALL_FROM = 20
LONG_SHARE = 0.8
NEARLY_ALL_DRAWS = 3
METRIC, DEPTH = "NDCG@10", 10
CANDIDATES = 40  # best films of each member among which the blend finds its ten
ENOUGH_CASES = 200  # with fewer guests each is asked several times, with other films
MAX_DRAWS = 4
BATCH = 128
TINY = 1e-6


def standardise(scores: np.ndarray, queries: Sequence[Query]) -> np.ndarray:
    """Members' scores become comparable: mean 0 and deviation 1 over the films that can be recommended.

    scores (B, n_items) float32, overwritten and returned. Where a member tells no film from another,
    all become 0.
    """
    for row, query in zip(scores, queries, strict=True):
        free = np.ones(len(row), dtype=bool)
        free[query.seen] = False
        values = row[free].astype(np.float64)
        mean, deviation = (values.mean(), values.std()) if len(values) else (0.0, 0.0)
        if deviation <= TINY * abs(mean):
            row[:] = 0
        else:
            row[:] = (row - np.float32(mean)) / np.float32(deviation)
    return scores


@dataclass(frozen=True, slots=True)
class Cases:
    """Guests of one order who are shown the same number of films; candidates padded at the end.

    users    (C,) who they are
    standing  (C, L, M) float32 standardised scores of the candidates, by member
    real      (C, L) bool, False where padded
    targets   (C, L) bool
    n_targets (C,) how many films there were to find
    openings  (C, F) the mean opening of what they are shown
    """

    users: np.ndarray
    standing: np.ndarray
    real: np.ndarray
    targets: np.ndarray
    n_targets: np.ndarray
    openings: np.ndarray

    @classmethod
    def from_guests(
        cls,
        members: Sequence[Predictor],
        guests: Interactions,
        opening: np.ndarray,
        *,
        knot: int,
        order: str,
        seed: int,
    ) -> Cases:
        shown = list(
            shown_and_hidden(guests, knot, order, np.random.default_rng([seed, knot, ORDERS.index(order)]))
        )
        standing, targets = [], []
        for first in range(0, len(shown), BATCH):
            batch = shown[first : first + BATCH]
            queries = [Query.from_indices(given) for _, given, _ in batch]
            scores = np.stack([standardise(member.score(queries), queries) for member in members], axis=2)
            for row, query, (_, _, wanted) in zip(scores, queries, batch, strict=True):
                row[query.seen] = -np.inf
                best = np.argpartition(-row, min(CANDIDATES, len(row)) - 1, axis=0)[:CANDIDATES]
                candidates = np.setdiff1d(best, query.seen)
                standing.append(row[candidates])
                targets.append(np.isin(candidates, wanted))
        longest = max((len(row) for row in targets), default=0)
        padded = np.zeros((len(shown), longest, len(members)), dtype=np.float32)
        real, found = (np.zeros((len(shown), longest), dtype=bool) for _ in range(2))
        for case, (row, wanted) in enumerate(zip(standing, targets, strict=True)):
            padded[case, : len(row)], real[case, : len(row)], found[case, : len(row)] = row, True, wanted
        return cls(
            np.array([user for user, _, _ in shown], dtype=np.int64),
            padded,
            real,
            found,
            np.array([len(wanted) for _, _, wanted in shown], dtype=np.int64),
            np.array([opening[given].mean(axis=0) for _, given, _ in shown]),
        )

    def select(self, mask: np.ndarray) -> Cases:
        return Cases(*(getattr(self, name)[mask] for name in self.__slots__))

    def ndcg(self, weights: np.ndarray) -> np.ndarray:
        """(C,) NDCG@10 of the ranking by these weights, (M,) or (C, M)."""
        each = np.broadcast_to(weights, (len(self.standing), self.standing.shape[2]))
        scores = np.matmul(self.standing, each[:, :, None].astype(np.float32))[:, :, 0]
        scores[~self.real] = -np.inf
        depth = min(DEPTH, scores.shape[1])
        best = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
        by_score = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        ranked = np.take_along_axis(best, by_score, axis=1)
        return per_user(hits_of(ranked, self.targets), self.n_targets, (METRIC,))[:, 0]


def shown_and_hidden(
    guests: Interactions, knot: int, order: str, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Person, (n,) given films oldest first, (T,) films to find; n is about the knot."""
    users = np.unique(guests.users)
    draws = 1
    if order == RANDOM:
        draws = int(np.clip(np.ceil(ENOUGH_CASES / max(len(users), 1)), 1, MAX_DRAWS))
    for user in users:
        items = guests.items_of(user).astype(np.int64)
        n_shown = int(np.rint(len(items) * LONG_SHARE))
        amounts = [knot] if knot != KNOTS[-1] else []
        if knot >= NEARLY_ALL_FROM and knot == _nearest_knot(n_shown):
            amounts += [n_shown] * (NEARLY_ALL_DRAWS if order == RANDOM and amounts else 1)
        for n in np.repeat(amounts, draws):
            if 0 < n < len(items):
                given = np.zeros(len(items), dtype=bool)
                given[rng.permutation(len(items))[:n] if order == RANDOM else slice(n)] = True
                yield int(user), items[given], items[~given]


def _nearest_knot(n: int) -> int:
    return KNOTS[int(np.abs(np.log1p(KNOTS) - np.log1p(n)).argmin())]
