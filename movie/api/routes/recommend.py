"""Recommendations for one visitor, or for many at once."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query, Router
from pydantic import ValidationError

from movie.api.answer_schemas import BatchOut, RecommendOut
from movie.api.answers import add_external_ids, add_reasons, rank_histories, render_list
from movie.api.authentication import Caller, get_caller, throttle
from movie.api.base import json_response, ms_since
from movie.api.endless_lists import (
    find_endless_page,
    load_endless_films,
    require_client,
    store_endless_page,
)
from movie.api.history_input import arm_of, resolve_histories, resolve_history, with_site_ids
from movie.api.movie_ids import IdSpace, MovieLookup
from movie.api.problems import Problem, field_problem, field_problems, title_of
from movie.api.ranking_options import ranking_options, refs_of, rule_refs, stored_rules
from movie.api.schemas import (
    DEFAULT_K,
    MAX_K,
    MAX_OFFSET,
    BatchRequest,
    HistorySource,
    ModelName,
    RecommendRequest,
    UserId,
)
from predictors.history import History

router = Router(tags=["recommendations"])


@router.post("/recommend", response=RecommendOut, operation_id="recommend", summary="Films for a visitor")
def recommend(request: HttpRequest, body: RecommendRequest, id_space: IdSpace = None) -> HttpResponse:
    """Ranks films for a known user, or for a history in the request.

    Nothing is stored: recommended films are no interactions. Send `recommendation_id` with the interactions
    that follow from the list.
    """
    return _recommend(body, get_caller(request), id_space)


# Before `/recommend/{user_id}`, which would take `batch` for a user.
@router.post(
    "/recommend/batch", response=BatchOut, operation_id="recommend_batch", summary="Films for many visitors"
)
def recommend_batch(request: HttpRequest, body: BatchRequest, id_space: IdSpace = None) -> HttpResponse:
    """Ranks as `POST /recommend` for up to 1,000 users or histories, which are scored together.

    `results` has one result for each entry. An invalid entry has an `error` as its result and changes
    nothing for the others.
    """
    started = time.perf_counter()
    throttle.count_entries(request, len(body.entries))
    results: list[dict[str, Any]] = [{} for _ in body.entries]
    sources: dict[int, HistorySource] = {}
    for position, entry in enumerate(body.entries):
        try:
            sources[position] = HistorySource.model_validate(entry)
        except ValidationError as error:
            results[position]["error"] = _render_error(Problem(422, _summarize(error)))
    caller = get_caller(request)
    rules = stored_rules(caller)
    lookup = MovieLookup([*refs_of(body, *sources.values()), *rule_refs(rules)])
    unknown_to_all: list[str] = []
    options = ranking_options(body, lookup, unknown_to_all, rules)
    unknown: dict[int, list[str]] = {}
    for position, source in list(sources.items()):
        unknown[position] = list(unknown_to_all)
        try:
            sources[position] = with_site_ids(source, lookup, unknown[position])
        except Problem as problem:
            results[position]["error"] = _render_error(problem)
            del sources[position]
    histories: dict[int, History] = {}
    for position, found in resolve_histories(sources, caller).items():
        if sources[position].user_id is not None:
            results[position]["user_id"] = sources[position].user_id
        if isinstance(found, Problem):
            results[position]["error"] = _render_error(found)
        else:
            histories[position] = found
    arms = [arm_of(sources[position], options, caller) for position in histories]
    lists = rank_histories(list(histories.values()), options, arms)
    for position, ranked in zip(histories, lists, strict=True):
        results[position] |= render_list(ranked, options, unknown[position])
    add_external_ids(results, id_space)
    n_failed = sum("error" in result for result in results)
    return json_response({"results": results, "failed": n_failed, "latency_ms": ms_since(started)})


@router.get(
    "/recommend/{user_id}", response=RecommendOut, operation_id="recommend_to", summary="Films for a user"
)
def recommend_to(
    request: HttpRequest,
    user_id: Annotated[UserId, Path()],
    *,
    k: Annotated[int, Query(ge=1, le=MAX_K)] = DEFAULT_K,
    model: Annotated[ModelName | None, Query()] = None,
    explain: bool = False,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET, description="Skip so many films.")] = 0,
    id_space: IdSpace = None,
) -> HttpResponse:
    """Ranks as `POST /recommend` with its defaults."""
    options = RecommendRequest(user_id=user_id, k=k, explain=explain, offset=offset)
    if model is not None:
        options.model = model
    return _recommend(options, get_caller(request), id_space, "path")


def _recommend(
    sent: RecommendRequest, caller: Caller, id_space: str | None, where: str = "body"
) -> HttpResponse:
    started = time.perf_counter()
    if sent.after is not None and sent.offset:
        raise field_problem("body", "offset", "The list after another has no offset.")
    if sent.endless:
        require_client(caller)
    rules = stored_rules(caller)
    lookup = MovieLookup([*refs_of(sent, sent), *rule_refs(rules)])
    unknown: list[str] = []
    source = with_site_ids(sent, lookup, unknown)
    history = resolve_history(source, caller, where)
    options = ranking_options(sent, lookup, unknown, rules)
    after = None if sent.after is None else find_endless_page(caller, sent.after)
    if after:
        before = load_endless_films(after)
        options = replace(options, exclude=[*options.exclude, *before], start=len(before))
    (ranked,) = rank_histories([history], options, [arm_of(source, options, caller, where)])
    if sent.endless or after:
        store_endless_page(caller, ranked, after)
    answer = render_list(ranked, options, unknown)
    if sent.explain:
        add_reasons(answer, history, options.familiarity)
    add_external_ids([answer], id_space)
    answer["latency_ms"] = ms_since(started)
    return json_response(answer)


def _summarize(error: ValidationError) -> str:
    """Return the errors of an entry on one line."""
    problems = field_problems([{**each, "loc": ("entry", *each["loc"])} for each in error.errors()])
    return "; ".join(f"{each['field']}: {each['detail']}".removeprefix(": ") for each in problems)


def _render_error(problem: Problem) -> dict[str, Any]:
    return {"status": problem.status, "title": title_of(problem.status), "detail": problem.detail}
