"""A random split of each user's rows, 8:1:1."""

from __future__ import annotations

import numpy as np

from datasets.interactions import Interactions
from datasets.splits.cases import Split, cases_from_masks, random_ranks

_RANDOM_SHARE = 10  # one tenth each for validation and test


def random_split(interactions: Interactions, rng: np.random.Generator, part: str) -> Split:
    """Draw a tenth of each user's rows for test and a tenth for validation, by the counts of RecBole."""
    counts = np.diff(interactions.indptr)
    rank = random_ranks(interactions, rng)
    # RecBole, RatioSplit by user: a tenth each rounded down, but one row of a user who has too few
    # for that, as long as one is left to train on.
    n_test = np.where(counts < _RANDOM_SHARE, (counts > 1).astype(np.int64), counts // _RANDOM_SHARE)
    n_validation = np.where(
        counts < _RANDOM_SHARE, (counts - n_test > 1).astype(np.int64), counts // _RANDOM_SHARE
    )
    users = interactions.users
    test = rank >= (counts - n_test)[users]
    validation = ~test & (rank >= (counts - n_test - n_validation)[users])
    train = ~test & ~validation
    targets, seen = (test, train | validation) if part == "test" else (validation, train)
    return Split(
        "random-split",
        interactions.select(train),
        interactions.select(validation),
        (cases_from_masks("", interactions, train, targets, seen),),
        "per user at random 8:1:1",
        "training rows; validation rows are masked too" if part == "test" else "training rows",
    )
