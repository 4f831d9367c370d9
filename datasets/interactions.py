"""Interactions as arrays: the form in which every model gets its training data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Interactions:
    """Holds which user interacted with which item when, in index space.

    Rows are sorted by (user, at, order of arrival).

    users     (N,) int32, 0..n_users-1
    items     (N,) int32, 0..n_items-1
    values    (N,) float32, stars; nan where there was no rating
    at        (N,) int64, seconds since 1970 where `has_time`; else the order of arrival
    user_ids  (n_users,) the ids behind the indices
    item_ids  (n_items,) the ids behind the indices, ints or strings
    has_time  whether `at` are times
    read_at   when reading began, with a time zone: the rows may miss what came later; None if unknown
    """

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray
    at: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    has_time: bool = True
    read_at: datetime | None = None

    @classmethod
    def from_columns(
        cls,
        users: np.ndarray,
        items: np.ndarray,
        values: np.ndarray | None = None,
        at: np.ndarray | None = None,
        *,
        user_ids: np.ndarray,
        item_ids: np.ndarray,
        has_time: bool | None = None,
    ) -> Interactions:
        """Sort index columns by (user, at), keeping the order of arrival among equals.

        `has_time` says whether `at` are seconds since 1970; by default they are where they are given.
        """
        has_time = at is not None if has_time is None else has_time
        users = np.asarray(users, dtype=np.int32)
        n = len(users)
        at = np.arange(n, dtype=np.int64) if at is None else np.asarray(at, dtype=np.int64)
        values = np.full(n, np.nan, np.float32) if values is None else np.asarray(values, dtype=np.float32)
        order = np.lexsort((np.arange(n), at, users))
        return cls(
            users[order],
            np.asarray(items, dtype=np.int32)[order],
            values[order],
            at[order],
            user_ids,
            item_ids,
            has_time,
        )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    @cached_property
    def indptr(self) -> np.ndarray:
        """(n_users + 1,) int64: the rows of user u are indptr[u]:indptr[u + 1]."""
        counts = np.bincount(self.users, minlength=self.n_users)
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def items_of(self, user: int) -> np.ndarray:
        """Return (T,) int32 the items of one user, oldest first."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def at_of(self, user: int) -> np.ndarray:
        """Return (T,) int64 the times of one user's rows, oldest first."""
        return self.at[self.indptr[user] : self.indptr[user + 1]]

    def csr(self, dtype: type = np.float32) -> sparse.csr_matrix:
        """Return the (n_users, n_items) interaction matrix: 1 for each pair, however often it occurs."""
        matrix = sparse.csr_matrix(
            (np.ones(len(self), dtype=dtype), (self.users, self.items)), shape=(self.n_users, self.n_items)
        )
        matrix.data[:] = 1
        return matrix

    def select(self, mask: np.ndarray) -> Interactions:
        """Return the rows of a boolean mask or index array, in the same id spaces."""
        return replace(
            self, users=self.users[mask], items=self.items[mask], values=self.values[mask], at=self.at[mask]
        )

    def fingerprint(self) -> str:
        """Return the sha256 over the rows and the item ids: equal data has an equal fingerprint."""
        digest = hashlib.sha256()
        for array in (self.users, self.items, self.values, self.at):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update("\n".join(map(str, self.item_ids)).encode())
        return digest.hexdigest()
