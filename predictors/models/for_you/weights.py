"""How much each member of a blend counts after n films: fitted on guests the members never saw.

A guest is a user with rows that no member was trained on. They are shown in part: n of their rows
drawn at random (`random`), or their first n (`time`), as a visitor's history begins. Which members
rank the rest best differs between the two, and a serving model does not know which it sees. So there are
two curves of weights, one for each, and a gate: the probability, by logistic regression, that a
history is the opening of one, from how often its films are among the first 2, 5, 10, 50 items of a user.

    w(x) = (1 - g(x)) * random_n + g(x) * opening_n
    g(x) = 1 / (1 + exp(-(a_n + b_n . mean opening of the films of x)))

Both curves are fitted together at each length by coordinate ascent on NDCG@10 itself, in two folds of
guests: the weights are the mean of the folds, and the reported figures come from the other fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize

from predictors.base import Predictor, Query
from predictors.models.for_you.cases import KNOTS, METRIC, ORDERS, TINY, Cases

if TYPE_CHECKING:
    from datasets.interactions import Interactions

OPENINGS = (2, 5, 10, 50)  # so many first items of a user
OPENING_PRIOR = 20.0  # interactions at the mean share that every item starts with
FIRST_STEP, LAST_STEP = 0.3, 0.02  # of the coordinate ascent, in shares of the whole weight
GATE_RIDGE = 1e-3


@dataclass(frozen=True, slots=True)
class Curves:
    """What the weights depend on.

    weights  (2, K, M) float64, rows of `ORDERS`, each length's weights 0 or more with sum 1
    gate     (K, 1 + F) float64, a and b, F = len(OPENINGS)
    opening  (n_items, F) float32, log of how much more often than the mean a film is among the first
             2, 5, ... of a user
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


def openings(train: Interactions) -> np.ndarray:
    """(n_items, F) float32: log of the share of early ones among an item's interactions, against the mean."""
    position = np.arange(len(train)) - train.indptr[train.users]
    counts = np.bincount(train.items, minlength=train.n_items)
    columns = []
    for first in OPENINGS:
        early = position < first
        n_early = np.bincount(train.items[early], minlength=train.n_items) / early.mean()
        columns.append(np.log((n_early + OPENING_PRIOR) / (counts + OPENING_PRIOR)))
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

    guests      rows of users that no member was trained on, each item once per user
    time_shares how much guests in the order of time count in what is maximised, against those at random:
                at a history of no length and at the longest, linear in the length between them

    Returns the curves and one row per knot and order: guests asked, NDCG@10 of each member and of the
    blend (fitted on other guests), the mean weights.
    """
    names = [member.name for member in members]
    weights = np.full((2, len(KNOTS), len(members)), np.nan)
    gate = np.zeros((len(KNOTS), 1 + len(OPENINGS)))
    figures: list[dict[str, Any]] = []
    for row, knot in enumerate(KNOTS):
        cases = [
            Cases.from_guests(members, guests, opening, knot=knot, order=order, seed=seed) for order in ORDERS
        ]
        if min(len(each.openings) for each in cases) >= 2:
            gate[row] = _fit_gate(cases[0].openings, cases[1].openings)
            gates = [_gated(gate[row], each.openings) for each in cases]
            share = float(np.interp(knot, (0, KNOTS[-1]), time_shares))
            weights[:, row], reached = _cross_fitted(cases, gates, share)
            for each, order, of_blend in zip(cases, ORDERS, reached, strict=True):
                figures.append(_figures(each, knot, order, names, of_blend))
        progress((row + 1) / len(KNOTS))
    _fill(weights, gate)
    return Curves(_smoothed(weights), gate, opening), figures


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
    cases: Sequence[Cases], gates: Sequence[np.ndarray], time_share: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(2, M) mean of the weights of two folds of users, and per order the NDCG@10 in the other fold."""
    users = np.unique(np.concatenate([each.users for each in cases]))
    second = users[1::2]
    fitted = []
    reached = [np.zeros(len(each.users)) for each in cases]
    for fold in (False, True):
        inside = [np.isin(each.users, second) == fold for each in cases]
        if not all(mask.any() for mask in inside):
            continue
        some = [each.select(mask) for each, mask in zip(cases, inside, strict=True)]
        weights = _ascend(some, [g[mask] for g, mask in zip(gates, inside, strict=True)], time_share)
        fitted.append(weights)
        for each, g, mask, values in zip(cases, gates, inside, reached, strict=True):
            values[~mask] = each.select(~mask).ndcg(_mixed(g[~mask, None], weights[0], weights[1]))
    return np.mean(fitted, axis=0), reached


def _ascend(cases: Sequence[Cases], gates: Sequence[np.ndarray], time_share: float) -> np.ndarray:
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
    for knot in range(weights.shape[1]):
        before = fitted[fitted <= knot]
        source = before[-1] if len(before) else fitted[0]
        weights[:, knot], gate[knot] = weights[:, source], gate[source]


def _smoothed(weights: np.ndarray) -> np.ndarray:
    """Each length's weights half from its neighbours: what one fold of guests happens to favour evens out."""
    padded = np.concatenate([weights[:, :1], weights, weights[:, -1:]], axis=1)
    smooth = 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]
    smooth[:, -1] = weights[:, -1]  # long histories are a case of their own
    return smooth


def _figures(
    cases: Cases, knot: int, order: str, names: Sequence[str], of_blend: np.ndarray
) -> dict[str, Any]:
    alone = {
        name: round(float(cases.ndcg(row).mean()), 5)
        for name, row in zip(names, np.eye(len(names)), strict=True)
    }
    return {
        "n": knot,
        "order": order,
        "guests": len(np.unique(cases.users)),
        METRIC: {**alone, "for_you": round(float(of_blend.mean()), 5)},
    }
