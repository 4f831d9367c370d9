"""Experiments: what programs define, start, stop, delete and promote, with results as JSON and as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from ninja import Path, Router, Schema
from pydantic import Field

from movie.api.authentication import require_scopes
from movie.api.base import json_response
from movie.api.models import ACTIVATE_MODELS, EXPERIMENTS
from movie.api.movie_statements import Moment
from movie.api.problems import Problem
from movie.api.schemas import Flag, ModelName, RequestModel
from movie.experiments import changes
from movie.experiments.models import FEWEST_ARMS, MOST_ARMS, Experiment, ExperimentArm
from movie.experiments.results import Results, as_csv, as_rows, results_of
from movie.training.model_info import MOST_RATED
from movie.training.registry import default_models

router = Router(tags=["experiments"], auth=require_scopes(EXPERIMENTS))
SLUG = r"^[-a-zA-Z0-9_]+$"
Name = Annotated[str, Path(max_length=64, pattern=SLUG)]
FIELD_NAMES = {"predictor": "model"}  # what the API calls a field of an arm


class ArmIn(RequestModel):
    """A model and the share of visitors that it answers."""

    name: Annotated[str, Field(min_length=1, max_length=32, pattern=SLUG)]
    model: ModelName
    share: Annotated[float, Field(strict=True, ge=0.01, le=0.99, description="Of the visitors, such as 0.5.")]
    is_control: Flag = False


class ExperimentIn(RequestModel):
    """An experiment that is not started yet. The shares add up to 1, and one arm is the control."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=SLUG)]
    question: Annotated[str, Field(max_length=2000)] = ""
    metric: Literal["ctr", "rating_rate", "mean_rating"] = Field(
        default="ctr", description="What decides: films opened or ratings per list, or the mean rating."
    )
    starts_at: Moment | None = Field(default=None, description="Once it is started; at once, if left out.")
    ends_at: Moment | None = Field(default=None, description="By itself; never, if left out.")
    arms: Annotated[list[ArmIn], Field(min_length=FEWEST_ARMS, max_length=MOST_ARMS)]


class PromoteIn(RequestModel):
    arm: Annotated[str, Field(min_length=1, max_length=32, description="Any, whatever the verdict.")]


class ArmOut(Schema):
    name: str
    model: str
    share: float
    is_control: bool


class ExperimentOut(Schema):
    name: str
    question: str
    metric: str
    state: str
    is_running: bool
    starts_at: datetime
    ends_at: datetime | None
    arms: list[ArmOut]


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


class PromotedOut(ExperimentResultsOut):
    """The experiment with the figures that it ended with, and the default model."""

    promoted: str = Field(description="The model that is the site's default now.")
    previous: str = Field(description="The model that was.")


@router.get("/experiments", response=ExperimentsOut, operation_id="experiments", summary="Experiments")
def experiments(request: HttpRequest) -> HttpResponse:
    found = Experiment.objects.prefetch_related("arms")
    return json_response({"experiments": [_render_experiment(each) for each in found]})


@router.post(
    "/experiments",
    response={201: ExperimentOut},
    operation_id="create_experiment",
    summary="Define an experiment",
)
def create_experiment(request: HttpRequest, body: ExperimentIn) -> HttpResponse:
    """Stores an experiment with its arms, which is started by a request of its own."""
    plain = body.model_dump(exclude={"arms", "starts_at"})
    created = Experiment(**plain, starts_at=body.starts_at or timezone.now())
    arms = [
        ExperimentArm(
            name=arm.name,
            predictor=arm.model,
            share=Decimal(f"{arm.share:.4f}"),
            is_control=arm.is_control,
        )
        for arm in body.arms
    ]
    with _refusals(422):
        changes.define(created, arms)
    return json_response(_render_experiment(created), 201)


