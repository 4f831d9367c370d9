"""How much each member of a blend counts after n films: fitted on guests the members never met.

A guest is a person with rows that no member was trained on. They are shown in part: n of their rows
drawn at random (`random`), or their first n (`time`), as a visitor's history begins. Which members
rank the rest best differs between the two, and a serving model is not told which it sees. So there are
two curves of weights, one for each, and a gate: the probability, by logistic regression, that a
history is the opening of one, from how often its films are among the first 2, 5, 10, 50 people meet.

    w(x) = (1 - g(x)) * random_n + g(x) * opening_n
    g(x) = 1 / (1 + exp(-(a_n + b_n . mean opening of the films of x)))

Both curves are fitted together at each length by coordinate ascent on NDCG@10 itself, in two folds of
guests: the weights are the mean of the folds, and the reported figures come from the other fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize

from predictors.base import Predictor, Query
from ranking_metrics.ranking import hits_of, per_user

if TYPE_CHECKING:
    from datasets.interactions import Interactions

RANDOM, TIME = "random", "time"
ORDERS = (RANDOM, TIME)
KNOTS = (1, 2, 3, 5, 10, 20, 50, 100)  # lengths at which weights are fitted
# From here on guests are also shown four fifths of what they met: with little left to find, other
# weights are the best. The last knot, which stands for all longer histories, has these alone.
NEARLY_ALL_FROM = 20
LONG_SHARE = 0.8
NEARLY_ALL_DRAWS = 3
OPENINGS = (2, 5, 10, 50)  # so many films that a person meets first
OPENING_PRIOR = 20.0  # meetings at the mean share that every film starts with
METRIC, PLACES = "NDCG@10", 10
CANDIDATES = 40  # best films of each member among which the blend finds its ten
ENOUGH_CASES = 200  # with fewer guests each is asked several times, with other films
MOST_DRAWS = 4
FIRST_STEP, LAST_STEP = 0.3, 0.02  # of the coordinate ascent, in shares of the whole weight
GATE_RIDGE = 1e-3
BATCH = 128
TINY = 1e-6

Score = Callable[[Sequence[Query]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Curves:
    """What the weights depend on.

    weights  (2, K, M) float64, rows of `ORDERS`, each length's weights 0 or more with sum 1
    gate     (K, 1 + F) float64, a and b, F = len(OPENINGS)
    opening  (n_items, F) float32, log of how much more often than the mean a film is among the first
             2, 5, ... of a person
    """

    weights: np.ndarray
    gate: np.ndarray
    opening: np.ndarray

    def weights_of(self, queries: Sequence[Query]) -> np.ndarray:
        """(B, M) float64; between two knots linear in log(1 + n). At least one liked film each."""
        lengths = np.log1p([len(query.liked) for query in queries])
        knots = np.log1p(KNOTS)
        upper = np.clip(np.searchsorted(knots, lengths), 1, len(knots) - 1)
        share = np.clip((lengths - knots[upper - 1]) / (knots[upper] - knots[upper - 1]), 0, 1)[:, None]
        gates = (1 - share) * self.gate[upper - 1] + share * self.gate[upper]
        curves = (1 - share) * self.weights[:, upper - 1] + share * self.weights[:, upper]
        openings = np.array([self.opening[query.liked].mean(axis=0) for query in queries])
        return _mixed(_gated(gates, openings)[:, None], curves[0], curves[1])


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


def openings(train: Interactions) -> np.ndarray:
    """(n_items, F) float32: log of the share of a film's meetings that are early ones, against the mean."""
    place = np.arange(len(train)) - train.indptr[train.users]
    counts = np.bincount(train.items, minlength=train.n_items)
    columns = []
    for first in OPENINGS:
        early = place < first
        met_early = np.bincount(train.items[early], minlength=train.n_items) / early.mean()
        columns.append(np.log((met_early + OPENING_PRIOR) / (counts + OPENING_PRIOR)))
    return np.column_stack(columns).astype(np.float32)


