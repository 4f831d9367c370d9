"""Add and change movies as another program states them: what is stated replaces, what is not stays.

A movie is named by its number here or by an id elsewhere; one whose id nobody has yet is new. Ids join: an
entry that states an id of a movie that is there belongs to that movie, if nothing contradicts it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from movie.catalogue.importing.relations import (
    RELATIONS,
    ROLES,
    NameCache,
    create_all,
    set_names,
    set_people,
    set_tags,
    set_titles,
)
from movie.catalogue.models import SHARED_SOURCES, ExternalId, Movie, MovieTitle
from movie.catalogue.titles import match_key, search_key, sort_title
from movie.core.batches import write_in_batches
from movie.core.database import retry_on_deadlock

BULK = 20  # movies from which on it is bulk work, with pauses
LONGEST_TITLE = 255  # characters, of the column
ATTEMPTS = 3  # another program may add the same id at the same time
PLAIN = (
    "title",
    "year",
    "runtime",
    "synopsis",
    "is_visible",
    "available_from",
    "available_until",
    "attributes",
)

Key = tuple[str, str]  # source, id there


@dataclass(frozen=True, slots=True)
class MovieStatement:
    """What a program states of one movie.

    movie   its number here, or its id elsewhere
    ids     further ids elsewhere; they are added and never taken away
    values  the stated fields of PLAIN, and lists of names by genres, countries, languages, directors,
            writers, cast and tags; `titles` are pairs of title and language code
    """

    movie: int | Key
    ids: tuple[Key, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Return all ids elsewhere."""
        return self.ids if isinstance(self.movie, int) else (self.movie, *self.ids)


@dataclass(frozen=True, slots=True)
class Written:
    """The movie of a statement, and whether it was added or changed."""

    movie_id: int
    is_new: bool = False
    is_changed: bool = False

    @property
    def outcome(self) -> str:
        return "added" if self.is_new else "changed" if self.is_changed else "unchanged"


@dataclass(frozen=True, slots=True)
class Refused:
    """The reason why a statement was not written; `field` is the field that is wrong."""

    field: str
    detail: str


def write_movies(statements: Sequence[MovieStatement]) -> list[Written | Refused]:
    """Write what is stated of movies, each by itself; return what became of each, in their order.

    A few are one transaction; many are written in batches that let visitors write in between. Sent again it
    changes nothing.
    """
    if len(statements) < BULK:
        return _write_batch(list(statements))
    return [each for batch in write_in_batches(statements, _write_batch) for each in batch]


def _write_batch(statements: list[MovieStatement]) -> list[Written | Refused]:
    for attempt in itertools.count(1):
        try:
            return _write(statements)
        except IntegrityError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


@retry_on_deadlock
def _write(statements: list[MovieStatement]) -> list[Written | Refused]:
    with transaction.atomic():
        return _Batch(statements).write()


