"""The protocols: which rows are held out, what a model may see, and what it is then asked.

A split never shows a model its test rows: `fit` gets `train` and `validation`, and `cases` hold
histories and targets as arrays for the evaluation alone.

    leave-one-out   per user by time: last row = test, second last = validation, the rest = training;
                    test histories are training and validation rows
    given-split     training and test rows as the data set gives them; models train on all of the former. To
                    tune, a fifth of each user's training rows is drawn for validation
    random-split    per user at random 8:1:1, the counts as in RecBole's RatioSplit; histories are the
                    training rows, validation rows are masked too
    guest           whole users held out; they are given n of their rows (at random or the first n in
                    time) and asked for the rest. Validation users are users without training rows
    session         whole users held out; they are given the last n rows before their last one, which is
                    to be found
    temporal        80 / 10 / 10 by one global cut in time; histories are everything before the cut
    cold-item       a tenth of the items held out whole, which alone are ranked; another tenth to tune
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from datasets.interactions import Interactions
from datasets.splits.cases import Split, SplitError, cases_from_masks, limited, random_positions
from datasets.splits.held_out_users import GIVEN, GIVEN_IN_SESSION, split_guest, split_session

PROTOCOLS = (
    "leave-one-out", "given-split", "random-split", "guest", "session", "temporal", "cold-item",
)  # fmt: skip
DEFAULT_N = {"guest": GIVEN, "session": GIVEN_IN_SESSION}
PARTS = ("test", "validation")
ORDERS = ("random", "time")
VALIDATION_SHARE = 0.2  # of each user's training rows of a given split
_LEAST_FOR_LEAVE_ONE_OUT = 3  # users with fewer rows are trained on only
_TEMPORAL_CUTS = (0.8, 0.9)
_RANDOM_SHARE = 10  # one tenth each for validation and test
_COLD_SHARE = 10  # one item in so many is held out


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
    n            guest and session: how many rows are given ("3"), what share ("80%", guest only) or "all"
                 (session only); DEFAULT_N otherwise
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
        split = _leave_one_out(interactions, part)
    elif protocol == "given-split":
        split = _given_split(given, part, seed)
    elif protocol == "random-split":
        split = _random_split(interactions, rng, part)
    elif protocol == "guest":
        split = split_guest(interactions, rng, part, order=order, n=n or GIVEN, held_out=held_out)
    elif protocol == "session":
        split = split_session(interactions, rng, part, n=n or GIVEN_IN_SESSION, held_out=held_out)
    elif protocol == "cold-item":
        split = _cold_item(interactions, rng, part)
    else:
        split = _temporal(interactions, part)
    if not any(len(cases) for cases in split.cases):
        raise SplitError(f"{protocol} leaves no user to ask about: too few rows per user")
    if not len(split.train):
        raise SplitError(f"{protocol} leaves no rows to train on")
    if limit_users is not None:
        split = replace(split, cases=tuple(limited(cases, limit_users, seed) for cases in split.cases))
    return split


def _leave_one_out(interactions: Interactions, part: str) -> Split:
    counts = np.diff(interactions.indptr)
    from_the_end = interactions.indptr[interactions.users + 1] - 1 - np.arange(len(interactions))
    held_out = counts[interactions.users] >= _LEAST_FOR_LEAVE_ONE_OUT
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
        f"users with fewer than {_LEAST_FOR_LEAVE_ONE_OUT} rows are trained on only",
        "training and validation rows" if part == "test" else "training rows",
    )


def _given_split(given: tuple[Interactions, Interactions] | None, part: str, seed: int) -> Split:
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
        drawn = random_positions(train, np.random.default_rng(seed)) < n_drawn[train.users]
        train, test = train.select(~drawn), train.select(drawn)
        description = f"training rows as given, {VALIDATION_SHARE:.0%} of each user's drawn for validation"
    both = Interactions.from_columns(
        np.concatenate([train.users, test.users]),
        np.concatenate([train.items, test.items]),
        np.concatenate([train.values, test.values]),
        np.repeat([0, 1], [len(train), len(test)]),
        user_ids=train.user_ids,
        item_ids=train.item_ids,
    )
    pairs = both.users.astype(np.int64) * both.n_items + both.items
    known = np.isin(pairs, pairs[both.at == 0])
    cases = cases_from_masks("", both, both.at == 0, (both.at == 1) & ~known)
    met = cases.history.lengths > 0
    if not met.all():
        description += f"; {(~met).sum()} users without training rows are left out"
    return Split("given-split", train, None, (cases.select(met),), description, "training rows")


def _random_split(interactions: Interactions, rng: np.random.Generator, part: str) -> Split:
    counts = np.diff(interactions.indptr)
    position = random_positions(interactions, rng)
    # RecBole, RatioSplit by user: a tenth each rounded down, but one row of a user who has too few
    # for that, as long as one is left to train on.
    n_test = np.where(counts < _RANDOM_SHARE, (counts > 1).astype(np.int64), counts // _RANDOM_SHARE)
    n_validation = np.where(
        counts < _RANDOM_SHARE, (counts - n_test > 1).astype(np.int64), counts // _RANDOM_SHARE
    )
    users = interactions.users
    test = position >= (counts - n_test)[users]
    validation = ~test & (position >= (counts - n_test - n_validation)[users])
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


def _temporal(interactions: Interactions, part: str) -> Split:
    times = np.sort(interactions.at, kind="stable")
    first, second = (int(times[int(len(times) * cut)]) for cut in _TEMPORAL_CUTS)
    train = interactions.at < first
    test = interactions.at >= second
    validation = ~train & ~test
    history, targets = (train | validation, test) if part == "test" else (train, validation)
    everyone = np.unique(interactions.users[targets]).size
    cases = cases_from_masks("", interactions, history, targets)
    known = cases.history.lengths > 0
    cases = cases.select(known)
    return Split(
        "temporal",
        interactions.select(train),
        interactions.select(validation),
        (cases,),
        f"one global cut: training before {first}, test from {second} (seconds since 1970); "
        f"{everyone - len(cases)} of {everyone} users have no history before the cut and are left out",
        "all rows before the cut",
    )


def _cold_item(interactions: Interactions, rng: np.random.Generator, part: str) -> Split:
    met = rng.permutation(np.flatnonzero(np.bincount(interactions.items, minlength=interactions.n_items)))
    n_held_out = len(met) // _COLD_SHARE
    if not n_held_out:
        raise SplitError(f"cold-item cannot hold out a tenth of {len(met)} items")
    group = np.zeros(interactions.n_items, dtype=np.int8)  # 0 training, 1 test, 2 validation
    group[met[:n_held_out]] = 1
    group[met[n_held_out : 2 * n_held_out]] = 2
    rows = group[interactions.items]
    asked = 1 if part == "test" else 2
    cases = cases_from_masks("", interactions, rows == 0, rows == asked)
    return Split(
        "cold-item",
        interactions.select(rows == 0),
        interactions.select(rows == 2),
        (cases.select(cases.history.lengths > 0),),
        f"{n_held_out} items held out whole to be found, as many others for validation",
        "training rows",
        candidates=group == asked,
    )
