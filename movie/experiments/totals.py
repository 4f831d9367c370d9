"""The consumer group of experiments: sums events into the totals of each visitor.

Everything needed is in the event: its `recommendation_id` names experiment and arm, and the arm is worked out
again from the visitor, so that nobody can count for another arm than their own.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby

from django.db.models import BigIntegerField

from movie.core.compiled import CompiledQuery
from movie.events.stream.counts import add_sums
from movie.events.stream.handlers import CountingHandler, counted_interactions
from movie.events.stream.messages import (
    GuestMerged,
    HistoryForgotten,
    InteractionRecorded,
    Message,
)
from movie.experiments.assignment import (
    HASH_BYTES,
    ListTag,
    arm_of,
    cumulative_shares,
    parse_list_id,
    visitor_hash,
)
from movie.experiments.models import Experiment, ExperimentArm, VisitorTotals
from predictors.history import Interaction

DEFINITION = ("pk", "state", "salt", "starts_at", "ends_at")  # what counting reads of an experiment
SUMS = ("impressions", "fallbacks", "clicks", "ratings", "stars")


class Experiments(CountingHandler):
    """Adds up each visitor's interactions with the lists of an experiment, and applies deletions and
    merges.
    """

    group = "experiments"

    def apply(self, messages: Sequence[Message]) -> None:
        for is_recorded, some in groupby(messages, key=lambda each: isinstance(each, InteractionRecorded)):
            if is_recorded:
                count(counted_interactions(some))
            else:
                follow(some)


def count(interactions: Iterable[Interaction]) -> None:
    """Add what was done with lists of experiments. To be called once for each interaction."""
    tagged = [(each, tag) for each in interactions if (tag := parse_list_id(each.recommendation_id))]
    if not tagged:
        return
    experiments = _started({tag.experiment for _each, tag in tagged})
    sums: dict[tuple, list[float]] = defaultdict(lambda: [0] * len(SUMS))
    for each, tag in tagged:
        found = experiments.get(tag.experiment)
        added = _sums_of(each, tag)
        if found is None or not any(added):
            continue
        experiment, arms, bounds = found
        if not experiment.covers(each.at):
            continue
        unit = visitor_hash(experiment.salt, each.visitor)
        arm_index = arm_of(unit, bounds)
        if arm_index == tag.arm_index:
            key = (arms[arm_index], unit)
            sums[key] = [before + more for before, more in zip(sums[key], added, strict=True)]
    add_sums(VisitorTotals, ("arm", "unit"), SUMS, sums)


def _started(wanted: set[int]) -> dict[int, tuple[Experiment, list[int], list[float]]]:
    """Return those of these experiments that were started, each with the ids of its arms and their bounds."""
    shares: dict[tuple, dict[int, Decimal]] = defaultdict(dict)
    for *definition, arm, share in _arms_of_started.rows(experiment=sorted(wanted)):
        shares[tuple(definition)][arm] = share
    return {
        definition[0]: (
            Experiment(**dict(zip(DEFINITION, definition, strict=True))),
            list(arms),
            cumulative_shares(list(arms.values())),
        )
        for definition, arms in shares.items()
    }


# Django took longer to write the statements of experiments and of their arms than the rest of an impression.
_arms_of_started = CompiledQuery(
    lambda some: (
        ExperimentArm.objects.exclude(experiment__state=Experiment.State.DRAFT)
        .filter(experiment__id__in=some("experiment", BigIntegerField()))
        .values_list(*(f"experiment__{name}" for name in DEFINITION), "pk", "share")
    )
)


def follow(messages: Iterable[Message]) -> None:
    """Detach deleted visitors from their totals, and note who came to another arm by signing in."""
    changes = [each for each in messages if isinstance(each, (HistoryForgotten, GuestMerged))]
    if not changes:
        return
    experiments = list(Experiment.objects.started().prefetch_related("arms"))
    for change in changes:
        if isinstance(change, GuestMerged):
            for experiment in experiments:
                _note_change_of_arm(experiment, change)
        elif change.movie_id is None:
            units = [visitor_hash(experiment.salt, change.visitor) for experiment in experiments]
            for row in VisitorTotals.objects.filter(unit__in=units):
                row.unit = secrets.token_hex(HASH_BYTES)
                row.save(update_fields=["unit"])


def _note_change_of_arm(experiment: Experiment, joined: GuestMerged) -> None:
    if not experiment.covers(joined.recorded_at):
        return
    bounds = cumulative_shares([arm.share for arm in experiment.arms.all()])
    guest, member = (visitor_hash(experiment.salt, key) for key in (joined.visitor, joined.into))
    if arm_of(guest, bounds) != arm_of(member, bounds):
        VisitorTotals.objects.filter(arm__experiment=experiment, unit=guest).update(changed_arm=True)


def _sums_of(each: Interaction, tag: ListTag) -> tuple[float, ...]:
    """Return the amounts that an interaction adds, in the order of SUMS."""
    if each.kind == "impression":
        return (1, int(tag.fallback), 0, 0, 0)
    if each.kind == "click":
        return (0, 0, 1, 0, 0)
    if each.kind == "rating" and each.value is not None:
        return (0, 0, 0, 1, each.value)
    return (0, 0, 0, 0, 0)
