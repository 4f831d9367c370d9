"""Search movies by any of their titles, and people by name.

Plain `LIKE` on the normalised `search_key` column: it finds two-character Korean and Chinese
titles, which a trigram index cannot, and needs nothing beyond the database. A scan of 20,000
titles takes a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from django.conf import settings
from django.db.models import (
    Case,
    Count,
    Exists,
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
from movie.catalogue.models import Credit, Movie, MovieTitle, Person
from movie.catalogue.titles import search_key
from movie.catalogue.translations import load_local_titles

# How well a title matches: the whole of it, its beginning, the beginning of a word, anything else.
SHOWN_RANKS = (0, 2, 3, 6)  # of the titles that pages show
ALIAS_RANKS = (1, 4, 5, 7)  # of all others
ARTICLES = ("the", "a", "an")  # at the front of a title or a query they count for nothing
MOVIES_SUGGESTED, PEOPLE_SUGGESTED = 8, 4
MOST_WORDS = 8  # of a query that are looked at; each costs a comparison per title
TRIGRAMS_COMPARED = 10
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
    key = _without_article(search_key(text))
    if not key:
        return Movie.objects.none()
    titles = MovieTitle.objects.filter(movie=OuterRef("pk")).filter(_every_word(key, year="movie__year"))
    best = titles.order_by().values("movie").annotate(best=Min(_rank(key))).values("best")
    found = MovieTitle.objects.filter(_every_word(key, year="movie__year")).values("movie")
    return (
        Movie.objects.visible()
        .filter(pk__in=found)
        .annotate(match=Subquery(best, output_field=IntegerField()))
        .order_by("match", "-rating_count", "pk")
    )


def aliases_of(text: str, found: Iterable[Movie]) -> dict[int, str]:
    """Return by id the title that `text` was found in, where pages show another: one query at most."""
    key = _without_article(search_key(text))
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
    if not key or (len(key) == 1 and _is_short(key)):
        return Person.objects.none()
    return (
        Person.objects.filter(_every_word(key))
        .annotate(
            match=_closeness(key, range(4)),
            n_movies=Count("movies", filter=available_now("movies__"), distinct=True),
        )
        .filter(n_movies__gt=0)
        .order_by("match", "-n_movies", "name", "pk")
    )


@dataclass(slots=True)
class SuggestedMovie:
    movie: Movie
    directors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Suggestions:
    movies: list[SuggestedMovie] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)


def suggestions(text: str) -> Suggestions:
    """Return the best movies and people for an unfinished query: three queries, four with local titles."""
    if not search_key(text):
        return Suggestions()
    shown = ("title", "year", "poster_path", "photograph", "rating_count", "updated")
    movies = {
        movie.pk: SuggestedMovie(movie) for movie in search_movies(text).only(*shown)[:MOVIES_SUGGESTED]
    }
    directors = Credit.objects.filter(movie__in=movies, role=Credit.Role.DIRECTOR).order_by("order", "pk")
    for movie_id, name in directors.values_list("movie_id", "person__name"):
        movies[movie_id].directors.append(name)
    load_local_titles(found.movie for found in movies.values())
    people = [] if _is_short(search_key(text)) else list(search_people(text)[:PEOPLE_SUGGESTED])
    return Suggestions(list(movies.values()), people)


def closest_titles(text: str, limit: int = 3) -> list[str]:
    """Return titles and names close to `text`, the closest first, for queries without a result.

    The database counts shared trigrams, so nothing is kept in memory and nothing goes stale; the
    few that share most are compared letter by letter.
    """
    key = search_key(text)
    trigrams = list(dict.fromkeys(key[i : i + 3] for i in range(len(key) - 2) if " " not in key[i : i + 3]))
    trigrams = trigrams[:TRIGRAMS_COMPARED]
    if not trigrams:
        return []
    credited = Credit.objects.filter(available_now("movie__"), person=OuterRef("pk"))
    shown = {
        **_sharing_trigrams(Person.objects.filter(Exists(credited)), "name", trigrams),
        **_sharing_trigrams(MovieTitle.objects.filter(available_now("movie__")), "title", trigrams),
    }
    scored = sorted((-_similarity(key, found), found) for found in shown)
    return [shown[found] for minus, found in scored if -minus >= SIMILAR_ENOUGH][:limit]


def _every_word(key: str, year: str = "") -> Q:
    condition = Q()
    for word in key.split()[:MOST_WORDS]:
        if _is_short(word):
            holds = Q(search_key__startswith=word) | Q(search_key__contains=f" {word}")
        else:
            holds = Q(search_key__contains=word)
        if year and len(word) == 4 and word.isdecimal():
            holds |= Q(**{year: int(word)})
        condition &= holds
    return condition


def _is_short(word: str) -> bool:
    """Return whether a word is too short to find inside words; two Korean characters may be a title."""
    return len(word) <= 2 and word.isascii() and word.isalpha()


def _without_article(key: str) -> str:
    article, _, rest = key.partition(" ")
    return rest if rest and article in ARTICLES else key


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
    keys = [key, *(f"{article} {key}" for article in ARTICLES)]
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


def _sharing_trigrams(rows: QuerySet, field: str, trigrams: Iterable[str]) -> dict[str, str]:
    """Return text by search key, of the rows that share most trigrams."""
    shared = sum(
        (Case(When(search_key__contains=trigram, then=Value(1)), default=Value(0)) for trigram in trigrams),
        start=Value(0),
    )
    found = rows.annotate(shared=shared).filter(shared__gt=0).order_by("-shared", "pk")[:CANDIDATES]
    return dict(found.values_list("search_key", field))


def _similarity(key: str, other: str) -> float:
    """Return how alike two keys are, 0 to 1; a part of `other` with as many words counts nearly as much."""
    words, n = other.split(), len(key.split())
    parts = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)] if len(words) > n else []
    whole = SequenceMatcher(None, key, other).ratio()
    return max([whole, *(0.95 * SequenceMatcher(None, key, part).ratio() for part in parts)])
