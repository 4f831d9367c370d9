"""Ranking for every case of a split, and what was reached under each condition.

A condition is one way of ranking the same scores: with seen items masked, with nothing masked, or among
sampled candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.protocols import (
    CAPPED_RECALL,
    KNOWN_USERS,
    MET,
    METRICS,
    NEXT_TOO,
    UNMASKED_TOO,
    build_queries,
    list_length,
)
from predictors.base import Predictor
from predictors.capabilities import ScoresTrainingUsers
from predictors.progress import Progress, ProgressEvent, silent
from predictors.ranking import top_k
from ranking_metrics import beyond_accuracy, ranking

if TYPE_CHECKING:
    from scipy import sparse

    from datasets.interactions import Interactions
    from datasets.splits.cases import Cases, Split

BATCH = 256
FULL_MASKED = "full catalogue, seen items masked"
FULL_UNMASKED = "full catalogue, nothing masked"
COLD_ONLY = "items held out from training only"
NEXT, NEXT_ONLY = "next film", "full catalogue, seen items masked; the first later row alone is to be found"


@dataclass(frozen=True)
class Outcome:
    """Holds the metrics of one predictor under one condition.

    label    "" for the headline condition, else "unmasked", "next film", "candidates=100", "n=3" and so on
    ranking  what was ranked and what was masked
    users    (U,) int32
    lengths  (U,) int64 items in each history
    values   (U, M) float64, one column per name
    totals   metrics of all lists together; empty for sampled candidates
    """

    label: str
    ranking: str
    users: np.ndarray
    lengths: np.ndarray
    names: tuple[str, ...]
    values: np.ndarray
    totals: Mapping[str, float] = field(default_factory=dict)

    def means(self) -> dict[str, float]:
        """Return every metric by name: means over users, then the totals."""
        return {**dict(zip(self.names, self.values.mean(axis=0).tolist(), strict=True)), **self.totals}


@dataclass(frozen=True)
class ItemFacts:
    """Item properties that the metrics beyond accuracy need, from training rows alone.

    averaged  (n_items,) properties whose mean over a list is a metric, by its name
    weights   (n_items,) by which stratified recall counts an item
    columns   (n_users, n_items) training columns of length 1; None leaves diversity out
    labels    (n_items, L) 0 or 1, such as genres; None leaves calibration out
    """

    averaged: Mapping[str, np.ndarray]
    weights: np.ndarray
    columns: sparse.csc_matrix | None = None
    labels: np.ndarray | None = None

    @classmethod
    def from_training(
        cls, train: Interactions, k: int, *, diversity: bool = True, labels: np.ndarray | None = None
    ) -> ItemFacts:
        information, percentile = beyond_accuracy.popularity(train.items, train.n_items)
        return cls(
            {f"novelty@{k}": information, f"popularity_bias@{k}": percentile},
            beyond_accuracy.inverse_popularity(train.items, train.n_items),
            beyond_accuracy.unit_columns(train.users, train.items, train.n_users, train.n_items)
            if diversity
            else None,
            labels,
        )


def evaluate(
    predictor: Predictor,
    split: Split,
    *,
    stated: str = MET,
    candidates: int | None = None,
    seed: int = 1,
    progress: Progress = silent,
    metrics: Sequence[str] | None = None,
    labels: np.ndarray | None = None,
) -> list[Outcome]:
    """Rank for every case of the split and return what was reached, condition by condition.

    `candidates` adds a condition in which only the targets and so many uniformly drawn items that the
    user has no row with are ranked; the draw depends on `seed` alone, so all models rank the same items.
    `metrics` replaces those of the protocol. `labels` (n_items, L), genres for example, adds calibration.
    A user whose history states fewer liked items than the model needs gets no list. A model that was
    just fitted and has learned something about the users themselves is measured by that too, as
    `users as trained`.
    """
    k = list_length(split.protocol)
    facts = ItemFacts.from_training(split.train, k, diversity=metrics is None, labels=labels)
    names = tuple(metrics or METRICS[split.protocol])
    outcomes = []
    total = sum(len(cases) for cases in split.cases)
    before = 0
    for cases in split.cases:
        if not len(cases):
            continue
        conditions = _conditions(split, cases, names, candidates=candidates, k=k, facts=facts)
        knows_users = (
            split.protocol in KNOWN_USERS
            and isinstance(predictor, ScoresTrainingUsers)
            and predictor.score_users(cases.users[:1]) is not None
        )
        as_trained = _Condition("users as trained", FULL_MASKED, names, list_length=k, facts=facts)
        rng = np.random.default_rng([seed, 100])
        for first in range(0, len(cases), BATCH):
            last = min(first + BATCH, len(cases))
            batch = _Batch.from_cases(cases, first, last, split)
            scores = _scores(predictor, cases, first, last, stated)
            for condition in conditions:
                condition.add(scores, batch, rng)
            if knows_users:
                by_user = predictor.score_users(cases.users[first:last])  # type: ignore[attr-defined]
                as_trained.add(by_user, batch, rng)
            progress(ProgressEvent((before + last) / total, "ranking"))
        before += len(cases)
        asked = [*conditions, as_trained] if knows_users else conditions
        outcomes += [condition.outcome(cases) for condition in asked]
    return outcomes


def _scores(predictor: Predictor, cases: Cases, first: int, last: int, stated: str) -> np.ndarray:
    """Return (B, n_items) float32, -inf for users whose stated history is too short for the model."""
    queries = build_queries(cases, first, last, stated)
    able = np.array([len(query.liked) >= predictor.min_history for query in queries])
    if able.all():
        return predictor.score(queries)
    scores = np.full((len(queries), predictor.n_items), -np.inf, dtype=np.float32)
    if able.any():
        scores[able] = predictor.score([query for query, can in zip(queries, able, strict=True) if can])
    return scores


@dataclass(frozen=True)
class _Batch:
    """Cases first..last-1 as masks: targets and seen (B, n_items) bool, n_targets (B,), their histories."""

    targets: np.ndarray
    seen: np.ndarray
    n_targets: np.ndarray
    first_targets: np.ndarray  # (B,) int64, of each user the first one in time
    histories: list[np.ndarray]
    hidden: np.ndarray | None  # (n_items,) bool, never ranked

    @classmethod
    def from_cases(cls, cases: Cases, first: int, last: int, split: Split) -> _Batch:
        n_items = split.train.n_items
        return cls(
            cases.targets.mask(first, last, n_items),
            cases.seen.mask(first, last, n_items),
            cases.targets.lengths[first:last],
            cases.targets.values[cases.targets.indptr[first:last]],
            [cases.history[row] for row in range(first, last)],
            None if split.candidates is None else ~split.candidates,
        )

    def of_first_targets(self) -> _Batch:
        """Return the same cases with one target each."""
        targets = np.zeros_like(self.targets)
        targets[np.arange(len(targets)), self.first_targets] = True
        return replace(self, targets=targets, n_targets=np.ones_like(self.n_targets))


def _conditions(
    split: Split,
    cases: Cases,
    names: tuple[str, ...],
    *,
    candidates: int | None,
    k: int,
    facts: ItemFacts,
) -> list[_Condition]:
    shared: dict[str, Any] = {"list_length": k, "capped_recall": split.protocol in CAPPED_RECALL}
    ranking_words = FULL_MASKED if split.candidates is None else COLD_ONLY
    conditions = [_Condition(cases.label, ranking_words, names, facts=facts, **shared)]
    if split.protocol in UNMASKED_TOO:
        conditions.append(
            _Condition("unmasked", FULL_UNMASKED, names, facts=facts, is_masked=False, **shared)
        )
    if split.protocol in NEXT_TOO:
        conditions.append(_Condition(NEXT, NEXT_ONLY, names, facts=facts, is_next=True, **shared))
    if candidates:
        label = ", ".join(filter(None, (cases.label, f"candidates={candidates}")))
        sampled = (
            f"targets and {candidates} uniformly drawn items that the user has no row with, nothing else"
        )
        conditions.append(_Condition(label, sampled, names, facts=None, n_negatives=candidates, **shared))
    return conditions


class _Condition:
    """Collects the metrics of one way of ranking, batch by batch. `facts` add metrics beyond accuracy."""

    def __init__(
        self,
        label: str,
        ranking_words: str,
        names: tuple[str, ...],
        *,
        list_length: int,
        facts: ItemFacts | None,
        capped_recall: bool = False,
        is_masked: bool = True,
        is_next: bool = False,
        n_negatives: int | None = None,
    ) -> None:
        self.label, self.ranking, self.names = label, ranking_words, names
        self.list_length, self.facts, self.capped_recall = list_length, facts, capped_recall
        self.is_masked, self.is_next, self.n_negatives = is_masked, is_next, n_negatives
        self.depth = max([list_length, *(k for k in map(ranking.cutoff, names) if k)])
        self.batches: list[np.ndarray] = []
        self.n_lists = 0
        self.counts: np.ndarray | None = None  # (n_items,) in how many lists each item stands
        self.hit_weight = self.target_weight = 0.0

    def add(self, scores: np.ndarray, batch: _Batch, rng: np.random.Generator) -> None:
        """Rank and measure one batch; scores (B, n_items) float32."""
        if self.is_next:
            batch = batch.of_first_targets()
        targets = batch.targets
        if self.n_negatives:
            allowed = targets | uniform_negatives(targets | batch.seen, self.n_negatives, rng)
            scores = np.where(allowed, scores, -np.inf)
        elif self.is_masked:
            scores = np.where(batch.seen, -np.inf, scores)
        if batch.hidden is not None:
            scores = np.where(batch.hidden, -np.inf, scores)
        ranked, _ = top_k(scores, self.depth)
        ranks = ranking.first_ranks(scores, targets) if "MRR" in self.names else None
        hits = ranking.hits_of(ranked, targets)
        values = ranking.per_user(
            hits, batch.n_targets, self.names, first_ranks=ranks, capped_recall=self.capped_recall
        )
        self.batches.append(np.column_stack([values, *self._beyond(ranked, hits, batch).values()]))

    def _beyond(self, ranked: np.ndarray, hits: np.ndarray, batch: _Batch) -> dict[str, np.ndarray]:
        """Return (B,) values of the metrics beyond accuracy, and count the lists for the totals."""
        if self.facts is None:
            return {}
        k, facts = self.list_length, self.facts
        lists = ranked[:, :k]
        values = {
            name: beyond_accuracy.mean_of_ranked(lists, of_item) for name, of_item in facts.averaged.items()
        }
        if facts.columns is not None:
            values[f"diversity@{k}"] = beyond_accuracy.intra_list_diversity(lists, facts.columns)
        if facts.labels is not None:
            values[f"calibration@{k}"] = beyond_accuracy.calibration(lists, batch.histories, facts.labels)
        self.n_lists += len(lists)
        counts = np.bincount(lists[lists >= 0], minlength=batch.targets.shape[1])
        self.counts = counts if self.counts is None else self.counts + counts
        self.hit_weight += float(facts.weights[lists[hits[:, :k]]].sum())
        self.target_weight += float((batch.targets @ facts.weights).sum())
        self.names_beyond = tuple(values)
        return values

    def outcome(self, cases: Cases) -> Outcome:
        """Return what was reached over all batches."""
        names = self.names if self.counts is None else (*self.names, *self.names_beyond)
        return Outcome(
            self.label,
            self.ranking,
            cases.users,
            cases.history.lengths,
            names,
            np.concatenate(self.batches),
            self._totals(),
        )

    def _totals(self) -> dict[str, float]:
        if self.counts is None:
            return {}
        k, counts = self.list_length, self.counts
        return {
            f"coverage@{k}": float((counts > 0).mean()),
            f"gini@{k}": beyond_accuracy.gini(counts),
            f"personalization@{k}": beyond_accuracy.personalization(counts, self.n_lists, k),
            f"films_per_1000@{k}": beyond_accuracy.distinct_in_lists(counts, self.n_lists),
            f"stratified_recall@{k}": beyond_accuracy.stratified_recall(self.hit_weight, self.target_weight),
        }


def uniform_negatives(known: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (B, n_items) bool with n items per row, without replacement, none of them known.

    known (B, n_items) bool. Rows with fewer than n unknown items get all of them.
    """
    keys = rng.random(known.shape)
    keys[known] = 2.0
    n = min(n, known.shape[1])
    chosen = np.argpartition(keys, n - 1, axis=1)[:, :n]
    negatives = np.zeros_like(known)
    np.put_along_axis(negatives, chosen, True, axis=1)
    return negatives & ~known
