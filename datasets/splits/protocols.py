"""The protocols: who is held out, what a model may see, and what it is then asked.

A split never shows a model its test rows: `fit` gets `train` and `validation`, and `cases` hold
histories and targets as arrays for the evaluation alone.

    leave-one-out   per user by time: last row = test, second last = validation, the rest = training;
                    test histories are training and validation rows
    given-split     training and test rows as the data set gives them; models train on all of the former. To
                    tune, a fifth of each user's training rows is drawn for validation
    random-split    per user at random 8:1:1, the counts as in RecBole's RatioSplit; histories are the
                    training rows, validation rows are masked too
    guest           entire users held out; they are given n of their rows (at random or the first n in
                    time) and asked for the rest. Validation users are users without training rows
    session         entire users held out; they are given the last n rows before their last one, which is to
                    be found
    temporal        80 / 10 / 10 by one global cut in time; histories are everything before the cut
    cold-item       a tenth of the items held out entirely, which alone are ranked; another tenth to tune
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from datasets.interactions import Interactions
from datasets.splits.cases import Split, SplitError, limited
from datasets.splits.cold_item import cold_item_split
from datasets.splits.given import given_split
from datasets.splits.guest import GIVEN, guest_split
from datasets.splits.leave_one_out import leave_one_out
from datasets.splits.random_split import random_split
from datasets.splits.session import GIVEN_IN_SESSION, session_split
from datasets.splits.temporal import temporal_split

PROTOCOLS = (
    "leave-one-out", "given-split", "random-split", "guest", "session", "temporal", "cold-item",
)  # fmt: skip
PARTS = ("test", "validation")
ORDERS = ("random", "time")


def at_least(interactions: Interactions, min_rating: float) -> Interactions:
    """Return the rows rated `min_rating` or better; rows without a rating go too."""
    return interactions.select(interactions.values >= min_rating)


def latest_of_each_pair(interactions: Interactions) -> Interactions:
    """Return the latest row of each user and item: the protocols ask for items that are not seen yet."""
    pairs = interactions.users.astype(np.int64) * interactions.n_items + interactions.items
    _, from_the_end = np.unique(pairs[::-1], return_index=True)
    if len(from_the_end) == len(pairs):
        return interactions
    return interactions.select(np.sort(len(pairs) - 1 - from_the_end))


def split_interactions(
    protocol: str,
    interactions: Interactions,
    *,
    given: tuple[Interactions, Interactions] | None = None,
    seed: int = 1,
    part: str = "test",
    order: str = "random",
    n: Sequence[str] | None = None,
    held_out: int | None = None,
    limit_users: int | None = None,
) -> Split:
    """Split interactions by one of PROTOCOLS.

    given        (train, test) where the data set has a split of its own
    part         "test", or "validation" for tuning: the cases then hold validation targets, and
                 nothing of the test part is touched
    order        guest only: which rows are given
    n            guest and session: how many rows are given ("3"), what share ("80%"), or "all" (session);
                 GIVEN and GIVEN_IN_SESSION by default
    held_out     guest and session: how many users are held out, once for test and once for validation
    limit_users  ask about no more than so many users, chosen by the seed

    Raises SplitError when the protocol does not fit the data, ValueError on an unknown option.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol is called {protocol!r}; known: {', '.join(PROTOCOLS)}")
    if part not in PARTS or order not in ORDERS:
        raise ValueError(f"part must be one of {PARTS}, order one of {ORDERS}, not {part!r}, {order!r}")
    rng = np.random.default_rng(seed)
    if protocol == "leave-one-out":
        split = leave_one_out(interactions, part)
    elif protocol == "given-split":
        split = given_split(given, part, seed)
    elif protocol == "random-split":
        split = random_split(interactions, rng, part)
    elif protocol == "guest":
        split = guest_split(interactions, rng, part, order=order, n=n or GIVEN, held_out=held_out)
    elif protocol == "session":
        split = session_split(interactions, rng, part, n=n or GIVEN_IN_SESSION, held_out=held_out)
    elif protocol == "cold-item":
        split = cold_item_split(interactions, rng, part)
    else:
        split = temporal_split(interactions, part)
    if not any(len(cases) for cases in split.cases):
        raise SplitError(f"{protocol} leaves no user to ask about: too few rows per user")
    if not len(split.train):
        raise SplitError(f"{protocol} leaves no rows to train on")
    if limit_users is not None:
        split = replace(split, cases=tuple(limited(cases, limit_users, seed) for cases in split.cases))
    return split
