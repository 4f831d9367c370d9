"""Details of one movie, read in one query, and the histogram of its ratings."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.core.cache import cache
from django.db.models import Count, Expression, F, IntegerField, Model, QuerySet, Value
from django.db.models.functions import Cast

from movie.catalogue.fact_sources import FactOrigin
from movie.catalogue.models import HALF_STARS, Credit, ExternalId, Movie, MovieTitle, Rating
from movie.catalogue.titles import search_key

# Where each source shows a movie. Data sets number movies their own way: only `movielens` ids are addresses.
ELSEWHERE = {
    "imdb": ("IMDb", "https://www.imdb.com/title/{}/"),
    "tmdb": ("TMDB", "https://www.themoviedb.org/movie/{}"),
    "movielens": ("MovieLens", "https://movielens.org/movies/{}"),
}
MANY_RATINGS = 1_000  # of a movie, from which on its stars are not counted at every request
COUNTED_SECONDS = 10 * 60
TRAILER_SITES = {"youtube.com": "YouTube", "vimeo.com": "Vimeo"}


@dataclass(frozen=True, slots=True)
class Link:
    pk: int
    name: str


@dataclass(slots=True)
class MovieDetails:
    """Lists the names around a movie: people by billing, the rest by name."""

    genres: list[Link] = field(default_factory=list)
    countries: list[Link] = field(default_factory=list)
    languages: list[Link] = field(default_factory=list)
    directors: list[Link] = field(default_factory=list)
    writers: list[Link] = field(default_factory=list)
    cast: list[Link] = field(default_factory=list)
    other_titles: list[tuple[str, str]] = field(default_factory=list)  # (title, language code or "")
    elsewhere: list[tuple[str, str]] = field(default_factory=list)  # (site, address)
    trailer: tuple[str, str] | None = None  # (site, address)
    sources: set[str] = field(default_factory=set)  # of facts whose source is known


def movie_details(movie: Movie) -> MovieDetails:
    """Read everything around a movie in one query."""
    nothing = Value(0, output_field=IntegerField())

    def rows(kind: str, model: type[Model], pk: str, text: str, detail: Expression | F) -> QuerySet:
        return (
            model._default_manager.filter(movie=movie.pk)
            .order_by()
            .annotate(kind=Value(kind), fact_pk=F(pk), text=F(text), detail=detail, place=nothing)
            .values_list("kind", "fact_pk", "text", "detail", "place")
        )

    plain = Value("")
    credits = (
        Credit.objects.filter(movie=movie.pk)
        .order_by()
        .annotate(kind=F("role"), fact_pk=F("person_id"), text=F("person__name"), detail=plain)
        .annotate(place=Cast("order", IntegerField()))
        .values_list("kind", "fact_pk", "text", "detail", "place")
    )
    found = credits.union(
        rows("genre", Movie.genres.through, "genre_id", "genre__name", plain),
        rows("country", Movie.countries.through, "country_id", "country__name", plain),
        rows("language", Movie.languages.through, "language_id", "language__name", plain),
        rows("title", MovieTitle, "pk", "title", F("language")),
        rows("elsewhere", ExternalId, "pk", "value", F("source")),
        rows("origin", FactOrigin, "pk", "source", plain),
        all=True,
    )
    facts = MovieDetails()
    named = {
        "genre": facts.genres,
        "country": facts.countries,
        "language": facts.languages,
        Credit.Role.DIRECTOR: facts.directors,
        Credit.Role.WRITER: facts.writers,
        Credit.Role.CAST: facts.cast,
    }
    shown = {search_key(movie.title), search_key(movie.display_title)}
    for kind, pk, text, detail, _place in sorted(found, key=lambda row: (row[4], row[2].casefold(), row[1])):
        if kind in named:
            named[kind].append(Link(pk, text))
        elif kind == "title" and search_key(text) not in shown:
            facts.other_titles.append((text, detail))
        elif kind == "elsewhere" and detail in ELSEWHERE:
            site, address = ELSEWHERE[detail]
            facts.elsewhere.append((site, address.format(text)))
        elif kind == "origin":
            facts.sources.add(text)
    if movie.trailer_url:
        host = (urlsplit(movie.trailer_url).hostname or "").removeprefix("www.")
        facts.trailer = (TRAILER_SITES.get(host, host), movie.trailer_url)
    return facts


@dataclass(frozen=True, slots=True)
class Bar:
    """Holds one bar of the histogram, in the units of its drawing."""

    value: float
    count: int
    share: float  # of all ratings, 0 to 1
    x: int
    y: float
    height: float

    @property
    def label_y(self) -> float:
        """Return the height of the number above the bar."""
        return self.y - 4


BAR_STEP = 24
PLOT_HEIGHT = 100.0


def count_stars(movie: Movie) -> dict[float, int]:
    """Return how often each half star was given, lowest first, those that somebody gave: one query at most.

    Those of a movie with MANY_RATINGS are counted anew once the number or the sum of its ratings has changed,
    as that reads every rating; where people trade stars with each other, after COUNTED_SECONDS.
    """
    stars = Rating.objects.filter(movie=movie).order_by("value").values_list("value")
    counted = stars.annotate(count=Count("pk"))
    if movie.rating_count < MANY_RATINGS:
        return dict(counted)
    key = f"stars:{movie.pk}:{movie.rating_count}:{movie.rating_sum}"
    return dict(cache.get_or_set(key, lambda: list(counted), COUNTED_SECONDS) or ())


def rating_histogram(movie: Movie) -> list[Bar]:
    """Return ten bars, how often each half star was given."""
    counts = count_stars(movie)
    total, tallest = sum(counts.values()), max(counts.values(), default=0)
    bars = []
    for place, value in enumerate(HALF_STARS):
        count = counts.get(value, 0)
        height = round(PLOT_HEIGHT * count / tallest, 1) if tallest else 0.0
        share = count / total if total else 0.0
        bars.append(Bar(value, count, share, place * BAR_STEP, PLOT_HEIGHT - height, height))
    return bars
