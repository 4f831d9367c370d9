"""Trained models: the serving versions with their metrics, and switching to another version."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Router

from movie.api.answer_schemas import ActivatedOut, ModelsOut
from movie.api.authentication import require_scopes
from movie.api.base import json_response
from movie.api.models import ACTIVATE_MODELS
from movie.api.problems import Problem, field_problem
from movie.api.schemas import ActivateRequest
from movie.recommendations.ranking import answering_model
from movie.training.registry import model_choices, registry
from movie.training.versions import ProtocolTable, TrainedVersion, trained_versions
from predictors.errors import ArtifactError, PredictorError
from predictors.plugins import MODELS

router = Router(tags=["models"])


@router.get("/models", response=ModelsOut, operation_id="models", summary="Models and their versions")
def models(request: HttpRequest) -> HttpResponse:
    """Lists the models, their trained versions, and the metrics of the active one by protocol.

    Figures of different protocols are not comparable.
    """
    runs, tables = trained_versions(registry().store)
    versions: dict[str, list[TrainedVersion]] = defaultdict(list)
    for run in runs:
        versions[run.model].append(run)
    default = answering_model()
    return json_response(
        {
            "models": [
                {
                    "name": choice.name,
                    "label": choice.label,
                    "summary": choice.summary,
                    "is_active": choice.available,
                    "version": choice.version,
                    "is_default": choice.name == default,
                    "training": None if choice.training is None else choice.training.progress,
                    "versions": [_render_version(run) for run in versions[choice.name]],
                    "metrics": _render_metrics(choice.name, tables),
                }
                for choice in model_choices()
            ]
        }
    )


@router.post(
    "/models/{name}/activate",
    response=ActivatedOut,
    auth=require_scopes(ACTIVATE_MODELS),
    operation_id="activate_model",
    summary="Switch to another version",
)
def activate(
    request: HttpRequest, name: Annotated[str, Path(max_length=32)], body: ActivateRequest
) -> HttpResponse:
    """Verifies a version and makes it serve; every process follows within seconds.

    A damaged version is refused and the old one goes on serving. The version before is in `previous`: to
    go back, activate that.
    """
    store = registry().store
    if name not in MODELS:
        raise Problem(404, f"There is no model {name!r}; known: {', '.join(MODELS)}.")
    if body.version not in store.versions(name):
        known = ", ".join(store.versions(name)) or "none"
        raise field_problem("body", "version", f"{name} has no version {body.version!r}; there are: {known}")
    try:
        store.activate(name, body.version)
    except ArtifactError as error:
        raise Problem(409, f"The version was refused: {str(error).replace(f'{store.root}/', '')}.") from error
    except PredictorError as error:
        raise field_problem("body", "version", str(error)) from error
    except OSError as error:
        raise Problem(409, f"The folder of models cannot be written to here: {error.strerror}.") from error
    return json_response({"name": name, "version": store.current(name), "previous": store.previous(name)})


def _render_version(run: TrainedVersion) -> dict[str, Any]:
    fields = ("version", "is_active", "created", "users", "items", "interactions")
    return {**{field: getattr(run, field) for field in fields}, "problem": run.problem or run.damage}


def _render_metrics(name: str, tables: list[ProtocolTable]) -> list[dict[str, Any]]:
    """Return the metrics of the active version, one row for each protocol and its conditions."""
    return [
        {
            "protocol": table.protocol,
            "conditions": table.conditions,
            "users": row.users,
            "figures": {metric: figure.value for metric, figure in row.by_metric.items()},
        }
        for table in tables
        for row in table.rows
        if row.run.model == name and row.run.is_active
    ]
