"""The catalogue: movies by facts, one movie, similar movies, and search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router

from movie.api.answer_schemas import (
    MovieDetailOut,
    MoviePageOut,
    SearchOut,
    SimilarOut,
)
from movie.api.answers import round_score
from movie.api.base import json_response
from movie.api.movie_ids import (
    IdSpace,
    MovieLookup,
    PathRef,
    Ref,
    external_ids_in,
    movie_id_of,
    parse_path_id,
    require_id_space,
)
from movie.api.problems import Problem, field_problem
from movie.api.schemas import (
    DEFAULT_K,
    MAX_K,
    MAX_YEAR,
    MIN_YEAR,
    Sort,
)
from movie.catalogue.browse import PAGE_SIZE, BrowseFilters
from movie.catalogue.details import Link, MovieDetails, count_stars, movie_details
from movie.catalogue.facets import Facet, facets
from movie.catalogue.models import Movie
from movie.catalogue.people_search import search_people
from movie.catalogue.search import FoundMovies, closest_titles, search_movies
from movie.recommendations.ranked_list import load_movies
from movie.recommendations.similar import rank_similar
from movie.telemetry.requests import count_shown

router = Router(tags=["catalogue"])

MAX_PAGE = 1_000_000  # an offset beyond it would not fit a column
MAX_PEOPLE = 12
MAX_QUERY_LENGTH = 100

PageNumber = Annotated[int, Query(ge=1, le=MAX_PAGE)]
PageSize = Annotated[int, Query(ge=1, le=MAX_K)]
YearBound = Annotated[int | None, Query(ge=MIN_YEAR, le=MAX_YEAR)]
Name = Annotated[str | None, Query(min_length=1, max_length=128)]
ExternalIds = Annotated[
    list[str] | None,
    Query(max_length=MAX_K, description="Films with one of these ids elsewhere: `imdb:tt0113277`."),
]
Names = Annotated[list[str] | None, Query(max_length=20, description="May be given more than once.")]


@router.get("/movies", response=MoviePageOut, operation_id="movies", summary="Films by facts")
def movies(
    request: HttpRequest,
    *,
    genre: Names = None,
    without_genre: Names = None,
    year_from: YearBound = None,
    year_to: YearBound = None,
    language: Name = None,
    country: Name = None,
    external_id: ExternalIds = None,
    sort: Sort = "popular",
    id_space: IdSpace = None,
    page: PageNumber = 1,
    page_size: PageSize = PAGE_SIZE,
) -> HttpResponse:
    """Lists the films that have every `genre` and none of `without_genre`, as the browse page.

    A film is on one page only. A page after the last one is not found.
    """
    offered = facets()
    filters = BrowseFilters(
        _catalogue_names("genre", genre, offered.genres),
        _catalogue_names("without_genre", without_genre, offered.genres),
        language="".join(_catalogue_names("language", language and [language], offered.languages)),
        country="".join(_catalogue_names("country", country and [country], offered.countries)),
        sort=sort,
    )
    found = filters.movies(offered)
    if year_from is not None:
        found = found.filter(year__gte=year_from)
    if year_to is not None:
        found = found.filter(year__lte=year_to)
    if external_id is not None:
        refs = [_ref_in_query(text, position) for position, text in enumerate(external_id)]
        lookup = MovieLookup(refs)
        wanted = [lookup.get(ref, f"external_id[{n}]", "query") for n, ref in enumerate(refs)]
        found = found.filter(pk__in=[pk for pk in wanted if pk is not None])
    return json_response(_page(request, _with_related(found), page, page_size, id_space))


@router.get("/movies/{movie_id}", response=MovieDetailOut, operation_id="movie", summary="One film")
def movie(request: HttpRequest, movie_id: PathRef, id_space: IdSpace = None) -> HttpResponse:
    """Answers with everything the catalogue knows about a film."""
    return json_response(render_details(visible_movie(movie_id), id_space))


def render_details(found: Movie, id_space: str | None = None) -> dict[str, Any]:
    """Return a film in the shape of `MovieDetailOut`. Raises Problem (422) for an unknown id space."""
    require_id_space(id_space)
    facts = movie_details(found)
    return {
        **_render_movie(found, _names(facts.genres)),
        **_in_space(found, id_space),
        "runtime": found.runtime,
        "synopsis": found.synopsis,
        "countries": _names(facts.countries),
        "languages": _names(facts.languages),
        **_people(facts),
        "titles": [{"title": title, "language": language} for title, language in facts.other_titles],
        "tags": list(found.tags.values_list("name", flat=True)),
        "available_from": found.available_from,
        "available_until": found.available_until,
        "attributes": found.attributes,
        "rating_histogram": {f"{value:g}": count for value, count in count_stars(found).items()},
    }


@router.get(
    "/movies/{movie_id}/similar", response=SimilarOut, operation_id="similar", summary="Films like one film"
)
def similar(
    request: HttpRequest,
    movie_id: PathRef,
    k: Annotated[int, Query(ge=1, le=MAX_K)] = DEFAULT_K,
    id_space: IdSpace = None,
) -> HttpResponse:
    """Lists films that the same people liked, or films of the same genres if no model knows the film."""
    seed = visible_movie(movie_id)
    ranked = rank_similar(seed.pk, k=k)
    load_movies(ranked)
    count_shown([ranked])
    ids = external_ids_in(id_space, [seed.pk, *(entry.movie.pk for entry in ranked.entries)])

    def own_id(movie_id: int) -> dict[str, str | None]:
        return {} if id_space is None else {"external_id": ids.get(movie_id)}

    return json_response(
        {
            "movie_id": seed.pk,
            **own_id(seed.pk),
            "recommendation_id": ranked.recommendation_id,
            "model": ranked.model,
            "version": ranked.version,
            "fallback": ranked.fallback_text,
            "similar": [
                {
                    "rank": entry.rank,
                    "movie_id": entry.movie.pk,
                    **own_id(entry.movie.pk),
                    "title": entry.movie.title,
                    "score": round_score(entry.score),
                }
                for entry in ranked.entries
            ],
        }
    )


@router.get("/search", response=SearchOut, operation_id="search", summary="Films by title, people by name")
def search(
    request: HttpRequest,
    q: Annotated[
        str, Query(min_length=1, max_length=MAX_QUERY_LENGTH, description="Words of a title or name.")
    ],
    id_space: IdSpace = None,
    page: PageNumber = 1,
    page_size: PageSize = PAGE_SIZE,
) -> HttpResponse:
    """Searches all titles of films in all languages, and names of people; the best match is first.

    Some hundreds of films are compared at most, the likeliest and the most rated; people are 12 at most.
    """
    found = search_movies(q, _with_related(Movie.objects.all()))
    answer = _page(request, found, page, page_size, id_space)
    people = search_people(q)[:MAX_PEOPLE]
    answer["people"] = [
        {
            "id": person.pk,
            "name": person.name,
            "films": person.n_movies,  # type: ignore[attr-defined]
            "url": person.get_absolute_url(),
        }
        for person in people
    ]
    answer["did_you_mean"] = [] if answer["count"] or people else closest_titles(q)
    answer["is_cut"] = found.is_cut
    return json_response(answer)


def visible_movie(movie_id: int | str) -> Movie:
    """Return a movie of the site by its number, or by the id in an address. Raises Problem (404, 422)."""
    number = movie_id if isinstance(movie_id, int) else movie_id_of(movie_id)
    found = Movie.objects.visible().filter(pk=number).first()
    if found is None:
        raise Problem(404, f"There is no film {movie_id}.")
    return found


def _ref_in_query(text: str, position: int) -> Ref:
    return parse_path_id(text, f"external_id[{position}]", "query")


def _catalogue_names(field: str, wanted: Sequence[str] | None, offered: Iterable[Facet]) -> tuple[str, ...]:
    """Return names in the catalogue's spelling. Raises Problem (422) for one that it does not have."""
    names = {facet.name.casefold(): facet.name for facet in offered} if wanted else {}
    for name in wanted or ():
        if name.casefold() not in names:
            raise field_problem("query", field, f"No film has {name[:40]!r}.")
    return tuple(names[name.casefold()] for name in wanted or ())


