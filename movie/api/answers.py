"""Ranked lists as the API answers them, and its requests as options of a ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from movie.api.problems import TRAINING_SECONDS, field_problem, unavailable
from movie.api.schemas import RankingRequest
from movie.recommendations.batch import NoTrainedModel, recommend_batch
from movie.recommendations.explanations.explain import explain
from movie.recommendations.filtering import Filters, UnknownName
from movie.recommendations.movie_index import movie_index
from movie.recommendations.ranked_list import RankedList
from movie.recommendations.ranking import RankingOptions, predicted_stars
from movie.telemetry.requests import count_shown
from predictors.history import History


def ranked_lists(histories: Sequence[History], wanted: RankingRequest) -> list[RankedList]:
    """Rank for each history and count the lists.

    Raises Problem: 422 for a genre or language that no movie has, 503 while no model is trained.
    """
    try:
        lists = recommend_batch(histories, _options(wanted))
    except UnknownName as error:
        raise field_problem("body", error.field, str(error)) from error
    except NoTrainedModel as error:
        raise unavailable("No model is trained yet.", TRAINING_SECONDS) from error
    count_shown(lists)
    return lists


def list_answer(ranked: RankedList, wanted: RankingRequest) -> dict[str, Any]:
    """Write a list in the shape of `RankedOut`, with expected stars where they can be told."""
    index = movie_index()
    known = [found for found in ranked.recommendations if found.movie_id in index]  # not hidden just now
    answer: dict[str, Any] = {
        "recommendation_id": ranked.recommendation_id,
        "model": ranked.model,
        "version": ranked.version,
        "recommendations": [
            {
                "rank": rank,
                "movie_id": found.movie_id,
                "title": index.title_of(int(found.movie_id)),
                "score": round_score(found.score),
            }
            for rank, found in enumerate(known, start=1)
        ],
        "unknown_ids": list(ranked.unknown),
        "fallback": fallback_info(ranked) if wanted.model else None,
    }
    expected = predicted_stars(ranked.history, ranked.films)
    for entry in answer["recommendations"]:
        stars = expected.get(entry["movie_id"])
        if stars is not None:
            entry["predicted_rating"] = round(stars, 2)
    return answer


def add_reasons(answer: dict[str, Any], history: History) -> None:
    """Add true sentences with their shares, or what the score came from where nothing connects the movie."""
    films = [entry["movie_id"] for entry in answer["recommendations"]]
    found = explain(films, history, model=answer["model"])
    for entry in answer["recommendations"]:
        why = found.get(entry["movie_id"])
        facts = {"reasons": [], "rest": 0.0, "instead": ""} if why is None else why.as_dict()
        entry.update({name: facts[name] for name in ("reasons", "rest", "instead")})


def fallback_info(ranked: RankedList) -> dict[str, str] | None:
    """Say why another model answered than the one that was asked for; None where it did answer."""
    if not ranked.fallback:
        return None
    return {"requested": ranked.requested, "reason": ranked.fallback, "detail": ranked.fallback_text}


def round_score(value: float) -> float:
    """Round to seven digits, which is what float32 holds."""
    return float(f"{value:.7g}")


def _options(wanted: RankingRequest) -> RankingOptions:
    sent = wanted.filters
    filters = None
    if sent is not None:
        filters = Filters(
            tuple(sent.genres_in),
            tuple(sent.genres_out),
            sent.year_from,
            sent.year_to,
            tuple(sent.languages),
        )
    return RankingOptions(
        k=wanted.k,
        model=wanted.model,
        exclude=wanted.exclude,
        exclude_known=wanted.exclude_seen,
        filters=filters,
        diversity=wanted.diversity,
    )
