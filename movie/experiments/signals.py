"""Caches that a change of an experiment or of the default model clears."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from movie.experiments.assignment import forget_active_config
from movie.experiments.models import Experiment
from movie.training.models import DefaultModel
from movie.training.registry import forget_default_model


@receiver([post_save, post_delete], sender=Experiment, dispatch_uid="movie.experiment_changed")
def forget_experiments(**kwargs: Any) -> None:
    """Forget which experiment runs once the change of one is committed."""
    transaction.on_commit(forget_active_config)


@receiver([post_save, post_delete], sender=DefaultModel, dispatch_uid="movie.default_changed")
def forget_default(**kwargs: Any) -> None:
    """Forget the default model once another one is committed."""
    transaction.on_commit(forget_default_model)
