"""Names of the catalogue: its genres and its people."""

from __future__ import annotations

from typing import Annotated, Any

from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, Field

from movie.api.answer_schemas import FoundPersonOut
from movie.api.base import json_response
from movie.api.problems import Problem
from movie.api.routes.catalogue import MAX_QUERY_LENGTH, PageNumber, PageSize, page_address
from movie.catalogue.availability import available_now
from movie.catalogue.browse import PAGE_SIZE
from movie.catalogue.facets import facets
from movie.catalogue.models import Credit, Person
from movie.catalogue.people_search import FoundPeople, search_people

router = Router(tags=["catalogue"])


class GenreOut(BaseModel):
    id: int
    name: str
    films: int


class GenresOut(BaseModel):
    genres: list[GenreOut]


class PeoplePageOut(BaseModel):
    """One page of people; `next` and `previous` are addresses or null."""

    count: int = Field(description="People of films that are shown; with `q` 30 at most.")
    page: int
    pages: int
    page_size: int
    next: str | None
    previous: str | None
    results: list[FoundPersonOut]
    is_cut: bool = Field(description="Whether more people may match `q` than `count` says.")


@router.get("/genres", response=GenresOut, operation_id="genres", summary="Genres")
def genres(request: HttpRequest) -> HttpResponse:
    """Lists the genres of films that are shown, by name, with how many films have each."""
    found = [{"id": each.pk, "name": each.name, "films": each.n_movies} for each in facets().genres]
    return json_response({"genres": found})


@router.get("/people", response=PeoplePageOut, operation_id="people", summary="People")
def people(
    request: HttpRequest,
    q: Annotated[
        str | None, Query(min_length=1, max_length=MAX_QUERY_LENGTH, description="Words of a name.")
    ] = None,
    page: PageNumber = 1,
    page_size: PageSize = PAGE_SIZE,
) -> HttpResponse:
    """Lists people of films that are shown: by name, or with `q` those it names, the best match first.

    With `q` they are 30 at most.
    """
    listed = _people() if q is None else search_people(q)
    paginator = Paginator(listed, page_size)
    if page > paginator.num_pages:
        raise Problem(404, f"There is no page {page}; the last one is {paginator.num_pages}.")
    found = paginator.page(page)
    people = list(found)
    shown = Count("movies", filter=available_now("movies__"), distinct=True)
    counted = Person.objects.filter(pk__in=[each.pk for each in people]).annotate(films=shown)
    films = dict(counted.values_list("pk", "films"))
    answer: dict[str, Any] = {
        "count": paginator.count,
        "page": page,
        "pages": paginator.num_pages,
        "page_size": page_size,
        "next": page_address(request, page + 1) if found.has_next() else None,
        "previous": page_address(request, page - 1) if found.has_previous() else None,
        "results": [
            {"id": each.pk, "name": each.name, "films": films[each.pk], "url": each.get_absolute_url()}
            for each in people
        ],
        "is_cut": isinstance(listed, FoundPeople) and listed.is_cut,
    }
    return json_response(answer)


def _people() -> QuerySet[Person]:
    credited = Credit.objects.filter(available_now("movie__")).values("person")
    return Person.objects.filter(pk__in=credited).order_by("search_key", "pk")
