"""The mix of For you: weights of the members by length of the history and point of the dial.

The fit is a random search with a fixed number of tries, seeded, on visitors that no member was trained on.
The mean of its best tries is taken: single tries owe their place partly to these visitors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from predictors.models.for_you.balance import Balance, Cases, Figures

KNOTS = (1, 3, 5, 10, 20, 50)  # lengths at which weights are fitted
AIMS = ("unexpected", "default", "familiar")  # points of the dial, from -1 to 1
AVERAGED = 5  # best tries whose mean is taken
MEMBER_DRAWN = 0.6  # chance of a member to take part in a random try
PRIOR_AT_MOST = 0.7  # of the other members' weights: popularity is drawn with so much at most
STEP = 0.4  # of the logarithm of the weights, when a good try is varied
SHORT = 25  # films of a history up to which falling short of the taste costs in full
TASTE, TASTE_PER_DOUBLING = 1.05, 0.1  # wanted NDCG@10 of the rest of a taste over popularity's
REFRESHED = 10  # tries after which the best so far are looked up anew
POPULARITY = 0.3  # of balance, that a deviation of popularity is worth at the well-known end of the dial
EDGE = 0.02  # of the value that the mean may lose
PENALTY = 20.0  # what a share of common films above the bound costs, per share
CROWDED_AT_MOST = 0.1  # share of lists that may hold more popular films than they should, after one film
TOO_POPULAR = 0.05  # share of similar films in the list of popular ones from which it costs


@dataclass(frozen=True)
class Mix:
    """Holds weights (A, K, W) float64 by AIMS and KNOTS.

    W = recencies * members + 1, the last weight is the prior's.
    """

    weights: np.ndarray

    def select(self, members: np.ndarray, n_members: int) -> Mix:
        """Return the mix of some members only."""
        aims, knots, _ = self.weights.shape
        table = self.weights[:, :, :-1].reshape(aims, knots, -1, n_members)[..., members]
        return Mix(np.concatenate([table.reshape(aims, knots, -1), self.weights[:, :, -1:]], axis=2))

    def at(self, n: int, familiarity: float) -> np.ndarray:
        """Return (W,) float64 after n films at a point of the dial, linear in log(1 + n) and in the dial."""
        length = min(n, KNOTS[-1])
        weights = self._by_length[1, length]
        if not familiarity:
            return weights
        end = self._by_length[2 if familiarity > 0 else 0, length]
        return weights + abs(familiarity) * (end - weights)

    @cached_property
    def _by_length(self) -> np.ndarray:
        """Return (A, N, W) float64 by AIMS and number of films, for every request to look up."""
        lengths = np.log1p(KNOTS)
        asked = np.log1p(np.arange(KNOTS[-1] + 1))
        upper = np.clip(np.searchsorted(lengths, asked), 1, len(KNOTS) - 1)
        between = (asked - lengths[upper - 1]) / (lengths[upper] - lengths[upper - 1])
        share = np.clip(between, 0, 1)[:, None]
        return (1 - share) * self.weights[:, upper - 1] + share * self.weights[:, upper]


@dataclass(frozen=True)
class _Try:
    weights: np.ndarray  # (W,) of sum 1, each member's scores having deviation 1
    figures: Figures


def value_of(aim: str, figures: Figures, wish: Wish) -> float:
    """Return the value that the fit maximises at a point of the dial.

    `familiar` seeks films that many know, `unexpected` films that few others come to watch.
    """
    if aim == "familiar":
        aimed = 0.2 * figures.balance + 0.8 * figures.later + POPULARITY * figures.popularity
        return aimed - PENALTY * max(0, figures.shared - 4 * wish.most_shared)
    crowded = PENALTY * max(0, figures.crowded - CROWDED_AT_MOST)
    if aim == "unexpected":
        aimed = 0.2 * figures.balance + 0.8 * figures.stratified
        return aimed - crowded - PENALTY * max(0, figures.shared - wish.most_shared / 3)
    short = wish.weight * max(0, wish.taste - figures.taste)
    return figures.balance - short - crowded - PENALTY * max(0, figures.shared - wish.most_shared)


@dataclass(frozen=True)
class Wish:
    """Holds what a mix is to reach beside its balance.

    most_shared  share of their ten films that two visitors may have in common
    taste        what the rest of a taste is to reach against popularity, and `weight`, what falling short
                 of it costs
    """

    most_shared: float
    taste: float
    weight: float

    @classmethod
    def at(cls, n: int, most_shared: float, weight: float) -> Wish:
        """After n films: popularity's, and a tenth or so more with every doubling of the history.

        Of a long history little is left that it does not hold, so that falling short costs less.
        """
        return cls(most_shared, TASTE + TASTE_PER_DOUBLING * float(np.log2(n)), weight * min(1, SHORT / n))


def fit_mix(
    balance_at: Callable[[int], Balance | None],
    n_members: int,
    n_recencies: int,
    *,
    tries: int,
    most_shared: float,
    taste: float,
    seed: int,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[Mix, list[dict[str, Any]]]:
    """Fit every knot for which there are visitors, and return the figures that justify the table.

    The other knots take what the nearest shorter one has, else the nearest longer. Raises ValueError when
    there is none at all.
    """
    weights = np.full((len(AIMS), len(KNOTS), n_recencies * n_members + 1), np.nan)
    rows: list[dict[str, Any]] = []
    before: list[np.ndarray] = []
    for knot, n in enumerate(KNOTS):
        balance = balance_at(n)
        if balance is not None:
            rng = np.random.default_rng([seed, n])
            wish = Wish.at(n, most_shared, taste)
            search = _Search(balance, n_members, n_recencies, wish=wish, rng=rng)
            chosen = search.run(tries, before)
            before = [each.weights for each in chosen]
            for aim, best in enumerate(chosen):
                scaled = best.weights / balance.next.deviations
                weights[aim, knot] = scaled / scaled.sum()
            rows.append(_described(n, balance, n_members, chosen))
        progress((knot + 1) / len(KNOTS))
    fitted = np.flatnonzero(~np.isnan(weights[0, :, 0]))
    if len(fitted) == 0:
        raise ValueError("no visitor has two films")
    for knot in range(len(KNOTS)):
        shorter = fitted[fitted <= knot]
        weights[:, knot] = weights[:, shorter[-1] if len(shorter) else fitted[0]]
    return Mix(weights), rows


def fit_similar(
    cases: Cases,
    known: Cases,
    popular: np.ndarray,
    members: Sequence[int],
    *,
    n_members: int,
    tries: int,
    seed: int,
) -> np.ndarray:
    """Return (M,) float64 weights of the members for films like one film, without the popular ones.

    cases    visitors with one film, of whom the next is to be found
    known    well-known films, whose lists are to leave popular ones out
    popular  (10,) the most popular films
    members  those that may take part
    """
    rng = np.random.default_rng([seed, 0])
    allowed = np.isin(np.arange(n_members + 1), members)

    def judged(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = weights[:n_members] / cases.deviations[:n_members]
        too_popular = max(0.0, known.share_of(known.ranked(scaled), popular) - TOO_POPULAR)
        found = float(cases.ndcg(cases.ranked(scaled)).mean())
        return found - PENALTY * too_popular, weights

    drawn = [weights * allowed for weights in _drawn(rng, n_members, tries // 2)]
    drawn = [weights / weights.sum() for weights in drawn if weights.sum() > 0]
    tried = [judged(weights) for weights in (*drawn, *np.eye(n_members + 1)[list(members)])]
    for number in range(tries // 2):
        if number % REFRESHED == 0:
            tried.sort(key=lambda each: -each[0])
        near = tried[number % AVERAGED % len(tried)][1] * np.exp(STEP * rng.standard_normal(n_members + 1))
        near[rng.choice(list(members))] += 0.1 * rng.exponential()
        tried.append(judged(near / near.sum()))
    tried.sort(key=lambda each: -each[0])
    mean = judged(np.mean([weights for _, weights in tried[:AVERAGED]], axis=0))
    best = max(mean, tried[0], key=lambda each: each[0])[1][:n_members] / cases.deviations[:n_members]
    return best / best.sum()


class _Search:
    """Searches weights for one length: half of the tries are random, the others vary the best so far."""

    def __init__(
        self,
        balance: Balance,
        n_members: int,
        n_recencies: int,
        *,
        wish: Wish,
        rng: np.random.Generator,
    ) -> None:
        self.balance, self.rng = balance, rng
        self.n_members, self.n_recencies = n_members, n_recencies
        self.wish = wish
        self.tried: list[_Try] = []

    def run(self, tries: int, before: Sequence[np.ndarray]) -> list[_Try]:
        """Return the best for each of AIMS. Half of the tries are at random."""
        for weights in before:
            self._attempt(weights)
        corners = np.eye(self.n_members + 1)[:-1]
        for weights in (*corners, *_drawn(self.rng, self.n_members, tries // 2)):
            self._attempt(self._faded(weights))
        # The default first: what is found on the way is a start for the ends of the dial.
        chosen = {
            aim: self._refined(aim, tries // share)
            for aim, share in (("default", 4), ("unexpected", 8), ("familiar", 8))
        }
        return [chosen[aim] for aim in AIMS]

    def _refined(self, aim: str, tries: int) -> _Try:
        best = self._best(aim)
        for number in range(tries):
            if number % REFRESHED == 0:
                best = self._best(aim)
            self._attempt(self._varied(best[number % len(best)].weights))
        best = self._best(aim)
        self._attempt(np.mean([each.weights for each in best], axis=0))
        # The mean of good tries generalises better than the luckiest one, unless it falls off the edge.
        mean = self.tried[-1]
        return mean if self._value(aim, mean) > self._value(aim, best[0]) - EDGE else best[0]

    def _attempt(self, weights: np.ndarray) -> None:
        self.tried.append(_Try(weights, self.balance.measure(weights / self.balance.next.deviations)))

    def _value(self, aim: str, each: _Try) -> float:
        return value_of(aim, each.figures, self.wish)

    def _best(self, aim: str) -> list[_Try]:
        return sorted(self.tried, key=lambda each: -self._value(aim, each))[:AVERAGED]

    def _faded(self, weights: np.ndarray) -> np.ndarray:
        """Return (W,) from (M + 1,): all members by one recency, or each by one of its own."""
        each = np.full(self.n_members, self.rng.integers(self.n_recencies))
        if self.rng.random() < 1 / 2:
            each = self.rng.integers(self.n_recencies, size=self.n_members)
        table = np.zeros((self.n_recencies, self.n_members))
        table[each, np.arange(self.n_members)] = weights[:-1]
        return np.append(table.ravel(), weights[-1])

    def _varied(self, weights: np.ndarray) -> np.ndarray:
        near = weights * np.exp(STEP * self.rng.standard_normal(len(weights)))
        near[self.rng.integers(len(near))] += 0.1 * self.rng.exponential()
        if self.rng.random() < 1 / 3:  # a member by another recency
            table = near[:-1].reshape(self.n_recencies, self.n_members)
            member = self.rng.integers(self.n_members)
            table[:, member] = np.roll(table[:, member], 1)
        return near / near.sum()


def _drawn(rng: np.random.Generator, n_members: int, n: int) -> Iterable[np.ndarray]:
    """Yield n random weights (M + 1,) of sum 1, some of them 0."""
    for _ in range(n):
        weights = rng.exponential(size=n_members + 1) * (rng.random(n_members + 1) < MEMBER_DRAWN)
        weights[-1] *= PRIOR_AT_MOST * rng.random()
        if weights[:-1].sum() > 0:
            yield weights / weights.sum()


def _described(n: int, balance: Balance, n_members: int, chosen: Sequence[_Try]) -> dict[str, Any]:
    return {
        "n": n,
        "visitors": len(balance.later),
        "alone": [[round(value, 4) for value in each] for each in balance.alone(n_members)],
        **{
            aim: {"balance": round(each.figures.balance, 4)}
            | {name: round(value, 4) for name, value in asdict(each.figures).items()}
            for aim, each in zip(AIMS, chosen, strict=True)
        },
    }
