"""The split that a data set comes with."""

from __future__ import annotations

import numpy as np

from datasets.interactions import Interactions
from datasets.splits.cases import Split, SplitError, cases_from_masks, random_ranks, select_cases

VALIDATION_SHARE = 0.2  # of each user's training rows, drawn to tune on


def given_split(given: tuple[Interactions, Interactions] | None, part: str, seed: int) -> Split:
    """Take training and test rows as given. Raises SplitError where the data set has none."""
    if given is None:
        raise SplitError(
            "given-split needs data with a split of its own: a folder with train.txt and test.txt, "
            "or with .train.rating and .test.rating"
        )
    train, test = given
    description = "training and test rows as given"
    if part == "validation":  # the test rows are out of the game
        counts = np.diff(train.indptr)
        n_drawn = np.minimum(np.rint(VALIDATION_SHARE * counts).astype(np.int64), np.maximum(counts - 1, 0))
        drawn = random_ranks(train, np.random.default_rng(seed)) < n_drawn[train.users]
        train, test = train.select(~drawn), train.select(drawn)
        description = f"training rows as given, {VALIDATION_SHARE:.0%} of each user's drawn for validation"
    both = Interactions.from_columns(
        np.concatenate([train.users, test.users]),
        np.concatenate([train.items, test.items]),
        np.concatenate([train.values, test.values]),
        np.repeat([0, 1], [len(train), len(test)]),
        user_ids=train.user_ids,
        item_ids=train.item_ids,
        has_time=False,
    )
    pairs = both.users.astype(np.int64) * both.n_items + both.items
    known = np.isin(pairs, pairs[both.at == 0])
    cases = cases_from_masks("", both, both.at == 0, (both.at == 1) & ~known)
    known_user = cases.history.lengths > 0
    if not known_user.all():
        description += f"; {(~known_user).sum()} users without training rows are left out"
    return Split("given-split", train, None, (select_cases(cases, known_user),), description, "training rows")
