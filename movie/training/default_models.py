"""The models that answer a visitor who chose none."""

from __future__ import annotations

from django.conf import settings
from django.core.cache import cache
from django.db import OperationalError

from movie.training.models import DefaultModel

CACHE_KEY, CACHE_SECONDS = "default-model", 15  # so old what another process has changed may be


def default_models() -> tuple[str, ...]:
    """Return the models to ask, the first that can answer first: what staff chose, then DEFAULT_MODELS."""
    try:
        chosen = cache.get_or_set(CACHE_KEY, _chosen, CACHE_SECONDS)
    except OperationalError:  # the database is away; what is ranked from memory goes on
        chosen = ""
    return (chosen, *settings.DEFAULT_MODELS) if chosen else tuple(settings.DEFAULT_MODELS)


def forget_default_model() -> None:
    """Delete what is cached of the default; to be called when it has changed."""
    cache.delete(CACHE_KEY)


def _chosen() -> str:
    return DefaultModel.objects.values_list("predictor", flat=True).first() or ""
