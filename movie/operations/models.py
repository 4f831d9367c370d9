"""Jobs: long work of the site that staff start in the admin and a worker does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from movie.core.processes import LONGEST_PROCESS, SILENT_AFTER, has_ended

REPORT = ".refused.csv"  # no file that was sent: the names of those begin with no dot


class Job(models.Model):
    """A management command with its options, its progress and what it said.

    `options` are those of the form that made it; `operations.jobs.command_line` turns them into arguments.
    """

    class Kind(models.TextChoices):
        MOVIES = "import_movies", _("Import of films")
        RATINGS = "import_ratings", _("Import of ratings")
        INTERACTIONS = "import_interactions", _("Import of interactions")
        TRAINING = "train", _("Training")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    kind = models.CharField(_("kind"), max_length=24, choices=Kind.choices)
    options = models.JSONField(_("options"), default=dict, blank=True)
    file_name = models.CharField(_("file"), max_length=150, blank=True)
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.WAITING)
    progress = models.FloatField(_("progress"), default=0.0)
    message = models.CharField(_("message"), max_length=255, blank=True)
    output = models.TextField(_("what it said"), blank=True)
    process = models.CharField(max_length=LONGEST_PROCESS, blank=True, default="", editable=False)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("started by"),
    )
    created = models.DateTimeField(_("created"), default=timezone.now)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        ordering: ClassVar = ["-pk"]
        verbose_name = _("job")
        verbose_name_plural = _("jobs")

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.file_name or self.options.get('model', '')}".strip()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the job and its files."""
        folder = self.folder
        deleted = super().delete(*args, **kwargs)
        shutil.rmtree(folder, ignore_errors=True)
        return deleted

    @property
    def folder(self) -> Path:
        """Return where the file of the job and its report lie."""
        return Path(settings.JOB_DIR) / str(self.pk)

    @property
    def file(self) -> Path:
        return self.folder / self.file_name

    @property
    def report(self) -> Path:
        return self.folder / REPORT

    @property
    def percent(self) -> int:
        return round(100 * self.progress)

    @property
    def is_unfinished(self) -> bool:
        return self.state in (self.State.WAITING, self.State.RUNNING)

    @property
    def has_died(self) -> bool:
        """Return whether the process of a running job has gone, or is silent for long."""
        if self.state != self.State.RUNNING:
            return False
        return timezone.now() - self.updated_at > SILENT_AFTER or has_ended(self.process)

    @property
    def can_run_again(self) -> bool:
        """Return whether the job failed, died or only checked, and its file is still there."""
        is_over = self.state == self.State.FAILED or self.has_died
        was_check = self.state == self.State.DONE and bool(self.options.get("dry_run"))
        return (is_over or was_check) and (not self.file_name or self.file.is_file())

    @property
    def shown_state(self) -> str:
        """Return the state for people; a job whose process has gone is not shown as running."""
        return str(_("Its process has gone")) if self.has_died else str(self.get_state_display())
