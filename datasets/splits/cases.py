"""Users to ask about, as arrays: histories, masked items, targets. Every protocol makes these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.interactions import Interactions


class SplitError(Exception):
    """The data cannot be split by this protocol; the message says what it would need."""


@dataclass(frozen=True)
class Ragged:
    """Rows of unequal length in one array: row c is values[indptr[c]:indptr[c + 1]].

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
        """(last - first, n_items) bool: which items the rows first..last-1 hold."""
        dense = np.zeros((last - first, n_items), dtype=bool)
        rows = np.repeat(np.arange(last - first), self.lengths[first:last])
        dense[rows, self.values[self.indptr[first] : self.indptr[last]]] = True
        return dense


@dataclass(frozen=True)
class Cases:
    """Users that are asked about under one condition; all rows by the same index.

    label    the condition: "" where there is one only, "n=3" or "n=80%" for users held out whole
    users    (C,) int32, ascending
    history  items given to the model, oldest first
    seen     items that are masked in the ranking
    targets  items to be found, disjoint from `seen`
    stars    float32 by the rows of `history.values`, nan without a rating; None where none are known
    """

    label: str
    users: np.ndarray
    history: Ragged
    seen: Ragged
    targets: Ragged
    stars: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)

    def stars_of(self, row: int) -> np.ndarray:
        """Return the (T,) float32 stars of one history, nan where there are none."""
        first, last = self.history.indptr[row : row + 2]
        if self.stars is None:
            return np.full(last - first, np.nan, np.float32)
        return self.stars[first:last]

    def select(self, mask: np.ndarray) -> Cases:
        """Return the cases of a (C,) boolean mask."""
        stars = None if self.stars is None else self.stars[np.repeat(mask, self.history.lengths)]
        rows = (_selected(rows, mask) for rows in (self.history, self.seen, self.targets))
        return Cases(self.label, self.users[mask], *rows, stars)


@dataclass(frozen=True)
class Split:
    """What a model may see (`train`, `validation`) and what it is asked (`cases`).

    `description` names the rule with its parameters; `history` names what the model is given.
    `candidates` (n_items,) bool names the only items that are ranked; None is the full catalogue.
    """

    protocol: str
    train: Interactions
    validation: Interactions | None
    cases: tuple[Cases, ...]
    description: str
    history: str
    candidates: np.ndarray | None = None


def at_least(interactions: Interactions, min_rating: float) -> Interactions:
    """Return the rows rated `min_rating` or better; rows without a rating go too."""
    return interactions.select(interactions.values >= min_rating)


def latest_of_each_pair(interactions: Interactions) -> Interactions:
    """Return the latest row of each user and item: the protocols ask for unseen items."""
    pairs = interactions.users.astype(np.int64) * interactions.n_items + interactions.items
    _, from_the_end = np.unique(pairs[::-1], return_index=True)
    if len(from_the_end) == len(pairs):
        return interactions
    return interactions.select(np.sort(len(pairs) - 1 - from_the_end))


def cases_from_masks(
    label: str,
    interactions: Interactions,
    history: np.ndarray,
    targets: np.ndarray,
    seen: np.ndarray | None = None,
) -> Cases:
    """Return the cases of everyone with a target; `history`, `targets` and `seen` are masks over the rows."""
    users = np.unique(interactions.users[targets])
    given, rows = _rows_of(interactions, history, users)
    return Cases(
        label,
        users,
        given,
        given if seen is None else _rows_of(interactions, seen, users)[0],
        _rows_of(interactions, targets, users)[0],
        interactions.values[rows],
    )


def limited(cases: Cases, limit: int, seed: int) -> Cases:
    """Return at most so many of the cases: a seeded sample in the same order."""
    if len(cases) <= limit:
        return cases
    mask = np.zeros(len(cases), dtype=bool)
    mask[np.random.default_rng(seed).permutation(len(cases))[:limit]] = True
    return cases.select(mask)


def random_positions(interactions: Interactions, rng: np.random.Generator) -> np.ndarray:
    """Return (N,) int64: the position of each row in a random order of its user's rows."""
    shuffled = np.lexsort((rng.random(len(interactions)), interactions.users))
    positions = np.empty(len(interactions), dtype=np.int64)
    positions[shuffled] = np.arange(len(interactions)) - interactions.indptr[interactions.users]
    return positions


def _rows_of(interactions: Interactions, mask: np.ndarray, users: np.ndarray) -> tuple[Ragged, np.ndarray]:
    wanted = np.zeros(interactions.n_users, dtype=bool)
    wanted[users] = True
    mask = mask & wanted[interactions.users]
    lengths = np.bincount(interactions.users[mask], minlength=interactions.n_users)[users]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(indptr, interactions.items[mask].astype(np.int64)), mask


def _selected(rows: Ragged, mask: np.ndarray) -> Ragged:
    lengths = rows.lengths
    indptr = np.concatenate([[0], np.cumsum(lengths[mask])]).astype(np.int64)
    return Ragged(indptr, rows.values[np.repeat(mask, lengths)])
