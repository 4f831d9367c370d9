"""The shape of a LightGCN service: a user id in, ids out."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query

from movie.api.authentication import get_caller
from movie.api.compat.service import history_of, new_service, number_or_text, rank_with, ranked_response
from movie.api.schemas import MAX_K

router = new_service("lightgcn")


@router.get("/recommend/{user_id}", operation_id="lightgcn_recommend")
def lightgcn_recommend(
    request: HttpRequest,
    user_id: Annotated[str, Path(min_length=1, max_length=128)],
    k: Annotated[int, Query(ge=1, le=MAX_K)] = 10,
) -> HttpResponse:
    lists = rank_with([history_of(user_id, get_caller(request))], "lightgcn", k, exclude_seen=True)
    answer = {"user_id": number_or_text(user_id), "top_k": k, "recommendations": lists[0].films}
    return ranked_response(answer, lists)
