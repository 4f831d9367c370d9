"""Tables behind the outbox and the stream. `movie.models` takes them in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

# What relays still have to do with a row; `due` is a sum of these.
TO_LOG, TO_STREAM, TO_PRUNE = 1, 2, 4
DELIVERIES = TO_LOG | TO_STREAM
CLAIM = timedelta(seconds=30)  # for which a relay has the rows it took; a dead one's are free after it


class DeliverableQuerySet(models.QuerySet["Deliverable"]):
    def undelivered(self, sinks: int = DELIVERIES) -> Self:
        """Still due to any of these sinks."""
        return self.filter(due__in=dues_of(sinks))

    def ready(self, now: datetime) -> Self:
        """Claimed by nobody, and not waiting after a failure."""
        return self.filter(deliver_after__lte=now)


class Deliverable(models.Model):
    """A row that relays deliver. `deliver_after` is the end of a claim, of a pause after a failure or,
    once delivered, of the time for which the row is kept."""

    recorded_at = models.DateTimeField(_("recorded"), default=timezone.now)
    due = models.PositiveSmallIntegerField(default=0)
    deliver_after = models.DateTimeField(default=timezone.now)
    claim = models.CharField(max_length=32, blank=True)

    class Meta:
        abstract = True


class LogChange(Deliverable):
    """A deletion or a joining of histories that the log and the stream have still to follow.

    It covers what was recorded up to it. The log follows the changes one by one in order of their ids.
    """

    class Kind(models.TextChoices):
        FORGET = "forget", _("Forget")
        MERGE = "merge", _("Merge")

    event_id = models.CharField(max_length=36, unique=True)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    visitor = models.CharField(_("visitor"), max_length=128, db_index=True)
    into = models.CharField(_("account"), max_length=128, blank=True, db_index=True)
    movie_id = models.BigIntegerField(_("film"), null=True, blank=True)

    objects = DeliverableQuerySet.as_manager()

    class Meta:
        verbose_name = _("change of the log")
        verbose_name_plural = _("changes of the log")
        indexes: ClassVar = [models.Index(fields=["due", "deliver_after"], name="log_change_due")]

    def __str__(self) -> str:
        return f"{self.kind} {self.visitor} {self.into}".strip()

    def covers(self, movie_id: int | str, recorded_at: datetime) -> bool:
        return recorded_at <= self.recorded_at and self.movie_id in (None, movie_id)


def dues_of(sinks: int) -> list[int]:
    """Every sum that contains any of these."""
    return [due for due in range(1, (TO_LOG | TO_STREAM | TO_PRUNE) + 1) if due & sinks]


class MovieActivity(models.Model):
    """How often a film was opened, rated or put on a watchlist on a day (UTC)."""

    movie = models.ForeignKey("movie.Movie", models.CASCADE, related_name="activity")
    day = models.DateField(_("day"))
    count = models.PositiveIntegerField(_("how often"), default=0)

    class Meta:
        verbose_name = _("activity")
        verbose_name_plural = _("activity")
        constraints: ClassVar = [models.UniqueConstraint(fields=["movie", "day"], name="one_count_a_day")]
        indexes: ClassVar = [models.Index(fields=["day", "movie", "count"], name="activity_of_days")]

    def __str__(self) -> str:
        return f"{self.movie_id} {self.day}: {self.count}"


class SurfaceCount(models.Model):
    """What visitors did on a part of a page (a list, a row) on a day; clicks per impression come from it."""

    surface = models.CharField(_("page"), max_length=32)
    kind = models.CharField(_("kind"), max_length=16)
    day = models.DateField(_("day"))
    count = models.PositiveIntegerField(_("how often"), default=0)

    class Meta:
        verbose_name = _("count of a page")
        verbose_name_plural = _("counts of pages")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "surface", "kind"], name="one_count_of_a_surface")
        ]

    def __str__(self) -> str:
        return f"{self.surface} {self.kind} {self.day}: {self.count}"


class ProcessedEvent(models.Model):
    """An event that has had its effect in a group, so that it has none when it comes again."""

    group = models.CharField(max_length=32)
    event_id = models.CharField(max_length=36)
    processed_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["event_id", "group"], name="each_event_once_a_group")
        ]

    def __str__(self) -> str:
        return f"{self.group} {self.event_id}"


class DeadLetter(models.Model):
    """A message that a group could not use, kept until somebody looks at it."""

    group = models.CharField(_("group"), max_length=32)
    place = models.CharField(_("where it was"), max_length=128)
    raw = models.TextField(_("message"))
    reason = models.CharField(_("reason"), max_length=255)
    created = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        verbose_name = _("dead letter")
        verbose_name_plural = _("dead letters")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["group", "place"], name="each_place_once_a_group")
        ]

    def __str__(self) -> str:
        return f"{self.group} {self.place}: {self.reason}"
