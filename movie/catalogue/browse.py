"""Browse the catalogue: facets to filter by, and the query of a set of filters."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.core.cache import cache
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Count, Exists, F, FloatField, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from movie.catalogue.availability import available_now
from movie.catalogue.models import FULL_WEIGHT, Country, Genre, Language, Movie, Rating
from movie.core.database import LargestFirst
from movie.core.replicas import reading_primary

PAGE_SIZE = 24
FACETS_CACHE_KEY = "browse-facets"
FACETS_SECONDS = 60  # an admin sees a new genre within a minute; a visitor saves two table scans
PRIOR_RATINGS = 20  # a movie needs about this many ratings before its own mean outweighs the site's

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


@dataclass(frozen=True, slots=True)
class Facets:
    genres: tuple[Facet, ...]
    languages: tuple[Facet, ...]
    countries: tuple[Facet, ...]
    decades: tuple[Facet, ...]
    mean_rating: float


def facets() -> Facets:
    """Return the values to filter by. Takes two queries at most once in `FACETS_SECONDS`."""
    known = cache.get(FACETS_CACHE_KEY)
    if known is None:
        counted = _count_facets()
        cache.set(FACETS_CACHE_KEY, asdict(counted), FACETS_SECONDS)
        return counted
    lists = {name: tuple(Facet(**each) for each in known[name]) for name in KINDS_OF_FACETS}
    return Facets(**lists, mean_rating=known["mean_rating"])


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
    years = (
        Movie.objects.visible()
        .order_by()
        .values("year")
        .annotate(
            n_movies=Count("pk"),
            weight=FULL_WEIGHT * Sum("rating_count") - Sum("withheld_weight"),
            stars=FULL_WEIGHT * Sum("rating_sum") - Sum("withheld_stars"),
        )
    )
    decades: dict[int, int] = {}
    weight, stars = 0, 0.0  # in percent
    for row in years:
        weight += int(row["weight"])
        stars += row["stars"]
        if row["year"] is not None:
            decade = row["year"] // 10 * 10
            decades[decade] = decades.get(decade, 0) + row["n_movies"]
    return Facets(
        genres=_by_name(by_kind["genre"]),
        languages=_by_name(by_kind["language"]),
        countries=_by_name(by_kind["country"]),
        decades=tuple(Facet(d, str(d), decades[d]) for d in sorted(decades, reverse=True)),
        mean_rating=stars / weight if weight else 0.0,
    )


def _by_name(found: list[Facet]) -> tuple[Facet, ...]:
    return tuple(sorted(found, key=lambda facet: facet.name.casefold()))


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

    def movies(self, *, visitor_key: str | None = None, mean_rating: float = 0.0) -> QuerySet[Movie]:
        """Return the visible movies that pass the filters, sorted.

        Every order ends in the primary key, so that no movie is on two pages.
        """
        found = Movie.objects.visible()
        membership = Movie.genres.through.objects.filter(movie=OuterRef("pk"))
        for name in self.genres_in:
            found = found.filter(Exists(membership.filter(genre__name=name)))
        if self.genres_out:
            found = found.exclude(Exists(membership.filter(genre__name__in=self.genres_out)))
        if self.decade is not None:
            found = found.filter(year__gte=self.decade, year__lt=self.decade + 10)
        if self.language:
            found = found.filter(
                Exists(
                    Movie.languages.through.objects.filter(movie=OuterRef("pk"), language__name=self.language)
                )
            )
        if self.country:
            found = found.filter(
                Exists(
                    Movie.countries.through.objects.filter(movie=OuterRef("pk"), country__name=self.country)
                )
            )
        if self.runtime is not None:
            found = found.filter(runtime__gt=0, runtime__lte=self.runtime)
        return self._sorted(found, visitor_key, mean_rating)

    def _sorted(self, found: QuerySet[Movie], visitor_key: str | None, mean_rating: float) -> QuerySet[Movie]:
        popular = ("-rating_count", LargestFirst("rating_average"), "pk")  # as the index has it
        match self.sort:
            case "best":
                stars = F("rating_sum") - F("withheld_stars") / FULL_WEIGHT
                weight = F("rating_count") - F("withheld_weight") / float(FULL_WEIGHT)
                bayesian = Cast(stars + PRIOR_RATINGS * mean_rating, FloatField()) / (
                    weight + float(PRIOR_RATINGS)
                )
                return found.order_by(bayesian.desc(), *popular)
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
