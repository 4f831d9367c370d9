"""Tables of experiments: definitions, arms, and what each visitor of an arm did."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import IntegrityError, models, transaction
from django.db.models import Max, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from movie.core.fields import ExactCharField
from predictors.plugins import MODELS

FEWEST_ARMS, MOST_ARMS = 2, 6
FROZEN = ("name", "metric", "salt")  # once it has been started


class ArmError(NamedTuple):
    """An error in the arms of an experiment. `arm_index` is that of the arm, None where it is all of them."""

    arm_index: int | None
    field: str
    message: str


def new_salt() -> str:
    return secrets.token_hex(16)


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    def started(self) -> Self:
        """Return the experiments that are running, planned or ended."""
        return self.exclude(state=Experiment.State.DRAFT)

    def not_over(self, now: datetime) -> Self:
        """Return the experiments that are running or planned."""
        open_end = Q(ends_at=None) | Q(ends_at__gt=now)
        return self.filter(open_end, state=Experiment.State.RUNNING)

    def at_the_time_of(self, other: Experiment) -> Self:
        """Return the started experiments whose time overlaps with that of another."""
        still = Q(ends_at=None) | Q(ends_at__gt=other.starts_at)
        begun = Q() if other.ends_at is None else Q(starts_at__lt=other.ends_at)
        return self.filter(still, begun, state=Experiment.State.RUNNING).exclude(pk=other.pk)


class Experiment(models.Model):
    """Several models, each for a share of the visitors; at most one experiment runs at any time."""

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        RUNNING = "running", _("Started")
        ENDED = "ended", _("Ended")

    class Metric(models.TextChoices):
        CTR = "ctr", _("Films opened per list")
        RATING_RATE = "rating_rate", _("Ratings per list")
        MEAN_RATING = "mean_rating", _("Mean rating")

    name = models.SlugField(
        _("name"),
        max_length=64,
        unique=True,
        help_text=_("Letters, digits and hyphens; part of the address."),
    )
    question = models.TextField(_("question"), blank=True, help_text=_("What it is to find out."))
    metric = models.CharField(
        _("primary metric"),
        max_length=16,
        choices=Metric.choices,
        default=Metric.CTR,
        help_text=_("What decides. It cannot be changed after the start."),
    )
    starts_at = models.DateTimeField(_("start"), default=timezone.now)
    ends_at = models.DateTimeField(_("end"), null=True, blank=True, help_text=_("Empty: until it is ended."))
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.DRAFT)
    # Whoever starts an experiment or changes when it runs takes the next number, after a look at all others.
    # Two who do so at the same moment would take the same one, which the database refuses.
    schedule_number = models.PositiveIntegerField(null=True, unique=True, editable=False)
    salt = ExactCharField(max_length=32, default=new_salt, unique=True, editable=False)
    created = models.DateTimeField(_("created"), auto_now_add=True)

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-starts_at", "-pk"]
        verbose_name = _("experiment")
        verbose_name_plural = _("experiments")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(state="running") | Q(schedule_number__isnull=False),
                name="what_runs_has_a_schedule_number",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save with a start that is not in the past and an end that is not in the future.

        Raises ValidationError when another one runs at that time.
        """
        now = timezone.now()
        stored = self._stored()
        if self.state == self.State.RUNNING and (stored is None or not stored.has_started):
            self.starts_at = max(self.starts_at, now)
        if self.state == self.State.ENDED and (self.ends_at is None or self.ends_at > now):
            self.ends_at = max(now, self.starts_at)
        is_rescheduled = stored is None or any(
            getattr(self, name) != getattr(stored, name) for name in ("state", "starts_at", "ends_at")
        )
        if not (self.state == self.State.RUNNING and is_rescheduled):
            super().save(*args, **kwargs)
            return
        latest = Experiment.objects.aggregate(latest=Max("schedule_number"))["latest"] or 0
        self._refuse_overlap()
        before, self.schedule_number = self.schedule_number, latest + 1
        try:
            with transaction.atomic():
                super().save(*args, **kwargs)
        except IntegrityError as error:
            self.schedule_number = before
            if not Experiment.objects.filter(schedule_number=latest + 1).exists():
                raise  # it is about something else
            raise ValidationError(
                _("Another experiment was changed at the same moment. Try again.")
            ) from error

    def get_absolute_url(self) -> str:
        return reverse("experiments:detail", args=[self.name])

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """Check the constraints that a form can break; `save` takes the schedule number."""
        super().validate_constraints({*(exclude or ()), "schedule_number"})

    def clean(self) -> None:
        """Check the experiment without its arms, which `arm_errors` checks."""
        stored = self._stored()
        before = self.State.DRAFT if stored is None else stored.state
        allowed = {
            self.State.DRAFT: (self.State.DRAFT, self.State.RUNNING),
            self.State.RUNNING: (self.State.RUNNING, self.State.ENDED),
            self.State.ENDED: (self.State.ENDED,),
        }
        if self.state not in allowed[self.State(before)]:
            raise ValidationError(
                {"state": _("A draft can be started, and what was started ended; no other.")}
            )
        if stored is not None and before != self.State.DRAFT:
            self._keep_fractions(stored)
            self._refuse_changes(stored)
        if self.ends_at is not None and self.ends_at <= self.starts_at:
            raise ValidationError({"ends_at": _("The end is not after the start.")})
        if self.state == self.State.RUNNING:
            if before == self.State.DRAFT and self.ends_at is not None and self.ends_at <= timezone.now():
                raise ValidationError({"ends_at": _("The end is in the past.")})
            self._refuse_overlap()

    @property
    def has_started(self) -> bool:
        return self.state != self.State.DRAFT

    def is_running(self, now: datetime | None = None) -> bool:
        now = now or timezone.now()
        return self.state == self.State.RUNNING and self.covers(now)

    @property
    def is_planned(self) -> bool:
        return self.state == self.State.RUNNING and self.starts_at > timezone.now()

    @property
    def has_begun(self) -> bool:
        """Whether it has run for any time, so that visitors may have had its lists."""
        return self.has_started and self.starts_at <= timezone.now() and self.ends_at != self.starts_at

    def covers(self, at: datetime) -> bool:
        return self.has_started and self.starts_at <= at and (self.ends_at is None or at < self.ends_at)

    def _keep_fractions(self, stored: Experiment) -> None:
        """Keep the stored time where the form's, in whole seconds, is the same."""
        for name in ("starts_at", "ends_at"):
            sent, kept = getattr(self, name), getattr(stored, name)
            if sent and kept and sent.replace(microsecond=0) == kept.replace(microsecond=0):
                setattr(self, name, kept)

    def _refuse_changes(self, stored: Experiment) -> None:
        changed = [name for name in FROZEN if getattr(self, name) != getattr(stored, name)]
        if self.starts_at != stored.starts_at and stored.starts_at <= timezone.now():
            changed.append("starts_at")
        if stored.state == self.State.ENDED and self.ends_at != stored.ends_at:
            changed.append("ends_at")
        if changed:
            raise ValidationError(dict.fromkeys(changed, _("It was started, so this cannot be changed.")))

    def _refuse_overlap(self) -> None:
        other = Experiment.objects.at_the_time_of(self).first()
        if other is not None:
            message = _("%(other)s runs at that time. Only one experiment can run at a time.")
            raise ValidationError({"starts_at": message % {"other": other.name}})

    def _stored(self) -> Experiment | None:
        return Experiment.objects.filter(pk=self.pk).first() if self.pk else None


