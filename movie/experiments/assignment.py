"""Assigns each visitor to an arm of the running experiment.

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

from django.core.cache import cache
from django.utils import timezone

from movie.experiments.models import Experiment

ACTIVE_CONFIG = "experiments-active-2"  # its number changes with the shape of what is cached
ACTIVE_CONFIG_SECONDS = 15  # so old what another process has changed may be
HASH_BYTES = 16
_HALF_BITS = 64

# The last 62 bits of the id of a list: experiment, arm, fallback, chance.
_EXPERIMENT_BITS, _ARM_BITS, _FALLBACK_BITS, _CHANCE_BITS = 24, 6, 1, 31
_VERSION = "8"  # RFC 9562, 5.8: the content is ours


class ListTag(NamedTuple):
    """The experiment's part of a list id."""

    experiment: int
    arm_index: int
    fallback: bool


class Arm(NamedTuple):
    """The arm that a visitor is in now."""

    experiment: int
    arm_index: int
    predictor: str
    experiment_name: str = ""
    name: str = ""

    def list_id(self, *, fallback: bool) -> str:
        """Return a new id for a list of this arm; `fallback` when another model answered."""
        return tagged_list_id(ListTag(self.experiment, self.arm_index, fallback))


def assign_arm(visitor_key: str) -> Arm | None:
    """Return the arm of the running experiment that this visitor is in, None while nothing runs."""
    now = time.time()
    for pk, salt, starts, ends, predictors, bounds, name, arm_names in _active_config():
        if starts <= now and (ends is None or now < ends):
            arm_index = arm_of(visitor_hash(salt, visitor_key), bounds)
            return Arm(pk, arm_index, predictors[arm_index], name, arm_names[arm_index])
    return None


def is_running(experiment: int) -> bool:
    now = time.time()
    return any(
        pk == experiment and starts <= now and (ends is None or now < ends)
        for pk, _salt, starts, ends, *_arms in _active_config()
    )


def visitor_hash(salt: str, visitor_key: str) -> str:
    """Return the visitor as an experiment knows them: 32 hexadecimal digits."""
    return hashlib.blake2b(visitor_key.encode(), key=salt.encode(), digest_size=HASH_BYTES).hexdigest()


def arm_of(unit: str, bounds: Sequence[float]) -> int:
    """Return the index of the arm whose part of the shares the hash falls into."""
    return min(bisect_right(bounds, (int(unit, 16) >> _HALF_BITS) / 2**_HALF_BITS), len(bounds) - 1)


def cumulative_shares(shares: Sequence[Any]) -> list[float]:
    return [float(bound) for bound in accumulate(shares)]


def tagged_list_id(tag: ListTag) -> str:
    ours = tag.experiment << _ARM_BITS | tag.arm_index
    ours = ours << _FALLBACK_BITS | tag.fallback
    ours = ours << _CHANCE_BITS | secrets.randbits(_CHANCE_BITS)
    milliseconds = time.time_ns() // 1_000_000
    return str(
        uuid.UUID(int=milliseconds << 80 | int(_VERSION) << 76 | secrets.randbits(12) << 64 | 2 << 62 | ours)
    )


def parse_list_id(recommendation_id: str) -> ListTag | None:
    """Return the tag of an experiment's list id, None for every other id."""
    if recommendation_id[14:15] != _VERSION:
        return None
    try:
        ours = uuid.UUID(recommendation_id).int & ((1 << 62) - 1)
    except ValueError:
        return None
    ours >>= _CHANCE_BITS
    fallback, ours = bool(ours & 1), ours >> _FALLBACK_BITS
    return ListTag(ours >> _ARM_BITS, ours & ((1 << _ARM_BITS) - 1), fallback)


def forget_active_config() -> None:
    """Delete what is cached of experiments; to be called when one has changed."""
    cache.delete(ACTIVE_CONFIG)


def _active_config() -> list[list[Any]]:
    """Return the running and planned experiments as JSON values, from the cache if possible."""
    config: list[list[Any]] | None = cache.get(ACTIVE_CONFIG)
    if config is None:
        config = _not_over(timezone.now())
        cache.set(ACTIVE_CONFIG, config, ACTIVE_CONFIG_SECONDS)
    return config


def _not_over(now: datetime) -> list[list[Any]]:
    return [
        [
            found.pk,
            found.salt,
            found.starts_at.timestamp(),
            found.ends_at and found.ends_at.timestamp(),
            [arm.predictor for arm in found.arms.all()],
            cumulative_shares([arm.share for arm in found.arms.all()]),
            found.name,
            [arm.name for arm in found.arms.all()],
        ]
        for found in Experiment.objects.not_over(now).prefetch_related("arms")
    ]
