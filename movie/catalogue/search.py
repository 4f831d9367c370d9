"""Search movies by any of their titles, at a bounded price; `people_search` finds people the same way.

The database looks up suffixes that begin with a word of the query (`catalogue.suffixes`), RANKED of them at
most, and those that it finds are compared with the whole query here. Parts of Latin words are found in
popular titles and names alone (`catalogue.popular`), as is the likely meaning of a misspelt query. Where more
titles have a word than are looked up, popular ones and those that hold the query as a phrase stand for the
rest. So what a search costs does not grow with the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from heapq import nlargest
from itertools import islice
from typing import overload

from django.conf import settings
from django.db.models import (
    BigIntegerField,
    CharField,
    DateTimeField,
    F,
    IntegerField,
    QuerySet,
)
from django.db.models.functions import StrIndex
from django.utils import timezone
from django.utils.translation import get_language

from movie.catalogue.availability import available_now
from movie.catalogue.beginnings import titles_beginning_with
from movie.catalogue.models import Movie, MovieTitle
from movie.catalogue.popular import (
    COLUMNS_OF_TITLES,
    Known,
    KnownName,
    KnownTitle,
    T,
    popular_names,
    popular_titles,
)
from movie.catalogue.suffixes import ARTICLES, TITLE_START, without_article
from movie.catalogue.titles import search_key
from movie.core.compiled import CompiledQuery, Parameter

# How well a title matches: the whole of it, its beginning, the beginning of a word, anything else.
SHOWN_RANKS = (0, 2, 3, 6)  # of the titles that pages show
ALIAS_RANKS = (1, 4, 5, 7)  # of all others
MOST_WORDS = 8  # of a query that are looked at
RANKED = 100  # titles or names with a word that are compared with the query
PHRASES = 40  # that hold the query as a phrase, besides, where more have its words
TRIGRAMS_COMPARED = 10
CANDIDATES = 40  # titles that share the most trigrams with a misspelt query
SIMILAR_ENOUGH = 0.7  # of SequenceMatcher.ratio(): one or two slips in a word


@dataclass(frozen=True)
class FoundMovies(Sequence[Movie]):
    """Lists what a search found, best match first. A slice reads its movies from the database.

    Each movie has `match`, one of SHOWN_RANKS and ALIAS_RANKS. `aliases` has by id the title that the search
    was found in, where pages show another. `is_cut` says that not every title with the words was compared, so
    that more movies may match than `ids` has.
    """

    ids: list[int] = field(default_factory=list)
    matches: dict[int, int] = field(default_factory=dict)
    aliases: dict[int, str] = field(default_factory=dict)
    is_cut: bool = False
    movies: QuerySet[Movie] = field(default_factory=Movie.objects.all)

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Movie: ...

    @overload
    def __getitem__(self, index: slice) -> list[Movie]: ...

    def __getitem__(self, index: int | slice) -> Movie | list[Movie]:
        if isinstance(index, int):
            return self[index : index + 1 or None][0]
        ids = self.ids[index]
        by_id = {movie.pk: movie for movie in self.movies.filter(pk__in=ids).order_by()}
        found = [by_id[pk] for pk in ids if pk in by_id]
        for movie in found:
            movie.match = self.matches[movie.pk]  # type: ignore[attr-defined]
        return found

    def __iter__(self) -> Iterator[Movie]:
        return iter(self[:])


def search_movies(text: str, movies: QuerySet[Movie] | None = None) -> FoundMovies:
    """Return visible movies with a title that holds every word of `text`, best match first.

    A word that is a year also matches the movie's year. Movies come by how well their best title
    matches (the whole title, its beginning, the beginning of a word, anywhere), then by how often they
    were rated. Titles that pages do not show come after those that they do, and an article at the front
    counts for nothing: "god" is the beginning of "The Godfather". Nothing is found for an empty text. One or
    two Latin letters are looked for at the beginning of words, everything else anywhere. `movies` is the
    query that reads the movies of a page, if not all of their fields.
    """
    key = without_article(search_key(text))
    movies = Movie.objects.all() if movies is None else movies
    if not key:
        return FoundMovies(movies=movies)
    found, is_cut = look_up(key, titles_beginning_with)
    now, word = timezone.now(), longest_word(key)
    if is_year(word):
        rows = _titles_of_year.rows(year=int(word), now=now)
        found, is_cut = [*found, *(KnownTitle(*row) for row in rows)], is_cut or len(rows) == RANKED
    held = [title for title in found if holds_every_word(title, key)]
    # A look-up that is cut may have read one title of a movie and not its best one.
    incomplete = popular_with(key, popular_titles.get()).keys() | {title.movie for title in held if is_cut}
    in_title = "" if is_year(word) else word  # which every title that holds the key has; a year no title need
    others = map(KnownTitle._make, _titles_of.rows(owner=sorted(incomplete), word=in_title, now=now))
    held += [title for title in others if holds_every_word(title, key)]
    language = get_language() or settings.LANGUAGE_CODE
    best: dict[int, tuple[int, int, int]] = {}  # match, ratings and number of a movie
    aliases: dict[int, str] = {}
    for title in held:
        own = (match_of(title, key, language), -title.rating_count, title.movie)
        if title.movie not in best or own < best[title.movie]:
            best[title.movie], aliases[title.movie] = own, title.title
    matches = {pk: match for pk, (match, _n_ratings, _pk) in best.items()}
    aliases = {pk: title for pk, title in aliases.items() if matches[pk] in ALIAS_RANKS}
    return FoundMovies(sorted(best, key=best.__getitem__), matches, aliases, is_cut, movies)


def closest_titles(text: str, limit: int = 3) -> list[str]:
    """Return popular titles and names close to `text`, the closest first, for queries without a result.

    Those that share most trigrams are compared letter by letter.
    """
    key = search_key(text)
    trigrams = list(dict.fromkeys(key[i : i + 3] for i in range(len(key) - 2) if " " not in key[i : i + 3]))
    if not trigrams:
        return []
    known = {each.key: each.name for each in popular_names.get().rows}
    known |= {each.key: each.title for each in popular_titles.get().rows}
    shared = {
        other: count
        for other in known
        if (count := sum(trigram in other for trigram in trigrams[:TRIGRAMS_COMPARED]))
    }
    scored = sorted(
        (-_similarity(key, other), other) for other in nlargest(CANDIDATES, shared, key=shared.__getitem__)
    )
    return [known[found] for minus, found in scored if -minus >= SIMILAR_ENOUGH][:limit]


@lru_cache(maxsize=64)  # a query asks for its own at each title that it looks at
def words_of(key: str) -> tuple[str, ...]:
    """Return the words of a search key that are looked at."""
    return tuple(key.split()[:MOST_WORDS])


def longest_word(key: str) -> str:
    """Return the longest word of a search key, which few titles have; a year only where all words are."""
    return max(words_of(key), key=lambda word: (not is_year(word), len(word)))


def is_short(word: str) -> bool:
    """Return whether a word is too short to find inside words; two Korean characters may be a title."""
    return len(word) <= 2 and word.isascii() and word.isalpha()


def is_year(word: str) -> bool:
    return len(word) == 4 and word.isdecimal()


def phrases_of(key: str) -> list[str]:
    """Return a search key and, where it has a year, the key without the last one, which no title may hold."""
    words = key.split()
    years = [n for n, word in enumerate(words) if is_year(word)]
    if not years or len(words) == 1:
        return [key]
    return [key, " ".join(words[: years[-1]] + words[years[-1] + 1 :])]


def holds_every_word(known: KnownTitle | KnownName, key: str) -> bool:
    """Return whether a title or name has every word of a search key, as searches want it."""
    text = known.key
    for word, inside, year in _wanted(key):
        if inside:  # a short word stands at the beginning of a word
            if not (text.startswith(word) or inside in text):
                return False
        elif word not in text and (year is None or not isinstance(known, KnownTitle) or known.year != year):
            return False
    return True


@lru_cache(maxsize=64)
def _wanted(key: str) -> tuple[tuple[str, str, int | None], ...]:
    """Return the words of a search key, with what stands inside of a title for a short one, and the year."""
    return tuple(
        (word, f" {word}" if is_short(word) else "", int(word) if is_year(word) else None)
        for word in words_of(key)
    )


def closeness(known: str, key: str) -> int:
    """Return how well a search key matches, from 0 for the whole title to 3 for anything else."""
    whole = _with_articles(key)
    if known in whole:
        return 0
    return 1 if known.startswith(whole) else 2 if f" {key}" in known else 3


@lru_cache(maxsize=64)
def _with_articles(key: str) -> tuple[str, ...]:
    return (key, *(f"{article} {key}" for article in ARTICLES))


def look_up(key: str, read: Callable[[str, int], list[T]]) -> tuple[list[T], bool]:
    """Return titles or names that begin with the rarest word of the key, and False. If every word has RANKED
    or more, return some for each word, some with the key as a phrase, and True.

    Those that begin with a word have a suffix that does. `read` looks up what begins with a text.
    """
    words = [word for word in words_of(key) if not is_year(word)] or words_of(key)[:1]
    found: list[T] = []
    for word in sorted(words, key=len, reverse=True):
        some = read(word, RANKED)
        if len(some) < RANKED:
            return some, False
        found += some
    for phrase in phrases_of(key):
        found += read(TITLE_START + phrase, PHRASES)
        if " " in phrase:
            found += read(phrase, PHRASES)
    return found, True


def popular_with(key: str, known: Known[T]) -> dict[int, T]:
    """Return popular movies or people by id, 2 * RANKED at most, with the first of their titles or names that
    holds the key."""
    word = longest_word(key)
    holding = (
        each for each in known.holding(word, at_beginning=is_short(word)) if holds_every_word(each, key)
    )
    found: dict[int, T] = {}
    for each in islice(holding, 2 * RANKED):
        found.setdefault(each[0], each)
    return found


_now = Parameter("now", DateTimeField())
_titles_of = CompiledQuery(
    lambda some: (
        MovieTitle.objects.alias(found=StrIndex("search_key", Parameter("word", CharField())))
        .filter(available_now("movie__", _now), found__gt=0, movie__id__in=some("owner", BigIntegerField()))
        .order_by()
        .values_list(*COLUMNS_OF_TITLES)
    )
)
_titles_of_year = CompiledQuery(
    lambda some: (
        MovieTitle.objects.filter(
            available_now("movie__", _now),
            movie__year=Parameter("year", IntegerField()),
            title=F("movie__title"),  # one of each: the titles of few movies are RANKED
        )
        .order_by("-movie__rating_count", "movie_id")  # sorts what the index of years finds, as any order
        .values_list(*COLUMNS_OF_TITLES)[:RANKED]
    )
)


def match_of(title: KnownTitle, key: str, language: str) -> int:
    """Return one of SHOWN_RANKS for the titles that pages show, which are the English one and the one in this
    language, and one of ALIAS_RANKS for all others."""
    is_shown = title.title == title.main_title or title.language == language
    return (SHOWN_RANKS if is_shown else ALIAS_RANKS)[closeness(title.key, key)]


def _similarity(key: str, other: str) -> float:
    """Return how alike two keys are, 0 to 1; a part of `other` with as many words counts nearly as much."""
    words, n = other.split(), len(key.split())
    parts = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)] if len(words) > n else []
    whole = SequenceMatcher(None, key, other).ratio()
    return max([whole, *(0.95 * SequenceMatcher(None, key, part).ratio() for part in parts)])
