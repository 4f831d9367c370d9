"""Catalogue ids and array indices are different things; this is the one converter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from predictors.history import MovieId


class IdMap:
    """Catalogue ids (ints or strings) <-> indices 0..n-1.

    Raises ValueError when an id occurs twice or is neither an int nor a string.
    """

    __slots__ = ("_index", "ids")

    def __init__(self, ids: Iterable[MovieId]) -> None:
        self.ids: tuple[MovieId, ...] = tuple(ids)
        self._index: dict[MovieId, int] = {item: index for index, item in enumerate(self.ids)}
        if len(self._index) != len(self.ids):
            duplicate = next(item for index, item in enumerate(self.ids) if self._index[item] != index)
            raise ValueError(f"the id {duplicate!r} occurs more than once")
        wrong = next((item for item in self.ids if type(item) not in (int, str)), None)
        if wrong is not None:
            raise ValueError(f"an id must be an int or a str, not {wrong!r} ({type(wrong).__name__})")

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and self.ids == other.ids

    def __hash__(self) -> int:
        return hash(self.ids)

    def index_of(self, movie_id: MovieId) -> int | None:
        """Return the index of an id, or None when it is unknown."""
        return self._index.get(movie_id)

    def indices_of(self, movie_ids: Iterable[MovieId]) -> tuple[np.ndarray, tuple[MovieId, ...]]:
        """Return the indices of known ids, (T,) int64 in the given order, and the unknown ids."""
        asked = list(movie_ids)
        indices = list(map(self._index.get, asked))
        unknown: tuple[MovieId, ...] = ()
        if None in indices:
            unknown = tuple(movie_id for movie_id in asked if movie_id not in self._index)
        known = [index for index in indices if index is not None] if unknown else indices
        return np.array(known, dtype=np.int64), unknown

    def ids_of(self, indices: Sequence[int] | np.ndarray) -> list[MovieId]:
        """Return the ids at these indices. Raises IndexError on an index outside 0..n-1."""
        return [self.ids[int(index)] for index in indices if self._in_range(int(index))]

    def _in_range(self, index: int) -> bool:
        if not 0 <= index < len(self.ids):
            raise IndexError(f"index {index} is outside 0..{len(self.ids) - 1}")
        return True
