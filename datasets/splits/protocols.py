"""The protocols: who is held out, what a model may see, and what it is then asked.

A split never shows a model its test rows: `fit` gets `train` and `validation`, and `cases` hold
histories and targets as arrays for the evaluation alone.

    leave-one-out   per user by time: last row = test, second last = validation, the rest = training;
                    test histories are training and validation rows
    given-split     training and test rows as the data set gives them; models train on all of the former. To
                    tune, a tenth of them is drawn for validation
    random-split    per user at random 8:1:1, the counts as in RecBole's RatioSplit; histories are the
                    training rows, validation rows are masked too
    guest           whole users held out; they are given n of their rows (at random or the first n in
                    time) and asked for the rest. Validation users are users without training rows
    temporal        80 / 10 / 10 by one global cut in time; histories are everything before the cut
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from datasets.interactions import Interactions

PROTOCOLS = ("leave-one-out", "given-split", "random-split", "guest", "temporal")
GIVEN = ("1", "3", "5", "10", "80%")
PARTS = ("test", "validation")
ORDERS = ("random", "time")
VALIDATION_SHARE = 0.1  # of the training rows of a given split
_LEAST_FOR_LEAVE_ONE_OUT = 3  # users with fewer rows are trained on only
_TEMPORAL_CUTS = (0.8, 0.9)
_RANDOM_SHARE = 10  # one tenth each for validation and test
_ML_1M_USERS, _ML_1M_HELD_OUT = 6040, 1000  # the published guest figures hold out 1,000 users here
_HELD_OUT_SHARE = 10


class SplitError(Exception):
    """The data cannot be split by this protocol; the message says what it would need."""


@dataclass(frozen=True)
class Ragged:
    """Rows of unequal length in one array: row c is values[indptr[c]:indptr[c + 1]].

    indptr (C + 1,) int64, values (sum of lengths,) int64
    """

    indptr: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.indptr[row] : self.indptr[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """(C,) int64"""
        return np.diff(self.indptr)

    def mask(self, first: int, last: int, n_items: int) -> np.ndarray:
        """(last - first, n_items) bool: which items the rows first..last-1 hold."""
        dense = np.zeros((last - first, n_items), dtype=bool)
        rows = np.repeat(np.arange(last - first), self.lengths[first:last])
        dense[rows, self.values[self.indptr[first] : self.indptr[last]]] = True
        return dense


@dataclass(frozen=True)
class Cases:
    """Users that are asked about under one condition; all rows by the same index.

    label    the condition: "" where there is one only, "n=3" or "n=80%" for guests
    users    (C,) int32, ascending
    history  items given to the model, oldest first
    seen     items that are masked in the ranking
    targets  items to be found, disjoint from `seen`
    """

    label: str
    users: np.ndarray
    history: Ragged
    seen: Ragged
    targets: Ragged

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Split:
    """What a model may see (`train`, `validation`) and what it is asked (`cases`).

    `description` names the rule with its parameters; `history` names what the model is given.
    """

    protocol: str
    train: Interactions
    validation: Interactions | None
    cases: tuple[Cases, ...]
    description: str
    history: str


def at_least(interactions: Interactions, min_rating: float) -> Interactions:
    """Only rows rated `min_rating` or better; rows without a rating go too."""
    return interactions.select(interactions.values >= min_rating)


def latest_of_each_pair(interactions: Interactions) -> Interactions:
    """Each user meets each item once, at the latest time: the protocols ask for unseen items."""
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
    n: Sequence[str] = GIVEN,
    held_out: int | None = None,
    limit_users: int | None = None,
) -> Split:
    """Split by one of PROTOCOLS.

    given        (train, test) where the data set has a split of its own
    part         "test", or "validation" for tuning: the cases then hold validation targets, and
                 nothing of the test part is touched
    order, n     guest only: which rows are given, and how many ("3") or what share ("80%")
    held_out     guest only: how many users are held out, once for test and once for validation
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
        split = _guest(interactions, rng, part, order=order, n=n, held_out=held_out)
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
        (_cases("", interactions, history, targets),),
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
        chosen = np.random.default_rng(seed).random(len(train)) < VALIDATION_SHARE
        train, test = train.select(~chosen), train.select(chosen)
        description = f"training rows as given, {VALIDATION_SHARE:.0%} of them drawn for validation"
    both = Interactions.from_columns(
        np.concatenate([train.users, test.users]),
        np.concatenate([train.items, test.items]),
        at=np.repeat([0, 1], [len(train), len(test)]),
        user_ids=train.user_ids,
        item_ids=train.item_ids,
        has_time=False,
    )
    pairs = both.users.astype(np.int64) * both.n_items + both.items
    known = np.isin(pairs, pairs[both.at == 0])
    cases = _cases("", both, both.at == 0, (both.at == 1) & ~known)
    met = cases.history.lengths > 0
    if not met.all():
        description += f"; {(~met).sum()} users without training rows are left out"
    return Split("given-split", train, None, (_chosen(cases, met),), description, "training rows")


