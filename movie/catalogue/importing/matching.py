"""Match rows of a file to movies of the catalogue, and refuse to join what contradicts itself.

A movie is found by its id in the file's id space, then by its IMDb or TMDB id, then by title and year.
Two different ids of one source forbid a join; so do ids that agree while title and year do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from movie.catalogue.importing.rows import MovieRow
from movie.catalogue.models import SHARED_SOURCES, ExternalId, Movie, MovieTitle
from movie.catalogue.titles import match_key, search_key

SOURCE_NAMES = {"imdb": "IMDb", "tmdb": "TMDB"}
YEARS_APART = 1  # release years differ by a year between catalogues (festival, country)
ALIKE = 0.7  # ratio of SequenceMatcher: one title, spelt in two ways


@dataclass(slots=True)
class Known:
    """Holds what decides whether a movie is the one of a row."""

    name: str
    year: int | None
    keys: set[str]
    ids: dict[str, str] = field(default_factory=dict)  # source -> id, of the shared sources and the file's


@dataclass(slots=True)
class Matches:
    """Movies found by the id of the row, and conflicts by the id of the row that is refused for it."""

    movies: dict[str, int] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)
    by_own_id: set[str] = field(default_factory=set)


def match_rows(
    rows: Sequence[MovieRow], source: str, *, by_title: bool = True, overwrite: bool = False
) -> Matches:
    """Find the movies of rows with distinct ids. Rows in neither mapping are new movies.

    `overwrite` lets a row change title and year of the movie that has its id.
    """
    matcher = _Matcher(rows, source, by_title=by_title, overwrite=overwrite)
    for row in rows:
        matcher.match(row)
    return matcher.matches


class _Matcher:
    def __init__(self, rows: Sequence[MovieRow], source: str, *, by_title: bool, overwrite: bool) -> None:
        self.source, self.overwrite = source, overwrite
        wanted = {(source, row.id) for row in rows}
        wanted |= {(name, value) for row in rows for name in SHARED_SOURCES if (value := getattr(row, name))}
        self.owners = _owners(wanted)
        self.titled = _same_title(rows) if by_title else {}
        concerned = {*self.owners.values(), *(pk for pks in self.titled.values() for pk in pks)}
        self.known = _known(concerned, source)
        self.matches = Matches()
        self.taken: set[int] = set()  # movies that a row of this batch has
        self.first_use: dict[tuple[str, str], MovieRow] = {}  # shared ids in this batch

    def match(self, row: MovieRow) -> None:
        pk = self.owners.get((self.source, row.id))
        if pk is not None:
            if not self.overwrite and not _is_same(row, self.known[pk]):
                self.matches.conflicts[row.id] = f"{_named(row)} has the id {row.id} of {self.known[pk].name}"
                return
            self.matches.by_own_id.add(row.id)
        elif conflict := self._conflict(row):
            self.matches.conflicts[row.id] = conflict
            return
        else:
            pk = self._find(row)
        if pk is not None:
            self.matches.movies[row.id] = pk
            self.taken.add(pk)
        for name in SHARED_SOURCES:
            self.first_use.setdefault((name, getattr(row, name)), row)

    def _find(self, row: MovieRow) -> int | None:
        """Return the movie of a row by shared ids, else the only one of its title and year that fits."""
        for name in SHARED_SOURCES:
            pk = self.owners.get((name, getattr(row, name)))
            if pk is not None and self._is_free(pk):
                return pk
        fitting = [
            pk
            for pk in self.titled.get(row.id, ())
            if self._is_free(pk) and not _contradicted(row, self.known[pk])
        ]
        return fitting[0] if len(fitting) == 1 else None

    def _is_free(self, pk: int) -> bool:
        """Return whether no other row of the file's id space has the movie."""
        return pk not in self.taken and self.source not in self.known[pk].ids

    def _conflict(self, row: MovieRow) -> str:
        """Say why the shared ids of a row forbid to take it in; "" where they do not."""
        found = {name: self.owners.get((name, getattr(row, name))) for name in SHARED_SOURCES}
        named = {name: self.known[pk].name for name, pk in found.items() if pk is not None}
        if len({pk for pk in found.values() if pk is not None}) > 1:
            owners = [f"the {SOURCE_NAMES[name]} id of {movie}" for name, movie in named.items()]
            return f"{_named(row)} has {' and '.join(owners)}"
        for name, pk in found.items():
            value = getattr(row, name)
            if pk is not None:
                movie = self.known[pk]
                # Where the file's own space has another id for it, only a twin has its shared id.
                years_apart = YEARS_APART if self._is_free(pk) else 0
                is_same = _is_same(row, movie, years_apart=years_apart) and not _contradicted(row, movie)
                other = "" if is_same else movie.name
            else:
                first = self.first_use.get((name, value)) if value else None
                other = _named(first) if first and not _is_same(row, _as_known(first)) else ""
            if other:
                return f"{_named(row)} has the {SOURCE_NAMES[name]} id {value} of {other}"
        return ""


