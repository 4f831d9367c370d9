"""The shape of a matrix factorisation service: a user id in, predicted ratings out."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from movie.api.authentication import get_caller
from movie.api.compat.service import (
    CompatRequest,
    TopK,
    UserId,
    history_of,
    new_service,
    rank_with,
    ranked_response,
)
from movie.recommendations.ranking import predicted_stars

router = new_service("mf")


class RatingsRequest(CompatRequest):
    user_id: UserId
    top_n: TopK = 10
    exclude_rated: bool = True


@router.post("/recommend", operation_id="mf_recommend")
def mf_recommend(request: HttpRequest, body: RatingsRequest) -> HttpResponse:
    """Ranks with predicted ratings; null where the star predictor cannot predict one."""
    history = history_of(body.user_id, get_caller(request))
    lists = rank_with([history], "mf", body.top_n, exclude_seen=body.exclude_rated)
    stars = predicted_stars(history, lists[0].films)
    items = [
        {
            "rank": position,
            "item_id": movie_id,
            "predicted_rating": round(stars[movie_id], 2) if movie_id in stars else None,
        }
        for position, movie_id in enumerate(lists[0].films, start=1)
    ]
    return ranked_response(
        {"user_id": body.user_id, "recommendations": items, "total_count": len(items)}, lists
    )
