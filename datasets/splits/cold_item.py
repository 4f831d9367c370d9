"""Items held out entirely: the model knows them by their content at most."""

from __future__ import annotations

import numpy as np

from datasets.interactions import Interactions
from datasets.splits.cases import Split, SplitError, cases_from_masks, select_cases

_COLD_SHARE = 10  # one item in so many is held out for test, as many others for validation


def cold_item_split(interactions: Interactions, rng: np.random.Generator, part: str) -> Split:
    """Hold out a tenth of the items, which alone are ranked. Raises SplitError when there are too few."""
    known = rng.permutation(np.flatnonzero(np.bincount(interactions.items, minlength=interactions.n_items)))
    n_held_out = len(known) // _COLD_SHARE
    if not n_held_out:
        raise SplitError(f"cold-item cannot hold out a tenth of {len(known)} items")
    group = np.zeros(interactions.n_items, dtype=np.int8)  # 0 training, 1 test, 2 validation
    group[known[:n_held_out]] = 1
    group[known[n_held_out : 2 * n_held_out]] = 2
    rows = group[interactions.items]
    asked = 1 if part == "test" else 2
    cases = cases_from_masks("", interactions, rows == 0, rows == asked)
    return Split(
        "cold-item",
        interactions.select(rows == 0),
        interactions.select(rows == 2),
        (select_cases(cases, cases.history.lengths > 0),),
        f"{n_held_out} items held out entirely to be found, as many others for validation",
        "training rows",
        candidates=group == asked,
    )
