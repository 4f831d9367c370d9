"""The visible movies in the memory of this process: titles, and the facts that filters ask for.

A ranking leaves out movies that are hidden, deleted or filtered, and an API answer names the others by title.
Both for 60,000 movies and a thousand requests a second would be the whole work of a database, so they are
read once and again whenever the catalogue has changed. `CatalogueVersion` says so every `CHECK_SECONDS`; what
changed past Django, by SQL, is found by a look at all movies every `SCAN_SECONDS`, and at once in the process
that calls `recheck`. Until then an API answer may still name a movie that was hidden elsewhere; pages
read their movies anew (`load_movies`). A movie comes and goes at the time that its window of availability
states. All of it is read from the primary database, once a change: a replica may be behind.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from typing import Any

import numpy as np
from django.db import DatabaseError
from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.utils import timezone

from movie.catalogue.availability import available_now
from movie.catalogue.catalogue_version import CatalogueVersion
from movie.catalogue.models import Credit, Movie
from movie.catalogue.twins import find_twins
from movie.core.replicas import reading_primary
from movie.core.shared_arrays import share
from movie.recommendations.movie_columns import CHUNK, Film, chunks_of, read_columns
from predictors.id_map import IdMap

logger = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
SCAN_SECONDS = 300.0
NUMBER = "number"  # the kind of an attribute's value

AttributeKey = tuple[str, str | float]
RowsByName = dict[str, np.ndarray]  # name, case-folded -> rows of the movies that have it, ascending


@dataclass(frozen=True, slots=True)
class Attribute:
    """One free-form attribute of the movies.

    rows_by_value  rows of the movies that have a value, by `attribute_key`
    rows, numbers  (m,) rows of the movies whose value is a number, and (m,) float64 these numbers
    """

    rows_by_value: dict[AttributeKey, list[int]]
    rows: np.ndarray
    numbers: np.ndarray


class MovieIndex:
    """Visible movies by ascending id; a row is a movie's position in it. Immutable.

    What grows with the catalogue is in arrays that the processes of this machine share. Raises ValueError
    when `films` do not come in ascending order of id.

    ids       (n,) int64
    years     (n,) int16, 0 where the year is not known
    runtimes  (n,) int32 minutes, 0 where the running time is not known
    created   (n,) float64 seconds since 1970 at which the movie came into the catalogue
    digest    the same for the same ids, in every process
    facts     the same for the same movies with the same titles at the same `version`, in every process
    """

    def __init__(self, films: Iterable[Film], version: tuple[Any, ...] = ()) -> None:
        columns = share("movies", read_columns(films))
        self.ids, self.years, self.runtimes = columns["ids"], columns["years"], columns["runtimes"]
        self.created, self._titles = columns["created"], columns["titles"]
        self._title_bounds = columns["title_bounds"]
        self._rows = IdMap.from_arrays({"ids": self.ids})
        self.digest = hashlib.blake2b(self.ids.tobytes(), digest_size=8).hexdigest()
        facts = hashlib.blake2b(self._titles.tobytes() + self._title_bounds.tobytes(), digest_size=8)
        facts.update(f"{self.digest}{version}".encode())
        self.facts = facts.hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, movie_id: object) -> bool:
        return movie_id in self._rows

    def are_visible(self, movie_ids: Iterable[Any]) -> list[bool]:
        """Return for each id whether it is of a visible movie; of many ids in less time than one by one."""
        visible: list[bool] = (self.rows_of(movie_ids) >= 0).tolist()
        return visible

    def title(self, row: int) -> str:
        return self._titles_at(np.array([row]))[0]

    def titles_of(self, movie_ids: Iterable[Any]) -> dict[Any, str]:
        """Return the titles of visible movies by id, without ids of no visible movie."""
        asked = list(movie_ids)
        rows = self._rows.indices_or_minus_one(asked)
        titles = zip(asked, rows.tolist(), self._titles_at(rows), strict=True)
        return {pk: title for pk, row, title in titles if row >= 0}

    def _titles_at(self, rows: np.ndarray) -> list[str]:
        """Return the title of each row, anything for row -1."""
        bounds = zip(self._title_bounds[rows].tolist(), self._title_bounds[rows + 1].tolist(), strict=True)
        titles = self._titles.data
        return [str(titles[start:end], "utf-8") for start, end in bounds]

    def added_since(self, moment: datetime) -> list[int]:
        """Return the movies that came after a moment, the latest first."""
        rows = np.flatnonzero(self.created > moment.timestamp())
        ids: list[int] = self.ids[rows[np.lexsort((rows, self.created[rows]))][::-1]].tolist()
        return ids

    def rows_of(self, movie_ids: Iterable[Any]) -> np.ndarray:
        """Return (n,) int64 rows of any ids, -1 for ids of no visible movie."""
        return self._rows.indices_or_minus_one(movie_ids if isinstance(movie_ids, IdMap) else list(movie_ids))

    @cached_property
    @reading_primary()
    def genres(self) -> RowsByName:
        through = Movie.genres.through.objects
        return self._by_name(through.values_list("movie_id", "genre__name"))

    @cached_property
    @reading_primary()
    def languages(self) -> RowsByName:
        through = Movie.languages.through.objects
        return self._by_name(through.values_list("movie_id", "language__name"))

    @cached_property
    @reading_primary()
    def countries(self) -> RowsByName:
        through = Movie.countries.through.objects
        return self._by_name(through.values_list("movie_id", "country__name"))

    @cached_property
    @reading_primary()
    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return when each movie comes and goes: two (n,) float64, seconds since 1970 or infinity."""
        begins, ends = np.full(len(self), -np.inf), np.full(len(self), np.inf)
        limited = Movie.objects.exclude(available_from=None, available_until=None).order_by()
        for pk, begin, end in limited.values_list("pk", "available_from", "available_until").iterator(CHUNK):
            row = self._rows.index_of(pk)
            if row is not None:
                begins[row] = -np.inf if begin is None else begin.timestamp()
                ends[row] = np.inf if end is None else end.timestamp()
        shared = share("windows", {"begins": begins, "ends": ends})
        return shared["begins"], shared["ends"]

    @cached_property
    @reading_primary()
    def attributes(self) -> dict[str, Attribute]:
        """Return the free-form attributes of all movies by name."""
        rows_by_value: dict[str, dict[AttributeKey, list[int]]] = defaultdict(lambda: defaultdict(list))
        for pk, attributes in Movie.objects.order_by().values_list("pk", "attributes").iterator(CHUNK):
            row = self._rows.index_of(pk) if attributes else None
            if row is None:
                continue
            for name, value in attributes.items():
                for each in value if isinstance(value, list) else [value]:
                    if isinstance(each, str | int | float):  # staff may write whatever JSON has
                        rows_by_value[name][attribute_key(each)].append(row)
        found = {}
        for name, by_value in rows_by_value.items():
            numbered = [(value, rows) for (kind, value), rows in by_value.items() if kind == NUMBER]
            numbers = [(row, value) for value, rows in numbered for row in rows]
            rows, values = zip(*numbers, strict=True) if numbers else ((), ())
            found[name] = Attribute(dict(by_value), np.array(rows, np.int64), np.array(values, np.float64))
        return found

    def features_of(self, row: int) -> frozenset[str | int]:
        """Return the names of the genres and the ids of the directors of a movie, to compare movies by."""
        names, ends, codes = self._features
        start = ends[row - 1] if row else 0
        return frozenset(code if code >= 0 else names[~code] for code in codes[start : ends[row]].tolist())

    @cached_property
    @reading_primary()
    def _features(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Return names of genres, (n,) ends of the codes of movies, and codes: people, or ~rank of genre."""
        names = list(self.genres)
        directed = Credit.objects.filter(role=Credit.Role.DIRECTOR).order_by()
        found = [(rows, np.full(len(rows), ~rank)) for rank, rows in enumerate(self.genres.values())]
        for pairs in chunks_of(directed.values_list("movie_id", "person_id").iterator(CHUNK)):
            movie_ids, people = zip(*pairs, strict=True)
            found.append((self.rows_of(movie_ids), np.array(people, dtype=np.int64)))
        rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, _codes in found)])
        codes = np.concatenate([np.empty(0, np.int64), *(codes for _rows, codes in found)])
        order = np.argsort(rows, kind="stable")
        order = order[rows[order] >= 0]
        ends = np.searchsorted(rows[order], np.arange(len(self)), side="right")
        shared = share("features", {"ends": ends, "codes": codes[order]})
        return names, shared["ends"], shared["codes"]

    @cached_property
    @reading_primary()
    def _twins(self) -> dict[int, set[int]]:
        return {pk: set(group) - {pk} for group in find_twins() for pk in group}

    def twins_of(self, movie_ids: Iterable[Any]) -> set[int]:
        """Return the movies that the catalogue holds a second time beside these."""
        return {twin for pk in self._twins.keys() & movie_ids for twin in self._twins[pk]}

    def _by_name(self, pairs: QuerySet[Any, tuple[int, str]]) -> RowsByName:
        found: dict[str, list[np.ndarray]] = defaultdict(list)
        for chunk in chunks_of(pairs.order_by().iterator(CHUNK)):
            movie_ids: dict[str, list[int]] = defaultdict(list)
            for movie_id, name in chunk:
                movie_ids[name.casefold()].append(movie_id)
            for name, ids in movie_ids.items():
                found[name].append(self.rows_of(ids))
        rows = {name: np.unique(np.concatenate(each)) for name, each in found.items()}
        visible = {name: each[each >= 0] for name, each in rows.items()}
        names = sorted(name for name, each in visible.items() if len(each))
        shared = share("names", {str(rank): visible[name] for rank, name in enumerate(names)})
        return {name: shared[str(rank)] for rank, name in enumerate(names)}


def attribute_key(value: str | float | bool) -> AttributeKey:
    """Return a value of an attribute with its kind: true is not 1, and 1 is 1.0."""
    if isinstance(value, bool):
        return "flag", float(value)
    return ("text", value) if isinstance(value, str) else (NUMBER, float(value))


class IndexHolder:
    """The index of this process, and when it was last compared with the database."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.index: MovieIndex | None = None
        self.stamp: tuple[Any, ...] = ()
        self.version = 0
        self.checked = self.scanned = -math.inf
        self.changes_at = math.inf  # seconds since 1970: when the next window begins or ends

    def current(self) -> MovieIndex:
        index = self.index
        is_fresh = time.monotonic() - self.checked < CHECK_SECONDS and time.time() < self.changes_at
        if index is not None and is_fresh:
            return index
        if not self.lock.acquire(blocking=index is None):
            return index or self.current()  # somebody else is looking
        try:
            return self._renewed()
        finally:
            self.lock.release()

    @reading_primary()
    def _renewed(self) -> MovieIndex:
        if self.index is not None:
            self.checked = time.monotonic()
        try:
            version = CatalogueVersion.objects.current()  # before the movies are read: a later one is newer
            now = time.monotonic()
            is_known = version == self.version and time.time() < self.changes_at
            if self.index is not None and is_known and now - self.scanned < SCAN_SECONDS:
                return self.index
            changes_at = _next_change()  # before the stamp: a window that begins between is looked at again
            stamp = _stamp()
            if self.index is None or (version, stamp) != (self.version, self.stamp):
                self.index = MovieIndex(_films(), (version, *stamp))
                self.checked = time.monotonic()
            self.version, self.stamp, self.changes_at, self.scanned = version, stamp, changes_at, now
        except DatabaseError:
            if self.index is None:
                raise
            # The next look reads what this one could not, and no request looks before it.
            self.scanned, self.changes_at = -math.inf, math.inf
            logger.warning("the catalogue could not be read; answers use what was read before")
        return self.index


@cache
def index_holder() -> IndexHolder:
    return IndexHolder()


def movie_index() -> MovieIndex:
    """Return the movies as they were at most `CHECK_SECONDS` ago. The first call of a process reads them."""
    return index_holder().current()


def recheck() -> None:
    """Make this process compare its index with the database at the next request."""
    holder = index_holder()
    holder.checked = holder.scanned = -math.inf


def _next_change() -> float:
    """Return when the next window of availability begins or ends, in seconds since 1970."""
    now = timezone.now()
    soonest = Movie.objects.order_by().aggregate(
        begins=Min("available_from", filter=Q(available_from__gt=now)),
        ends=Min("available_until", filter=Q(available_until__gt=now)),
    )
    return min((moment.timestamp() for moment in soonest.values() if moment), default=math.inf)


def _stamp() -> tuple[Any, ...]:
    """Return values that change when a movie is added, deleted or changed, or its window begins or ends."""
    hidden = ~available_now()
    facts = Movie.objects.order_by().aggregate(
        films=Count("pk"),
        changed=Max("updated"),
        hidden=Count("pk", filter=hidden),
        which=Sum("pk", filter=hidden),
    )
    return tuple(facts.values())


def _films() -> Iterator[Film]:
    films = Movie.objects.visible().order_by("pk")
    return films.values_list("pk", "title", "year", "runtime", "created").iterator(CHUNK)
