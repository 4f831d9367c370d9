"""Search movies by any of their titles, and people by name.

The database looks up suffixes that begin with the longest word of a query (`catalogue.suffixes`) and compares
the few titles that it finds with the whole query. Parts of Latin words are found in popular titles and names
alone (`catalogue.popular`), as is the likely meaning of a misspelt query. Nothing reads all titles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from heapq import nlargest
from typing import Any

from django.conf import settings
from django.db.models import (
    Case,
    Count,
    F,
    IntegerField,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.utils.translation import get_language

from movie.catalogue.availability import available_now
from movie.catalogue.models import Movie, MovieTitle, Person
from movie.catalogue.popular import KnownName, KnownTitle, popular_names, popular_titles
from movie.catalogue.suffixes import ARTICLES, NameSuffix, TitleSuffix, beginning_with, without_article
from movie.catalogue.titles import search_key

# How well a title matches: the whole of it, its beginning, the beginning of a word, anything else.
SHOWN_RANKS = (0, 2, 3, 6)  # of the titles that pages show
ALIAS_RANKS = (1, 4, 5, 7)  # of all others
MOST_WORDS = 8  # of a query that are looked at; each costs a comparison per title
TRIGRAMS_COMPARED = 10
MANY = 1_000  # titles or names with a word
CANDIDATES = 40  # titles that share the most trigrams with a misspelt query
SIMILAR_ENOUGH = 0.7  # of SequenceMatcher.ratio(): one or two slips in a word


def search_movies(text: str) -> QuerySet[Movie]:
    """Return visible movies with a title that holds every word of `text`, best match first.

    A word that is a year also matches the movie's year. Movies come by how well their best title
    matches (the whole title, its beginning, the beginning of a word, anywhere), then by how often they
    were rated. Titles that pages do not show come after those that they do, and an article at the front
    counts for nothing: "god" is the beginning of "The Godfather". Each has `match`, one of SHOWN_RANKS and
    ALIAS_RANKS. Nothing is found for an empty text. One or two Latin letters are looked for at the beginning
    of words, everything else anywhere.
    """
    key = without_article(search_key(text))
    if not key:
        return Movie.objects.none()
    titles = MovieTitle.objects.filter(_every_word(key, year="movie__year"))
    best = titles.filter(movie=OuterRef("pk")).values("movie").annotate(best=Min(_rank(key))).values("best")
    return (
        Movie.objects.visible()
        .filter(_movies_with(longest_word(key)))
        .annotate(match=Subquery(best, output_field=IntegerField()))
        .filter(match__isnull=False)
        .order_by("match", "-rating_count", "pk")
    )


def aliases_of(text: str, found: Iterable[Movie]) -> dict[int, str]:
    """Return by id the title that `text` was found in, where pages show another: one query at most."""
    key = without_article(search_key(text))
    ids = [movie.pk for movie in found if movie.match in ALIAS_RANKS]  # type: ignore[attr-defined]
    if not ids:
        return {}
    titles = MovieTitle.objects.filter(_every_word(key, year="movie__year"), movie__in=ids)
    best_last = titles.annotate(match=_rank(key)).order_by("-match", "-pk")
    return dict(best_last.values_list("movie", "title"))


def search_people(text: str) -> QuerySet[Person]:
    """Return people of visible movies whose name holds every word of `text`, best match first.

    Each has `match` (0 to 3) and `n_movies`, the number of their visible movies. A single Latin letter
    names nobody.
    """
    key = search_key(text)
    if not key or (len(key) == 1 and is_short(key)):
        return Person.objects.none()
    return (
        Person.objects.filter(_every_word(key), _people_with(longest_word(key)))
        .annotate(
            match=_closeness(key, range(4)),
            n_movies=Count("movies", filter=available_now("movies__"), distinct=True),
        )
        .filter(n_movies__gt=0)
        .order_by("match", "-n_movies", "name", "pk")
    )


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


def _movies_with(word: str) -> Q:
    """Return the condition of movies that a title or the year may give this word.

    The few that there are go into the statement by number, and a word of many titles is a subquery; popular
    movies that have the word within another are found besides.
    """
    holding = TitleSuffix.objects.filter(beginning_with(word)).values_list("owner__movie", flat=True)
    popular = popular_titles.get().holding(word, at_beginning=is_short(word))
    condition = _in_few_or_many(holding, {title.movie for title in popular})
    return condition | Q(year=int(word)) if is_year(word) else condition


def _people_with(word: str) -> Q:
    """Return the condition of people whose name may hold this word, as `_movies_with` does of movies."""
    holding = NameSuffix.objects.filter(beginning_with(word)).values_list("owner", flat=True)
    popular = popular_names.get().holding(word, at_beginning=is_short(word))
    return _in_few_or_many(holding, {name.person for name in popular})


def _in_few_or_many(holding: QuerySet[Any, int], others: set[int]) -> Q:
    """Return the condition of the rows that a query of keys names, or `others`; a key may come repeatedly."""
    found = list(holding.order_by()[:MANY])
    return Q(pk__in=holding) | Q(pk__in=others) if len(found) == MANY else Q(pk__in={*found, *others})


def words_of(key: str) -> list[str]:
    """Return the words of a search key that are looked at."""
    return key.split()[:MOST_WORDS]


def longest_word(key: str) -> str:
    """Return the longest word of a search key, which few titles have; a year only where all words are."""
    return max(words_of(key), key=lambda word: (not is_year(word), len(word)))


def is_short(word: str) -> bool:
    """Return whether a word is too short to find inside words; two Korean characters may be a title."""
    return len(word) <= 2 and word.isascii() and word.isalpha()


def is_year(word: str) -> bool:
    return len(word) == 4 and word.isdecimal()


def _every_word(key: str, year: str = "") -> Q:
    condition = Q()
    for word in words_of(key):
        if is_short(word):
            holds = Q(search_key__startswith=word) | Q(search_key__contains=f" {word}")
        else:
            holds = Q(search_key__contains=word)
        if year and is_year(word):
            holds |= Q(**{year: int(word)})
        condition &= holds
    return condition


def holds_every_word(known: KnownTitle | KnownName, key: str) -> bool:
    """Return whether a title or name has every word of a search key, as the database's searches have it."""
    year = known.year if isinstance(known, KnownTitle) else None
    return all(
        (known.key.startswith(word) or f" {word}" in known.key)
        if is_short(word)
        else (word in known.key or (is_year(word) and int(word) == year))
        for word in words_of(key)
    )


