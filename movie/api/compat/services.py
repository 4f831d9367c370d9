"""The same lists in the shapes of other recommendation services, each below an address of its own.

    /api/compat/lightgcn/   a user id in, ids out
    /api/compat/graph/      LightGCN or NGCF by name, one user or many
    /api/compat/sasrec/     a history in, ranked films out
    /api/compat/mf/         predicted ratings

A client of such a service changes its base URL and nothing else; `docs/compatibility.md` shows each call.
Films are named by their ids on this site. Users of data sets are named as in the data set, `196` for
`ml-100k:196`. Every list says in headers which model made it: `Reelgraph-Model` and, where that is not the
one that was asked for, `Reelgraph-Fallback`. Only the shapes live here; the lists are those of `/api/v1/`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query, Router
from ninja.pagination import paginate
from pydantic import BaseModel, ConfigDict, Field

from movie.api.answers import ranked_lists, round_score
from movie.api.authentication import Caller, caller_of, throttle
from movie.api.base import JsonAPI
from movie.api.history_input import resolve_histories
from movie.api.json import json_response
from movie.api.models import READ
from movie.api.pagination import ReadRows
from movie.api.problems import Problem
from movie.api.routes import models as model_routes
from movie.api.routes.users import UserPagination, data_sets, users_after
from movie.api.schemas import (
    DEFAULT_LENGTH,
    LARGEST_ID,
    LONGEST_LIST,
    MOST_ENTRIES,
    MOST_FILMS,
    HistorySource,
    ModelName,
    MovieId,
    RankingRequest,
)
from movie.api.visitor_access import shown
from movie.catalogue.models import Movie, Rating
from movie.operations import metrics_view
from movie.operations.health import readiness
from movie.recommendations.ranked_list import RankedList, load_movies
from movie.recommendations.ranking import predicted_stars, rank_similar
from predictors.history import History

UserId = (
    Annotated[int, Field(strict=True, ge=0, le=LARGEST_ID)]
    | Annotated[str, Field(min_length=1, max_length=128)]
)
TopK = Annotated[int, Field(ge=1, le=LONGEST_LIST)]
SentHistory = Annotated[list[MovieId], Field(max_length=MOST_FILMS)]


class CompatRequest(BaseModel):
    """What a client of another service sends; fields that mean nothing here are passed over."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


# -- what all of them have -------------------------------------------------------------------------


def _service(name: str) -> Router:
    """A router with what every such service answers besides lists."""
    router = Router(tags=[name])

    @router.get("/health", auth=None, throttle=[], operation_id=f"{name}_health")
    def is_healthy(request: HttpRequest) -> HttpResponse:
        """Whether lists can be made."""
        found = readiness()
        serves = found.status != "unavailable"
        loaded = all(check.ok for check in found.checks if check.name == "models")
        answer = {"status": "healthy" if serves else "unhealthy", "model_loaded": loaded}
        return json_response(answer, 200 if serves else 503)

    @router.get("/models", operation_id=f"{name}_models")
    def models(request: HttpRequest) -> HttpResponse:
        """As `GET /api/v1/models`."""
        return model_routes.models(request)

    @router.get("/metrics", auth=None, throttle=[], operation_id=f"{name}_metrics")
    def metrics(request: HttpRequest) -> HttpResponse:
        """As `GET /metrics` of the site, for those who may read that."""
        return metrics_view.metrics(request)

    @router.get("/users", operation_id=f"{name}_users")
    @paginate(UserPagination)
    def users(request: HttpRequest) -> ReadRows:
        """Ids to ask with, page by page: `next` is the cursor of the next page."""
        caller = caller_of(request)
        return lambda after, n: [((key,), _shown(key, caller)) for key in users_after(caller, after, n)]

    return router


def _shown(key: str, caller: Caller) -> int | str:
    """The id that this key's owner goes by in the requests of these services."""
    only = data_sets()
    plain = key.removeprefix(f"{only[0]}:") if len(only) == 1 else key
    return _number_or_text(shown(plain, caller))


def _number_or_text(user_id: str) -> int | str:
    return (
        int(user_id)
        if user_id.isascii() and user_id.isdecimal() and str(int(user_id)) == user_id
        else user_id
    )


def _histories(user_ids: Sequence[int | str], caller: Caller) -> list[History | Problem]:
    """The history of each user, or the problem with it: 404, 401 or 403."""
    full_ids = _full_ids([str(user_id) for user_id in user_ids], caller)
    found = resolve_histories(
        {place: HistorySource(user_id=each) for place, each in enumerate(full_ids)}, caller
    )
    return [_by_their_name(user_id, found[place]) for place, user_id in enumerate(user_ids)]


