"""Which arm of the running experiment a visitor is in, and the site's default model.

Nothing is stored for it and no row is read: the arm follows from a hash of the experiment's salt and the
visitor's key, the same in every process, and what runs is read from the cache. A list that an experiment
decided says so in its `recommendation_id`, a UUID of version 8, and so does everything done with it.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, NamedTuple

from django.conf import settings
from django.core.cache import cache
from django.db import OperationalError
from django.utils import timezone

from movie.experiment_models import DefaultModel, Experiment

PLAN, PLAN_SECONDS = "experiment-plan", 15  # so old what another process has changed may be
UNIT_BYTES = 16
_HALF_BITS = 64

# The last 62 bits of the id of a list: experiment, arm, fallback, chance.
_EXPERIMENT_BITS, _ARM_BITS, _FALLBACK_BITS, _CHANCE_BITS = 24, 6, 1, 31
_VERSION = "8"  # RFC 9562, 5.8: the content is ours


class Mark(NamedTuple):
    """What the id of a list says. `arm` is the place of the arm."""

    experiment: int
    arm: int
    fallback: bool


class Arm(NamedTuple):
    """The arm that a visitor is in now."""

    experiment: int
    arm: int
    predictor: str

    def list_id(self, *, fallback: bool) -> str:
        """A new id for a list of this arm; `fallback` when another model had to answer."""
        return marked_id(Mark(self.experiment, self.arm, fallback))


def assign_arm(visitor_key: str) -> Arm | None:
    """Return the arm of the running experiment that this visitor is in, None while nothing runs."""
    now = time.time()
    for pk, salt, starts, ends, predictors, bounds in _plan()["experiments"]:
        if starts <= now and (ends is None or now < ends):
            arm = arm_of(unit_of(salt, visitor_key), bounds)
            return Arm(pk, arm, predictors[arm])
    return None


def default_models() -> tuple[str, ...]:
    """What answers who chose nothing: the first that can. What staff chose comes before DEFAULT_MODELS."""
    try:
        chosen = _plan()["default"]
    except OperationalError:  # the database is away; what is ranked from memory goes on
        chosen = ""
    return (chosen, *settings.DEFAULT_MODELS) if chosen else tuple(settings.DEFAULT_MODELS)


def is_running(experiment: int) -> bool:
    now = time.time()
    return any(
        pk == experiment and starts <= now and (ends is None or now < ends)
        for pk, _salt, starts, ends, _predictors, _bounds in _plan()["experiments"]
    )


def unit_of(salt: str, visitor_key: str) -> str:
    """The visitor as an experiment knows them: 32 hexadecimal digits."""
    return hashlib.blake2b(visitor_key.encode(), key=salt.encode(), digest_size=UNIT_BYTES).hexdigest()


def arm_of(unit: str, bounds: Sequence[float]) -> int:
    """The place of the unit's arm. `bounds` are the cumulated shares."""
    return min(bisect_right(bounds, (int(unit, 16) >> _HALF_BITS) / 2**_HALF_BITS), len(bounds) - 1)


def bounds_of(shares: Sequence[Any]) -> list[float]:
    return [float(bound) for bound in accumulate(shares)]


def marked_id(mark: Mark) -> str:
    ours = mark.experiment << _ARM_BITS | mark.arm
    ours = ours << _FALLBACK_BITS | mark.fallback
    ours = ours << _CHANCE_BITS | secrets.randbits(_CHANCE_BITS)
    milliseconds = time.time_ns() // 1_000_000
    return str(
        uuid.UUID(int=milliseconds << 80 | int(_VERSION) << 76 | secrets.randbits(12) << 64 | 2 << 62 | ours)
    )


def read_mark(recommendation_id: str) -> Mark | None:
    """What the id of a list says of an experiment, None for every other id."""
    if recommendation_id[14:15] != _VERSION:
        return None
    try:
        ours = uuid.UUID(recommendation_id).int & ((1 << 62) - 1)
    except ValueError:
        return None
    ours >>= _CHANCE_BITS
    fallback, ours = bool(ours & 1), ours >> _FALLBACK_BITS
    return Mark(ours >> _ARM_BITS, ours & ((1 << _ARM_BITS) - 1), fallback)


def forget_plan() -> None:
    """Call when an experiment or the default has changed."""
    cache.delete(PLAN)


def _plan() -> dict[str, Any]:
    """What runs or will, and the default, as every cache can keep it: numbers, texts and lists."""
    plan: dict[str, Any] | None = cache.get(PLAN)
    if plan is None:
        plan = {"experiments": _not_over(timezone.now()), "default": _default()}
        cache.set(PLAN, plan, PLAN_SECONDS)
    return plan


def _not_over(now: datetime) -> list[list[Any]]:
    return [
        [
            found.pk,
            found.salt,
            found.starts_at.timestamp(),
            found.ends_at and found.ends_at.timestamp(),
            [arm.predictor for arm in found.arms.all()],
            bounds_of([arm.share for arm in found.arms.all()]),
        ]
        for found in Experiment.objects.not_over(now).prefetch_related("arms")
    ]


def _default() -> str:
    return DefaultModel.objects.values_list("predictor", flat=True).first() or ""
