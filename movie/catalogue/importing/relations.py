"""Set what movies are related to - genres, people, tags, titles - for many movies at once, in few queries.

Each `set_...` takes what is wanted by movie, compares it with what is there, and returns the movies that it
changed.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.db import connection, models, transaction

from movie.catalogue.models import (
    Country,
    Credit,
    Genre,
    Language,
    Movie,
    MovieTag,
    MovieTitle,
    Person,
)
from movie.catalogue.titles import search_key

BATCH = 1_000  # rows in one statement
NAMES_AT_ONCE = 500
RELATIONS: dict[str, type[Genre] | type[Country] | type[Language]] = {
    "genres": Genre,
    "countries": Country,
    "languages": Language,
}
ROLES = {"directors": Credit.Role.DIRECTOR, "writers": Credit.Role.WRITER, "cast": Credit.Role.CAST}


def create_all(model: type[models.Model], objects: Sequence[models.Model]) -> None:
    """Insert objects and give them their primary keys, also where the database does not return them."""
    if connection.features.can_return_rows_from_bulk_insert:
        model._default_manager.bulk_create(objects, batch_size=BATCH)
    else:
        for each in objects:
            each.save_base(force_insert=True)


def link_table(relation: str) -> tuple[type[models.Model], str]:
    """Return the table behind genres, countries or languages of movies, and its column for the other side."""
    field = Movie._meta.get_field(relation)
    if not isinstance(field, models.ManyToManyField) or field.remote_field.through is None:
        raise TypeError(f"{relation} is no many-to-many relation")
    return field.remote_field.through, f"{field.m2m_reverse_field_name()}_id"


class NameCache:
    """Keeps genres, countries or languages by name, compared without case."""

    def __init__(self, model: type[Genre] | type[Country] | type[Language]) -> None:
        self._model = model
        self._ids: dict[str, int] | None = None

    def forget(self) -> None:
        """Have the names read again: a rollback has removed new ones."""
        self._ids = None

    def ids(self, names: Iterable[str]) -> list[int]:
        if self._ids is None:
            self._ids = {search_key(each.name): each.pk for each in self._model.objects.all()}
        wanted = {search_key(name): name for name in names}
        missing = {key: name for key, name in wanted.items() if key not in self._ids}
        if missing:
            made = self._model.objects.named(missing.values())
            self._ids.update({search_key(name): each.pk for name, each in made.items()})
        return [self._ids[key] for key in wanted]


class People:
    """Finds and creates persons by name. The sources have no ids of people, so one name is one person."""

    def __init__(self) -> None:
        self.added = 0

    def ids(self, names: Iterable[str]) -> dict[str, int]:
        """Return primary keys by search key, and create the people who are missing."""
        wanted: dict[str, str] = {}
        for name in names:
            wanted.setdefault(search_key(name), name)
        found: dict[str, int] = {}
        keys = iter(wanted)
        while some := list(itertools.islice(keys, NAMES_AT_ONCE)):
            there = Person.objects.filter(search_key__in=some).order_by("-pk")  # of namesakes the first
            found |= {key: pk for key, pk in there.values_list("search_key", "pk") if key in wanted}
        new = [Person(name=name, search_key=key) for key, name in wanted.items() if key not in found]
        create_all(Person, new)
        self.added += len(new)
        return found | {person.search_key: person.pk for person in new}


@contextmanager
def transaction_of_names(names: Iterable[NameCache], *, dry_run: bool = False) -> Iterator[None]:
    """Run in a transaction, which a dry run rolls back; have the names forgotten where it is rolled back."""
    is_stored = False
    try:
        with transaction.atomic():
            yield
            if dry_run:
                transaction.set_rollback(True)
        is_stored = not dry_run
    finally:
        if not is_stored:
            for each in names:
                each.forget()


def set_names(
    relation: str,
    wanted: Mapping[int, Iterable[str]],
    names: NameCache,
    *,
    only_where_empty: bool = False,
) -> set[int]:
    """Set genres, countries or languages of movies; with `only_where_empty` of movies without any."""
    if not wanted:
        return set()
    through, column = link_table(relation)
    there: defaultdict[int, set[int]] = defaultdict(set)
    old = through._default_manager.filter(movie__in=wanted)
    for movie, related in old.values_list("movie_id", column):
        there[movie].add(related)
    stated = {movie: each for movie, each in wanted.items() if not (only_where_empty and there[movie])}
    ids = {movie: set(names.ids(each)) for movie, each in stated.items()}
    changed = {movie for movie, each in ids.items() if each != there[movie]}
    through._default_manager.filter(movie__in=[movie for movie in changed if there[movie]]).delete()
    links = [through(**{"movie_id": movie, column: each}) for movie in changed for each in ids[movie]]
    through._default_manager.bulk_create(links, batch_size=BATCH)
    return changed


def set_people(role: str, wanted: Mapping[int, Iterable[str]], *, only_where_empty: bool = False) -> set[int]:
    """Set the people of a role (a key of ROLES) by billing; with `only_where_empty` of movies without any."""
    if not wanted:
        return set()
    there: defaultdict[int, list[int]] = defaultdict(list)
    credits = Credit.objects.filter(movie__in=wanted, role=ROLES[role]).order_by("movie", "order", "pk")
    for movie, person in credits.values_list("movie_id", "person_id"):
        there[movie].append(person)
    stated = {
        movie: list(names) for movie, names in wanted.items() if not (only_where_empty and there[movie])
    }
    people = People().ids(name for names in stated.values() for name in names)
    ids = {
        movie: list(dict.fromkeys(people[search_key(name)] for name in names))
        for movie, names in stated.items()
    }
    changed = {movie for movie, each in ids.items() if each != there[movie]}
    Credit.objects.filter(movie__in=[movie for movie in changed if there[movie]], role=ROLES[role]).delete()
    Credit.objects.bulk_create(
        (
            Credit(movie_id=movie, person_id=person, role=ROLES[role], order=order)
            for movie in sorted(changed)
            for order, person in enumerate(ids[movie])
        ),
        batch_size=BATCH,
    )
    return changed


def set_tags(wanted: Mapping[int, Iterable[str]], *, only_where_empty: bool = False) -> set[int]:
    """Set the tags of movies; how often people gave a tag that stays is kept."""
    if not wanted:
        return set()
    there: defaultdict[int, set[str]] = defaultdict(set)
    for movie, name in MovieTag.objects.filter(movie__in=wanted).order_by().values_list("movie_id", "name"):
        there[movie].add(name)
    keys = {movie: set(filter(None, map(search_key, names))) for movie, names in wanted.items()}
    changed = {
        movie
        for movie, each in keys.items()
        if each != there[movie] and not (only_where_empty and there[movie])
    }
    for movie in changed:
        if gone := there[movie] - keys[movie]:
            MovieTag.objects.filter(movie=movie, name__in=gone).delete()
    new = [MovieTag(movie_id=movie, name=name) for movie in changed for name in keys[movie] - there[movie]]
    MovieTag.objects.bulk_create(new, batch_size=BATCH)
    return changed


def set_titles(wanted: Mapping[int, Iterable[tuple[str, str]]], main: Mapping[int, str]) -> set[int]:
    """Set the other titles of movies, as (title, language code); the main title stays one of them."""
    if not wanted:
        return set()
    there: defaultdict[int, dict[str, MovieTitle]] = defaultdict(dict)
    for row in MovieTitle.objects.filter(movie__in=wanted):
        there[row.movie_id][row.search_key] = row
    new: list[MovieTitle] = []
    stale: list[MovieTitle] = []
    gone: list[int] = []
    for movie, titles in wanted.items():
        own = search_key(main[movie])[:255]
        stated = {own: (main[movie], "")} | {search_key(each[0])[:255]: each for each in titles}
        for key, (title, language) in stated.items():
            known = there[movie].get(key)
            if known is None:
                new.append(MovieTitle(movie_id=movie, title=title, language=language, search_key=key))
            elif (known.title, known.language) != (title, language):
                known.title, known.language = title, language
                stale.append(known)
        gone += [row.pk for key, row in there[movie].items() if key not in stated]
    deleted = MovieTitle.objects.filter(pk__in=gone)
    changed = {row.movie_id for row in (*new, *stale)} | set(deleted.values_list("movie_id", flat=True))
    deleted.delete()
    MovieTitle.objects.bulk_update(stale, ["title", "language"], batch_size=BATCH)
    MovieTitle.objects.bulk_create(new, batch_size=BATCH, ignore_conflicts=True)
    return changed