def closeness(known: str, key: str) -> int:
    """Return how well a search key matches, from 0 for the whole title to 3 for anything else."""
    whole = _with_articles(key)
    if known in whole:
        return 0
    return 1 if known.startswith(whole) else 2 if f" {key}" in known else 3


def _with_articles(key: str) -> tuple[str, ...]:
    return (key, *(f"{article} {key}" for article in ARTICLES))


def _rank(key: str) -> Case:
    """Return one of SHOWN_RANKS for the titles that pages show, which are the English one and the one in the
    visitor's language, and one of ALIAS_RANKS for all others."""
    shown = Q(title=F("movie__title")) | Q(language=get_language() or settings.LANGUAGE_CODE)
    return Case(
        When(shown, then=_closeness(key, SHOWN_RANKS)),
        default=_closeness(key, ALIAS_RANKS),
        output_field=IntegerField(),
    )


def _closeness(key: str, ranks: Sequence[int]) -> Case:
    exact, prefix, word_prefix, contains = ranks
    keys = _with_articles(key)
    begins = Q()
    for each in keys:
        begins |= Q(search_key__startswith=each)
    return Case(
        When(search_key__in=keys, then=Value(exact)),
        When(begins, then=Value(prefix)),
        When(search_key__contains=f" {key}", then=Value(word_prefix)),
        default=Value(contains),
        output_field=IntegerField(),
    )


def _similarity(key: str, other: str) -> float:
    """Return how alike two keys are, 0 to 1; a part of `other` with as many words counts nearly as much."""
    words, n = other.split(), len(key.split())
    parts = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)] if len(words) > n else []
    whole = SequenceMatcher(None, key, other).ratio()
    return max([whole, *(0.95 * SequenceMatcher(None, key, part).ratio() for part in parts)])
