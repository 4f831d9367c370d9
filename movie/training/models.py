"""Tables of training: where a run stands, and which model staff made the default."""

from __future__ import annotations

from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from movie.core.processes import LONGEST_PROCESS, SILENT_AFTER, has_ended


class TrainingRunQuerySet(models.QuerySet["TrainingRun"]):
    def unfinished(self) -> Self:
        return self.filter(state__in=[TrainingRun.State.QUEUED, TrainingRun.State.RUNNING])

    def alive(self) -> list[TrainingRun]:
        """Return the unfinished runs whose process runs, the oldest first."""
        return [run for run in self.unfinished().order_by("pk") if not run.has_died]


class TrainingRun(models.Model):
    """Progress of a training, for pages to show."""

    class State(models.TextChoices):
        QUEUED = "queued", _("Waiting")
        RUNNING = "running", _("Training")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    model = models.CharField(_("model"), max_length=32)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.QUEUED)
    progress = models.FloatField(_("progress"), default=0.0)
    message = models.CharField(_("message"), max_length=255, blank=True)
    metrics = models.JSONField(_("figures"), default=dict, blank=True)
    version = models.CharField(_("version"), max_length=64, blank=True)
    process = models.CharField(max_length=LONGEST_PROCESS, blank=True, default="", editable=False)
    started_at = models.DateTimeField(_("started"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = TrainingRunQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-started_at"]
        verbose_name = _("training run")
        verbose_name_plural = _("training runs")

    def __str__(self) -> str:
        return f"{self.model} ({self.get_state_display()})"

    @property
    def percent(self) -> int:
        return round(100 * self.progress)

    @property
    def has_died(self) -> bool:
        """Return whether the process of an unfinished run has gone, or is silent for long."""
        if self.state not in (self.State.QUEUED, self.State.RUNNING):
            return False
        return timezone.now() - self.updated_at > SILENT_AFTER or has_ended(self.process)


class DefaultModel(models.Model):
    """A model that staff made the site's default. The latest row holds; an empty one hands back to
    DEFAULT_MODELS.
    """

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
        "experiments.Experiment",
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


class DefaultComparison(models.Model):
    """Result of `models compare`: which model the site's own log speaks for. It switches nothing."""

    finished_at = models.DateTimeField(_("finished"), default=timezone.now)
    revision = models.CharField(_("revision of the code"), max_length=64, blank=True)
    default = models.CharField(_("default then"), max_length=32)
    proposed = models.CharField(_("proposed"), max_length=32)
    is_clear = models.BooleanField(_("clearly better"), default=False)
    visitors = models.PositiveIntegerField(_("visitors asked"))
    until = models.DateTimeField(_("learned up to"))
    tables = models.JSONField(_("figures"))

    class Meta:
        ordering: ClassVar = ["-finished_at", "-pk"]
        get_latest_by = "finished_at"
        verbose_name = _("comparison of defaults")
        verbose_name_plural = _("comparisons of defaults")

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d}: {self.proposed}"
