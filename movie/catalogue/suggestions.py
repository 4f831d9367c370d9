"""Suggestions for an unfinished query, at a bounded price: a visitor asks for them with every key.

The order is that of `search_movies` and `search_people`. Few titles and names are read that have a suffix
with the query at its front, the first in the alphabet: for "tarkov" that is every one. Popular movies are
looked at besides, and for "t" they decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.models import BigIntegerField, DateTimeField, FilteredRelation, Q
from django.utils import timezone
from django.utils.translation import get_language

from movie.catalogue.availability import available_now
from movie.catalogue.beginnings import names_beginning_with, titles_beginning_with
from movie.catalogue.models import Credit, Movie, Person
from movie.catalogue.people_search import best_people
from movie.catalogue.popular import (
    Known,
    KnownName,
    KnownTitle,
    T,
    popular_names,
    popular_titles,
)
from movie.catalogue.search import (
    SHOWN_RANKS,
    holds_every_word,
    is_short,
    longest_word,
    match_of,
    phrases_of,
)
from movie.catalogue.suffixes import TITLE_START, without_article
from movie.catalogue.titles import search_key
from movie.catalogue.translations import load_local_titles
from movie.core.caching import TTLValue
from movie.core.compiled import CompiledQuery, Parameter

MOVIES_SUGGESTED, PEOPLE_SUGGESTED = 8, 4
MOST_READ = 40  # titles or names of one look-up
FEW_LETTERS = 3  # that many titles begin with
WORD_RANK = SHOWN_RANKS[2]  # of a title in which a word begins with the query
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
    """Return the best visible movies: where a popular one that is kept is hidden by now, the next comes."""
    left = _ranked_movies(key)
    shown: list[SuggestedMovie] = []
    while left and len(shown) < MOVIES_SUGGESTED:
        best, left = left[:MOVIES_SUGGESTED], left[MOVIES_SUGGESTED:]
        there: dict[int, SuggestedMovie] = {}
        for *values, director in _shown.rows(movie=best, now=timezone.now()):
            if values[0] not in there:
                there[values[0]] = SuggestedMovie(Movie.from_db(DEFAULT_DB_ALIAS, FIELDS_SHOWN, values))
            if director:
                there[values[0]].directors.append(director)
        shown += [there[pk] for pk in best if pk in there]
    del shown[MOVIES_SUGGESTED:]
    load_local_titles(found.movie for found in shown)
    return shown


def _ranked_movies(key: str) -> list[int]:
    language = get_language() or settings.LANGUAGE_CODE

    def is_settled(begin: list[KnownTitle]) -> bool:
        leading = {title.movie for title in begin if match_of(title, key, language) < WORD_RANK}
        return len(leading) >= MOVIES_SUGGESTED

    ranks: dict[int, tuple[int, int, int]] = {}  # match, ratings and number of a movie
    for title in _held(key, titles_beginning_with, is_settled, popular_titles, MOVIES_SUGGESTED):
        own = (match_of(title, key, language), -title.rating_count, title.movie)
        if title.movie not in ranks or own < ranks[title.movie]:
            ranks[title.movie] = own
    return sorted(ranks, key=ranks.__getitem__)


def _people(key: str) -> list[Person]:
    def is_settled(begin: list[KnownName]) -> bool:
        return len({name.person for name in begin}) == MOST_READ

    held = _held(key, names_beginning_with, is_settled, popular_names, PEOPLE_SUGGESTED)
    found = {name.person: name for name in reversed(held)}  # of a name, what was just read, not what was kept
    return best_people(found.values(), key, PEOPLE_SUGGESTED)


def _held(
    key: str,
    read: Callable[[str, int], list[T]],
    is_settled: Callable[[list[T]], bool],
    popular: TTLValue[Known[T]],
    enough: int,
) -> list[T]:
    """Return titles or names that hold every word of a key; `read` looks up what begins with a text.

    The popular ones are asked where there are more than are read, and where there are too few. A few letters
    are looked for at the beginning of titles first: where MOST_READ begin with them and `is_settled` says
    that nothing else can come before these, words further inside are not looked for.
    """
    word = longest_word(key)
    begin = read(TITLE_START + key, MOST_READ) if len(key) <= FEW_LETTERS and key == word else None
    if is_cut := begin is not None and len(begin) == MOST_READ and is_settled(begin):
        found = begin
    else:
        found = read(word, MOST_READ)
        if is_cut := len(found) == MOST_READ:
            for phrase in phrases_of(key):
                found += read(TITLE_START + phrase, MOST_READ) if begin is None else begin
    held = [each for each in found if holds_every_word(each, key)]
    if is_cut or len({each[0] for each in held}) < enough:  # movies or people
        known = popular.get().holding(word, at_beginning=is_cut or is_short(word))
        held += islice((each for each in known if holds_every_word(each, key)), MOST_READ)
    return held


_now = Parameter("now", DateTimeField())
_shown = CompiledQuery(  # a row for each director, or one with None
    lambda some: (
        Movie.objects.annotate(
            direction=FilteredRelation("credits", condition=Q(credits__role=Credit.Role.DIRECTOR))
        )
        .filter(available_now("", _now), id__in=some("movie", BigIntegerField()))
        .order_by("direction__order", "direction__pk")
        .values_list(*FIELDS_SHOWN, "direction__person__name")
    )
)