def _random_split(interactions: Interactions, rng: np.random.Generator, part: str) -> Split:
    counts = np.diff(interactions.indptr)
    place = _random_places(interactions, rng)
    # RecBole, RatioSplit by user: a tenth each rounded down, but one row of a user who has too few
    # for that, as long as one is left to train on.
    n_test = np.where(counts < _RANDOM_SHARE, (counts > 1).astype(np.int64), counts // _RANDOM_SHARE)
    n_validation = np.where(
        counts < _RANDOM_SHARE, (counts - n_test > 1).astype(np.int64), counts // _RANDOM_SHARE
    )
    users = interactions.users
    test = place >= (counts - n_test)[users]
    validation = ~test & (place >= (counts - n_test - n_validation)[users])
    train = ~test & ~validation
    targets, seen = (test, train | validation) if part == "test" else (validation, train)
    return Split(
        "random-split",
        interactions.select(train),
        interactions.select(validation),
        (_cases("", interactions, train, targets, seen),),
        "per user at random 8:1:1",
        "training rows; validation rows are masked too" if part == "test" else "training rows",
    )


def _guest(
    interactions: Interactions,
    rng: np.random.Generator,
    part: str,
    *,
    order: str,
    n: Sequence[str],
    held_out: int | None,
) -> Split:
    counts = np.diff(interactions.indptr)
    eligible = np.flatnonzero(counts > 1)
    if held_out is None:
        n_users = int((counts > 0).sum())
        held_out = _ML_1M_HELD_OUT if n_users == _ML_1M_USERS else n_users // _HELD_OUT_SHARE
    if held_out < 1 or 2 * held_out >= len(eligible):
        raise SplitError(
            f"guest cannot hold out twice {held_out} of {len(eligible)} users with two or more rows"
        )
    shuffled = rng.permutation(eligible)
    group = np.zeros(interactions.n_users, dtype=np.int8)  # 0 training, 1 test, 2 validation
    group[shuffled[:held_out]] = 1
    group[shuffled[held_out : 2 * held_out]] = 2
    asked = group == (1 if part == "test" else 2)
    places = (
        _random_places(interactions, rng)
        if order == "random"
        else np.arange(len(interactions)) - interactions.indptr[interactions.users]
    )
    cases = []
    for amount in n:
        number = _number_given(amount, counts)
        here = (asked & (counts > number))[interactions.users]
        shown = here & (places < number[interactions.users])
        cases.append(_cases(f"n={amount}", interactions, shown, here & ~shown))
    rows = group[interactions.users]
    return Split(
        "guest",
        interactions.select(rows == 0),
        interactions.select(rows == 2),
        tuple(cases),
        f"{held_out} test and {held_out} validation users held out; "
        + ("given rows at random" if order == "random" else "given the first rows in time"),
        "the given rows, oldest first",
    )


def _number_given(amount: str, counts: np.ndarray) -> np.ndarray:
    """(n_users,) int64 rows given to each user, for "3" or "80%" (rounded, one row at least is left)."""
    share = amount.endswith("%")
    number = amount.removesuffix("%")
    if not number.isdecimal() or int(number) < 1 or (share and int(number) >= 100):
        raise ValueError(f"{amount!r} is no amount; expected a count such as 3 or a share such as 80%")
    if share:
        return np.clip(np.rint(counts * int(number) / 100).astype(np.int64), 1, np.maximum(counts - 1, 1))
    return np.full(len(counts), int(number), dtype=np.int64)


def _temporal(interactions: Interactions, part: str) -> Split:
    times = np.sort(interactions.at, kind="stable")
    first, second = (int(times[int(len(times) * cut)]) for cut in _TEMPORAL_CUTS)
    train = interactions.at < first
    test = interactions.at >= second
    validation = ~train & ~test
    history, targets = (train | validation, test) if part == "test" else (train, validation)
    everyone = np.unique(interactions.users[targets]).size
    cases = _cases("", interactions, history, targets)
    known = cases.history.lengths > 0
    cases = _chosen(cases, known)
    return Split(
        "temporal",
        interactions.select(train),
        interactions.select(validation),
        (cases,),
        f"one global cut: training before {first}, test from {second} (seconds since 1970); "
        f"{everyone - len(cases)} of {everyone} users have no history before the cut and are left out",
        "all rows before the cut",
    )


def _random_places(interactions: Interactions, rng: np.random.Generator) -> np.ndarray:
    """(N,) int64: the place of each row in a random order of its user's rows."""
    shuffled = np.lexsort((rng.random(len(interactions)), interactions.users))
    places = np.empty(len(interactions), dtype=np.int64)
    places[shuffled] = np.arange(len(interactions)) - interactions.indptr[interactions.users]
    return places


def _cases(
    label: str,
    interactions: Interactions,
    history: np.ndarray,
    targets: np.ndarray,
    seen: np.ndarray | None = None,
) -> Cases:
    """Everyone with a target; `history`, `targets` and `seen` are masks over the rows."""
    users = np.unique(interactions.users[targets])
    given = _rows_of(interactions, history, users)
    return Cases(
        label,
        users,
        given,
        given if seen is None else _rows_of(interactions, seen, users),
        _rows_of(interactions, targets, users),
    )


def _rows_of(interactions: Interactions, mask: np.ndarray, users: np.ndarray) -> Ragged:
    wanted = np.zeros(interactions.n_users, dtype=bool)
    wanted[users] = True
    mask = mask & wanted[interactions.users]
    lengths = np.bincount(interactions.users[mask], minlength=interactions.n_users)[users]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(indptr, interactions.items[mask].astype(np.int64))


def _chosen(cases: Cases, mask: np.ndarray) -> Cases:
    def of(rows: Ragged) -> Ragged:
        lengths = rows.lengths
        indptr = np.concatenate([[0], np.cumsum(lengths[mask])]).astype(np.int64)
        return Ragged(indptr, rows.values[np.repeat(mask, lengths)])

    return Cases(cases.label, cases.users[mask], of(cases.history), of(cases.seen), of(cases.targets))


def limited(cases: Cases, limit: int, seed: int) -> Cases:
    """At most so many of the cases, a seeded sample in the same order."""
    if len(cases) <= limit:
        return cases
    mask = np.zeros(len(cases), dtype=bool)
    mask[np.random.default_rng(seed).permutation(len(cases))[:limit]] = True
    return _chosen(cases, mask)
