"""The one validator: the same question for every model that stops early or is chosen among others.

The question per user: given a history, which of the validation items are among the ten best, seen items
masked? Users with training rows (leave-one-out, temporal and random splits) are shown their training
items in order; their validation items are the targets. Users without training rows (strong
generalisation) are shown the first half of their validation rows, in order, or a random four fifths where the
model reads no order; the rest are the targets.
Each item counts once, at its latest position; items that were shown are no targets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from predictors.query import Query
from predictors.ranking import top_k
from ranking_metrics.ranking import cutoff, hits_of, per_user

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from predictors.base import Predictor

METRIC = "NDCG@10"
METRICS = (METRIC, "HR@10")
MAX_USERS = 2000
SHOWN_SHARE = 0.5  # of the rows of a validation user without training rows
QUERIES_AT_ONCE = 64
SHOWN_AT_RANDOM = 0.8  # of them, to a model that reads no order
MIN_TO_HOLD_OUT = 3  # interactions of a user: one to train on, one to predict from, one to predict

Scores = Callable[[Sequence[Query]], np.ndarray]


@dataclass(frozen=True)
class Validator:
    """Users to validate on: queries, and the item indices each should find."""

    queries: list[Query]
    targets: list[np.ndarray]
    n_items: int

    @classmethod
    def from_rows(
        cls,
        train: Interactions,
        validation: Interactions | None,
        *,
        max_users: int = MAX_USERS,
        seed: int = 1,
        in_order: bool = True,
    ) -> Validator | None:
        """Draw up to `max_users` validation users; None where nobody can be asked.

        The users for a smaller number are among those for a larger one. Without `in_order` users without
        training rows are shown a random SHOWN_AT_RANDOM of their rows instead of the first half.
        """
        if validation is None or not len(validation):
            return None
        queries, targets = [], []
        for user in np.random.default_rng(seed).permutation(np.unique(validation.users)):
            history, wanted = train.items_of(user), validation.items_of(user)
            given_at, asked_at = train.at_of(user), validation.at_of(user)
            if not len(history):
                is_shown = np.arange(len(wanted)) < int(len(wanted) * SHOWN_SHARE)
                if not in_order:
                    is_shown = np.random.default_rng([seed, user]).random(len(wanted)) < SHOWN_AT_RANDOM
                history, wanted = wanted[is_shown], wanted[~is_shown]
                given_at, asked_at = asked_at[is_shown], asked_at[~is_shown]
            positions = latest_positions(history)
            history = history[positions].astype(np.int64)
            wanted = np.setdiff1d(wanted, history)
            if len(history) and len(wanted):
                ages = np.maximum(asked_at[0] - given_at[positions], 0) if train.has_time else None
                queries.append(Query.from_indices(history, ages=ages))
                targets.append(wanted)
            if len(queries) == max_users:
                break
        return cls(queries, targets, train.n_items) if queries else None

    def __len__(self) -> int:
        return len(self.queries)

    def latest(self, n: int) -> Validator:
        """Return the same question to users of whom only the latest n items are known; all stay masked."""
        queries = [
            Query.from_indices(
                query.liked[-n:], seen=query.seen, ages=None if query.ages is None else query.ages[-n:]
            )
            for query in self.queries
        ]
        return replace(self, queries=queries)

    def measure(self, score: Predictor | Scores, metrics: Sequence[str] = METRICS) -> dict[str, float]:
        """Return the mean of each metric for a predictor, or for a function from queries to scores.

        The function returns (B, n_items) float32 that may be written to, as `Predictor.score` does.
        """
        scores_of: Scores = score if callable(score) else score.score
        depth = max(cutoff(metric) or self.n_items for metric in metrics)
        values = []
        order = np.argsort([len(query.liked) for query in self.queries], kind="stable")  # little padding
        for start in range(0, len(order), QUERIES_AT_ONCE):
            rows = order[start : start + QUERIES_AT_ONCE].tolist()
            queries = [self.queries[row] for row in rows]
            scores = scores_of(queries)
            is_target = np.zeros(scores.shape, dtype=bool)
            for mask, line, query, row in zip(is_target, scores, queries, rows, strict=True):
                line[query.seen] = -np.inf
                mask[self.targets[row]] = True
            ranked, _ = top_k(scores, depth)
            n_targets = np.array([len(self.targets[row]) for row in rows])
            values.append(per_user(hits_of(ranked, is_target), n_targets, metrics))
        return dict(zip(metrics, map(float, np.concatenate(values).mean(axis=0)), strict=True))


def hold_out_last(train: Interactions, *, max_users: int, seed: int) -> tuple[Interactions, Interactions]:
    """Split off the last row of up to `max_users` users: (rows to train on, validation rows)."""
    eligible = np.flatnonzero(np.diff(train.indptr) >= MIN_TO_HOLD_OUT)
    users = np.random.default_rng(seed).permutation(eligible)[:max_users]
    is_last = np.zeros(len(train), dtype=bool)
    is_last[train.indptr[users + 1] - 1] = True
    return train.select(~is_last), train.select(is_last)


def latest_positions(items: np.ndarray) -> np.ndarray:
    """Return (N,) int64, ascending: the latest position of each item."""
    _, from_the_end = np.unique(items[::-1], return_index=True)
    return np.sort(len(items) - 1 - from_the_end)