def _by_their_name(user_id: int | str, found: History | Problem) -> History | Problem:
    unknown = isinstance(found, Problem) and found.status == HTTPStatus.NOT_FOUND
    return Problem(404, f"There is no user {user_id!r}.") if unknown else found


def _full_ids(user_ids: Sequence[str], caller: Caller) -> list[str]:
    """Ids as `/api/v1/` takes them. A plain one is a user of the first data set that has it, in order of
    the data sets' names; else it is the client's own visitor."""
    sets = data_sets()
    possible = {f"{name}:{user_id}" for user_id in user_ids if ":" not in user_id for name in sets}
    rated = Rating.objects.filter(visitor__in=possible).order_by().values_list("visitor", flat=True)
    known = set(rated.distinct())

    def full(user_id: str) -> str:
        if ":" in user_id:
            return user_id
        longer = [f"{name}:{user_id}" for name in sets]
        own = caller.client and caller.may(READ)
        return next((each for each in longer if each in known), user_id if own or not sets else longer[0])

    return [full(user_id) for user_id in user_ids]


def _history(user_id: int | str, caller: Caller) -> History:
    """Raises Problem."""
    (found,) = _histories([user_id], caller)
    if isinstance(found, Problem):
        raise found
    return found


def _lists(histories: Sequence[History], model: str, k: int, exclude_seen: bool) -> list[RankedList]:
    return ranked_lists(histories, RankingRequest(model=model, k=k, exclude_seen=exclude_seen))


def _answer(content: dict[str, Any], made: Iterable[RankedList]) -> HttpResponse:
    response = json_response(content)
    lists = list(made)
    if lists:
        response["Reelgraph-Model"] = ", ".join(dict.fromkeys(each.model for each in lists))
    reasons = dict.fromkeys(each.fallback for each in lists if each.fallback)
    if reasons:
        response["Reelgraph-Fallback"] = ", ".join(reasons)
    return response


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)


def _now() -> str:
    return datetime.now(UTC).isoformat()


# -- LightGCN: a user id in, ids out ---------------------------------------------------------------

lightgcn = _service("lightgcn")


@lightgcn.get("/recommend/{user_id}", operation_id="lightgcn_recommend")
def lightgcn_recommend(
    request: HttpRequest,
    user_id: Annotated[str, Path(min_length=1, max_length=128)],
    k: Annotated[int, Query(ge=1, le=LONGEST_LIST)] = 10,
) -> HttpResponse:
    made = _lists([_history(user_id, caller_of(request))], "lightgcn", k, exclude_seen=True)
    answer = {"user_id": _number_or_text(user_id), "top_k": k, "recommendations": made[0].films}
    return _answer(answer, made)


# -- LightGCN or NGCF by name, one user or many ----------------------------------------------------

graph = _service("graph")


class GraphOptions(CompatRequest):
    k: TopK = DEFAULT_LENGTH
    exclude_seen: bool = True
    model_name: ModelName = "lightgcn"


class GraphRequest(GraphOptions):
    user_id: UserId


class GraphBatch(GraphOptions):
    user_ids: list[UserId] = Field(min_length=1, max_length=MOST_ENTRIES)


@graph.post("/recommend", operation_id="graph_recommend")
def graph_recommend(request: HttpRequest, body: GraphRequest) -> HttpResponse:
    started = time.perf_counter()
    made = _lists([_history(body.user_id, caller_of(request))], body.model_name, body.k, body.exclude_seen)
    answer = {**_scored(body.user_id, made[0]), "timestamp": _now(), "latency_ms": _ms_since(started)}
    return _answer(answer, made)


@graph.post("/batch_recommend", operation_id="graph_batch_recommend")
def graph_batch_recommend(request: HttpRequest, body: GraphBatch) -> HttpResponse:
    """One result for each user, in their order; one that failed has an `error` in place of the list."""
    started = time.perf_counter()
    throttle.count_entries(request, len(body.user_ids))
    histories = _histories(body.user_ids, caller_of(request))
    made = _lists(
        [each for each in histories if not isinstance(each, Problem)],
        body.model_name,
        body.k,
        body.exclude_seen,
    )
    lists = iter(made)
    results = [
        {"user_id": user_id, "error": found.detail}
        if isinstance(found, Problem)
        else _scored(user_id, next(lists))
        for user_id, found in zip(body.user_ids, histories, strict=True)
    ]
    answer = {
        "results": results,
        "total_users": len(results),
        "successful": len(made),
        "failed": len(results) - len(made),
        "latency_ms": _ms_since(started),
        "timestamp": _now(),
    }
    return _answer(answer, made)


