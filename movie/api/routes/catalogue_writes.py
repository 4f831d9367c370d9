"""Writing the catalogue: films of a client's own are added, changed and hidden."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Body
from pydantic import Field, WrapValidator

from movie.api.authentication import require_scopes, throttle
from movie.api.base import json_response
from movie.api.entries import Errors, InvalidEntry, keep_invalid, nothing_stored
from movie.api.models import WRITE_CATALOGUE
from movie.api.movie_ids import IdSpace, PathRef, movie_id_of
from movie.api.movie_statements import (
    MAX_MOVIES,
    HiddenOut,
    MovieFieldsIn,
    MovieIn,
    MoviesWrittenOut,
    OwnMovieOut,
)
from movie.api.problems import Problem, field_problem
from movie.api.routes.catalogue import render_details, router  # one address, one router
from movie.catalogue.models import Movie
from movie.catalogue.upsert import Refused, Written, write_movies
from movie.recommendations.movie_index import recheck

MAY_WRITE = require_scopes(WRITE_CATALOGUE)

Entry = Annotated[MovieIn, WrapValidator(keep_invalid)]
Entries = Annotated[list[Entry], Field(min_length=1, max_length=MAX_MOVIES), Body()]


@router.put(
    "/movies",
    auth=MAY_WRITE,
    response={200: MoviesWrittenOut, 207: MoviesWrittenOut},
    operation_id="put_movies",
    summary="Add or change films",
)
def put_movies(request: HttpRequest, movies: Entries) -> HttpResponse:
    """Adds or changes up to 500 films, each by its id elsewhere. Sent again, it changes nothing.

    What an entry states replaces what the film said; what it leaves out stays. Valid entries are written and
    the others reported: 207. If no entry is valid nothing is written: 422.
    """
    throttle.count_entries(request, len(movies))
    valid = {index: each for index, each in enumerate(movies) if not isinstance(each, InvalidEntry)}
    errors: dict[int, Errors] = {
        index: each.errors for index, each in enumerate(movies) if isinstance(each, InvalidEntry)
    }
    written: dict[int, Written] = {}
    statements = [each.statement(each.id) for each in valid.values()]
    for index, found in zip(valid, write_movies(statements) if statements else (), strict=True):
        if isinstance(found, Refused):
            errors[index] = [{"in": "body", "field": found.field, "detail": found.detail}]
        else:
            written[index] = found
    if not written:
        raise nothing_stored(sorted(errors.items()), len(movies), is_list=True)
    recheck()
    counts = Counter(each.outcome for each in written.values())
    results = [_render_result(written.get(index), errors.get(index, [])) for index in range(len(movies))]
    kinds = ("added", "changed", "unchanged")
    answer = {**{kind: counts[kind] for kind in kinds}, "refused": len(errors), "results": results}
    return json_response(answer, 207 if errors else 200)


@router.patch(
    "/movies/{movie_id}",
    auth=MAY_WRITE,
    response=OwnMovieOut,
    operation_id="patch_movie",
    summary="Change one film",
)
def patch_movie(
    request: HttpRequest, movie_id: PathRef, body: MovieFieldsIn, id_space: IdSpace = None
) -> HttpResponse:
    """Changes what is stated of a film, a hidden one too, and answers with all of it."""
    number = movie_id_of(movie_id)
    if not Movie.objects.filter(pk=number).exists():
        raise Problem(404, f"There is no film {movie_id}.")
    (found,) = write_movies([body.statement(number)])
    if isinstance(found, Refused):
        if found.field == "id":  # it was deleted just now
            raise Problem(404, found.detail)
        raise field_problem("body", found.field, found.detail)
    recheck()
    movie = Movie.objects.get(pk=number)
    own = {"visible": movie.is_visible, "is_available": movie.is_available}
    return json_response(render_details(movie, id_space) | own)


@router.delete(
    "/movies/{movie_id}",
    auth=MAY_WRITE,
    response=HiddenOut,
    operation_id="hide_movie",
    summary="Hide one film",
)
def hide_movie(request: HttpRequest, movie_id: PathRef) -> HttpResponse:
    """Hides a film everywhere. Its ratings stay, and `"visible": true` shows it again."""
    number = movie_id_of(movie_id)
    now = timezone.now()
    hidden = Movie.objects.filter(pk=number, is_visible=True).update(is_visible=False, updated=now)
    if not hidden and not Movie.objects.filter(pk=number).exists():
        raise Problem(404, f"There is no film {movie_id}.")
    recheck()
    return json_response({"movie_id": number, "visible": False})


def _render_result(written: Written | None, errors: Errors) -> dict[str, Any]:
    if written is None:
        return {"movie_id": None, "outcome": "refused", "errors": errors}
    return {"movie_id": written.movie_id, "outcome": written.outcome, "errors": []}
