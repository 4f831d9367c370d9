"""Suggestions for an unfinished query, at a bounded price: a visitor asks for them with every key.

The order is that of `search_movies` and `search_people`. Few titles and names are read that have a suffix
with the query at its front, the first in the alphabet: for "tarkov" that is every one. Popular movies are
looked at besides, and for "t" they decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import islice

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import BigIntegerField, CharField, DateTimeField, Q
from django.utils import timezone
from django.utils.translation import get_language

from movie.catalogue.availability import available_now
from movie.catalogue.models import Credit, Movie, MovieTitle, Person
from movie.catalogue.popular import (
    COLUMNS_OF_TITLES,
    Known,
    KnownName,
    KnownTitle,
    T,
    popular_names,
    popular_titles,
)
from movie.catalogue.search import (
    closeness,
    holds_every_word,
    is_short,
    longest_word,
    match_of,
    movies_of_people,
    phrases_of,
)
from movie.catalogue.suffixes import TITLE_START, bounds, without_article
from movie.catalogue.titles import search_key
from movie.catalogue.translations import load_local_titles
from movie.core.caching import TTLValue
from movie.core.compiled import CompiledQuery, Parameter

MOVIES_SUGGESTED, PEOPLE_SUGGESTED = 8, 4
MOST_READ = 40  # titles or names of one look-up
FIELDS_SHOWN = ("id", "title", "year", "poster_path", "photograph", "rating_count", "updated")


@dataclass(slots=True)
class SuggestedMovie:
    movie: Movie
    directors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Suggestions:
    movies: list[SuggestedMovie] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)


def suggestions(text: str) -> Suggestions:
    """Return the best movies and people for an unfinished query."""
    key = search_key(text)
    if not key:
        return Suggestions()
    return Suggestions(_movies(without_article(key)), [] if is_short(key) else _people(key))


def _movies(key: str) -> list[SuggestedMovie]:
    best = _best_movies(key)
    rows = _shown.rows(movie=best, now=timezone.now())
    there = {row[0]: Movie.from_db(DEFAULT_DB_ALIAS, FIELDS_SHOWN, row) for row in rows}
    found = {pk: SuggestedMovie(there[pk]) for pk in best if pk in there}
    for pk, name in _directors.rows(movie=list(found)):
        found[pk].directors.append(name)
    load_local_titles(there.values())
    return list(found.values())


def _best_movies(key: str) -> list[int]:
    language = get_language() or settings.LANGUAGE_CODE

    def read(start: str) -> list[KnownTitle]:
        first, last = bounds(start)
        return [KnownTitle(*row) for row in _titles.rows(start=first, end=last, now=timezone.now())]

    ranks: dict[int, tuple[int, int, int]] = {}  # match, ratings and number of a movie
    for title in _held(key, read, popular_titles, MOVIES_SUGGESTED):
        own = (match_of(title, key, language), -title.rating_count, title.movie)
        ranks[title.movie] = min(own, ranks.get(title.movie, own))
    return nsmallest(MOVIES_SUGGESTED, ranks, key=ranks.__getitem__)


def _people(key: str) -> list[Person]:
    def read(start: str) -> list[KnownName]:
        first, last = bounds(start)
        return [KnownName(*row) for row in _names.rows(start=first, end=last)]

    found = {name.person: name for name in _held(key, read, popular_names, PEOPLE_SUGGESTED)}
    matches = {pk: closeness(name.key, key) for pk, name in found.items()}
    likely = nsmallest(MOST_READ, found, key=lambda pk: (matches[pk], -found[pk].n_popular, pk))
    counts: dict[int, int] = dict(movies_of_people.rows(person=likely, now=timezone.now()))  # type: ignore[arg-type]
    best = sorted(counts, key=lambda pk: (matches[pk], -counts[pk], found[pk].name, pk))
    return [_person(found[pk], counts[pk]) for pk in best[:PEOPLE_SUGGESTED]]


def _person(name: KnownName, n_movies: int) -> Person:
    person = Person(pk=name.person, name=name.name, search_key=name.key)
    person.n_movies = n_movies  # type: ignore[attr-defined]
    return person


def _held(key: str, read: Callable[[str], list[T]], popular: TTLValue[Known[T]], enough: int) -> list[T]:
    """Return titles or names that hold every word of a key; `read` looks up what begins with a text.

    The popular ones are asked where there are more than are read, and where there are too few.
    """
    word = longest_word(key)
    found = read(word)
    is_cut = len(found) == MOST_READ
    if is_cut:
        for phrase in phrases_of(key):
            found += read(TITLE_START + phrase)
    held = [each for each in found if holds_every_word(each, key)]
    if is_cut or len({each[0] for each in held}) < enough:  # movies or people
        known = popular.get().holding(word, at_beginning=is_cut or is_short(word))
        held += islice((each for each in known if holds_every_word(each, key)), MOST_READ)
    return held


_within = Q(
    suffixes__text__gte=Parameter("start", CharField()), suffixes__text__lt=Parameter("end", CharField())
)
_now = Parameter("now", DateTimeField())
_titles = CompiledQuery(
    lambda some: (
        MovieTitle.objects.filter(available_now("movie__", _now), _within)
        .order_by("suffixes__text")
        .values_list(*COLUMNS_OF_TITLES)[:MOST_READ]
    )
)
_names = CompiledQuery(
    lambda some: (
        Person.objects.filter(_within)
        .order_by("suffixes__text")
        .values_list("pk", "search_key", "name")[:MOST_READ]
    )
)
_shown = CompiledQuery(
    lambda some: (
        Movie.objects.filter(available_now("", _now), id__in=some("movie", BigIntegerField()))
        .order_by()
        .values_list(*FIELDS_SHOWN)
    )
)
_directors = CompiledQuery(
    lambda some: (
        Credit.objects.filter(movie__id__in=some("movie", BigIntegerField()), role=Credit.Role.DIRECTOR)
        .order_by("order", "pk")
        .values_list("movie_id", "person__name")
    )
)
