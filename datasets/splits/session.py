"""Whole users held out, who are asked for the item that comes next after the last few."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.interactions import Interactions
from datasets.splits.cases import Split, cases_from_masks
from datasets.splits.guest import held_out_groups, n_given

GIVEN_IN_SESSION = ("1", "3", "5", "10", "20", "all")


def session_split(
    interactions: Interactions,
    rng: np.random.Generator,
    part: str,
    *,
    n: Sequence[str],
    held_out: int | None,
) -> Split:
    """Give the last n rows of each held-out user before their last one, which is to be found.

    Raises SplitError when there are too few users.
    """
    group, n_held_out = held_out_groups("session", interactions, rng, held_out)
    asked = group == (1 if part == "test" else 2)
    counts = np.diff(interactions.indptr)
    from_the_end = interactions.indptr[interactions.users + 1] - 1 - np.arange(len(interactions))
    cases = []
    for amount in n:
        number = np.maximum(counts - 1, 1) if amount == "all" else n_given(amount, counts)
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