@router.post(
    "/experiments/{name}/start",
    response=ExperimentOut,
    operation_id="start_experiment",
    summary="Start an experiment",
)
def start_experiment(request: HttpRequest, name: Name) -> HttpResponse:
    """Starts a draft at its time; one that runs goes on. Everything but its end is fixed from then on.

    409 where it ended, a model is not trained, or another experiment runs at that time.
    """
    found = _experiment(name)
    with _refusals(409):
        changes.start(found)
    return json_response(_render_experiment(found))


@router.post(
    "/experiments/{name}/stop",
    response=ExperimentOut,
    operation_id="stop_experiment",
    summary="End an experiment",
)
def stop_experiment(request: HttpRequest, name: Name) -> HttpResponse:
    """Ends an experiment for good; one that ended stays as it is. 409 for a draft."""
    found = _experiment(name)
    with _refusals(409):
        changes.end(found)
    return json_response(_render_experiment(found))


@router.post(
    "/experiments/{name}/promote",
    response=PromotedOut,
    auth=require_scopes(EXPERIMENTS, ACTIVATE_MODELS),
    operation_id="promote_arm",
    summary="Make an arm's model the default",
)
def promote_arm(request: HttpRequest, name: Name, body: PromoteIn) -> HttpResponse:
    """Makes the model of an arm the site's default, whatever the verdict, and ends the experiment.

    Answers with the verdict and the figures at that time. 409 for a draft.
    """
    found = _experiment(name)
    arm = found.arms.select_related("experiment").filter(name=body.arm).first()
    if arm is None:
        raise Problem(404, f"{name} has no arm {body.arm!r}.")
    previous = next(iter(default_models()), MOST_RATED)
    results = results_of(found)
    with _refusals(409):
        changes.promote(arm)
    answer = _render_experiment(arm.experiment) | _render_results(results)
    return json_response(answer | {"promoted": arm.predictor, "previous": previous})


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
    return json_response(_render_experiment(found) | _render_results(results_of(found)))


@router.delete(
    "/experiments/{name}",
    response=ExperimentOut,
    operation_id="delete_experiment",
    summary="Delete an experiment that has not begun",
)
def delete_experiment(request: HttpRequest, name: Name) -> HttpResponse:
    """Deletes a draft, or an experiment whose time has not come, and answers with what it was.

    409 for one that has run: its results are kept.
    """
    found = _experiment(name)
    answer = _render_experiment(found)
    with _refusals(409):
        changes.delete(found)
    return json_response(answer)


def _experiment(name: str) -> Experiment:
    experiment = Experiment.objects.filter(name=name).prefetch_related("arms").first()
    if experiment is None:
        raise Problem(404, f"There is no experiment {name}.")
    return experiment


def _render_experiment(found: Experiment) -> dict[str, Any]:
    fields = ("name", "question", "metric", "state", "starts_at", "ends_at")
    arms = [
        {"name": arm.name, "model": arm.predictor, "share": float(arm.share), "is_control": arm.is_control}
        for arm in found.arms.all()
    ]
    return {
        **{field: getattr(found, field) for field in fields},
        "is_running": found.is_running(),
        "arms": arms,
    }


def _render_results(results: Results) -> dict[str, Any]:
    verdict, ratio = results.verdict, results.sample_ratio
    return {
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


@contextmanager
def _refusals(status: int) -> Iterator[None]:
    """Raise Problem for a change that the experiment refuses; its details are in English."""
    try:
        with translation.override("en"):
            yield
    except ValidationError as error:
        raise Problem(status, " ".join(error.messages), errors=list(_field_errors(error))) from error


def _field_errors(error: ValidationError) -> Iterator[dict[str, str]]:
    for field, messages in getattr(error, "error_dict", {}).items():
        arm, dot, of_arm = field.rpartition(".")
        name = f"{arm}{dot}{FIELD_NAMES.get(of_arm, of_arm)}".replace("__all__", "")
        for message in messages:
            yield {"in": "body", "field": name, "detail": " ".join(message.messages)}