def _scored(user_id: int | str, ranked: RankedList) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "recommendations": [
            {"item_id": found.movie_id, "score": round_score(found.score)} for found in ranked.recommendations
        ],
        "model_used": ranked.model,
    }


# -- SASRec: a history in, ranked films out --------------------------------------------------------

sasrec = _service("sasrec")


class SequenceOptions(CompatRequest):
    top_k: TopK = 10
    exclude_history: bool = True


class SequenceRequest(SequenceOptions):
    user_history: SentHistory


class SequenceBatch(SequenceOptions):
    user_histories: list[SentHistory] = Field(min_length=1, max_length=MOST_ENTRIES)


@sasrec.post("/recommend", operation_id="sasrec_recommend")
def sasrec_recommend(request: HttpRequest, body: SequenceRequest) -> HttpResponse:
    started = time.perf_counter()
    made = _for_histories([body.user_history], body, caller_of(request))
    answer = {"user_history": body.user_history, "recommendations": _ranked(made[0])}
    return _answer({**answer, "inference_time_ms": _ms_since(started)}, made)


@sasrec.post("/recommend_batch", operation_id="sasrec_recommend_batch")
def sasrec_recommend_batch(request: HttpRequest, body: SequenceBatch) -> HttpResponse:
    started = time.perf_counter()
    throttle.count_entries(request, len(body.user_histories))
    made = _for_histories(body.user_histories, body, caller_of(request))
    results = [
        {"user_history": history, "recommendations": _ranked(each)}
        for history, each in zip(body.user_histories, made, strict=True)
    ]
    return _answer({"results": results, "inference_time_ms": _ms_since(started)}, made)


@sasrec.get("/similar_items/{item_id}", operation_id="sasrec_similar_items")
def sasrec_similar_items(
    request: HttpRequest,
    item_id: Annotated[int, Path(ge=1, le=LARGEST_ID)],
    top_k: Annotated[int, Query(ge=1, le=LONGEST_LIST)] = 10,
) -> HttpResponse:
    film = Movie.objects.visible().filter(pk=item_id).first()
    if film is None:
        raise Problem(404, f"There is no film {item_id}.")
    ranked = rank_similar(film.pk, k=top_k)
    load_movies(ranked)
    found = [
        {"rank": entry.rank, "item_id": entry.movie.pk, "score": round_score(entry.score)}
        for entry in ranked.entries
    ]
    response = json_response({"item_id": item_id, "similar_items": found})
    response["Reelgraph-Model"] = ranked.model
    return response


def _for_histories(histories: Sequence[list[int]], body: SequenceOptions, caller: Caller) -> list[RankedList]:
    found = resolve_histories(
        {n: HistorySource(history=list(each)) for n, each in enumerate(histories)}, caller
    )
    known = [each for each in found.values() if not isinstance(each, Problem)]
    return _lists(known, "sasrec", body.top_k, body.exclude_history)


def _ranked(ranked: RankedList) -> list[dict[str, Any]]:
    return [
        {"rank": rank, "item_id": found.movie_id, "score": round_score(found.score)}
        for rank, found in enumerate(ranked.recommendations, start=1)
    ]


# -- matrix factorisation: predicted ratings -------------------------------------------------------

mf = _service("mf")


class RatingsRequest(CompatRequest):
    user_id: UserId
    top_n: TopK = 10
    exclude_rated: bool = True


@mf.post("/recommend", operation_id="mf_recommend")
def mf_recommend(request: HttpRequest, body: RatingsRequest) -> HttpResponse:
    """`predicted_rating` is null where the star predictor is not trained or does not know the film."""
    history = _history(body.user_id, caller_of(request))
    made = _lists([history], "mf", body.top_n, body.exclude_rated)
    expected = predicted_stars(history, made[0].films)
    found = [
        {
            "rank": rank,
            "item_id": film,
            "predicted_rating": round(expected[film], 2) if film in expected else None,
        }
        for rank, film in enumerate(made[0].films, start=1)
    ]
    return _answer({"user_id": body.user_id, "recommendations": found, "total_count": len(found)}, made)


# -- all of them -----------------------------------------------------------------------------------

api = JsonAPI(
    title="Reelgraph, in the shapes of other services",
    version="1",
    description=__doc__ or "",
    urls_namespace="api-compat",
)
for _name, _router in (("lightgcn", lightgcn), ("graph", graph), ("sasrec", sasrec), ("mf", mf)):
    api.add_router(f"/{_name}", _router)