class ExperimentArm(models.Model):
    """A model and the share of visitors that it answers. Arms are in order of their ids."""

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="arms")
    name = models.SlugField(_("name"), max_length=32, help_text=_("What the results call it."))
    predictor = models.CharField(_("model"), max_length=32)
    share = models.DecimalField(
        _("share"),
        max_digits=5,
        decimal_places=4,
        validators=[MinValueValidator(Decimal("0.01")), MaxValueValidator(Decimal("0.99"))],
        help_text=_("Of the visitors, such as 0.5."),
    )
    is_control = models.BooleanField(_("control"), default=False)

    class Meta:
        ordering: ClassVar = ["pk"]
        verbose_name = _("arm")
        verbose_name_plural = _("arms")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["experiment", "name"], name="one_arm_of_a_name")
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self._refuse_when_started()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        self._refuse_when_started()
        return super().delete(*args, **kwargs)

    def _refuse_when_started(self) -> None:
        if Experiment.objects.started().filter(pk=self.experiment_id).exists():
            raise ValidationError(_("The experiment was started, so its arms cannot be changed."))


class VisitorTotals(models.Model):
    """Sums of one visitor's interactions with the lists of an experiment.

    `unit` is a hash of the visitor under the experiment's salt. A visitor who asks to be forgotten gets a
    random one, so that the counts stay and lead to nobody.
    """

    arm = models.ForeignKey(ExperimentArm, models.CASCADE, related_name="visitors")
    unit = ExactCharField(max_length=32)
    impressions = models.PositiveIntegerField(db_default=0)
    fallbacks = models.PositiveIntegerField(db_default=0)  # impressions of lists that another model answered
    clicks = models.PositiveIntegerField(db_default=0)
    ratings = models.PositiveIntegerField(db_default=0)
    stars = models.FloatField(db_default=0.0)
    changed_arm = models.BooleanField(db_default=False)  # signed in, and is in another arm as a member

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["unit", "arm"], name="one_row_of_a_visitor_and_arm")
        ]

    def __str__(self) -> str:
        return f"{self.arm_id}: {self.unit}"


def arm_errors(arms: Sequence[ExperimentArm], *, starting: bool) -> Iterator[ArmError]:
    """Yield the errors that keep these arms from an experiment; when it is `starting`, untrained models are
    errors too.
    """
    from predictors.serving.registry import ModelStore

    if not FEWEST_ARMS <= len(arms) <= MOST_ARMS:
        message = _("An experiment has %(fewest)d to %(most)d arms.")
        yield ArmError(None, "share", message % {"fewest": FEWEST_ARMS, "most": MOST_ARMS})
        return
    total = sum((arm.share for arm in arms), Decimal(0))
    if total != 1:
        message = _("The shares add up to %(total)s; they must add up to 1.")
        yield ArmError(len(arms) - 1, "share", message % {"total": total.normalize()})
    controls = [arm_index for arm_index, arm in enumerate(arms) if arm.is_control]
    if len(controls) != 1:
        arm_index = controls[1] if controls else 0
        yield ArmError(arm_index, "is_control", str(_("Exactly one arm is the control.")))
    store = ModelStore(settings.MODEL_DIR)
    for arm_index, arm in enumerate(arms):
        if arm.predictor not in MODELS:
            message = _("There is no model %(name)s.")
            yield ArmError(arm_index, "predictor", message % {"name": arm.predictor})
        elif starting and not store.current(arm.predictor):
            message = _("%(name)s is not trained, so it cannot be started.")
            yield ArmError(arm_index, "predictor", message % {"name": arm.predictor})
