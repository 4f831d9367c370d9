"""Filter lists: the movies of the catalogue that the filters of a request allow."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.db.models import Q

from movie.catalogue.models import Credit, MovieTag
from movie.catalogue.titles import search_key
from movie.core.shared_arrays import share
from movie.recommendations.movie_index import MovieIndex, RowsByName, attribute_key
from predictors.base import Predictor
from predictors.id_map import IdMap


class UnknownName(ValueError):
    """Refuses a filter that names something which no movie has. `field` is the path to it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Between:
    """The numbers from `low` to `high`; None is no limit."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a request. An empty tuple and None set no limit.

    genres_in, tags_in, people_in     a movie has all of them
    genres_out, tags_out, people_out  a movie has none of them
    languages, countries              a movie has one of them
    runtime_from, runtime_to          minutes; a movie whose running time is not known is left out
    available_through                 a movie can be seen at least until then
    leaving_by                        a movie cannot be seen any more from then on, or from earlier on
    arrived_since                     a movie can be seen since then, or since later
    attributes                        by name: a movie has one of these values, or a number between two

    A person is an id or a name.
    """

    genres_in: tuple[str, ...] = ()
    genres_out: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    languages: tuple[str, ...] = ()
    runtime_to: int | None = None
    runtime_from: int | None = None
    countries: tuple[str, ...] = ()
    tags_in: tuple[str, ...] = ()
    tags_out: tuple[str, ...] = ()
    people_in: tuple[int | str, ...] = ()
    people_out: tuple[int | str, ...] = ()
    available_through: datetime | None = None
    leaving_by: datetime | None = None
    arrived_since: datetime | None = None
    attributes: tuple[tuple[str, Between | tuple[str | float | bool, ...]], ...] = ()


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
    """Keeps the alignment of each model of this process; a new version or catalogue replaces it.

    A model by itself and the same one with new films have one name and other items: each keeps its own.
    """

    def __init__(self) -> None:
        self.by_model: dict[tuple[str, type[Predictor]], ItemAlignment] = {}
        self.lock = threading.Lock()

    def of(self, predictor: Predictor, index: MovieIndex) -> ItemAlignment:
        model = predictor.name, type(predictor)
        found = self.by_model.get(model)
        if found is not None and found.ids is predictor.ids and found.index is index:
            return found
        with self.lock:
            rows = index.rows_of(predictor.ids)
            shared = share("alignments", {"rows": rows, "absent": np.flatnonzero(rows < 0)})
            made = ItemAlignment(predictor.ids, index, shared["rows"], shared["absent"])
            self.by_model[model] = made
            return made


align_items = _Alignments().of


def excluded_mask(filters: Filters | None, index: MovieIndex, field: str = "filters") -> np.ndarray | None:
    """Return (n,) bool, True for movies that may not be recommended; None when every movie may be.

    One query each for people and for tags, none for the rest. Raises UnknownName for a name that no movie
    has; `field` is the path to the filters.
    """
    if filters is None or filters == Filters():
        return None
    excluded = np.zeros(len(index), dtype=bool)
    for name, wanted, unwanted, find in (
        ("genres", filters.genres_in, filters.genres_out, _genre_rows),
        ("tags", filters.tags_in, filters.tags_out, _tag_rows),
        ("people", filters.people_in, filters.people_out, _person_rows),
    ):
        for rows in find(index, wanted, f"{field}.{name}_in"):
            excluded |= ~_mask(rows, len(index))
        for rows in find(index, unwanted, f"{field}.{name}_out"):
            excluded[rows] = True
    for name, kind, rows_by_name, chosen in (
        ("languages", "language", index.languages if filters.languages else {}, filters.languages),
        ("countries", "country", index.countries if filters.countries else {}, filters.countries),
    ):
        if chosen:
            found = _named_rows(rows_by_name, chosen, f"{field}.{name}", kind)
            excluded |= ~_mask(np.concatenate(found), len(index))
    excluded |= _outside(index.years, filters.year_from, filters.year_to)
    if filters.runtime_from is not None or filters.runtime_to is not None:
        excluded |= _outside(index.runtimes, filters.runtime_from or 1, filters.runtime_to)
    _exclude_by_window(filters, index, excluded)
    for name, condition in filters.attributes:
        excluded |= ~_mask(_attribute_rows(index, name, condition, f"{field}.attributes.{name}"), len(index))
    return excluded


def excluded_items(alignment: ItemAlignment, excluded: np.ndarray | None) -> np.ndarray:
    """Return the indices of the model's items that may not be recommended."""
    if excluded is None:
        return alignment.absent
    return np.flatnonzero(excluded[alignment.rows] | (alignment.rows < 0))


