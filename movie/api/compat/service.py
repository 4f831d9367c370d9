"""The base of the compatible services: their common routes, histories by user id, answer headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Router
from ninja.pagination import paginate
from pydantic import BaseModel, ConfigDict, Field

from movie.api.answers import rank_histories, round_score
from movie.api.authentication import Caller, get_caller
from movie.api.base import json_response
from movie.api.history_input import resolve_histories
from movie.api.models import READ
from movie.api.pagination import ReadRows
from movie.api.problems import Problem
from movie.api.routes import models as model_routes
from movie.api.routes.users import UserPagination, data_sets, list_visitors_after
from movie.api.schemas import MAX_K, HistorySource
from movie.api.visitor_access import id_for_caller
from movie.catalogue.models import Rating
from movie.core.converters import MAX_ID
from movie.operations import metrics_view
from movie.operations.health import readiness
from movie.recommendations.ranked_list import RankedList
from movie.recommendations.ranking import RankingOptions
from predictors.history import History

UserId = (
    Annotated[int, Field(strict=True, ge=0, le=MAX_ID)] | Annotated[str, Field(min_length=1, max_length=128)]
)
TopK = Annotated[int, Field(ge=1, le=MAX_K)]


class CompatRequest(BaseModel):
    """A request in the shape of another service; unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


def new_service(name: str) -> Router:
    """Return a router with the routes that every compatible service has besides its lists."""
    router = Router(tags=[name])

    @router.get("/health", auth=None, throttle=[], operation_id=f"{name}_health")
    def health(request: HttpRequest) -> HttpResponse:
        """Says whether the service can rank, 503 if not."""
        found = readiness()
        is_serving = found.status != "unavailable"
        is_loaded = all(check.ok for check in found.checks if check.name == "models")
        answer = {"status": "healthy" if is_serving else "unhealthy", "model_loaded": is_loaded}
        return json_response(answer, 200 if is_serving else 503)

    @router.get("/models", operation_id=f"{name}_models")
    def models(request: HttpRequest) -> HttpResponse:
        """Answers as `GET /api/v1/models`."""
        return model_routes.models(request)

    @router.get("/metrics", auth=None, throttle=[], operation_id=f"{name}_metrics")
    def metrics(request: HttpRequest) -> HttpResponse:
        """Answers as `GET /metrics` of the site, to the same readers."""
        return metrics_view.metrics(request)

    @router.get("/users", operation_id=f"{name}_users")
    @paginate(UserPagination)
    def users(request: HttpRequest) -> ReadRows:
        """Lists the ids of users, page by page: `next` is the cursor of the next page."""
        caller = get_caller(request)
        return lambda after, n: [
            ((visitor,), _short_id(visitor, caller))
            for visitor, _n_ratings in list_visitors_after(caller, after, n)
        ]

    return router


def histories_of(user_ids: Sequence[int | str], caller: Caller) -> list[History | Problem]:
    """Return the history of each user, or the problem with it: 404, 401 or 403."""
    sources = {
        position: HistorySource(user_id=full_id)
        for position, full_id in enumerate(_full_ids([str(user_id) for user_id in user_ids], caller))
    }
    found = resolve_histories(sources, caller)
    return [_named_as_sent(user_id, found[position]) for position, user_id in enumerate(user_ids)]


def history_of(user_id: int | str, caller: Caller) -> History:
    """Return the history of a user. Raises Problem as `histories_of` returns it."""
    (found,) = histories_of([user_id], caller)
    if isinstance(found, Problem):
        raise found
    return found


def rank_with(histories: Sequence[History], model: str, k: int, *, exclude_seen: bool) -> list[RankedList]:
    """Rank for each history with a model, or with its fallback."""
    return rank_histories(histories, RankingOptions(k, model, exclude_known=exclude_seen))


def scored_items(ranked: RankedList) -> list[dict[str, Any]]:
    """Return a list as item ids with their scores, best first."""
    return [
        {"item_id": found.movie_id, "score": round_score(found.score)} for found in ranked.recommendations
    ]


def ranked_items(ranked: RankedList) -> list[dict[str, Any]]:
    """Return a list as item ids with their ranks from 1 and their scores."""
    return [{"rank": rank, **item} for rank, item in enumerate(scored_items(ranked), start=1)]


def ranked_response(content: Mapping[str, Any], lists: Sequence[RankedList]) -> HttpResponse:
    """Return an answer whose headers name the models of its lists and the reasons of fallbacks."""
    response = json_response(content)
    if lists:
        response["Reelgraph-Model"] = ", ".join(dict.fromkeys(each.model for each in lists))
    reasons = dict.fromkeys(each.fallback for each in lists if each.fallback)
    if reasons:
        response["Reelgraph-Fallback"] = ", ".join(reasons)
    return response


def number_or_text(user_id: str) -> int | str:
    """Return a user id as a number, if it is the plain decimal form of one."""
    is_number = user_id.isascii() and user_id.isdecimal() and str(int(user_id)) == user_id
    return int(user_id) if is_number else user_id


def _short_id(visitor: str, caller: Caller) -> int | str:
    """Return the id that requests to these services name a visitor by."""
    only = data_sets()
    short = visitor.removeprefix(f"{only[0]}:") if len(only) == 1 else visitor
    return number_or_text(id_for_caller(short, caller))


def _named_as_sent(user_id: int | str, found: History | Problem) -> History | Problem:
    is_unknown = isinstance(found, Problem) and found.status == HTTPStatus.NOT_FOUND
    return Problem(404, f"There is no user {user_id!r}.") if is_unknown else found


def _full_ids(user_ids: Sequence[str], caller: Caller) -> list[str]:
    """Return ids as `/api/v1/` takes them.

    An id without a namespace is a user of the first data set that has it, in order of the data sets' names;
    else it is the client's own visitor.
    """
    sets = data_sets()
    possible = {f"{name}:{user_id}" for user_id in user_ids if ":" not in user_id for name in sets}
    rated = Rating.objects.filter(visitor__in=possible).order_by().values_list("visitor", flat=True)
    known = set(rated.distinct())

    def full(user_id: str) -> str:
        if ":" in user_id:
            return user_id
        candidates = [f"{name}:{user_id}" for name in sets]
        may_be_own = (caller.client and caller.has_scope(READ)) or not sets
        unknown = user_id if may_be_own else candidates[0]
        return next((each for each in candidates if each in known), unknown)

    return [full(user_id) for user_id in user_ids]
