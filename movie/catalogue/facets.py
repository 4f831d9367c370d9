"""What the catalogue can be filtered by, and what pages of genres say: numbers of visible movies.

All of it is counted at once, by whichever process first sees that the catalogue has changed, and kept in the
cache for all. So a page that nobody asked for yet costs what every page does, however many movies there are.
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
from django.db import DatabaseError, connections
from django.db.models import IntegerField, QuerySet, Value
from django.db.models.functions import Coalesce

from movie.catalogue.catalogue_version import CatalogueVersion
from movie.catalogue.models import Country, Credit, Genre, Language, Movie, Person
from movie.core.replicas import reading_primary

log = logging.getLogger(__name__)

FACETS, GENRES = "catalogue-facets", "catalogue-genres"  # keys in the cache
COUNTING = "catalogue-counting"  # is in the cache while a process counts in the background
SECONDS = 60  # a movie comes or goes without a change, by its window: all is counted anew so often at most,
SHARE = 0.002  # or so rarely that counting takes this share of the time
SHARE_OF_CHANGES = 0.05  # the same where the catalogue changes all the time, as during an import
SLOW = 0.1  # seconds: what takes longer is counted in the background
KEPT = 86_400  # seconds, for want of anything newer
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
    known = _kept(FACETS)
    lists = {name: tuple(Facet(**each) for each in known[name]) for name in KINDS_OF_FACETS}
    return Facets(**lists, n_movies=known["n_movies"])


def genre_facts(genre: int) -> GenreFacts:
    """Return the facts of a genre, as `facets` does."""
    known = _kept(GENRES).get(str(genre), {"decades": [], "directors": []})
    return GenreFacts([(decade, n_films) for decade, n_films in known["decades"]], known["directors"])


def _kept(part: str) -> Any:
    """Return what was counted; counts first where nothing was, or where that is quick and movies changed.

    What takes long is counted in the background, for those who ask later.
    """
    kept = cache.get(part)
    if kept is None:
        return _count_and_keep()[part]
    is_changed = CatalogueVersion.objects.current() > kept["version"]
    share = SHARE_OF_CHANGES if is_changed else SHARE
    age, is_slow = time.time() - kept["at"], kept["seconds"] > SLOW
    if age < kept["seconds"] / share if is_slow else not is_changed and age < SECONDS:
        return kept["counted"]
    if not is_slow:
        return _count_and_keep()[part]
    if cache.add(COUNTING, 1, KEPT):
        threading.Thread(target=_count_in_background, daemon=True, name="count-facets").start()
    return kept["counted"]


def _count_in_background() -> None:
    try:
        _count_and_keep()
    except DatabaseError as error:
        log.warning("what the catalogue holds could not be counted: %s", error)
    finally:
        cache.delete(COUNTING)
        connections.close_all()  # of this thread


@reading_primary()  # kept until the catalogue changes
def _count_and_keep() -> dict[str, Any]:
    version, began = CatalogueVersion.objects.current(), time.perf_counter()
    found = dict(zip((FACETS, GENRES), _count(), strict=True))
    stamp = {"version": version, "at": time.time(), "seconds": time.perf_counter() - began}
    for part, counted in found.items():
        cache.set(part, {**stamp, "counted": counted}, KEPT)
    return found


def _count() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return facets, and the facts of genres by id, as JSON has them: all movies are read once."""
    year = Coalesce("year", Value(NO_YEAR), output_field=IntegerField())
    films = _pairs(Movie.objects.visible().order_by().values_list("pk", year))
    films = films[np.argsort(films[:, 0])]
    ids, decades = films[:, 0], np.where(films[:, 1] == NO_YEAR, NO_YEAR, films[:, 1] // 10 * 10)

    def linked(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of visible movies in pairs that begin with a movie, and their other side."""
        rows = np.searchsorted(ids, pairs[:, 0])
        is_there = np.append(ids, -1)[rows] == pairs[:, 0]
        return rows[is_there], pairs[is_there, 1]

    of_genres = linked(_pairs(Movie.genres.through.objects.values_list("movie_id", "genre_id")))
    of_languages = linked(_pairs(Movie.languages.through.objects.values_list("movie_id", "language_id")))
    of_countries = linked(_pairs(Movie.countries.through.objects.values_list("movie_id", "country_id")))
    directed = Credit.objects.filter(role=Credit.Role.DIRECTOR).order_by()
    directors = linked(_pairs(directed.values_list("movie_id", "person_id")))
    known, counts = np.unique(decades[decades != NO_YEAR], return_counts=True)
    facets = Facets(
        genres=_facets(Genre, of_genres[1]),
        languages=_facets(Language, of_languages[1]),
        countries=_facets(Country, of_countries[1]),
        decades=tuple(
            Facet(decade, str(decade), n) for decade, n in zip(known.tolist(), counts.tolist(), strict=True)
        )[::-1],
        n_movies=len(ids),
    )
    decades_of, directors_of = _decades(decades, *of_genres), _directors(len(ids), of_genres, directors)
    return asdict(facets), {
        str(facet.pk): asdict(GenreFacts(decades_of.get(facet.pk, []), directors_of.get(facet.pk, [])))
        for facet in facets.genres
    }


def _pairs(rows: QuerySet[Any, Any]) -> np.ndarray:
    """Return (n, 2) int64 of two columns."""
    return np.fromiter(chain.from_iterable(rows.iterator(CHUNK)), np.int64).reshape(-1, 2)


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
    """Return the directors of most movies by genre, DIRECTORS_SHOWN at most; of as many movies by name."""
    by_name = np.fromiter(
        (pk for (pk,) in Person.objects.order_by("name", "pk").values_list("pk").iterator(CHUNK)), np.int64
    )
    order = np.argsort(by_name)
    ranks = order[np.searchsorted(by_name, directors[1], sorter=order)]  # of the directors by name
    films_in_order = np.argsort(directors[0], kind="stable")
    begins = np.searchsorted(directors[0][films_in_order], np.arange(n_movies + 1))
    found: dict[int, list[tuple[int, int]]] = {}
    for genre in np.unique(of_genres[1]).tolist():
        rows = of_genres[0][of_genres[1] == genre]
        lengths = begins[rows + 1] - begins[rows]
        places = np.repeat(begins[rows] - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        people, counts = np.unique(ranks[films_in_order[places]], return_counts=True)
        best = np.argsort(-counts, kind="stable")[:DIRECTORS_SHOWN]
        found[genre] = list(zip(by_name[people[best]].tolist(), counts[best].tolist(), strict=True))
    names = dict(
        Person.objects.filter(pk__in={pk for some in found.values() for pk, _n in some})
        .order_by()
        .values_list("pk", "name")
    )
    return {
        genre: [{"person_id": pk, "person__name": names[pk], "films": n} for pk, n in some]
        for genre, some in found.items()
    }
