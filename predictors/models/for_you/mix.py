"""How much each member counts after n films, and how fast older films fade: the table and its fit.

The fit is a random search with a fixed number of tries, seeded, on visitors that no member was trained on.
The mean of its best tries is taken: single tries owe their place partly to these visitors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from predictors.models.for_you.balance import Balance, Cases, Figures

KNOTS = (1, 3, 5, 10, 20, 50)  # lengths at which weights are fitted
AIMS = ("unexpected", "default", "familiar")  # points of the dial, from -1 to 1
AVERAGED = 5  # best tries whose mean is taken
MEMBER_DRAWN = 0.6  # chance of a member to take part in a random try
PRIOR_AT_MOST = 0.7  # of another member's weight, what popularity is drawn with
STEP = 0.4  # of the logarithm of the weights, when a good try is varied
PENALTY = 5.0  # what a share of common films above the bound costs, per share
TOO_POPULAR = 0.04  # share of similar films in the list of popular ones from which it costs


@dataclass(frozen=True)
class Mix:
    """weights (A, K, M + 1) float64 of the members and the prior, recency (A, K), by AIMS and KNOTS."""

    weights: np.ndarray
    recency: np.ndarray

    def at(self, n: int, familiarity: float) -> tuple[np.ndarray, float]:
        """Weights (M + 1,) and recency after n films; linear in log(1 + n), and along the dial."""
        lengths = np.log1p(KNOTS)
        length = np.log1p(n)
        upper = int(np.clip(np.searchsorted(lengths, length), 1, len(KNOTS) - 1))
        share = float(np.clip((length - lengths[upper - 1]) / (lengths[upper] - lengths[upper - 1]), 0, 1))
        side = abs(familiarity)
        end = 2 if familiarity > 0 else 0
        weights, recency = (
            (1 - side) * of[1] + side * of[end] if side else of[1] for of in (self.weights, self.recency)
        )
        return (
            (1 - share) * weights[upper - 1] + share * weights[upper],
            float((1 - share) * recency[upper - 1] + share * recency[upper]),
        )


@dataclass(frozen=True)
class _Try:
    weights: np.ndarray  # (M + 1,), of sum 1, each member's scores having deviation 1
    recency: float
    figures: Figures


def value_of(aim: str, figures: Figures, most_shared: float) -> float:
    """What is maximised. The ends of the dial: what everybody comes to watch, and what few others do."""
    if aim == "familiar":
        return 0.2 * figures.next + 0.8 * figures.later - PENALTY * max(0, figures.shared - 4 * most_shared)
    if aim == "unexpected":
        aimed = 0.2 * figures.balance + 0.8 * figures.stratified
        return aimed - PENALTY * max(0, figures.shared - most_shared / 3)
    return figures.balance - PENALTY * max(0, figures.shared - most_shared)


def fit_mix(
    balance_at: Callable[[int], Balance | None],
    n_members: int,
    *,
    tries: int,
    most_shared: float,
    seed: int,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[Mix, list[dict[str, Any]]]:
    """Fit every knot for which there are visitors, and return the figures that justify the table.

    The other knots take what the nearest shorter one has, else the nearest longer. Raises ValueError when
    there is none at all.
    """
    weights = np.full((len(AIMS), len(KNOTS), n_members + 1), np.nan)
    recency = np.ones((len(AIMS), len(KNOTS)))
    rows: list[dict[str, Any]] = []
    before: list[tuple[np.ndarray, float]] = []
    for knot, n in enumerate(KNOTS):
        balance = balance_at(n)
        if balance is not None:
            chosen = _search(balance, tries, most_shared, np.random.default_rng([seed, n]), before)
            before = [(each.weights, each.recency) for each in chosen]
            for aim, best in enumerate(chosen):
                weights[aim, knot] = best.weights / _units(balance, best.recency)
                weights[aim, knot] /= np.abs(weights[aim, knot]).sum()
                recency[aim, knot] = best.recency
            rows.append(_described(n, balance, chosen))
        progress((knot + 1) / len(KNOTS))
    fitted = np.flatnonzero(~np.isnan(weights[0, :, 0]))
    if len(fitted) == 0:
        raise ValueError("no visitor has two films")
    for knot in range(len(KNOTS)):
        shorter = fitted[fitted <= knot]
        source = shorter[-1] if len(shorter) else fitted[0]
        weights[:, knot], recency[:, knot] = weights[:, source], recency[:, source]
    return Mix(weights, recency), rows


def fit_similar(
    cases: Cases, popular: np.ndarray, members: Sequence[int], *, tries: int, seed: int
) -> np.ndarray:
    """(M,) weights of the members for films like one film, without the popular ones.

    cases    visitors with one film, of whom the next is to be found
    popular  (10,) the most popular films
    members  those that may take part
    """
    (recency, standing), *_ = cases.standing.items()
    n_members = standing.shape[2] - 1
    units = _deviations(cases, recency)
    allowed = np.zeros(n_members + 1)
    allowed[list(members)] = 1.0
    rng = np.random.default_rng([seed, 0])

    def judged(weights: np.ndarray) -> tuple[float, np.ndarray]:
        ranked = cases.ranked(weights / units, recency)
        too_popular = max(0.0, cases.share_of(ranked, popular) - TOO_POPULAR)
        return float(cases.ndcg(ranked).mean()) - PENALTY * too_popular, weights

    tried = [judged(weights) for weights in _drawn(rng, n_members, tries, allowed)]
    tried.sort(key=lambda each: -each[0])
    mean = np.mean([weights for _, weights in tried[:AVERAGED]], axis=0)
    best = max([judged(mean), tried[0]], key=lambda each: each[0])[1] / units
    return best[:-1] / best[:-1].sum()


def _search(
    balance: Balance,
    tries: int,
    most_shared: float,
    rng: np.random.Generator,
    before: Sequence[tuple[np.ndarray, float]],
) -> list[_Try]:
    """The best mix for each aim: two fifths of the tries at random, the others near the best so far."""
    recencies = sorted(balance.next.standing)
    n_members = balance.next.standing[recencies[0]].shape[2] - 1
    units = {recency: _units(balance, recency) for recency in recencies}
    tried: list[_Try] = []

    def attempt(weights: np.ndarray, recency: float) -> None:
        tried.append(_Try(weights, recency, balance.of(weights / units[recency], recency)))

    for weights, recency in before:
        attempt(weights, recency if recency in units else recencies[-1])
    for row in np.eye(n_members + 1)[:-1]:
        attempt(row, float(rng.choice(recencies)))
    for weights in _drawn(rng, n_members, 2 * tries // 5, np.ones(n_members + 1)):
        attempt(weights, float(rng.choice(recencies)))
    chosen = []
    for aim, share in zip(("default", "unexpected", "familiar"), (3, 2, 2), strict=True):

        def value(each: _Try, aim: str = aim) -> float:
            return value_of(aim, each.figures, most_shared)

        for number in range(share * tries * 3 // 35):
            if number % 10 == 0:
                best = sorted(tried, key=value, reverse=True)[:AVERAGED]
            start = best[number % len(best)]
            near = start.weights * np.exp(STEP * rng.standard_normal(n_members + 1))
            near += (rng.random(n_members + 1) < 1 / (n_members + 1)) * rng.exponential(0.2, n_members + 1)
            attempt(near / near.sum(), start.recency if rng.random() < 0.8 else float(rng.choice(recencies)))
        best = sorted(tried, key=value, reverse=True)
        alike = [each for each in best if each.recency == best[0].recency][:AVERAGED]
        attempt(np.mean([each.weights for each in alike], axis=0), best[0].recency)
        # The mean of good tries generalises better than the luckiest one, unless it falls off the edge.
        chosen.append(tried[-1] if value(tried[-1]) > value(best[0]) - 0.02 else best[0])
    default, unexpected, familiar = chosen
    return [unexpected, default, familiar]


def _drawn(rng: np.random.Generator, n_members: int, n: int, allowed: np.ndarray) -> Iterable[np.ndarray]:
    """Random weights (M + 1,) of sum 1, some of them 0."""
    for _ in range(n):
        weights = rng.exponential(size=n_members + 1) * (rng.random(n_members + 1) < MEMBER_DRAWN) * allowed
        weights[-1] *= PRIOR_AT_MOST * rng.random()
        if weights[:-1].sum() > 0:
            yield weights / weights.sum()


def _units(balance: Balance, recency: float) -> np.ndarray:
    return _deviations(balance.next, recency)


def _deviations(cases: Cases, recency: float) -> np.ndarray:
    """(M + 1,) the deviation of each member's scores over the candidates."""
    deviations = cases.standing[recency][cases.items >= 0].std(axis=0, dtype=np.float64)
    return np.where(deviations > 0, deviations, np.inf)


def _described(n: int, balance: Balance, chosen: Sequence[_Try]) -> dict[str, Any]:
    return {
        "n": n,
        "visitors": len(balance.later),
        "alone": [[round(value, 4) for value in each] for each in balance.alone],
        **{
            aim: {
                "recency": each.recency,
                "balance": round(each.figures.balance, 4),
                "next": round(each.figures.next, 4),
                "later": round(each.figures.later, 4),
                "stratified": round(each.figures.stratified, 4),
                "shared": round(each.figures.shared, 4),
            }
            for aim, each in zip(AIMS, chosen, strict=True)
        },
    }