def _genre_rows(index: MovieIndex, names: tuple[Any, ...], field: str) -> list[np.ndarray]:
    return _named_rows(index.genres if names else {}, names, field, "genre")


def _named_rows(rows_by_name: RowsByName, names: Iterable[str], field: str, kind: str) -> list[np.ndarray]:
    """Return the rows of the movies that have each name. Raises UnknownName."""
    return [
        _known(rows_by_name.get(name.casefold()), f"{field}[{position}]", kind, name)
        for position, name in enumerate(names)
    ]


def _tag_rows(index: MovieIndex, names: tuple[Any, ...], field: str) -> list[np.ndarray]:
    """Return the rows of the movies that have each tag, as searches fold it. Raises UnknownName."""
    if not names:
        return []
    pairs = MovieTag.objects.filter(name__in={search_key(name) for name in names}).order_by()
    movies = _by_key(pairs.values_list("name", "movie_id"))
    return [
        _known(_rows_of(index, movies.get(search_key(name))), f"{field}[{position}]", "tag", name)
        for position, name in enumerate(names)
    ]


def _person_rows(index: MovieIndex, people: tuple[Any, ...], field: str) -> list[np.ndarray]:
    """Return the rows of the movies that each person, an id or a name, made. Raises UnknownName."""
    if not people:
        return []
    ids = {each for each in people if isinstance(each, int)}
    keys = {search_key(each)[:255] for each in people if isinstance(each, str)}
    credits = Credit.objects.filter(Q(person__in=ids) | Q(person__search_key__in=keys)).order_by()
    rows = credits.values_list("person_id", "person__search_key", "movie_id")
    by_id = _by_key((pk, movie) for pk, _key, movie in rows)
    by_name = _by_key((key, movie) for _pk, key, movie in rows)
    return [
        _known(
            _rows_of(
                index, by_id.get(each) if isinstance(each, int) else by_name.get(search_key(each)[:255])
            ),
            f"{field}[{position}]",
            "person",
            str(each),
        )
        for position, each in enumerate(people)
    ]


def _by_key(pairs: Iterable[tuple[Any, int]]) -> dict[Any, list[int]]:
    found: dict[Any, list[int]] = defaultdict(list)
    for key, movie in pairs:
        found[key].append(movie)
    return found


def _rows_of(index: MovieIndex, movie_ids: Iterable[int] | None) -> np.ndarray | None:
    """Return the rows of visible movies, None where there are none."""
    rows = index.rows_of(movie_ids or ())
    rows = rows[rows >= 0]
    return rows if len(rows) else None


def _known(rows: np.ndarray | None, field: str, kind: str, name: str) -> np.ndarray:
    if rows is None:
        raise UnknownName(field, f"No film has the {kind} {name[:40]!r}.")
    return rows


def _outside(numbers: np.ndarray, low: int | None, high: int | None) -> np.ndarray:
    """Return (n,) bool, True where a number is not between the bounds; 0, not known, is below all of them."""
    outside = np.zeros(len(numbers), dtype=bool)
    if low is not None:
        outside |= numbers < low
    if high is not None:
        outside |= (numbers > high) | (numbers == 0)
    return outside


def _exclude_by_window(filters: Filters, index: MovieIndex, excluded: np.ndarray) -> None:
    """Exclude movies by when they can be seen."""
    if filters.available_through is not None:
        excluded |= index.windows[1] < filters.available_through.timestamp()
    if filters.leaving_by is not None:
        excluded |= index.windows[1] > filters.leaving_by.timestamp()
    if filters.arrived_since is not None:
        excluded |= index.windows[0] < filters.arrived_since.timestamp()


def _attribute_rows(index: MovieIndex, name: str, condition: Any, field: str) -> np.ndarray:
    """Return the rows of the movies whose attribute meets a condition. Raises UnknownName.

    A value that no movie has is met by none, as values come and go.
    """
    attribute = index.attributes.get(name)
    if attribute is None:
        raise UnknownName(field, f"No film has the attribute {name[:40]!r}.")
    if isinstance(condition, Between):
        low = -np.inf if condition.low is None else condition.low
        high = np.inf if condition.high is None else condition.high
        return attribute.rows[(attribute.numbers >= low) & (attribute.numbers <= high)]
    found = [row for value in condition for row in attribute.rows_by_value.get(attribute_key(value), ())]
    return np.array(found, dtype=np.int64)


def _mask(rows: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    return mask