def _is_same(row: MovieRow, movie: Known, *, years_apart: int = 0) -> bool:
    """Return whether title or year agree: with shared ids that is enough for one movie."""
    if not row.title and row.year is None:
        return True  # the row states ids alone
    keys = _keys(row)
    if keys & movie.keys:
        return True
    if row.year is not None and movie.year is not None:
        return abs(row.year - movie.year) <= years_apart
    if years_apart:
        return True  # nothing contradicts the shared id
    return any(SequenceMatcher(None, one, other).ratio() >= ALIKE for one in keys for other in movie.keys)


def _contradicted(row: MovieRow, movie: Known) -> bool:
    return any(
        (stated := getattr(row, name)) and movie.ids.get(name, stated) != stated for name in SHARED_SOURCES
    )


def _keys(row: MovieRow) -> set[str]:
    return {match_key(title) for title in (row.title, *row.alternatives)}


def _named(row: MovieRow) -> str:
    return f"“{row.title}” ({row.year or '?'})"


def _as_known(row: MovieRow) -> Known:
    return Known(_named(row), row.year, _keys(row))


def _owners(wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    by_source: dict[str, list[str]] = {}
    for source, value in wanted:
        by_source.setdefault(source, []).append(value)
    return {
        (source, value): pk
        for source, values in by_source.items()
        for value, pk in ExternalId.objects.filter(source=source, value__in=values).values_list(
            "value", "movie_id"
        )
    }


def _same_title(rows: Sequence[MovieRow]) -> dict[str, list[int]]:
    """Return movies of a row's title and year, by the row's id; rows that share both are left out."""
    by_key: dict[tuple[str, int | None], list[MovieRow]] = {}
    for row in rows:
        if row.year is not None:
            by_key.setdefault((search_key(row.title)[:255], row.year), []).append(row)
    found: dict[str, list[int]] = {}
    titles = MovieTitle.objects.filter(search_key__in={key for key, _year in by_key})
    for key, year, pk in titles.values_list("search_key", "movie__year", "movie_id"):
        same = by_key.get((key, year), ())
        if len(same) == 1:
            found.setdefault(same[0].id, []).append(pk)
    return found


def _known(pks: set[int], source: str) -> dict[int, Known]:
    known = {
        pk: Known(f"“{title}” ({year or '?'})", year, {match_key(title)})
        for pk, title, year in Movie.objects.filter(pk__in=pks).values_list("pk", "title", "year")
    }
    for pk, title in MovieTitle.objects.filter(movie__in=pks).values_list("movie_id", "title"):
        known[pk].keys.add(match_key(title))
    ids = ExternalId.objects.filter(movie__in=pks, source__in={source, *SHARED_SOURCES})
    for pk, name, value in ids.values_list("movie_id", "source", "value"):
        known[pk].ids[name] = value
    return known