class _Batch:
    """Writes statements within one transaction, with as few queries for many as for one."""

    def __init__(self, statements: list[MovieStatement]) -> None:
        self.statements = statements
        self.owners = _owners(statements)
        numbers = {each.movie for each in statements if isinstance(each.movie, int)}
        there = Movie.objects.filter(pk__in=numbers | set(self.owners.values())).order_by("pk")
        self.movies = {movie.pk: movie for movie in there.select_for_update()}
        self.shared = _shared_ids(self.movies)
        self.taken: set[int | Key] = set()  # numbers and ids that earlier statements of the batch have
        self.changed: set[int] = set()

    def write(self) -> list[Written | Refused]:
        found = [self._movie_of(each) for each in self.statements]
        pairs = [
            (each, movie)
            for each, movie in zip(self.statements, found, strict=True)
            if isinstance(movie, Movie)
        ]
        new = [movie for _each, movie in pairs if movie.pk is None]
        before = {movie.pk: movie.title for _each, movie in pairs if movie.pk is not None}
        for each, movie in pairs:
            if _set_plain(movie, each.values) and movie.pk is not None:
                self.changed.add(movie.pk)
        create_all(Movie, new)
        added = {movie.pk for movie in new}
        self._add_titles(pairs, before)
        self._add_ids(pairs)
        self._set_relations(pairs)
        self._save(pairs, added)
        return [
            each if isinstance(each, Refused) else Written(each.pk, each.pk in added, each.pk in self.changed)
            for each in found
        ]

    def _movie_of(self, each: MovieStatement) -> Movie | Refused:
        """Return the movie of a statement, a new one without a number, or why there is none."""
        if isinstance(each.movie, int) and each.movie not in self.movies:
            return Refused("id", f"There is no film {each.movie}.")
        number = self._number_of(each)
        if isinstance(number, Refused):
            return number
        own: set[int | Key] = {*each.keys} if number is None else {*each.keys, number}
        movie = Movie() if number is None else self.movies[number]
        refused = self._refused_ids(each, movie) or _refused_window(each.values, movie)
        if number is None and not each.values.get("title"):
            refused = Refused("title", f"There is no film {_id(each.keys[0])} yet: a new one needs a title.")
        elif own & self.taken:
            refused = Refused("id", "An earlier entry is about the same film.")
        if refused:
            return refused
        self.taken |= own
        return movie

    def _number_of(self, each: MovieStatement) -> int | Refused | None:
        """Return the number of the movie that the ids of a statement name; None where no movie has them."""
        owned = {key: self.owners[key] for key in each.keys if key in self.owners}
        number = each.movie if isinstance(each.movie, int) else self.owners.get(each.movie)
        if number is None and owned:
            number = next(iter(owned.values()))
            if not _may_be(each.values, self.movies[number]):
                number = None
        for key, owner in owned.items():
            if owner != number:
                detail = f"{_id(key)} is the id of {self.movies[owner]}, another film."
                return Refused("external_ids", detail)
        return number

    def _refused_ids(self, each: MovieStatement, movie: Movie) -> Refused | None:
        stated = dict(self.shared.get(movie.pk, {})) if movie.pk else {}
        for source, value in each.keys:
            if source in SHARED_SOURCES and stated.setdefault(source, value) != value:
                detail = f"The film has the id {source}:{stated[source]}, not {source}:{value}."
                return Refused("external_ids", detail)
        return None

    def _add_titles(self, pairs: list[tuple[MovieStatement, Movie]], before: Mapping[int, str]) -> None:
        new = [
            MovieTitle(movie=movie, title=movie.title, search_key=search_key(movie.title)[:255])
            for _each, movie in pairs
            if movie.pk not in before
        ]
        MovieTitle.objects.bulk_create(new)
        for _each, movie in pairs:
            if movie.pk in before and before[movie.pk] != movie.title:
                MovieTitle.objects.put(movie, instead_of=before[movie.pk])
        wanted = {movie.pk: each.values["titles"] for each, movie in pairs if "titles" in each.values}
        self.changed |= set_titles(wanted, {movie.pk: movie.title for _each, movie in pairs})

    def _add_ids(self, pairs: list[tuple[MovieStatement, Movie]]) -> None:
        new: dict[Key, int] = {}
        for each, movie in pairs:
            for key in each.keys:
                if key not in self.owners:
                    new[key] = movie.pk
        ExternalId.objects.bulk_create(
            ExternalId(source=source, value=value, movie_id=movie) for (source, value), movie in new.items()
        )
        self.changed |= set(new.values())

    def _set_relations(self, pairs: list[tuple[MovieStatement, Movie]]) -> None:
        def stated(name: str) -> dict[int, Any]:
            return {movie.pk: each.values[name] for each, movie in pairs if name in each.values}

        for relation, model in RELATIONS.items():
            if wanted := stated(relation):
                self.changed |= set_names(relation, wanted, NameCache(model))
        for role in ROLES:
            self.changed |= set_people(role, stated(role))
        self.changed |= set_tags(stated("tags"))

    def _save(self, pairs: list[tuple[MovieStatement, Movie]], added: set[int]) -> None:
        stale = [movie for _each, movie in pairs if movie.pk in self.changed - added]
        now = timezone.now()
        for movie in stale:
            movie.updated = now
        Movie.objects.bulk_update(stale, [*PLAIN, "sort_title", "updated"])


def _set_plain(movie: Movie, values: Mapping[str, Any]) -> bool:
    """Set the stated fields; return whether any differs. A sort title that followed the title follows it."""
    before = {name: getattr(movie, name) for name in PLAIN}
    follows = not movie.sort_title or movie.sort_title == sort_title(movie.title)
    for name in PLAIN:
        if name in values:
            setattr(movie, name, values[name])
    if follows:
        movie.sort_title = sort_title(movie.title)[:LONGEST_TITLE]
    return any(getattr(movie, name) != value for name, value in before.items())


def _may_be(values: Mapping[str, Any], movie: Movie) -> bool:
    """Return whether title or year agree with a movie that an id names; nothing stated agrees."""
    title, year = values.get("title"), values.get("year")
    if title is None or (year is not None and year == movie.year):
        return True
    return match_key(title) in {match_key(each) for each in movie.titles.values_list("title", flat=True)}


def _refused_window(values: Mapping[str, Any], movie: Movie) -> Refused | None:
    begins, ends = (values.get(name, getattr(movie, name)) for name in ("available_from", "available_until"))
    if isinstance(begins, datetime) and isinstance(ends, datetime) and ends <= begins:
        return Refused("available_until", "The end of the availability is not after its beginning.")
    return None


def _owners(statements: Sequence[MovieStatement]) -> dict[Key, int]:
    wanted: dict[str, set[str]] = {}
    for each in statements:
        for source, value in each.keys:
            wanted.setdefault(source, set()).add(value)
    condition = Q()
    for source, values in wanted.items():
        condition |= Q(source=source, value__in=values)
    if not condition:
        return {}
    rows = ExternalId.objects.filter(condition).values_list("source", "value", "movie_id")
    return {(source, value): movie for source, value, movie in rows}


def _shared_ids(movies: Mapping[int, Movie]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    rows = ExternalId.objects.filter(movie__in=movies, source__in=SHARED_SOURCES)
    for movie, source, value in rows.values_list("movie_id", "source", "value"):
        found.setdefault(movie, {})[source] = value
    return found


def _id(key: Key) -> str:
    return ":".join(key)
