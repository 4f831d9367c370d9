"""The site's default models: what answers who chose nothing. `movie.models` takes the table in."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.core.cache import cache
from django.db import OperationalError, models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

CACHE_KEY, CACHE_SECONDS = "default-model", 15  # so old what another process has changed may be


class DefaultModel(models.Model):
    """What staff made the site's default. The latest row holds; an empty one hands back to DEFAULT_MODELS."""

    predictor = models.CharField(_("model"), max_length=32, blank=True)
    since = models.DateTimeField(_("since"), default=timezone.now)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("chosen by"),
    )
    experiment = models.ForeignKey(
        "movie.Experiment",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="promotions",
        verbose_name=_("experiment"),
    )

    class Meta:
        ordering: ClassVar = ["-since", "-pk"]
        verbose_name = _("default model")
        verbose_name_plural = _("default models")

    def __str__(self) -> str:
        return self.predictor or "DEFAULT_MODELS"


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
