"""Recommendations for many at once."""

from __future__ import annotations

import time
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import ValidationError

from movie.api.answers import list_answer, ranked_lists
from movie.api.authentication import caller_of, throttle
from movie.api.history_input import resolve_histories
from movie.api.json import json_response
from movie.api.problems import Problem, field_problems, title_of
from movie.api.schemas import BatchOut, BatchRequest, HistorySource
from predictors.history import History

router = Router(tags=["recommendations"])


@router.post(
    "/recommend/batch", response=BatchOut, operation_id="recommend_batch", summary="Films for many visitors"
)
def recommend_many(request: HttpRequest, body: BatchRequest) -> HttpResponse:
    """As `POST /recommend` for up to 1,000 users or histories, which are scored together.

    `results` has one place for each entry. An entry that cannot be answered has an `error` there, and the
    others are answered all the same.
    """
    started = time.perf_counter()
    throttle.count_entries(request, len(body.entries))
    results: list[dict[str, Any]] = [{} for _ in body.entries]
    sources: dict[int, HistorySource] = {}
    for place, entry in enumerate(body.entries):
        try:
            sources[place] = HistorySource.model_validate(entry)
        except ValidationError as error:
            results[place]["error"] = _error(Problem(422, _said(error)))
    histories: dict[int, History] = {}
    for place, found in resolve_histories(sources, caller_of(request)).items():
        if sources[place].user_id is not None:
            results[place]["user_id"] = sources[place].user_id
        if isinstance(found, Problem):
            results[place]["error"] = _error(found)
        else:
            histories[place] = found
    lists = ranked_lists(list(histories.values()), body)
    for place, ranked in zip(histories, lists, strict=True):
        results[place] |= list_answer(ranked, body)
    return json_response(
        {
            "results": results,
            "failed": sum("error" in result for result in results),
            "latency_ms": round((time.perf_counter() - started) * 1000, 2),
        }
    )


def _said(error: ValidationError) -> str:
    """What is wrong with an entry, on one line."""
    problems = field_problems([{**each, "loc": ("entry", *each["loc"])} for each in error.errors()])
    return "; ".join(f"{each['field']}: {each['detail']}".removeprefix(": ") for each in problems)


def _error(problem: Problem) -> dict[str, Any]:
    return {"status": problem.status, "title": title_of(problem.status), "detail": problem.detail}