def _with_related(movies: QuerySet[Movie]) -> QuerySet[Movie]:
    """Return the query with what `_render_movie` reads."""
    return movies.defer("synopsis", "attributes").prefetch_related("genres", "external_ids")


def _page(
    request: HttpRequest, found: QuerySet[Movie] | FoundMovies, number: int, size: int, id_space: str | None
) -> dict[str, Any]:
    require_id_space(id_space)
    paginator = Paginator(found, size)
    if number > paginator.num_pages:
        raise Problem(404, f"There is no page {number}; the last one is {paginator.num_pages}.")
    page = paginator.page(number)
    return {
        "count": paginator.count,
        "page": number,
        "pages": paginator.num_pages,
        "page_size": size,
        "next": page_address(request, number + 1) if page.has_next() else None,
        "previous": page_address(request, number - 1) if page.has_previous() else None,
        "results": [_render_movie(each, each.genre_names) | _in_space(each, id_space) for each in page],
    }


def page_address(request: HttpRequest, number: int) -> str:
    """Return the address of another page of the same list, from the root of the site."""
    pairs = [(name, value) for name, values in request.GET.lists() if name != "page" for value in values]
    return f"{request.path}?{urlencode([*pairs, ('page', number)])}"


def _in_space(found: Movie, space: str | None) -> dict[str, str | None]:
    """Return the film's id of an id space, the first of several; nothing without a space."""
    if space is None:
        return {}
    own = sorted((each.pk, each.value) for each in found.external_ids.all() if each.source == space)
    return {"external_id": own[0][1] if own else None}


def _render_movie(found: Movie, genres: list[str]) -> dict[str, Any]:
    external = sorted(found.external_ids.all(), key=lambda each: (each.source, each.value))
    return {
        "id": found.pk,
        "external_ids": [{"source": each.source, "value": each.value} for each in external],
        "title": found.title,
        "year": found.year,
        "genres": genres,
        "rating_count": found.rating_count,
        "rating_average": None if found.rating_average is None else round(found.rating_average, 4),
        "url": found.get_absolute_url(),
    }


def _names(named: list[Link]) -> list[str]:
    return [each.name for each in named]


def _people(facts: MovieDetails) -> dict[str, list[dict[str, Any]]]:
    roles = {"directors": facts.directors, "writers": facts.writers, "cast": facts.cast}
    return {role: [{"id": each.pk, "name": each.name} for each in people] for role, people in roles.items()}
