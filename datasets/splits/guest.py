"""Whole users held out: guests, who are given some of their rows and asked for the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.interactions import Interactions
from datasets.splits.cases import Split, SplitError, cases_from_masks, random_ranks

GIVEN = ("1", "3", "5", "10", "80%")
_ML_1M_USERS, _ML_1M_HELD_OUT = 6040, 1000  # the published guest figures hold out 1,000 users here
_HELD_OUT_SHARE = 10


def guest_split(
    interactions: Interactions,
    rng: np.random.Generator,
    part: str,
    *,
    order: str,
    n: Sequence[str],
    held_out: int | None,
) -> Split:
    """Hold out users for test and as many for validation. Raises SplitError when there are too few."""
    group, n_held_out = held_out_groups("guest", interactions, rng, held_out)
    counts = np.diff(interactions.indptr)
    asked = group == (1 if part == "test" else 2)
    ranks = (
        random_ranks(interactions, rng)
        if order == "random"
        else np.arange(len(interactions)) - interactions.indptr[interactions.users]
    )
    cases = []
    for amount in n:
        number = n_given(amount, counts)
        here = (asked & (counts > number))[interactions.users]
        shown = here & (ranks < number[interactions.users])
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


def held_out_groups(
    protocol: str, interactions: Interactions, rng: np.random.Generator, held_out: int | None
) -> tuple[np.ndarray, int]:
    """Return (n_users,) int8, 0 training, 1 test, 2 validation, and the number of users of the latter two.

    Raises SplitError when there are too few users.
    """
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


def n_given(amount: str, counts: np.ndarray) -> np.ndarray:
    """Return (n_users,) int64 the number of rows given to each user, "3" or "80%".

    A share is rounded and leaves one row at least. Raises ValueError on another amount.
    """
    share = amount.endswith("%")
    number = amount.removesuffix("%")
    if not number.isdecimal() or int(number) < 1 or (share and int(number) >= 100):
        raise ValueError(f"{amount!r} is no amount; expected a count such as 3 or a share such as 80%")
    if share:
        return np.clip(np.rint(counts * int(number) / 100).astype(np.int64), 1, np.maximum(counts - 1, 1))
    return np.full(len(counts), int(number), dtype=np.int64)
