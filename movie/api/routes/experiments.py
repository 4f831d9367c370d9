"""Experiments and their results, as JSON and as CSV."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Path, Router, Schema

from movie.api.authentication import require_scopes
from movie.api.base import json_response
from movie.api.models import EXPERIMENTS
from movie.api.problems import Problem
from movie.experiments.models import Experiment
from movie.experiments.results import as_csv, as_rows, results_of

router = Router(tags=["experiments"], auth=require_scopes(EXPERIMENTS))
Name = Annotated[str, Path(max_length=64, pattern=r"^[-a-zA-Z0-9_]+$")]


class ExperimentOut(Schema):
    name: str
    question: str
    metric: str
    state: str
    is_running: bool
    starts_at: datetime
    ends_at: datetime | None


class ExperimentsOut(Schema):
    experiments: list[ExperimentOut]


class FigureOut(Schema):
    """A metric of an arm. `low` and `high` hold at all looks together; `lift` is against the control."""

    arm: str
    model: str
    share: float
    is_control: bool
    visitors: int
    lists: int
    lists_by_fallback: int
    films_opened: int
    ratings: int
    changed_arm: int
    metric: str
    is_primary: bool
    value: float | None
    low: float | None
    high: float | None
    lift: float | None
    lift_low: float | None
    lift_high: float | None
    p: float | None


class SampleRatioOut(Schema):
    chi_square_p: float
    sequential_p: float
    is_alarming: bool


class VerdictOut(Schema):
    """`state` is draft, planned, early, imbalance, better, worse, same or open."""

    state: str
    text: str
    winner: str | None


class ExperimentResultsOut(ExperimentOut):
    verdict: VerdictOut
    sample_ratio: SampleRatioOut | None
    figures: list[FigureOut]


@router.get("/experiments", response=ExperimentsOut, operation_id="experiments", summary="Experiments")
def experiments(request: HttpRequest) -> HttpResponse:
    return json_response({"experiments": [_render_experiment(found) for found in Experiment.objects.all()]})


@router.get(
    "/experiments/{name}.csv",
    operation_id="experiment_csv",
    summary="The figures of an experiment as CSV",
    openapi_extra={"responses": {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}},
)
def experiment_csv(request: HttpRequest, name: Name) -> HttpResponse:
    """Answers with a row for each arm and metric."""
    return HttpResponse(as_csv(results_of(_experiment(name))), content_type="text/csv; charset=utf-8")


@router.get(
    "/experiments/{name}",
    response=ExperimentResultsOut,
    operation_id="experiment",
    summary="The results of an experiment so far",
)
def experiment(request: HttpRequest, name: Name) -> HttpResponse:
    """Answers with a verdict and its figures, whose intervals and p-values hold at all looks together."""
    found = _experiment(name)
    results = results_of(found)
    verdict, ratio = results.verdict, results.sample_ratio
    return json_response(
        {
            **_render_experiment(found),
            "verdict": {
                "state": verdict.state,
                "text": verdict.text,
                "winner": verdict.winner and verdict.winner.name,
            },
            "sample_ratio": ratio
            and {
                "chi_square_p": float(ratio.chi_square_p),
                "sequential_p": float(ratio.sequential_p),
                "is_alarming": ratio.is_alarming,
            },
            "figures": as_rows(results),
        }
    )


def _experiment(name: str) -> Experiment:
    experiment = Experiment.objects.filter(name=name).first()
    if experiment is None:
        raise Problem(404, f"There is no experiment {name}.")
    return experiment


def _render_experiment(found: Experiment) -> dict[str, object]:
    fields = ("name", "question", "metric", "state", "starts_at", "ends_at")
    return {**{field: getattr(found, field) for field in fields}, "is_running": found.is_running()}
