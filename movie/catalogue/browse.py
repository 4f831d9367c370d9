"""Browse the catalogue: the query of a set of filters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from movie.catalogue.facets import Facets
from movie.catalogue.models import Movie, Rating
from movie.core.database import LargestFirst

PAGE_SIZE = 24
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


COLUMNS = {"genres": "genre", "languages": "language", "countries": "country"}  # of what links them to movies


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
