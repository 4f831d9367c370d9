"""What staff and programs do with an experiment: define, start, end, delete, promote an arm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from movie.experiments.models import Experiment, ExperimentArm, arm_errors
from movie.training.models import DefaultModel

State = Experiment.State


def define(experiment: Experiment, arms: Sequence[ExperimentArm]) -> None:
    """Store a new draft with its arms.

    Raises ValidationError, whose messages are by field; those of an arm by `arms[1].predictor`.
    """
    problems: dict[str, list[str]] = {}
    _collect(problems, "", experiment.full_clean)
    for position, arm in enumerate(arms):
        _collect(problems, f"arms[{position}].", partial(arm.full_clean, exclude=["experiment"]))
        if arm.name in {other.name for other in arms[:position]}:
            problems.setdefault(f"arms[{position}].name", []).append(_("Two arms have this name."))
    if not problems:
        _add_arm_errors(problems, arms, starting=False)
    if problems:
        raise ValidationError(dict(problems))
    try:
        with transaction.atomic():
            experiment.save()
            for arm in arms:
                arm.experiment = experiment
                arm.save()
    except IntegrityError as error:
        if Experiment.objects.filter(name=experiment.name).exists():
            raise ValidationError({"name": _("There is an experiment of this name.")}) from error
        raise


def start(experiment: Experiment) -> None:
    """Start a draft, at the time that it states. One that runs goes on.

    Raises ValidationError as `define`, and when another one runs at that time.
    """
    before, experiment.state = experiment.state, State.RUNNING
    problems: dict[str, list[str]] = {}
    _add_arm_errors(problems, list(experiment.arms.all()), starting=True)
    _collect(problems, "", experiment.full_clean)
    try:
        if problems:
            raise ValidationError(dict(problems))
        _update(experiment)
    except ValidationError:
        experiment.state = before
        raise


def end(experiment: Experiment) -> None:
    """End an experiment for good: everybody gets the default model again.

    Raises ValidationError for a draft.
    """
    if not experiment.has_started:
        raise ValidationError({"state": _("It has not been started.")})
    if experiment.state == State.RUNNING:
        experiment.state = State.ENDED
        _update(experiment)


def delete(experiment: Experiment) -> None:
    """Delete an experiment that has not begun: a draft, or one whose time has not come.

    Raises ValidationError for one that has, whose results are kept.
    """
    with transaction.atomic():
        stored = _lock(experiment)
        if stored.has_begun:
            raise ValidationError(_("It has run, so its results are kept."))
        stored.delete()


def _update(experiment: Experiment) -> None:
    """Save an experiment that is stored still: a plain save would bring back a deleted one without arms."""
    with transaction.atomic():
        _lock(experiment)
        experiment.save(force_update=True)


def _lock(experiment: Experiment) -> Experiment:
    """Lock an experiment until the transaction ends, and return it as it is stored.

    Raises ValidationError for one that was deleted.
    """
    stored = Experiment.objects.select_for_update().filter(pk=experiment.pk).first()
    if stored is None:
        raise ValidationError(_("It has been deleted."))
    return stored


def promote(arm: ExperimentArm, by_id: int | None = None) -> None:
    """Make an arm's model the site's default, whatever the verdict, and end the experiment if it still runs.

    `by_id` is the account of who decided, None for a program. Raises ValidationError for a draft.
    """
    with transaction.atomic():
        end(arm.experiment)
        DefaultModel.objects.create(predictor=arm.predictor, by_id=by_id, experiment=arm.experiment)


def _collect(problems: dict[str, list[str]], prefix: str, check: Callable[[], None]) -> None:
    """Add the messages of a check to `problems`, by field."""
    try:
        check()
    except ValidationError as error:
        messages: Mapping[str, Sequence[str]] = error.message_dict
        for field, found in messages.items():
            problems.setdefault(f"{prefix}{field}", []).extend(found)


def _add_arm_errors(problems: dict[str, list[str]], arms: Sequence[ExperimentArm], *, starting: bool) -> None:
    for error in arm_errors(arms, starting=starting):
        field = "arms" if error.arm_index is None else f"arms[{error.arm_index}].{error.field}"
        problems.setdefault(field, []).append(str(error.message))
