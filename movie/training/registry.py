"""The models of this site: the predictors that serve, the choices of a visitor, and the default models."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.core.cache import cache
from django.db import OperationalError
from django.utils.module_loading import import_string

from movie.training.model_info import MODEL_INFO, UNTRAINED
from movie.training.models import DefaultModel, TrainingRun
from movie.training.site_store import SiteModelStore
from predictors.serving.registry import Registry

DEFAULT, DEFAULT_SECONDS = "default-model", 15  # cache key; how late another process's change may show
RUNNING, RUNNING_SECONDS = "running-trainings", 2  # likewise; one query serves many pages
SHOWN_OF_TRAINING = ("id", "model", "state", "progress", "message")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    name: str
    label: str
    summary: str
    version: str
    available: bool
    training: TrainingRun | None = None


@lru_cache(maxsize=8)
def _registry_at(folder: Path, device: str) -> Registry:
    prepare = import_string(settings.PREPARE_MODEL)
    return Registry(SiteModelStore(folder), device=device, prepare=prepare)


def registry() -> Registry:
    """Return the live predictors of this process."""
    return _registry_at(settings.MODEL_DIR, settings.DEVICE)


def model_choices() -> list[ModelChoice]:
    """List every model with what it is, and whether it can be chosen now."""
    store = registry().store
    running = {run.model: run for run in running_trainings()}
    choices = []
    for name, info in MODEL_INFO.items():
        if name not in UNTRAINED:
            version = store.current(name)
            choices.append(
                ModelChoice(
                    name, str(info.label), str(info.summary), version, bool(version), running.get(name)
                )
            )
    return choices


def running_trainings() -> list[TrainingRun]:
    """Return the models in training or waiting for it, as of at most two seconds ago."""
    rows = cache.get(RUNNING)
    if rows is None:
        alive = TrainingRun.objects.alive()
        rows = [{name: getattr(run, name) for name in SHOWN_OF_TRAINING} for run in alive]
        cache.set(RUNNING, rows, RUNNING_SECONDS)
    return [TrainingRun(**row) for row in rows]


def default_models() -> tuple[str, ...]:
    """Return the models to ask, the first that can answer first: what staff chose, then DEFAULT_MODELS."""
    try:
        chosen = cache.get_or_set(DEFAULT, _staff_choice, DEFAULT_SECONDS)
    except OperationalError:  # the database is away; what is ranked from memory goes on
        chosen = ""
    return (chosen, *settings.DEFAULT_MODELS) if chosen else tuple(settings.DEFAULT_MODELS)


def forget_default_model() -> None:
    """Delete what is cached of the default; to be called when it has changed."""
    cache.delete(DEFAULT)


def _staff_choice() -> str:
    return DefaultModel.objects.values_list("predictor", flat=True).first() or ""
