"""Splits: cases as arrays, built from masks over the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.interactions import Interactions


class SplitError(Exception):
    """Reports data that a protocol cannot split; the message says what it needs."""


@dataclass(frozen=True)
class Ragged:
    """Holds rows of unequal length in one array: row c is values[indptr[c]:indptr[c + 1]].

    indptr (C + 1,) int64, values (sum of lengths,) int64
    """

    indptr: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.indptr[row] : self.indptr[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """(C,) int64"""
        return np.diff(self.indptr)

    def mask(self, first: int, last: int, n_items: int) -> np.ndarray:
        """Return (last - first, n_items) bool: the items that rows first..last-1 hold."""
        dense = np.zeros((last - first, n_items), dtype=bool)
        rows = np.repeat(np.arange(last - first), self.lengths[first:last])
        dense[rows, self.values[self.indptr[first] : self.indptr[last]]] = True
        return dense


@dataclass(frozen=True)
class Cases:
    """Holds the users to evaluate under one condition; all rows by the same index.

    label    the condition: "" where there is one only, "n=3" or "n=80%" for users held out entirely
    users    (C,) int32, ascending
    history  items given to the model, oldest first
    seen     items that are masked in the ranking
    targets  items to be found, disjoint from `seen`
    stars    float32 by the rows of `history.values`, nan without a rating; None where none are known
    ages     int64 by the same rows, seconds before the first target; None where times are unknown
    """

    label: str
    users: np.ndarray
    history: Ragged
    seen: Ragged
    targets: Ragged
    stars: np.ndarray | None = None
    ages: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)

    def stars_of(self, row: int) -> np.ndarray:
        """Return (T,) float32 the stars of one history, nan where there are none."""
        first, last = self.history.indptr[row : row + 2]
        if self.stars is None:
            return np.full(last - first, np.nan, np.float32)
        return self.stars[first:last]

    def ages_of(self, row: int) -> np.ndarray | None:
        """Return (T,) int64 the seconds from each item of one history to the first target."""
        first, last = self.history.indptr[row : row + 2]
        return None if self.ages is None else self.ages[first:last]


@dataclass(frozen=True)
class Split:
    """Holds what a model may see (`train`, `validation`) and what it is asked (`cases`).

    `description` names the rule with its parameters; `history` names what the model is given.
    `candidates` (n_items,) bool marks the only items that are ranked; None stands for the full catalogue.
    """

    protocol: str
    train: Interactions
    validation: Interactions | None
    cases: tuple[Cases, ...]
    description: str
    history: str
    candidates: np.ndarray | None = None


def cases_from_masks(
    label: str,
    interactions: Interactions,
    history: np.ndarray,
    targets: np.ndarray,
    seen: np.ndarray | None = None,
) -> Cases:
    """Return one case for each user with a target; `history`, `targets`, `seen` (N,) bool over the rows."""
    users = np.unique(interactions.users[targets])
    is_asked = np.zeros(interactions.n_users, dtype=bool)
    is_asked[users] = True
    history = history & is_asked[interactions.users]
    given = _rows_of(interactions, history, users)
    return Cases(
        label,
        users,
        given,
        given if seen is None else _rows_of(interactions, seen & is_asked[interactions.users], users),
        _rows_of(interactions, targets, users),
        interactions.values[history],
        _ages(interactions, history, targets) if interactions.has_time else None,
    )


def _ages(interactions: Interactions, history: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return (history.sum(),) int64 the seconds from each row to its user's first target, at least 0."""
    asked_at = np.zeros(interactions.n_users, dtype=np.int64)
    rows = np.flatnonzero(targets)[::-1]
    asked_at[interactions.users[rows]] = interactions.at[rows]  # the first target of a user is written last
    return np.maximum(asked_at[interactions.users[history]] - interactions.at[history], 0)


def _rows_of(interactions: Interactions, mask: np.ndarray, users: np.ndarray) -> Ragged:
    lengths = np.bincount(interactions.users[mask], minlength=interactions.n_users)[users]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(indptr, interactions.items[mask].astype(np.int64))


def select_cases(cases: Cases, mask: np.ndarray) -> Cases:
    """Return the cases of mask (C,) bool."""

    def selected(rows: Ragged) -> Ragged:
        lengths = rows.lengths
        indptr = np.concatenate([[0], np.cumsum(lengths[mask])]).astype(np.int64)
        return Ragged(indptr, rows.values[np.repeat(mask, lengths)])

    return Cases(
        cases.label,
        cases.users[mask],
        selected(cases.history),
        selected(cases.seen),
        selected(cases.targets),
        None if cases.stars is None else cases.stars[np.repeat(mask, cases.history.lengths)],
        None if cases.ages is None else cases.ages[np.repeat(mask, cases.history.lengths)],
    )


def limited(cases: Cases, limit: int, seed: int) -> Cases:
    """Return at most `limit` of the cases, a seeded sample in the same order."""
    if len(cases) <= limit:
        return cases
    mask = np.zeros(len(cases), dtype=bool)
    mask[np.random.default_rng(seed).permutation(len(cases))[:limit]] = True
    return select_cases(cases, mask)


def random_ranks(interactions: Interactions, rng: np.random.Generator) -> np.ndarray:
    """Return (N,) int64 the rank of each row in a random order of its user's rows."""
    shuffled = np.lexsort((rng.random(len(interactions)), interactions.users))
    ranks = np.empty(len(interactions), dtype=np.int64)
    ranks[shuffled] = np.arange(len(interactions)) - interactions.indptr[interactions.users]
    return ranks
