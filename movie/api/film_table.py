"""What answers need of every film, in the memory of this process: titles, and what filters ask for.

A recommendation names films by title and leaves out those that a filter refuses. Both for 60,000 films
and a thousand requests a second would be the whole work of a database, so they are read once and again
whenever the catalogue has changed, which is looked for every `CHECK_SECONDS`. Until then a film that was
hidden may still be named.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from django.db import DatabaseError
from django.db.models import Count, Max, Q, QuerySet, Sum

from movie.models import Credit, Movie

logger = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
CHUNK = 5000
_ROWS = np.empty(0, dtype=np.int64)

Names = dict[str, np.ndarray]  # name, case-folded -> rows of the films that have it, ascending


class FilmTable:
    """Visible films by ascending id; a row is a film's place in it. Immutable.

    ids    (n,) int64
    years  (n,) int16, 0 where the year is not known
    """

    def __init__(self, films: Iterable[tuple[int, str, int | None]]) -> None:
        rows = sorted(films)
        self.ids = np.array([pk for pk, _title, _year in rows], dtype=np.int64)
        self.titles = [title for _pk, title, _year in rows]
        self.years = np.array([year or 0 for _pk, _title, year in rows], dtype=np.int16)
        self._row_of = {pk: row for row, (pk, _title, _year) in enumerate(rows)}

    def __len__(self) -> int:
        return len(self.titles)

    def __contains__(self, movie_id: object) -> bool:
        return movie_id in self._row_of

    def title_of(self, movie_id: int) -> str:
        return self.titles[self._row_of[movie_id]]

    def rows_of(self, movie_ids: Iterable[Any]) -> np.ndarray:
        """(n,) int64 rows of any ids, -1 for those that are no visible film."""
        return np.fromiter((self._row_of.get(pk, -1) for pk in movie_ids), dtype=np.int64)

    @cached_property
    def genres(self) -> Names:
        through = Movie.genres.through.objects
        return self._by_name(through.values_list("movie_id", "genre__name"))

    @cached_property
    def languages(self) -> Names:
        through = Movie.languages.through.objects
        return self._by_name(through.values_list("movie_id", "language__name"))

    @cached_property
    def features(self) -> list[frozenset[str | int]]:
        """The genres and the directors of each film, for telling how alike two films are."""
        found: list[set[str | int]] = [set() for _ in self.titles]
        for name, rows in self.genres.items():
            for row in rows.tolist():
                found[row].add(name)
        directed = Credit.objects.filter(role=Credit.Role.DIRECTOR).order_by()
        for movie_id, person in directed.values_list("movie_id", "person_id").iterator(CHUNK):
            if movie_id in self._row_of:
                found[self._row_of[movie_id]].add(person)
        return [frozenset(each) for each in found]

    def _by_name(self, pairs: QuerySet[Any, tuple[int, str]]) -> Names:
        rows: dict[str, list[int]] = defaultdict(list)
        for movie_id, name in pairs.order_by().iterator(CHUNK):
            if movie_id in self._row_of:
                rows[name.casefold()].append(self._row_of[movie_id])
        return {name: np.unique(np.array(found, dtype=np.int64)) for name, found in rows.items()}


class _Holder:
    """The table of this process, and when it was last compared with the database."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.table: FilmTable | None = None
        self.stamp: tuple[Any, ...] = ()
        self.checked = 0.0

    def current(self) -> FilmTable:
        table = self.table
        if table is not None and time.monotonic() - self.checked < CHECK_SECONDS:
            return table
        if not self.lock.acquire(blocking=table is None):
            return table or self.current()  # somebody else is looking
        try:
            return self._renewed()
        finally:
            self.lock.release()

    def _renewed(self) -> FilmTable:
        if self.table is not None:
            self.checked = time.monotonic()
        try:
            stamp = _stamp()
            if self.table is None or stamp != self.stamp:
                self.table, self.stamp = FilmTable(_films()), stamp
                self.checked = time.monotonic()
        except DatabaseError:
            if self.table is None:
                raise
            logger.warning("the catalogue could not be read; answers use what was read before")
        return self.table


_holder = _Holder()


def film_table() -> FilmTable:
    """The films as they were at most `CHECK_SECONDS` ago. The first call of a process reads them."""
    return _holder.current()


def _stamp() -> tuple[Any, ...]:
    """Changes whenever a film is added, deleted, changed, hidden or shown."""
    hidden = Q(is_visible=False)
    facts = Movie.objects.order_by().aggregate(
        films=Count("pk"),
        changed=Max("updated"),
        hidden=Count("pk", filter=hidden),
        which=Sum("pk", filter=hidden),
    )
    return tuple(facts.values())


def _films() -> Iterator[tuple[int, str, int | None]]:
    return Movie.objects.visible().order_by().values_list("pk", "title", "year").iterator(CHUNK)
