"""Ranking for API requests, and the lists in the shape of the API's answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from movie.api.movie_ids import external_ids_in
from movie.api.problems import TRAINING_SECONDS, field_problem, unavailable
from movie.experiments.assignment import Arm
from movie.recommendations.batch import NoTrainedModel, recommend_batch
from movie.recommendations.ceiling import costly_call
from movie.recommendations.explanations.explain import explain
from movie.recommendations.filtering import UnknownName
from movie.recommendations.movie_index import movie_index
from movie.recommendations.ranked_list import RankedList
from movie.recommendations.ranking import RankingOptions, predicted_stars
from movie.telemetry.requests import count_shown
from predictors.history import History

NO_REASONS: dict[str, Any] = {"reasons": [], "rest": 0.0, "connections": [], "instead": ""}


def rank_histories(
    histories: Sequence[History], options: RankingOptions, arms: Sequence[Arm | None] = ()
) -> list[RankedList]:
    """Rank for each history, by the arm of an experiment where it has one, and count the lists.

    Raises Problem: 422 for a name in a filter that no movie has, 503 while no model is trained.
    """
    by_arm: dict[Arm | None, list[int]] = defaultdict(list)
    for position in range(len(histories)):
        by_arm[arms[position] if arms else None].append(position)
    lists: dict[int, RankedList] = {}
    try:
        for arm, positions in by_arm.items():
            some = [histories[position] for position in positions]
            found = recommend_batch(some, replace(options, arm=arm) if arm else options)
            lists.update(zip(positions, found, strict=True))
    except UnknownName as error:
        raise field_problem("body", error.field, str(error)) from error
    except NoTrainedModel as error:
        raise unavailable("No model is trained yet.", TRAINING_SECONDS) from error
    ranked = [lists[position] for position in range(len(histories))]
    count_shown(ranked)
    return ranked


def render_list(ranked: RankedList, options: RankingOptions, unknown: Sequence[str] = ()) -> dict[str, Any]:
    """Return a list in the shape of `RankedOut`, with predicted stars where the history allows them.

    `unknown` are ids of the request that no film has.
    """
    titles = movie_index().titles_of([found.movie_id for found in ranked.recommendations])
    # Without those that were hidden just now.
    known = [found for found in ranked.recommendations if found.movie_id in titles]
    scores = round_scores([found.score for found in known])
    answer: dict[str, Any] = {
        "recommendation_id": ranked.recommendation_id,
        "model": ranked.model,
        "version": ranked.version,
        "recommendations": [
            {
                "rank": rank,
                "movie_id": found.movie_id,
                "title": titles[found.movie_id],
                "score": score,
                "is_new": found.movie_id in ranked.new_films,
            }
            for rank, (found, score) in enumerate(zip(known, scores, strict=True), start=ranked.start + 1)
        ],
        "unknown_ids": [*unknown, *ranked.unknown],
        "filled": ranked.n_filled,
        "fallback": render_fallback(ranked) if options.model else None,
        "experiment": ranked.arm and {"name": ranked.arm.experiment_name, "arm": ranked.arm.name},
    }
    predicted = predicted_stars(ranked.history, ranked.films)
    for entry in answer["recommendations"]:
        movie_id = entry["movie_id"]
        if movie_id in ranked.moved_by:
            entry["rules"] = ranked.moved_by[movie_id]
        if movie_id in predicted:
            entry["predicted_rating"] = round(predicted[movie_id], 2)
    return answer


def add_reasons(answer: dict[str, Any], history: History, familiarity: float = 0.0) -> None:
    """Add to each entry its reasons with their shares, or without reasons the origin of its score."""
    movie_ids = [entry["movie_id"] for entry in answer["recommendations"]]
    with costly_call():
        found = explain(movie_ids, history, model=answer["model"], familiarity=familiarity)
    for entry in answer["recommendations"]:
        explanation = found.get(entry["movie_id"])
        entry.update(NO_REASONS if explanation is None else explanation.as_dict())


def add_external_ids(answers: Sequence[dict[str, Any]], space: str | None) -> None:
    """Give each film of these lists its id of an id space, and their reasons too; one query for all.

    Raises Problem (422) for a space in which no film has an id.
    """
    if space is None:
        return
    entries = [entry for answer in answers for entry in answer.get("recommendations", ())]
    entries += [reason for entry in entries for reason in entry.get("reasons", ())]
    unknown = [each for answer in answers for each in answer.get("unknown_ids", ()) if isinstance(each, int)]
    ids = external_ids_in(space, [*(entry["movie_id"] for entry in entries), *unknown])
    for entry in entries:
        entry["external_id"] = ids.get(entry["movie_id"])
    for answer in answers:
        if "unknown_ids" in answer:
            answer["unknown_ids"] = [
                f"{space}:{ids[each]}" if each in ids else each for each in answer["unknown_ids"]
            ]


def render_fallback(ranked: RankedList) -> dict[str, str] | None:
    """Return why another model answered than the requested one; None if the requested one did."""
    if not ranked.fallback:
        return None
    return {"requested": ranked.requested, "reason": ranked.fallback, "detail": ranked.fallback_text}


def round_score(value: float) -> float:
    """Round to seven digits, the precision of float32."""
    return round_scores([value])[0]


def round_scores(values: Iterable[float]) -> list[float]:
    """Round each to seven digits, the precision of float32."""
    return [float(f"{value:.7g}") for value in values]
