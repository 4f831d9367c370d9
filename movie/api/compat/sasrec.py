"""The shape of a SASRec service: a history in, ranked ids out."""

from __future__ import annotations

import time
from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query
from pydantic import Field

from movie.api.answers import round_score
from movie.api.authentication import throttle
from movie.api.base import json_response, ms_since
from movie.api.compat.service import (
    CompatRequest,
    TopK,
    new_service,
    rank_with,
    ranked_items,
    ranked_response,
)
from movie.api.history_input import request_history
from movie.api.movie_ids import MovieId
from movie.api.routes.catalogue import visible_movie
from movie.api.schemas import MAX_BATCH, MAX_HISTORY, MAX_K
from movie.core.converters import MAX_ID
from movie.recommendations.ranked_list import RankedList, load_movies
from movie.recommendations.similar import rank_similar

router = new_service("sasrec")

ItemIds = Annotated[list[MovieId], Field(max_length=MAX_HISTORY)]


class SequenceOptions(CompatRequest):
    top_k: TopK = 10
    exclude_history: bool = True


class SequenceRequest(SequenceOptions):
    user_history: ItemIds


class SequenceBatch(SequenceOptions):
    user_histories: list[ItemIds] = Field(min_length=1, max_length=MAX_BATCH)


@router.post("/recommend", operation_id="sasrec_recommend")
def sasrec_recommend(request: HttpRequest, body: SequenceRequest) -> HttpResponse:
    started = time.perf_counter()
    lists = _rank([body.user_history], body)
    answer = {"user_history": body.user_history, "recommendations": ranked_items(lists[0])}
    return ranked_response({**answer, "inference_time_ms": ms_since(started)}, lists)


@router.post("/recommend_batch", operation_id="sasrec_recommend_batch")
def sasrec_recommend_batch(request: HttpRequest, body: SequenceBatch) -> HttpResponse:
    started = time.perf_counter()
    throttle.count_entries(request, len(body.user_histories), "user_histories")
    lists = _rank(body.user_histories, body)
    results = [
        {"user_history": history, "recommendations": ranked_items(ranked)}
        for history, ranked in zip(body.user_histories, lists, strict=True)
    ]
    return ranked_response({"results": results, "inference_time_ms": ms_since(started)}, lists)


@router.get("/similar_items/{item_id}", operation_id="sasrec_similar_items")
def sasrec_similar_items(
    request: HttpRequest,
    item_id: Annotated[int, Path(ge=1, le=MAX_ID)],
    top_k: Annotated[int, Query(ge=1, le=MAX_K)] = 10,
) -> HttpResponse:
    ranked = rank_similar(visible_movie(item_id).pk, k=top_k)
    load_movies(ranked)
    similar = [
        {"rank": entry.rank, "item_id": entry.movie.pk, "score": round_score(entry.score)}
        for entry in ranked.entries
    ]
    response = json_response({"item_id": item_id, "similar_items": similar})
    response["Reelgraph-Model"] = ranked.model
    return response


def _rank(histories: list[list[int]], body: SequenceOptions) -> list[RankedList]:
    sent = [request_history(item_ids) for item_ids in histories]
    return rank_with(sent, "sasrec", body.top_k, exclude_seen=body.exclude_history)
