"""Counts visible movies per value of each filter, and the decades and directors of each genre.

One pass counts everything, and the cache keeps it for all pages. One request or thread at a time counts again
after a change of the catalogue. So a page that nobody asked for yet costs as much as every other.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np
from django.core.cache import cache
from django.db import connections
from django.db.models import IntegerField, QuerySet, Value
from django.db.models.functions import Coalesce

from movie.catalogue.catalogue_version import CatalogueVersion
from movie.catalogue.models import Country, Credit, Genre, Language, Movie, Person
from movie.core.replicas import reading_primary

log = logging.getLogger(__name__)
_first_count = threading.Lock()

FACETS_KEY, GENRES_KEY = "catalogue-facets", "catalogue-genres"  # in the cache
COUNTING_KEY = "catalogue-counting"  # in the cache while a request or a thread counts again
# Windows of availability begin and end without a change of the catalogue. So counts are repeated after this
# time at the earliest, and take at most this share of it.
RECOUNT_SECONDS, MAX_SHARE = 60, 0.002
MAX_SHARE_OF_CHANGES = 0.05  # of the time where the catalogue changes all the time, as during an import
SLOW_SECONDS = 0.1  # of CPU; slower counts are made in the background
KEEP_SECONDS = 86_400
CHUNK = 5_000
DIRECTORS_SHOWN = 12  # of a genre
NO_YEAR = -1


@dataclass(frozen=True, slots=True)
class Facet:
    """Counts the visible movies that have one value of a filter."""

    pk: int
    name: str
    n_movies: int


KINDS_OF_FACETS = ("genres", "languages", "countries", "decades")


@dataclass(frozen=True, slots=True)
class Facets:
    genres: tuple[Facet, ...]
    languages: tuple[Facet, ...]
    countries: tuple[Facet, ...]
    decades: tuple[Facet, ...]
    n_movies: int

    def n_movies_with(self, kind: str, name: str) -> int:
        """Return the number of movies with a value: a name of one of KINDS_OF_FACETS."""
        return next((facet.n_movies for facet in getattr(self, kind) if facet.name == name), 0)


@dataclass(frozen=True, slots=True)
class GenreFacts:
    """Holds the decades of a genre with their numbers of movies, the latest first, and its directors."""

    decades: list[tuple[int, int]]
    directors: list[Any]  # dictionaries with `person_id`, `person__name` and `films`


def facets() -> Facets:
    """Return the values to filter by, as the catalogue has them now or, if it is large, had them lately."""
    known = _read_or_count(FACETS_KEY)
    lists = {name: tuple(Facet(**each) for each in known[name]) for name in KINDS_OF_FACETS}
    return Facets(**lists, n_movies=known["n_movies"])


def genre_facts(genre: int) -> GenreFacts:
    """Return the facts of a genre, as `facets` does."""
    known = _read_or_count(GENRES_KEY).get(str(genre), {"decades": [], "directors": []})
    return GenreFacts([(decade, n_films) for decade, n_films in known["decades"]], known["directors"])


@reading_primary()  # kept until the catalogue changes
def _read_or_count(key: str) -> Any:
    """Return the counts from the cache. Count first if there are none; count again if they are old.

    A thread counts again in the background if that is slow.
    """
    kept = cache.get(key)
    if kept is None:
        with _first_count:
            kept = cache.get(key)  # another request may have counted
            return _count_and_keep()[key] if kept is None else kept["counted"]
    seconds, is_changed = kept["seconds"], CatalogueVersion.objects.current() > kept["version"]
    pause = seconds / MAX_SHARE_OF_CHANGES if is_changed else max(RECOUNT_SECONDS, seconds / MAX_SHARE)
    if time.time() - kept["at"] < pause:
        return kept["counted"]
    # The key outlives a failed count and a process that ends: it expires, and the next request counts.
    if not cache.add(COUNTING_KEY, 1, max(RECOUNT_SECONDS, 10 * seconds)):
        return kept["counted"]
    if seconds <= SLOW_SECONDS:
        return _count_and_keep()[key]
    threading.Thread(target=_count_in_background, daemon=True, name="count-facets").start()
    return kept["counted"]


def _count_in_background() -> None:
    try:
        _count_and_keep()
    except Exception:
        log.exception("the catalogue could not be counted")
    finally:
        connections.close_all()  # of this thread


def _count_and_keep() -> dict[str, Any]:
    version = CatalogueVersion.objects.current()
    began = time.thread_time()  # one stall of the machine does not make a count slow
    counts = dict(zip((FACETS_KEY, GENRES_KEY), _count(), strict=True))
    stamp = {"version": version, "at": time.time(), "seconds": time.thread_time() - began}
    for key, counted in counts.items():
        cache.set(key, {**stamp, "counted": counted}, KEEP_SECONDS)
    cache.delete(COUNTING_KEY)
    return counts


def _count() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return facets, and the facts of genres by id, as JSON has them: all movies are read once."""
    year = Coalesce("year", Value(NO_YEAR), output_field=IntegerField())
    films = _pairs(Movie.objects.visible().order_by().values_list("pk", year))
    films = films[np.argsort(films[:, 0])]
    ids, decades = films[:, 0], np.where(films[:, 1] == NO_YEAR, NO_YEAR, films[:, 1] // 10 * 10)

    def linked(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of visible movies in pairs that begin with a movie, and their other side."""
        rows, is_there = _rows_of(pairs[:, 0], ids)
        return rows, pairs[is_there, 1]

    of_genres = linked(_pairs(Movie.genres.through.objects.values_list("movie_id", "genre_id")))
    of_languages = linked(_pairs(Movie.languages.through.objects.values_list("movie_id", "language_id")))
    of_countries = linked(_pairs(Movie.countries.through.objects.values_list("movie_id", "country_id")))
    directed = Credit.objects.filter(role=Credit.Role.DIRECTOR).order_by()
    directors = linked(_pairs(directed.values_list("movie_id", "person_id")))
    known, counts = np.unique(decades[decades != NO_YEAR], return_counts=True)
    counted = Facets(
        genres=_facets(Genre, of_genres[1]),
        languages=_facets(Language, of_languages[1]),
        countries=_facets(Country, of_countries[1]),
        decades=tuple(
            Facet(decade, str(decade), n) for decade, n in zip(known.tolist(), counts.tolist(), strict=True)
        )[::-1],
        n_movies=len(ids),
    )
    decades_of, directors_of = _decades(decades, *of_genres), _directors(len(ids), of_genres, directors)
    return asdict(counted), {
        str(facet.pk): asdict(GenreFacts(decades_of.get(facet.pk, []), directors_of.get(facet.pk, [])))
        for facet in counted.genres
    }


def _pairs(rows: QuerySet[Any, Any]) -> np.ndarray:
    """Return (n, 2) int64 of two columns."""
    return np.fromiter(chain.from_iterable(rows.iterator(CHUNK)), np.int64).reshape(-1, 2)


def _rows_of(values: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the known values in `ids`, ascending, and (n,) bool: whether each value is known."""
    rows = np.searchsorted(ids, values)
    is_there = np.append(ids, -1)[rows] == values
    return rows[is_there], is_there


def _facets(model: Any, values: np.ndarray) -> tuple[Facet, ...]:
    names = dict(model.objects.order_by().values_list("pk", "name"))
    counted = zip(*(each.tolist() for each in np.unique(values, return_counts=True)), strict=True)
    found = [Facet(pk, names[pk], n_movies) for pk, n_movies in counted if pk in names]
    return tuple(sorted(found, key=lambda facet: facet.name.casefold()))


def _decades(decades: np.ndarray, rows: np.ndarray, genres: np.ndarray) -> dict[int, list[tuple[int, int]]]:
    """Return decades and their numbers of movies by genre, the latest first."""
    found: dict[int, list[tuple[int, int]]] = {}
    for genre in np.unique(genres).tolist():
        known, counts = np.unique(decades[rows[genres == genre]], return_counts=True)
        pairs = zip(known.tolist(), counts.tolist(), strict=True)
        found[genre] = [pair for pair in pairs if pair[0] != NO_YEAR][::-1]
    return found


def _directors(
    n_movies: int, of_genres: tuple[np.ndarray, np.ndarray], directors: tuple[np.ndarray, np.ndarray]
) -> dict[int, list[dict[str, Any]]]:
    """Return the directors of most movies by genre, DIRECTORS_SHOWN at most; ties by name."""
    by_name = np.fromiter(
        (pk for (pk,) in Person.objects.order_by("name", "pk").values_list("pk").iterator(CHUNK)), np.int64
    )
    order = np.argsort(by_name)
    known, is_there = _rows_of(directors[1], by_name[order])  # people may be deleted between the queries
    films, ranks = directors[0][is_there], order[known]  # of the directors by name
    films_in_order = np.argsort(films, kind="stable")
    begins = np.searchsorted(films[films_in_order], np.arange(n_movies + 1))
    found: dict[int, list[tuple[int, int]]] = {}
    for genre in np.unique(of_genres[1]).tolist():
        rows = of_genres[0][of_genres[1] == genre]
        lengths = begins[rows + 1] - begins[rows]
        positions = np.arange(lengths.sum()) + np.repeat(begins[rows] - np.cumsum(lengths) + lengths, lengths)
        people, counts = np.unique(ranks[films_in_order[positions]], return_counts=True)
        best = np.argsort(-counts, kind="stable")[:DIRECTORS_SHOWN]
        found[genre] = list(zip(by_name[people[best]].tolist(), counts[best].tolist(), strict=True))
    names = dict(
        Person.objects.filter(pk__in={pk for some in found.values() for pk, _n in some})
        .order_by()
        .values_list("pk", "name")
    )
    return {
        genre: [{"person_id": pk, "person__name": names[pk], "films": n} for pk, n in some if pk in names]
        for genre, some in found.items()
    }
