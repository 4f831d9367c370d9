"""The shape of a service with LightGCN and NGCF by name: one user or many in, ids with scores out."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from pydantic import Field

from movie.api.authentication import get_caller, throttle
from movie.api.base import ms_since
from movie.api.compat.service import (
    CompatRequest,
    TopK,
    UserId,
    histories_of,
    history_of,
    new_service,
    rank_with,
    ranked_response,
    scored_items,
)
from movie.api.problems import Problem
from movie.api.schemas import DEFAULT_K, MAX_BATCH, ModelName
from movie.recommendations.ranked_list import RankedList

router = new_service("graph")


class GraphOptions(CompatRequest):
    k: TopK = DEFAULT_K
    exclude_seen: bool = True
    model_name: ModelName = "lightgcn"


class GraphRequest(GraphOptions):
    user_id: UserId


class GraphBatch(GraphOptions):
    user_ids: list[UserId] = Field(min_length=1, max_length=MAX_BATCH)


@router.post("/recommend", operation_id="graph_recommend")
def graph_recommend(request: HttpRequest, body: GraphRequest) -> HttpResponse:
    started = time.perf_counter()
    history = history_of(body.user_id, get_caller(request))
    lists = rank_with([history], body.model_name, body.k, exclude_seen=body.exclude_seen)
    answer = {**_entry(body.user_id, lists[0]), "timestamp": _now(), "latency_ms": ms_since(started)}
    return ranked_response(answer, lists)


@router.post("/batch_recommend", operation_id="graph_batch_recommend")
def graph_batch_recommend(request: HttpRequest, body: GraphBatch) -> HttpResponse:
    """Ranks for many users, in their order. A user without a list has an `error` instead."""
    started = time.perf_counter()
    throttle.count_entries(request, len(body.user_ids), "user_ids")
    histories = histories_of(body.user_ids, get_caller(request))
    known = [history for history in histories if not isinstance(history, Problem)]
    lists = rank_with(known, body.model_name, body.k, exclude_seen=body.exclude_seen)
    ranked = iter(lists)
    results = [
        {"user_id": user_id, "error": history.detail}
        if isinstance(history, Problem)
        else _entry(user_id, next(ranked))
        for user_id, history in zip(body.user_ids, histories, strict=True)
    ]
    answer = {
        "results": results,
        "total_users": len(results),
        "successful": len(lists),
        "failed": len(results) - len(lists),
        "latency_ms": ms_since(started),
        "timestamp": _now(),
    }
    return ranked_response(answer, lists)


def _entry(user_id: int | str, ranked: RankedList) -> dict[str, Any]:
    return {"user_id": user_id, "recommendations": scored_items(ranked), "model_used": ranked.model}


def _now() -> str:
    return datetime.now(UTC).isoformat()
