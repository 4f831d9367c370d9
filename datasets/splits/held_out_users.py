"""Protocols that hold out whole users: guest (what they watch some day) and session (what comes next)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.interactions import Interactions
from datasets.splits.cases import Split, SplitError, cases_from_masks, random_positions

GIVEN = ("1", "3", "5", "10", "80%")
GIVEN_IN_SESSION = ("1", "3", "5", "10", "20", "all")
_ML_1M_USERS, _ML_1M_HELD_OUT = 6040, 1000  # the published guest figures hold out 1,000 users here
_HELD_OUT_SHARE = 10


def split_guest(
    interactions: Interactions,
    rng: np.random.Generator,
    part: str,
    *,
    order: str,
    n: Sequence[str],
    held_out: int | None,
) -> Split:
    """Give n rows of each held-out user, at random or the first in time, and ask for the rest."""
    group, n_held_out = _held_out_groups("guest", interactions, rng, held_out)
    asked = group == (1 if part == "test" else 2)
    counts = np.diff(interactions.indptr)
    positions = (
        random_positions(interactions, rng)
        if order == "random"
        else np.arange(len(interactions)) - interactions.indptr[interactions.users]
    )
    cases = []
    for amount in n:
        number = _number_given(amount, counts)
        here = (asked & (counts > number))[interactions.users]
        shown = here & (positions < number[interactions.users])
        cases.append(cases_from_masks(f"n={amount}", interactions, shown, here & ~shown))
    rows = group[interactions.users]
    return Split(
        "guest",
        interactions.select(rows == 0),
        interactions.select(rows == 2),
        tuple(cases),
        f"{n_held_out} test and {n_held_out} validation users held out; "
        + ("given rows at random" if order == "random" else "given the first rows in time"),
        "the given rows, oldest first",
    )


def split_session(
    interactions: Interactions,
    rng: np.random.Generator,
    part: str,
    *,
    n: Sequence[str],
    held_out: int | None,
) -> Split:
    """Give the last n rows of each held-out user before their last one, and ask for the last one."""
    group, n_held_out = _held_out_groups("session", interactions, rng, held_out)
    asked = group == (1 if part == "test" else 2)
    counts = np.diff(interactions.indptr)
    from_the_end = interactions.indptr[interactions.users + 1] - 1 - np.arange(len(interactions))
    cases = []
    for amount in n:
        number = np.maximum(counts - 1, 1) if amount == "all" else _number_given(amount, counts)
        here = (asked & (counts > number))[interactions.users]
        shown = here & (from_the_end >= 1) & (from_the_end <= number[interactions.users])
        cases.append(cases_from_masks(f"n={amount}", interactions, shown, here & (from_the_end == 0)))
    rows = group[interactions.users]
    return Split(
        "session",
        interactions.select(rows == 0),
        interactions.select(rows == 2),
        tuple(cases),
        f"{n_held_out} test and {n_held_out} validation users held out; the last row of each is to be found",
        "the last n rows before the last one, oldest first",
    )


def _held_out_groups(
    protocol: str, interactions: Interactions, rng: np.random.Generator, held_out: int | None
) -> tuple[np.ndarray, int]:
    """Return (n_users,) int8, 0 training, 1 test, 2 validation, and how many users each of the latter has."""
    counts = np.diff(interactions.indptr)
    eligible = np.flatnonzero(counts > 1)
    if held_out is None:
        n_users = int((counts > 0).sum())
        held_out = _ML_1M_HELD_OUT if n_users == _ML_1M_USERS else n_users // _HELD_OUT_SHARE
    if held_out < 1 or 2 * held_out >= len(eligible):
        raise SplitError(
            f"{protocol} cannot hold out twice {held_out} of {len(eligible)} users with two or more rows"
        )
    shuffled = rng.permutation(eligible)
    group = np.zeros(interactions.n_users, dtype=np.int8)
    group[shuffled[:held_out]] = 1
    group[shuffled[held_out : 2 * held_out]] = 2
    return group, held_out


def _number_given(amount: str, counts: np.ndarray) -> np.ndarray:
    """Return (n_users,) int64 rows given to each user, for "3" or "80%" (one row at least is left)."""
    share = amount.endswith("%")
    number = amount.removesuffix("%")
    if not number.isdecimal() or int(number) < 1 or (share and int(number) >= 100):
        raise ValueError(f"{amount!r} is no amount; expected a count such as 3 or a share such as 80%")
    if share:
        return np.clip(np.rint(counts * int(number) / 100).astype(np.int64), 1, np.maximum(counts - 1, 1))
    return np.full(len(counts), int(number), dtype=np.int64)
