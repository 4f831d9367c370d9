"""Filter lists: the movies of the catalogue that the filters of a request allow."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from movie.recommendations.movie_index import MovieIndex, RowsByName
from predictors.base import Predictor
from predictors.id_map import IdMap


class UnknownName(ValueError):
    """Refuses a filter whose genre or language no movie has. `field` is the path to it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a request. An empty tuple and None set no limit.

    genres_in   a movie has all of them
    genres_out  a movie has none of them
    languages   a movie has one of them
    runtime_to  minutes; a movie whose running time is not known is left out
    """

    genres_in: tuple[str, ...] = ()
    genres_out: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    languages: tuple[str, ...] = ()
    runtime_to: int | None = None


@dataclass(frozen=True, slots=True)
class ItemAlignment:
    """The rows of the movie index for the items of one model.

    rows    (n_items,) int64 row of each item, -1 where the movie is hidden or not in the catalogue
    absent  items with row -1
    """

    ids: IdMap
    index: MovieIndex
    rows: np.ndarray
    absent: np.ndarray


class _Alignments:
    """The alignment of each model of this process, made anew for a new version or a changed catalogue."""

    def __init__(self) -> None:
        self.by_name: dict[str, ItemAlignment] = {}
        self.lock = threading.Lock()

    def of(self, predictor: Predictor, index: MovieIndex) -> ItemAlignment:
        found = self.by_name.get(predictor.name)
        if found is not None and found.ids is predictor.ids and found.index is index:
            return found
        with self.lock:
            rows = index.rows_of(predictor.ids.ids)
            made = ItemAlignment(predictor.ids, index, rows, np.flatnonzero(rows < 0))
            self.by_name[predictor.name] = made
            return made


align_items = _Alignments().of


def excluded_mask(filters: Filters | None, index: MovieIndex) -> np.ndarray | None:
    """Return (n,) bool, True for movies that may not be recommended; None when every movie may be.

    Raises UnknownName for a genre or a language that no movie has.
    """
    if filters is None or filters == Filters():
        return None
    excluded = np.zeros(len(index), dtype=bool)
    for position, name in enumerate(filters.genres_in):
        rows = _rows_with(index.genres, name, f"filters.genres_in[{position}]", "genre")
        excluded |= ~_mask(rows, len(index))
    for position, name in enumerate(filters.genres_out):
        excluded[_rows_with(index.genres, name, f"filters.genres_out[{position}]", "genre")] = True
    if filters.languages:
        spoken = [
            _rows_with(index.languages, name, f"filters.languages[{position}]", "language")
            for position, name in enumerate(filters.languages)
        ]
        excluded |= ~_mask(np.concatenate(spoken), len(index))
    if filters.year_from is not None:
        excluded |= index.years < filters.year_from
    if filters.year_to is not None:
        excluded |= (index.years > filters.year_to) | (index.years == 0)
    if filters.runtime_to is not None:
        excluded |= (index.runtimes > filters.runtime_to) | (index.runtimes == 0)
    return excluded


def excluded_items(alignment: ItemAlignment, excluded: np.ndarray | None) -> np.ndarray:
    """Return the indices of the model's items that may not be recommended."""
    if excluded is None:
        return alignment.absent
    return np.flatnonzero(excluded[alignment.rows] | (alignment.rows < 0))


def _rows_with(rows_by_name: RowsByName, name: str, field: str, kind: str) -> np.ndarray:
    rows = rows_by_name.get(name.casefold())
    if rows is None:
        raise UnknownName(field, f"No film has the {kind} {name[:40]!r}.")
    return rows


def _mask(rows: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    return mask
