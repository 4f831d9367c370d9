"""Catalogue ids and array indices are different things; this is the one converter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import overload

import numpy as np

from predictors.history import MovieId


class IdMap(Sequence[MovieId]):
    """Catalogue ids (ints or strings) <-> indices 0..n-1; as a sequence it holds the ids by index.

    Ids that are all ints of 64 bits are kept as arrays, which an artifact maps into memory: 8 bytes an item,
    shared between processes. Other ids are kept as a tuple and a dictionary. Raises ValueError when an id
    occurs twice or is neither an int nor a string.
    """

    __slots__ = ("_ids", "_index", "_order", "_sorted")

    _ids: np.ndarray | tuple[MovieId, ...]
    _sorted: np.ndarray  # of ints: ascending
    _order: np.ndarray | None  # of ints: the index of each sorted id; None where `_ids` are ascending
    _index: dict[MovieId, int] | None  # of other ids

    def __init__(self, ids: Iterable[MovieId]) -> None:
        listed = list(ids)
        wrong = next((item for item in listed if type(item) not in (int, str)), None)
        if wrong is not None:
            raise ValueError(f"an id must be an int or a str, not {wrong!r} ({type(wrong).__name__})")
        array = _as_ints(listed)
        if array is not None:
            is_ascending = bool((array[1:] > array[:-1]).all())
            order = None if is_ascending else np.argsort(array, kind="stable")
            self._set_arrays(array, array if order is None else array[order], order)
            return
        self._ids = tuple(listed)
        self._index = {item: index for index, item in enumerate(listed)}
        if len(self._index) != len(listed):
            duplicate = next(item for index, item in enumerate(listed) if self._index[item] != index)
            raise ValueError(f"the id {duplicate!r} occurs more than once")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> IdMap:
        """Return the map of what `arrays` gave; it keeps the arrays, mapped into memory or not.

        Raises ValueError when they do not belong together.
        """
        ids, order = arrays["ids"], arrays.get("order")
        in_order = arrays.get("sorted", ids)
        is_sound = ids.dtype == np.int64 and ids.ndim == 1 and ids.shape == in_order.shape
        if order is not None:
            is_sound = (
                is_sound
                and (order.dtype, order.shape) == (ids.dtype, ids.shape)
                and bool(((order >= 0) & (order < len(ids))).all())
                and np.array_equal(ids[order], in_order)
            )
        if not is_sound:
            raise ValueError("the arrays of ids do not belong together")
        made = cls.__new__(cls)
        made._set_arrays(ids, in_order, order)
        return made

    def _set_arrays(self, ids: np.ndarray, in_order: np.ndarray, order: np.ndarray | None) -> None:
        twice = np.flatnonzero(in_order[1:] <= in_order[:-1])
        if len(twice):
            raise ValueError(f"the id {int(in_order[twice[0]])} occurs more than once")
        self._ids, self._sorted, self._order, self._index = ids, in_order, order, None

    def arrays(self) -> dict[str, np.ndarray] | None:
        """Return the arrays that `from_arrays` takes, all (n,) int64; None where not all ids are ints."""
        if not isinstance(self._ids, np.ndarray):
            return None
        if self._order is None:
            return {"ids": self._ids}
        return {"ids": self._ids, "sorted": self._sorted, "order": self._order}

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> MovieId: ...

    @overload
    def __getitem__(self, index: slice) -> list[MovieId]: ...

    def __getitem__(self, index: int | slice) -> MovieId | list[MovieId]:
        if isinstance(self._ids, np.ndarray):
            found: MovieId | list[MovieId] = self._ids[index].tolist()
            return found
        return list(self._ids[index]) if isinstance(index, slice) else self._ids[index]

    def __iter__(self) -> Iterator[MovieId]:
        return iter(self[:])

    def __contains__(self, movie_id: object) -> bool:
        return self.index_of(movie_id) is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdMap):
            return NotImplemented
        if isinstance(self._ids, np.ndarray) and isinstance(other._ids, np.ndarray):
            return np.array_equal(self._ids, other._ids)
        return type(self._ids) is type(other._ids) and self._ids == other._ids

    __hash__ = None  # type: ignore[assignment]

    def index_of(self, movie_id: object) -> int | None:
        """Return the index of an id, or None when it is unknown."""
        if self._index is not None:
            return self._index.get(movie_id)  # type: ignore[call-overload]
        if not isinstance(movie_id, int | np.integer) or not len(self):
            return None
        try:
            wanted = np.int64(movie_id)
        except OverflowError:
            return None
        rank = int(self._sorted.searchsorted(wanted))
        if rank == len(self) or self._sorted[rank] != wanted:
            return None
        return rank if self._order is None else int(self._order[rank])

    def indices_of(self, movie_ids: Iterable[MovieId]) -> tuple[np.ndarray, tuple[MovieId, ...]]:
        """Return the indices of known ids, (T,) int64 in the given order, and the unknown ids."""
        asked = list(movie_ids)
        if not asked:
            return np.empty(0, dtype=np.int64), ()
        indices = self.indices_or_minus_one(asked)
        is_known = indices >= 0
        if is_known.all():
            return indices, ()
        unknown = tuple(asked[position] for position in np.flatnonzero(~is_known).tolist())
        return indices[is_known], unknown

    def indices_or_minus_one(self, movie_ids: Sequence[MovieId]) -> np.ndarray:
        """Return the index of each id, (n,) int64, -1 for an unknown one."""
        n = len(self._ids)
        wanted = None if self._index is not None or not n else _as_ints(movie_ids)
        if wanted is None:
            found = (self.index_of(movie_id) for movie_id in movie_ids)
            return np.array([-1 if index is None else index for index in found], dtype=np.int64)
        ranks = self._sorted.searchsorted(wanted)
        np.minimum(ranks, n - 1, out=ranks)
        indices = ranks if self._order is None else self._order[ranks]
        indices[self._sorted[ranks] != wanted] = -1
        return indices

    def ids_of(self, indices: Sequence[int] | np.ndarray) -> list[MovieId]:
        """Return the ids at these indices. Raises IndexError on an index outside 0..n-1."""
        wanted = np.asarray(indices, dtype=np.int64)
        # As whole numbers without a sign those below 0 are larger than any index.
        outside = wanted[wanted.view(np.uint64) >= len(self._ids)]
        if len(outside):
            raise IndexError(f"index {outside[0]} is outside 0..{len(self) - 1}")
        if isinstance(self._ids, np.ndarray):
            found: list[MovieId] = self._ids[wanted].tolist()
            return found
        return [self._ids[index] for index in wanted.tolist()]


def _as_ints(ids: Sequence[MovieId]) -> np.ndarray | None:
    """Return ids as (n,) int64; None where one of them is no int of 64 bits."""
    if type(ids) is IdMap and isinstance(ids._ids, np.ndarray):  # isinstance() asks the class Sequence
        return ids._ids
    if not len(ids):
        return np.empty(0, dtype=np.int64)
    array = np.array(ids) if isinstance(ids[0], int | np.integer) else None
    return array if array is not None and array.dtype == np.int64 else None
