"""Measures of a mix: accuracy for the next film and for later ones, and how personal its lists are.

Visitors are people that no member was trained on. Each is asked about at each length n of a history:

    next   the last n films before another one, which is to be found: NDCG@10
    later  the first n films of their time here, and everything after is to be found: NDCG@10
    taste  n films at random, and all others are to be found: NDCG@10

Popularity answers `later` and `taste` well and shows everybody the same; `next` alone forgets the rest of a
taste. So all three count: `next` against the best member that knows no order, the others against popularity.
Beside them stands the share of their ten films that two random visitors have in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from predictors.models.for_you.basis import ItemBasis
from ranking_metrics.ranking import hits_of, per_user

if TYPE_CHECKING:
    from datasets.interactions import Interactions

METRIC, DEPTH = "NDCG@10", 10
CANDIDATES = 20  # best films of each member among which a mix finds its ten
STRATIFIED = 0.5  # a film counts 1 / popularity to this power (Steck 2011, beta)
NEGLIGIBLE = 1e-2  # weight against the last film's below which an older film is left out
TINY = 1e-6
# Well-known films are alike more than visitors' latest ones, so the lists after them may share so much more.
KNOWN_ALLOWANCE = 1.5
CROWDED = 3  # of the ten most popular films: a list that holds more of them says little about anybody
ENOUGH_CASES = 500  # with fewer visitors each is asked several times, at other positions of the history
MOST_DRAWS = 5

ALIKE = 50  # most popular films that count as equally popular
SMALL_CATALOGUE = 10 * ALIKE  # films; in a catalogue with fewer the most popular ones keep their differences

Pair = tuple[np.ndarray, np.ndarray]


def decay(n: int, recency: float) -> np.ndarray:
    """Return (n,) float64 recency ** age, the weight of each film, oldest first; negligible ones 0."""
    powers = np.float64(recency) ** np.arange(n - 1, -1, -1)
    return np.where(powers < NEGLIGIBLE, 0, powers)


def decayed(weights: np.ndarray, recency: float) -> np.ndarray:
    """Return (T,) float32 of sum 1: weights (T,) of a history times `decay`, oldest first."""
    amounts = decay(len(weights), recency) * weights
    total = amounts.sum()
    return (amounts / total if total > 0 else amounts).astype(np.float32)


@dataclass(frozen=True)
class Popularity:
    """Holds the popularity of every film, and the part of it that counts in a score.

    scores  (n_items,) float32 of mean 0 and deviation 1
    prior   (n_items,) float32, the same, but as if none of the ALIKE most popular films were more popular
            than the others: a list may take well-known films without taking the best-known ones
    """

    scores: np.ndarray
    prior: np.ndarray

    @classmethod
    def from_scores(cls, popular: np.ndarray) -> Self:
        """Standardise the scores (n_items,) of the popular model."""
        capped = popular
        if len(popular) >= SMALL_CATALOGUE:
            capped = np.minimum(popular, np.partition(popular, -ALIKE)[-ALIKE])
        return cls(_standardised(popular), _standardised(capped))


@dataclass(frozen=True)
class Cases:
    """Holds visitors with equally long histories, and the candidates among which their ten films are found.

    items      (C, L) int32 candidates, -1 where padded
    scores     (W, C, L) float32 of each member by each recency, member by member within a recency; the last
               of the W = recencies * members + 1 is the prior
    targets    (C, L) bool
    n_targets  (C,) int64
    worth      (C,) float32 weight of the target in the stratified figure
    popular    (C, L) float32 popularity, by which answers are measured; the prior where none is given
    """

    items: np.ndarray
    scores: np.ndarray
    targets: np.ndarray
    n_targets: np.ndarray
    worth: np.ndarray
    popular: np.ndarray | None = None

    @classmethod
    def from_histories(
        cls,
        basis: ItemBasis,
        popularity: Popularity,
        counts: np.ndarray,
        shown: Sequence[Pair],
        recencies: Sequence[float],
    ) -> Self:
        """Score the histories by every member; shown holds given and wanted films of each case."""
        rows, of_members, targets, popular = [], [], [], []
        n_members = basis.n_members
        ends = np.r_[:n_members, (len(recencies) - 1) * n_members : len(recencies) * n_members + 1]
        for given, wanted in shown:
            scores = np.vstack([*_by_recency(basis, given, recencies), popularity.prior[None]])
            if basis.n_items > CANDIDATES:
                extremes = np.vstack([scores[ends], popularity.scores[None]])
                extremes[:, given] = -np.inf
                best = np.argpartition(-extremes, CANDIDATES, axis=1)[:, :CANDIDATES]
            else:
                best = np.arange(basis.n_items)
            candidates = np.setdiff1d(best, given)
            rows.append(candidates)
            of_members.append(scores[:, candidates].T)  # padded along the candidates
            targets.append(np.isin(candidates, wanted))
            popular.append(popularity.scores[candidates])
        worth = [1 / max(counts[wanted].mean(), 1) ** STRATIFIED for _, wanted in shown]
        return cls(
            _padded(rows, -1, np.int32),
            np.ascontiguousarray(np.moveaxis(_padded(of_members, 0, np.float32), 2, 0)),
            _padded(targets, False, bool),
            np.array([len(wanted) for _, wanted in shown], dtype=np.int64),
            np.array(worth, dtype=np.float32) / max(np.mean(worth), 1e-12) if shown else np.empty(0),
            _padded(popular, 0, np.float32),
        )

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def padding(self) -> np.ndarray:
        return np.where(self.items < 0, np.float32(-np.inf), np.float32(0))

    @cached_property
    def deviations(self) -> np.ndarray:
        """Return (W,) float64 of each member's scores over the candidates; inf where all are the same."""
        deviations = self.scores[:, self.items >= 0].std(axis=1, dtype=np.float64)
        return np.where(deviations > 0, deviations, np.inf)

    def ranked(self, weights: np.ndarray) -> np.ndarray:
        """Return (C, 10) int64 positions of the best candidates by weights (W,)."""
        scores = self.padding.copy()
        for row in np.flatnonzero(weights):
            scores += np.float32(weights[row]) * self.scores[row]
        return _best(scores)

    def by_popularity(self) -> np.ndarray:
        """Return (C, 10) int64 positions of the most popular candidates."""
        return _best(self.padding + self.popularity)

    @property
    def popularity(self) -> np.ndarray:
        """Return (C, L) float32, by which `later` and `taste` are measured."""
        return self.scores[-1] if self.popular is None else self.popular

    def ndcg(self, ranked: np.ndarray) -> np.ndarray:
        """Return (C,) NDCG@10 of positions (C, 10)."""
        return per_user(hits_of(ranked, self.targets), self.n_targets, (METRIC,))[:, 0]

    def shared(self, ranked: np.ndarray) -> float:
        """Return the mean share of films that two of the lists have in common."""
        films = np.take_along_axis(self.items, ranked, axis=1)
        n_lists = len(films)
        if n_lists < 2:
            return 0.0
        counts = np.bincount(films[films >= 0]).astype(np.float64)
        return float((counts * (counts - 1)).sum() / (n_lists * (n_lists - 1)) / films.shape[1])

    def crowded(self, ranked: np.ndarray, films: np.ndarray) -> float:
        """Return the share of the lists that hold more than CROWDED of one list of films."""
        held = np.isin(np.take_along_axis(self.items, ranked, axis=1), films).sum(axis=1)
        return float((held > CROWDED).mean())

    def share_of(self, ranked: np.ndarray, films: np.ndarray) -> float:
        """Return the mean share of the lists that stands in one list of films."""
        return float(np.isin(np.take_along_axis(self.items, ranked, axis=1), films).mean())


