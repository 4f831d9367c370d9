"""Item weights of several members side by side: what each film adds to every other, member by member.

Of each film the best targets of every member are kept, in one sparse row that all members share. A mix of
members is then a sum over the films of a history, and what a film adds to a score is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from predictors.capabilities import AddsUpItems

LARGEST_INT8 = 127
ENTRIES_AT_ONCE = 8_000_000  # of dense rows, per member, while a basis is built
ADDED_AT_ONCE = 4_096  # entries whose values are multiplied at once
# Cost of looking up one entry, as a multiple of adding one in the full sum; measured 3, 4 is cautious.
LOOKUP_COST = 4
TINY = 1e-12


class _Entries(NamedTuple):
    """Entries of some films: (P,) int64 rank of the film, the film that is added to, position in `values`."""

    rows: np.ndarray
    columns: np.ndarray
    positions: np.ndarray


@dataclass(frozen=True)
class ItemBasis:
    """Rows of films, columns of films, `M` values at each place that is kept.

    indptr   (n_items + 1,) int64, as in CSR
    indices  (nnz,) uint16 or int32, the film that is added to, ascending in each row
    values   (nnz, M) int8, `scales` of the row times it is the weight
    scales   (n_items, M) float32

    A member's weights have deviation 1 over each row, so that members, and films of any popularity,
    count alike; a film that nobody met has an empty row.
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    scales: np.ndarray

    @classmethod
    def build(
        cls,
        members: Sequence[AddsUpItems],
        n_items: int,
        *,
        kept: int,
        progress: Callable[[float], None] = lambda done: None,
    ) -> Self:
        """Keep the `kept` largest positive weights of each row and member, and what the others say there."""
        step = max(1, ENTRIES_AT_ONCE // max(n_items, 1))
        indices, values, lengths = [], [], []
        scales = np.zeros((n_items, len(members)), dtype=np.float32)
        for start in range(0, n_items, step):
            rows = np.arange(start, min(start + step, n_items))
            blocks = [_standardised(member.item_weights(rows), rows) for member in members]
            for place, row in enumerate(rows.tolist()):
                chosen = np.zeros(n_items, dtype=bool)
                for block in blocks:
                    chosen[_largest(block[place], kept)] = True
                columns = np.flatnonzero(chosen)
                weights = np.stack([block[place, columns] for block in blocks], axis=1)
                scale = np.abs(weights).max(axis=0, initial=0) / LARGEST_INT8
                scales[row] = scale
                values.append(np.rint(weights / np.maximum(scale, TINY)).astype(np.int8))
                indices.append(columns)
                lengths.append(len(columns))
            progress((rows[-1] + 1) / n_items)
        kind = np.uint16 if n_items <= np.iinfo(np.uint16).max + 1 else np.int32
        return cls(
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
            np.concatenate(indices).astype(kind),
            np.concatenate(values),
            scales,
        )

    @property
    def n_items(self) -> int:
        return len(self.scales)

    @property
    def n_members(self) -> int:
        return self.scales.shape[1]

    def mixed(self, films: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(n_items,) float32: what films (T,) add, with members weighed (T, M)."""
        has_row = self.indptr[films] < self.indptr[films + 1]
        films, weights = films[has_row], weights[has_row]
        if len(films) == 0:
            return np.zeros(self.n_items, dtype=np.float32)
        coefficients = (self.scales[films] * weights).astype(np.float32)
        parts = self._parts(films)
        added = [self.values[part] @ row for part, row in zip(parts, coefficients, strict=True)]
        by_film = (
            np.concatenate(added, dtype=np.float64),
            np.concatenate([self.indices[part] for part in parts], dtype=np.int32),
            np.cumsum([0, *map(len, added)]),
        )
        # The same sums as `np.bincount`'s, in a fifth of the time.
        columns = sparse.csc_matrix(by_film, shape=(self.n_items, len(films)))
        return (columns @ np.ones(len(films))).astype(np.float32)

    def mixed_at(self, films: np.ndarray, weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(K,) float32: what films add to some targets, which takes less time where they have few entries."""
        if len(films) == 0:
            return np.zeros(len(targets), dtype=np.float32)
        columns, is_wanted = self._columns(films, targets)
        if LOOKUP_COST * np.count_nonzero(is_wanted) > len(columns):
            return self.mixed(films, weights)[targets]
        entries = self._entries(films, columns, is_wanted)
        sums = np.bincount(entries.columns, self._added(films, weights, entries), self.n_items)
        return sums[targets].astype(np.float32)

    def by_member(self, films: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        """(M, n_items) float32: what films add in these amounts, each member for itself."""
        result = np.zeros((self.n_members, self.n_items), dtype=np.float32)
        if len(films) == 0:
            return result
        parts = self._parts(films)
        columns = np.concatenate([self.indices[part] for part in parts])
        coefficients = np.repeat(
            self.scales[films] * amounts[:, None].astype(np.float32),
            [part.stop - part.start for part in parts],
            axis=0,
        )
        coefficients *= np.concatenate([self.values[part] for part in parts])
        for member in range(self.n_members):
            result[member] = np.bincount(columns, weights=coefficients[:, member], minlength=self.n_items)
        return result

    def influences(self, films: np.ndarray, weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(T, K) float32: what each film adds to the score of each target."""
        result = np.zeros((len(films), len(targets)), dtype=np.float32)
        if len(films) == 0 or len(targets) == 0 or len(self.indices) == 0:
            return result
        if len(targets) == 1:  # as of an explanation
            entries = self._entries_at(films, int(targets[0]))
            result[entries.rows, 0] = self._added(films, weights, entries)
            return result
        column_of = np.empty(self.n_items, dtype=np.int64)
        column_of[targets] = np.arange(len(targets))
        entries = self._entries(films, *self._columns(films, targets))
        result[entries.rows, column_of.take(entries.columns)] = self._added(films, weights, entries)
        return result

    def _columns(self, films: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns of all entries of films (T,), and for each whether it is a target's."""
        columns = np.concatenate([self.indices[part] for part in self._parts(films)])
        is_target = np.zeros(self.n_items, dtype=bool)
        is_target[targets] = True
        return columns, is_target.take(columns)

    def _entries(self, films: np.ndarray, columns: np.ndarray, is_wanted: np.ndarray) -> _Entries:
        """Return those entries of films (T,) that are wanted."""
        hit = np.flatnonzero(is_wanted)
        ends = np.cumsum(self.indptr[films + 1] - self.indptr[films])
        rows = np.searchsorted(ends, hit, side="right")
        return _Entries(rows, columns.take(hit), hit + (self.indptr[films + 1] - ends).take(rows))

    def _entries_at(self, films: np.ndarray, target: int) -> _Entries:
        """Return the entries of films (T,) at one target, found in all rows at once: they are ascending."""
        start, end = self.indptr[films], self.indptr[films + 1]
        first, last = start, end  # the first column that is not below the target is from here to there
        for _ in range(int((end - start).max()).bit_length()):
            middle = (first + last) >> 1
            is_below = self.indices.take(middle, mode="clip") < target
            first = np.where(is_below & (middle < last), middle + 1, first)
            last = np.where(is_below, last, middle)
        rows = np.flatnonzero((first < end) & (self.indices.take(first, mode="clip") == target))
        return _Entries(rows, np.full(len(rows), target), first[rows])

    def _added(self, films: np.ndarray, weights: np.ndarray, entries: _Entries) -> np.ndarray:
        """(P,) float32: what each entry adds."""
        coefficients = (self.scales[films] * weights).astype(np.float32)
        of_all_members = np.ones(self.n_members, dtype=np.float32)
        added = np.empty(len(entries.rows), dtype=np.float32)
        # A few thousand at once: a larger array is fetched page by page from the system, in twice the time.
        for start in range(0, len(added), ADDED_AT_ONCE):
            some = slice(start, start + ADDED_AT_ONCE)
            parts = coefficients.take(entries.rows[some], axis=0)
            parts *= self.values.take(entries.positions[some], axis=0)
            np.matmul(parts, of_all_members, out=added[some])
        return added

    def row(self, film: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The targets of one film, (P,) int64 ascending, and their weights in a mix, (P,) float32."""
        part = self._row(film)
        mixed = self.values[part] @ (self.scales[film] * weights).astype(np.float32)
        return self.indices[part].astype(np.int64), mixed

    def select(self, members: np.ndarray) -> ItemBasis:
        """Return the basis of some members only, at the places it has."""
        return ItemBasis(self.indptr, self.indices, self.values[:, members].copy(), self.scales[:, members])

    def _parts(self, films: np.ndarray) -> list[slice]:
        return list(map(slice, self.indptr[films].tolist(), self.indptr[films + 1].tolist()))

    def _row(self, film: int) -> slice:
        return slice(int(self.indptr[film]), int(self.indptr[film + 1]))


def _standardised(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows with deviation 1; a film adds nothing to itself. Overwrites them."""
    weights[np.arange(len(rows)), rows] = 0
    deviations = weights.std(axis=1, keepdims=True)
    weights /= np.where(deviations > TINY, deviations, np.inf)
    return weights


def _largest(row: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest positive values; among equals any."""
    positive = np.flatnonzero(row > 0)
    if len(positive) <= k:
        return positive
    return positive[np.argpartition(row[positive], len(positive) - k)[len(positive) - k :]]
