"""What follows from a change of an experiment or of the default model."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from movie.experiment_models import DefaultModel, Experiment
from movie.experiments import forget_plan


@receiver([post_save, post_delete], sender=Experiment, dispatch_uid="movie.experiment_changed")
@receiver([post_save, post_delete], sender=DefaultModel, dispatch_uid="movie.default_changed")
def look_again(**kwargs: Any) -> None:
    """What runs, or what the default is, may be something else now."""
    transaction.on_commit(forget_plan)