@dataclass(frozen=True)
class Figures:
    """Holds the figures of a mix at one length: accuracy over its yardstick's, then what its lists share."""

    next: float
    later: float
    taste: float
    stratified: float
    shared: float
    popularity: float  # the mean of popularity over the films of the lists
    crowded: float = 0.0  # share of well-known films, each alone, whose lists are mostly popular films

    @property
    def balance(self) -> float:
        return (self.next + self.later) / 2


@dataclass(frozen=True)
class Balance:
    """Holds the three questions at one length and measures mixes by them."""

    next: Cases
    later: Cases
    taste: Cases
    order_free: tuple[int, ...]  # members that know no order
    known: Cases | None = None  # well-known films, each alone: their lists are to differ as well
    popular: np.ndarray | None = None  # (10,) the most popular films, few of which are to be in such lists

    def measure(self, weights: np.ndarray) -> Figures:
        """Return the figures of weights (W,)."""
        best_next, best_stratified, popular_later, popular_taste = self._yardsticks
        ranked = self.next.ranked(weights)
        found = self.next.ndcg(ranked)
        return Figures(
            float(found.mean() / best_next),
            _mean_ndcg(self.later, weights) / popular_later,
            _mean_ndcg(self.taste, weights) / popular_taste,
            float((found * self.next.worth).mean() / best_stratified),
            *self._shared(ranked, weights),
        )

    def _shared(self, ranked: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
        """Return `shared`, `popularity` and `crowded` of the figures."""
        shared = self.next.shared(ranked)
        popularity = float(np.take_along_axis(self.next.popularity, ranked, axis=1).mean())
        if self.known is None or self.popular is None:
            return shared, popularity, 0.0
        of_known = self.known.ranked(weights)
        shared = max(shared, self.known.shared(of_known) / KNOWN_ALLOWANCE)
        return shared, popularity, self.known.crowded(of_known, self.popular)

    def alone(self, n_members: int) -> list[tuple[float, float]]:
        """Return NDCG@10 of `next` and `later`, of each member by the first recency, then of popularity."""
        rows = np.eye(len(self.next.scores))[:n_members]
        return [
            *((_mean_ndcg(self.next, row), _mean_ndcg(self.later, row)) for row in rows),
            (_ndcg_of_popularity(self.next), _ndcg_of_popularity(self.later)),
        ]

    @cached_property
    def _yardsticks(self) -> tuple[float, float, float, float]:
        rows = np.eye(len(self.next.scores))
        found = [self.next.ndcg(self.next.ranked(rows[member])) for member in self.order_free]
        return (
            max(*(float(each.mean()) for each in found), TINY),
            max(*(float((each * self.next.worth).mean()) for each in found), TINY),
            max(_ndcg_of_popularity(self.later), TINY),
            max(_ndcg_of_popularity(self.taste), TINY),
        )


def _standardised(scores: np.ndarray) -> np.ndarray:
    deviation = float(scores.std())
    return ((scores - scores.mean()) / (deviation if deviation > 0 else 1.0)).astype(np.float32)


def _mean_ndcg(cases: Cases, weights: np.ndarray) -> float:
    return float(cases.ndcg(cases.ranked(weights)).mean())


def _ndcg_of_popularity(cases: Cases) -> float:
    return float(cases.ndcg(cases.by_popularity()).mean())


def _best(scores: np.ndarray) -> np.ndarray:
    """Return (C, 10) int64 positions of the largest scores (C, L), largest first; ties by position."""
    depth = min(DEPTH, scores.shape[1])
    best = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def _by_recency(basis: ItemBasis, given: np.ndarray, recencies: Sequence[float]) -> Iterator[np.ndarray]:
    """Yield (M, n_items) float32 for each recency."""
    ones = np.ones(len(given), dtype=np.float32)
    for recency in recencies:
        amounts = decayed(ones, recency)
        yield basis.by_member(given[amounts > 0], amounts[amounts > 0])


def cases_at(
    visitors: Interactions, n: int, rng: np.random.Generator, *, in_order: bool
) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Return given and wanted films of the three questions for every visitor with enough films.

    Where visitors are few, each is also asked for films before the last one. Without an order the films of a
    visitor are shuffled first.
    """
    people = np.unique(visitors.users)
    draws = int(np.clip(np.ceil(ENOUGH_CASES / max(len(people), 1)), 1, MOST_DRAWS))
    following, later, taste = [], [], []
    for items in _histories(visitors, people, rng, in_order=in_order):
        if len(items) <= n:
            continue
        ends = [len(items) - 1, *(rng.permutation(np.arange(n, len(items) - 1))[: draws - 1]).tolist()]
        following += [(items[end - n : end], items[end : end + 1]) for end in ends]
        later.append((items[:n], items[n:]))
        shown = np.sort(rng.permutation(len(items))[:n])
        taste.append((items[shown], np.delete(items, shown)))
    return following, later, taste


def _histories(
    visitors: Interactions, people: np.ndarray, rng: np.random.Generator, *, in_order: bool
) -> Iterator[np.ndarray]:
    for person in people:
        items = visitors.items_of(person).astype(np.int64)
        yield items if in_order else rng.permutation(items)


def _padded(rows: Sequence[np.ndarray], filler: float, dtype: type) -> np.ndarray:
    """Return rows of any length as one array, (C, L, ...)."""
    longest = max((len(row) for row in rows), default=0)
    padded = np.full((len(rows), longest, *rows[0].shape[1:]) if rows else (0, 0), filler, dtype=dtype)
    for position, row in enumerate(rows):
        padded[position, : len(row)] = row
    return padded
