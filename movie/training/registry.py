"""The models of this site: those that serve, and those that can be chosen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from movie.training.model_info import MODEL_INFO, UNTRAINED
from movie.training.models import TrainingRun
from predictors.serving.registry import ModelStore, Registry


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
    return Registry(ModelStore(folder), device=device)


def registry() -> Registry:
    """Return the live predictors of this process."""
    return _registry_at(settings.MODEL_DIR, settings.DEVICE)


def model_choices() -> list[ModelChoice]:
    """List every model with what it is, and whether it can be chosen now."""
    store = registry().store
    running = {run.model: run for run in TrainingRun.objects.alive()}
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
