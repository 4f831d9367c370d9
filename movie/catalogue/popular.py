"""Titles of the most rated movies and names of their people, which each process keeps in memory for a while.

Where more titles hold a query than a search can rank, these stand for the rest. They are also where searches
look for parts of words, and for what a misspelt query may mean: a site with fewer movies loses nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Generic, NamedTuple, TypeVar

from movie.catalogue.models import Credit, Movie, MovieTitle
from movie.core.caching import TTLValue

POPULAR_MOVIES = 5_000
SECONDS = 600.0  # a process keeps them for so long


class KnownTitle(NamedTuple):
    """Holds a title and what ranks it."""

    movie: int
    key: str
    title: str
    language: str
    main_title: str
    year: int | None
    rating_count: int


COLUMNS_OF_TITLES = (
    "movie_id",
    "search_key",
    "title",
    "language",
    "movie__title",
    "movie__year",
    "movie__rating_count",
)


class KnownName(NamedTuple):
    """Holds a person's name; `movie_count` counts their movies, with hidden ones."""

    person: int
    key: str
    name: str
    movie_count: int = 0


COLUMNS_OF_NAMES = ("pk", "search_key", "name", "movie_count")


T = TypeVar("T", bound=KnownTitle | KnownName)


class Known(Generic[T]):
    """Finds titles or names that hold a word, in their order, by one regular expression over all of them."""

    def __init__(self, rows: Sequence[T]) -> None:
        self.rows = rows
        texts = [f"\n{row.key} {row.year if isinstance(row, KnownTitle) else ''}" for row in rows]
        self._text = "".join(texts)
        self._begins = [0, *accumulate(map(len, texts))]

    def holding(self, word: str, *, at_beginning: bool) -> Iterator[T]:
        """Yield what has this word, or year, or part of a word; `at_beginning` keeps beginnings of words."""
        begins = 0
        for found in re.finditer(re.escape(word), self._text):
            at = found.start()
            if at >= begins and not (at_beginning and self._text[at - 1] not in "\n "):
                row = bisect_right(self._begins, at) - 1
                begins = self._begins[row + 1]
                yield self.rows[row]


def _read_titles() -> Known[KnownTitle]:
    movies = list(Movie.objects.visible().most_rated().values_list("pk", flat=True)[:POPULAR_MOVIES])
    rows = MovieTitle.objects.filter(movie__in=movies).values_list(*COLUMNS_OF_TITLES)
    titles = [KnownTitle(*row) for row in rows]
    return Known(sorted(titles, key=lambda title: (-title.rating_count, title.movie)))


def _read_names() -> Known[KnownName]:
    movies = {title.movie for title in popular_titles.get().rows}
    credits = Credit.objects.filter(movie__in=movies).order_by()
    people = credits.values_list(*(f"person__{column}" for column in COLUMNS_OF_NAMES)).distinct()
    return Known(sorted(map(KnownName._make, people), key=lambda name: (-name.movie_count, name.person)))


popular_titles = TTLValue(_read_titles, SECONDS)
popular_names = TTLValue(_read_names, SECONDS)