def fit_curves(
    members: Sequence[Predictor],
    guests: Interactions,
    opening: np.ndarray,
    *,
    time_shares: tuple[float, float],
    seed: int,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[Curves, list[dict[str, Any]]]:
    """Weights and gate at each knot, and the figures that justify them.

    guests      rows of people that no member was trained on, each film once per person
    time_shares how much guests in the order of time count in what is maximised, against those at random:
                at a history of no length and at the longest, linear in the length between them

    Returns the curves and one row per knot and order: guests asked, NDCG@10 of each member and of the
    blend (fitted on other guests), the mean weights.
    """
    names = [member.name for member in members]
    weights = np.full((2, len(KNOTS), len(members)), np.nan)
    gate = np.zeros((len(KNOTS), 1 + len(OPENINGS)))
    figures: list[dict[str, Any]] = []
    for place, knot in enumerate(KNOTS):
        cases = [_Cases.of(members, guests, opening, knot=knot, order=order, seed=seed) for order in ORDERS]
        if min(len(each.openings) for each in cases) >= 2:
            gate[place] = _fit_gate(cases[0].openings, cases[1].openings)
            gates = [_gated(gate[place], each.openings) for each in cases]
            share = float(np.interp(knot, (0, KNOTS[-1]), time_shares))
            weights[:, place], reached = _cross_fitted(cases, gates, share)
            for each, order, of_blend in zip(cases, ORDERS, reached, strict=True):
                figures.append(_figures(each, knot, order, names, of_blend))
        progress((place + 1) / len(KNOTS))
    _fill(weights, gate)
    return Curves(_smoothed(weights), gate, opening), figures


@dataclass(frozen=True, slots=True)
class _Cases:
    """Guests of one order who are shown the same number of films; candidates padded at the end.

    people    (C,) who they are
    standing  (C, L, M) float32 standardised scores of the candidates, by member
    real      (C, L) bool, False where padded
    targets   (C, L) bool
    n_targets (C,) how many films there were to find
    openings  (C, F) the mean opening of what they are shown
    """

    people: np.ndarray
    standing: np.ndarray
    real: np.ndarray
    targets: np.ndarray
    n_targets: np.ndarray
    openings: np.ndarray

    @classmethod
    def of(
        cls,
        members: Sequence[Predictor],
        guests: Interactions,
        opening: np.ndarray,
        *,
        knot: int,
        order: str,
        seed: int,
    ) -> _Cases:
        shown = list(_shown(guests, knot, order, np.random.default_rng([seed, knot, ORDERS.index(order)])))
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
        for place, (row, wanted) in enumerate(zip(standing, targets, strict=True)):
            padded[place, : len(row)], real[place, : len(row)], found[place, : len(row)] = row, True, wanted
        return cls(
            np.array([person for person, _, _ in shown], dtype=np.int64),
            padded,
            real,
            found,
            np.array([len(wanted) for _, _, wanted in shown], dtype=np.int64),
            np.array([opening[given].mean(axis=0) for _, given, _ in shown]),
        )

    def select(self, mask: np.ndarray) -> _Cases:
        return _Cases(*(getattr(self, name)[mask] for name in self.__slots__))

    def ndcg(self, weights: np.ndarray) -> np.ndarray:
        """(C,) NDCG@10 of the ranking by these weights, (M,) or (C, M)."""
        each = np.broadcast_to(weights, (len(self.standing), self.standing.shape[2]))
        scores = np.matmul(self.standing, each[:, :, None].astype(np.float32))[:, :, 0]
        scores[~self.real] = -np.inf
        depth = min(PLACES, scores.shape[1])
        best = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
        by_score = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        ranked = np.take_along_axis(best, by_score, axis=1)
        return per_user(hits_of(ranked, self.targets), self.n_targets, (METRIC,))[:, 0]


def _shown(
    guests: Interactions, knot: int, order: str, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Person, (n,) given films oldest first, (T,) films to find; n is about the knot."""
    people = np.unique(guests.users)
    draws = 1
    if order == RANDOM:
        draws = int(np.clip(np.ceil(ENOUGH_CASES / max(len(people), 1)), 1, MOST_DRAWS))
    for person in people:
        items = guests.items_of(person).astype(np.int64)
        most = int(np.rint(len(items) * LONG_SHARE))
        amounts = [knot] if knot != KNOTS[-1] else []
        if knot >= NEARLY_ALL_FROM and knot == _nearest_knot(most):
            amounts += [most] * (NEARLY_ALL_DRAWS if order == RANDOM and amounts else 1)
        for n in np.repeat(amounts, draws):
            if 0 < n < len(items):
                given = np.zeros(len(items), dtype=bool)
                given[rng.permutation(len(items))[:n] if order == RANDOM else slice(n)] = True
                yield int(person), items[given], items[~given]


def _nearest_knot(n: int) -> int:
    return KNOTS[int(np.abs(np.log1p(KNOTS) - np.log1p(n)).argmin())]


def _fit_gate(openings_at_random: np.ndarray, openings_in_time: np.ndarray) -> np.ndarray:
    """(1 + F,) a and b of the logistic regression, both kinds of history being equally likely before."""
    values = np.concatenate([openings_at_random, openings_in_time])
    sign = np.repeat([-1.0, 1.0], [len(openings_at_random), len(openings_in_time)])
    share = np.repeat(
        [0.5 / len(openings_at_random), 0.5 / len(openings_in_time)],
        [len(openings_at_random), len(openings_in_time)],
    )
    features = np.column_stack([np.ones(len(values)), values])

    def loss(gate: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (features @ gate)
        slope = -sign * share / (1 + np.exp(np.clip(margin, -50, 50)))
        value = share @ np.logaddexp(0, -margin) + GATE_RIDGE * gate @ gate / 2
        return value, features.T @ slope + GATE_RIDGE * gate

    return optimize.minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B").x


def _gated(gate: np.ndarray, openings_of: np.ndarray) -> np.ndarray:
    """(C,) g of (C, F) openings; gate (1 + F,) or (C, 1 + F)."""
    margin = gate[..., 0] + (gate[..., 1:] * openings_of).sum(axis=-1)
    return 1 / (1 + np.exp(-np.clip(margin, -50, 50)))


def _mixed(gates: np.ndarray, at_random: np.ndarray, opening: np.ndarray) -> np.ndarray:
    return (1 - gates) * at_random + gates * opening


def _cross_fitted(
    cases: Sequence[_Cases], gates: Sequence[np.ndarray], time_share: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(2, M) mean of the weights of two folds of people, and per order the NDCG@10 in the other fold."""
    people = np.unique(np.concatenate([each.people for each in cases]))
    second = people[1::2]
    fitted = []
    reached = [np.zeros(len(each.people)) for each in cases]
    for fold in (False, True):
        inside = [np.isin(each.people, second) == fold for each in cases]
        if not all(mask.any() for mask in inside):
            continue
        some = [each.select(mask) for each, mask in zip(cases, inside, strict=True)]
        weights = _ascend(some, [g[mask] for g, mask in zip(gates, inside, strict=True)], time_share)
        fitted.append(weights)
        for each, g, mask, values in zip(cases, gates, inside, reached, strict=True):
            values[~mask] = each.select(~mask).ndcg(_mixed(g[~mask, None], weights[0], weights[1]))
    return np.mean(fitted, axis=0), reached


def _ascend(cases: Sequence[_Cases], gates: Sequence[np.ndarray], time_share: float) -> np.ndarray:
    """(2, M) weights that maximise the mean over both orders of NDCG@10 / that of the best member alone."""
    n_members = cases[0].standing.shape[2]
    alone = [np.array([each.ndcg(row).mean() for row in np.eye(n_members)]) for each in cases]
    shares = (1 - time_share, time_share)

    def value(weights: np.ndarray) -> float:
        return sum(
            share * each.ndcg(_mixed(g[:, None], weights[0], weights[1])).mean() / max(best.max(), TINY)
            for share, each, g, best in zip(shares, cases, gates, alone, strict=True)
        )

    def start(best: np.ndarray) -> np.ndarray:
        return (np.eye(n_members)[best.argmax()] + 1 / n_members) / 2

    weights = np.stack([start(best) for best in alone])
    reached = value(weights)
    step = FIRST_STEP
    while step > LAST_STEP:
        before = reached
        for order, member, change in ((o, m, c) for o in (0, 1) for m in range(n_members) for c in (1, -1)):
            changed = weights.copy()
            changed[order, member] = max(changed[order, member] + change * step, 0)
            if changed[order].sum() < TINY:
                continue
            changed[order] /= changed[order].sum()
            there = value(changed)
            if there > reached + TINY:
                weights, reached = changed, there
        if reached == before:
            step /= 2
    return weights


def _fill(weights: np.ndarray, gate: np.ndarray) -> None:
    """Lengths that no guest had take what was fitted at the nearest shorter length, else the next longer.

    Raises ValueError when there is none at all.
    """
    fitted = np.flatnonzero(~np.isnan(weights[0, :, 0]))
    if len(fitted) == 0:
        raise ValueError("no guest has two films")
    for place in range(weights.shape[1]):
        before = fitted[fitted <= place]
        source = before[-1] if len(before) else fitted[0]
        weights[:, place], gate[place] = weights[:, source], gate[source]


def _smoothed(weights: np.ndarray) -> np.ndarray:
    """Each length's weights half from its neighbours: what one fold of guests happens to favour evens out."""
    padded = np.concatenate([weights[:, :1], weights, weights[:, -1:]], axis=1)
    smooth = 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]
    smooth[:, -1] = weights[:, -1]  # long histories are a case of their own
    return smooth


def _figures(
    cases: _Cases, knot: int, order: str, names: Sequence[str], of_blend: np.ndarray
) -> dict[str, Any]:
    alone = {
        name: round(float(cases.ndcg(row).mean()), 5)
        for name, row in zip(names, np.eye(len(names)), strict=True)
    }
    return {
        "n": knot,
        "order": order,
        "guests": len(np.unique(cases.people)),
        METRIC: {**alone, "for_you": round(float(of_blend.mean()), 5)},
    }
