"""Recommendations for one visitor."""

from __future__ import annotations

import time
from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query, Router

from movie.api.answers import add_reasons, list_answer, ranked_lists
from movie.api.authentication import Caller, caller_of
from movie.api.history_input import resolve_history
from movie.api.json import json_response
from movie.api.schemas import DEFAULT_LENGTH, LONGEST_LIST, ModelName, RecommendOut, RecommendRequest, UserId

router = Router(tags=["recommendations"])


@router.post("/recommend", response=RecommendOut, operation_id="recommend", summary="Films for a visitor")
def recommend(request: HttpRequest, body: RecommendRequest) -> HttpResponse:
    """Ranks films for somebody the site knows, or for a history sent with the request.

    Nothing is stored. Films handed out here are no interactions; send `recommendation_id` along with those
    that follow from the list.
    """
    return _answer(body, caller_of(request))


@router.get(
    "/recommend/{user_id}", response=RecommendOut, operation_id="recommend_to", summary="Films for a user"
)
def recommend_to(
    request: HttpRequest,
    user_id: Annotated[UserId, Path()],
    k: Annotated[int, Query(ge=1, le=LONGEST_LIST)] = DEFAULT_LENGTH,
    model: Annotated[ModelName | None, Query()] = None,
    explain: bool = False,
) -> HttpResponse:
    """The short form: the defaults of `POST /recommend` hold."""
    wanted = RecommendRequest(user_id=user_id, k=k, explain=explain)
    if model is not None:
        wanted.model = model
    return _answer(wanted, caller_of(request), "path")


def _answer(wanted: RecommendRequest, caller: Caller, where: str = "body") -> HttpResponse:
    started = time.perf_counter()
    history = resolve_history(wanted, caller, where)
    (ranked,) = ranked_lists([history], wanted)
    answer = list_answer(ranked, wanted)
    if wanted.explain:
        add_reasons(answer, history)
    answer["latency_ms"] = round((time.perf_counter() - started) * 1000, 2)
    return json_response(answer)
