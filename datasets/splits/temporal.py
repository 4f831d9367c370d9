"""One cut in time for everybody, which keeps the future out of training (Meng et al., RecSys 2020)."""

from __future__ import annotations

import numpy as np

from datasets.interactions import Interactions
from datasets.splits.cases import Split, SplitError, cases_from_masks, select_cases

_TEMPORAL_CUTS = (0.8, 0.9)


def temporal_split(interactions: Interactions, part: str) -> Split:
    """Cut all rows by time into 80 / 10 / 10. Raises SplitError on rows without times."""
    if not interactions.has_time:
        raise SplitError("temporal needs the time of every row; these have only an order")
    times = np.sort(interactions.at, kind="stable")
    first, second = (int(times[int(len(times) * cut)]) for cut in _TEMPORAL_CUTS)
    train = interactions.at < first
    test = interactions.at >= second
    validation = ~train & ~test
    history, targets = (train | validation, test) if part == "test" else (train, validation)
    everyone = np.unique(interactions.users[targets]).size
    cases = cases_from_masks("", interactions, history, targets)
    known = cases.history.lengths > 0
    cases = select_cases(cases, known)
    return Split(
        "temporal",
        interactions.select(train),
        interactions.select(validation),
        (cases,),
        f"one global cut: training before {first}, test from {second} (seconds since 1970); "
        f"{everyone - len(cases)} of {everyone} users have no history before the cut and are left out",
        "all rows before the cut",
    )
