"""Leave-one-out by time, as in the SASRec paper (ICDM 2018, section IV-A)."""

from __future__ import annotations

import numpy as np

from datasets.interactions import Interactions
from datasets.splits.cases import Split, cases_from_masks

_LEAST_ROWS = 3  # users with fewer rows are trained on only


def leave_one_out(interactions: Interactions, part: str) -> Split:
    """Hold out the last row of each user for test and the second last for validation."""
    counts = np.diff(interactions.indptr)
    from_the_end = interactions.indptr[interactions.users + 1] - 1 - np.arange(len(interactions))
    held_out = counts[interactions.users] >= _LEAST_ROWS
    test = held_out & (from_the_end == 0)
    validation = held_out & (from_the_end == 1)
    train = ~test & ~validation
    history, targets = (train | validation, test) if part == "test" else (train, validation)
    return Split(
        "leave-one-out",
        interactions.select(train),
        interactions.select(validation),
        (cases_from_masks("", interactions, history, targets),),
        "per user by time: last row test, second last validation, rest training; "
        f"users with fewer than {_LEAST_ROWS} rows are trained on only",
        "training and validation rows" if part == "test" else "training rows",
    )
