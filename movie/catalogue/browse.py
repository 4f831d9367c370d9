"""Browse the catalogue: facets to filter by, and the query of a set of filters."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.core.cache import cache
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from movie.catalogue.availability import available_now
from movie.catalogue.models import CatalogueVersion, Country, Credit, Genre, Language, Movie, Rating
from movie.core.database import LargestFirst
from movie.core.replicas import reading_primary

PAGE_SIZE = 24
FACETS_CACHE_KEY = "browse-facets"
GENRE_SECONDS = 600
DIRECTORS_SHOWN = 12  # of a genre
FACETS_SECONDS = 60  # what an admin changes shows a minute later; a visitor saves two table scans
COUNTING_SHARE = 0.002  # of the time may go into counting facets: what took a second to count is kept for 500
COUNTED = 240  # movies of several filters that are counted and shown; more are only said to be there
RARE = 2_000  # movies with a value of a filter: read one by one, not looked for in the order of the list

SORTS = {
    "popular": _("Most rated"),
    "best": _("Best rated"),
    "newest": _("Newest"),
    "oldest": _("Oldest"),
    "title": _("Title"),
    "yours": _("Your rating"),
}
DEFAULT_SORT = "popular"
RUNTIMES = (80, 90, 100, 120, 150)  # minutes that pages offer as the longest running time


@dataclass(frozen=True, slots=True)
class Facet:
    """Counts the visible movies that have one value of a filter."""

    pk: int
    name: str
    n_movies: int


KINDS_OF_FACETS = ("genres", "languages", "countries", "decades")
COLUMNS = {"genres": "genre", "languages": "language", "countries": "country"}  # of what links them to movies


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


def facets() -> Facets:
    """Return the values to filter by. Takes two queries once in FACETS_SECONDS, less often if they last.

    Films that the API changes have them counted anew.
    """
    known = cache.get(FACETS_CACHE_KEY)
    if known is None:
        began = time.perf_counter()
        counted = _count_facets()
        seconds = max(FACETS_SECONDS, (time.perf_counter() - began) / COUNTING_SHARE)
        cache.set(FACETS_CACHE_KEY, asdict(counted), seconds)
        return counted
    lists = {name: tuple(Facet(**each) for each in known[name]) for name in KINDS_OF_FACETS}
    return Facets(**lists, n_movies=known["n_movies"])


@reading_primary()  # kept until the catalogue changes
def _count_facets() -> Facets:
    n_movies = Count("movies", filter=available_now("movies__"))
    by_kind: dict[str, list[Facet]] = {"genre": [], "language": [], "country": []}
    rows = (
        Genre.objects.annotate(kind=Value("genre"), n_movies=n_movies)
        .order_by()
        .values_list("kind", "pk", "name", "n_movies")
        .union(
            Language.objects.annotate(kind=Value("language"), n_movies=n_movies)
            .order_by()
            .values_list("kind", "pk", "name", "n_movies"),
            Country.objects.annotate(kind=Value("country"), n_movies=n_movies)
            .order_by()
            .values_list("kind", "pk", "name", "n_movies"),
            all=True,
        )
    )
    for kind, pk, name, count in rows:
        if count:
            by_kind[kind].append(Facet(pk, name, count))
    years = Movie.objects.visible().order_by().values_list("year").annotate(n_movies=Count("pk"))
    decades: dict[int, int] = {}
    total = 0
    for year, count in years:
        total += count
        if year is not None:
            decades[year // 10 * 10] = decades.get(year // 10 * 10, 0) + count
    return Facets(
        genres=_by_name(by_kind["genre"]),
        languages=_by_name(by_kind["language"]),
        countries=_by_name(by_kind["country"]),
        decades=tuple(Facet(d, str(d), decades[d]) for d in sorted(decades, reverse=True)),
        n_movies=total,
    )


def _by_name(found: list[Facet]) -> tuple[Facet, ...]:
    return tuple(sorted(found, key=lambda facet: facet.name.casefold()))


@dataclass(frozen=True, slots=True)
class GenreFacts:
    """Holds the decades of a genre with their numbers of movies, the latest first, and its directors."""

    decades: list[tuple[int, int]]
    directors: list[Any]  # dictionaries with `person_id`, `person__name` and `films`


def genre_facts(genre: int) -> GenreFacts:
    """Return the facts of a genre. Reads all of its movies once in GENRE_SECONDS, and when movies changed."""
    key = f"genre-facts:{genre}:{CatalogueVersion.objects.current()}"
    known = cache.get(key)
    if known is None:
        known = asdict(_count_genre_facts(genre))
        cache.set(key, known, GENRE_SECONDS)
    return GenreFacts([(decade, n_films) for decade, n_films in known["decades"]], known["directors"])


@reading_primary()
def _count_genre_facts(genre: int) -> GenreFacts:
    inside = Movie.objects.visible().filter(genres=genre).order_by()
    decades: dict[int, int] = {}
    for year, count in inside.exclude(year=None).values_list("year").annotate(count=Count("pk")):
        decades[year // 10 * 10] = decades.get(year // 10 * 10, 0) + count
    directors = (
        Credit.objects.filter(role=Credit.Role.DIRECTOR, movie__in=inside)
        .order_by()
        .values("person_id", "person__name")
        .annotate(films=Count("pk"))
        .order_by("-films", "person__name")[:DIRECTORS_SHOWN]
    )
    return GenreFacts(sorted(decades.items(), reverse=True), list(directors))


@dataclass(frozen=True, slots=True)
class BrowseFilters:
    """Holds validated filters and a sort order. Round-trips through `query()`."""

    genres_in: tuple[str, ...] = ()
    genres_out: tuple[str, ...] = ()
    decade: int | None = None
    language: str = ""
    country: str = ""
    runtime: int | None = None  # minutes at most; movies of unknown length are left out
    sort: str = DEFAULT_SORT

    @property
    def is_narrowing(self) -> bool:
        """Return whether a filter leaves any movie out."""
        return replace(self, sort=DEFAULT_SORT) != BrowseFilters()

    def query(self, page: int = 1) -> str:
        """Return the canonical query string, without the leading question mark."""
        pairs: list[tuple[str, Any]] = [("in", name) for name in self.genres_in]
        pairs += [("out", name) for name in self.genres_out]
        pairs += [
            (name, value)
            for name in ("decade", "language", "country", "runtime")
            if (value := getattr(self, name))
        ]
        if self.sort != DEFAULT_SORT:
            pairs.append(("sort", self.sort))
        if page > 1:
            pairs.append(("page", page))
        return urlencode(pairs)

    def url(self, page: int = 1) -> str:
        query = self.query(page)
        return reverse("pages:browse") + (f"?{query}" if query else "")

    def without_genre(self, genre: str) -> BrowseFilters:
        return replace(
            self,
            genres_in=tuple(name for name in self.genres_in if name != genre),
            genres_out=tuple(name for name in self.genres_out if name != genre),
        )

    def without(self, name: str) -> BrowseFilters:
        return replace(self, **{name: getattr(BrowseFilters(), name)})

    def count(self, offered: Facets) -> tuple[int, bool]:
        """Return the number of movies that pass the filters, COUNTED at most, and whether there are more.

        Of one genre, language, country or decade, or of no filter, it is the exact number of `offered`, which
        was counted some time ago.
        """
        if not self.is_narrowing:
            return offered.n_movies, False
        values = self._values(offered)
        if len(values) == 1 and not (self.genres_out or self.runtime):
            return values[0][0], False
        found = self._filtered(offered, is_counted=True).order_by()[: COUNTED + 1].count()
        return min(found, COUNTED), found > COUNTED

    def _values(self, offered: Facets) -> list[tuple[int, str, str]]:
        """Return number of movies, kind and name of each facet of the filters, the rarest first."""
        pairs = [("genres", name) for name in self.genres_in]
        pairs += [("languages", self.language), ("countries", self.country)]
        pairs += [("decades", str(self.decade or ""))]
        return sorted((offered.n_movies_with(kind, name), kind, name) for kind, name in pairs if name)

    def movies(self, offered: Facets, *, visitor_key: str | None = None) -> QuerySet[Movie]:
        """Return the visible movies that pass the filters, sorted.

        Every order ends in the primary key, so that no movie is on two pages. The index of the order is gone
        through until a page is full; where `offered` has few movies of a filter, these are read and sorted.
        """
        return self._sorted(self._filtered(offered), visitor_key)

    def _filtered(self, offered: Facets, *, is_counted: bool = False) -> QuerySet[Movie]:
        """Return the movies that pass the filters; to be counted, beginning with the rarest facet."""
        found = Movie.objects.visible()
        for position, (n_movies, kind, name) in enumerate(self._values(offered)):
            if kind == "decades":
                in_decade = Q(year__gte=int(name), year__lt=int(name) + 10)
                if n_movies <= RARE:
                    found = found.filter(pk__in=Movie.objects.filter(in_decade).values("pk"))
                elif is_counted and not position:
                    found = found.filter(in_decade)
                else:  # a plain condition would have all of the decade read by its index, and sorted
                    found = found.filter(Exists(Movie.objects.filter(in_decade, pk=OuterRef("pk"))))
                continue
            named = {f"{COLUMNS[kind]}__name": name}
            members = getattr(Movie, kind).through.objects.filter(**named)
            if n_movies <= RARE:
                found = found.filter(pk__in=members.values("movie"))
            elif is_counted and not position:
                found = found.filter(**{f"{kind}__name": name})
            else:
                found = found.filter(Exists(members.filter(movie=OuterRef("pk"))))
        if self.genres_out:
            unwanted = Movie.genres.through.objects.filter(genre__name__in=self.genres_out)
            found = found.exclude(Exists(unwanted.filter(movie=OuterRef("pk"))))
        if self.runtime is not None:
            found = found.filter(runtime__gt=0, runtime__lte=self.runtime)
        return found

    def _sorted(self, found: QuerySet[Movie], visitor_key: str | None) -> QuerySet[Movie]:
        popular = ("-rating_count", LargestFirst("rating_average"), "pk")  # as the index has it
        match self.sort:
            case "best":
                return found.order_by("-bayesian_average", "pk")
            case "newest":
                return found.order_by(F("year").desc(nulls_last=True), *popular)
            case "oldest":
                return found.order_by(F("year").asc(nulls_last=True), *popular)
            case "title":
                return found.order_by("sort_title", "year", "pk")
            case "yours" if visitor_key:
                mine = Rating.objects.filter(movie=OuterRef("pk"), visitor=visitor_key).values("value")[:1]
                # A replica may not have the latest of the visitor's stars.
                found = found.using(DEFAULT_DB_ALIAS)
                return found.annotate(mine=Subquery(mine)).order_by(F("mine").desc(nulls_last=True), *popular)
            case _:
                return found.order_by(*popular)
