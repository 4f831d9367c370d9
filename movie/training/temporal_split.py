"""Split the rows of a site at one moment: models learn from earlier rows and rank later ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datasets.interactions import Interactions

MIN_VISITORS, MAX_VISITORS = 100, 2000
VISITORS_PER_TARGET = 10  # one in so many visitors is asked about; the others teach the candidate
_BEFORE_ALL = -(2**62)  # seconds


@dataclass(frozen=True, slots=True)
class TemporalSplit:
    """Rows up to the second `until` to learn from, and the last rows of some visitors to rank.

    train    the rows to learn from
    rows     all rows, each visitor and movie once
    targets  (C,) int64, positions in `rows`; a visitor's history is their rows before the target
    """

    until: int
    train: Interactions
    rows: Interactions
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def history_rows(self, target: int) -> slice:
        """Return the rows of the target's visitor before the target."""
        return slice(int(self.rows.indptr[self.rows.users[target]]), int(target))

    def describe(self) -> str:
        """Return the split in one English sentence, for the artifact's meta.json."""
        return (
            f"the last row after {self.until} (seconds since 1970) of {len(self)} visitors; "
            f"learned from {len(self.train)} rows up to then"
        )


def split_by_time(
    data: Interactions, *, since: int | None, min_visitors: int, seed: int, rated: bool = False
) -> TemporalSplit | None:
    """Return the split whose targets are visitors' last rows after the second `since`.

    One in VISITORS_PER_TARGET visitors gets a target, but at least `min_visitors`: those with the latest
    rows, so that few rows are kept from learning. With `rated` the targets have stars. Returns None when
    there are too few visitors, or no row to learn from.
    """
    from datasets.splits.protocols import latest_of_each_pair

    everything = latest_of_each_pair(data)
    rows = everything.select(~np.isnan(everything.values)) if rated else everything
    users = np.flatnonzero(np.diff(rows.indptr) > 1)
    last = rows.indptr[users + 1] - 1
    last = last[rows.at[last] > (_BEFORE_ALL if since is None else since)]
    if len(last) < max(min_visitors, 1):
        return None
    number = min(MAX_VISITORS, max(min_visitors, len(last) // VISITORS_PER_TARGET))
    until = int(np.sort(rows.at[last])[-number]) - 1
    last = last[rows.at[last] > until]
    if len(last) > MAX_VISITORS:  # many in the same second
        last = np.sort(np.random.default_rng(seed).permutation(last)[:MAX_VISITORS])
    train = everything.select(everything.at <= until)
    return TemporalSplit(until, train, rows, last) if len(train) else None


def reindexed(rows: Interactions) -> Interactions:
    """Return the same rows with indices that leave out users and items without a row."""
    users, user_of = np.unique(rows.users, return_inverse=True)
    items, item_of = np.unique(rows.items, return_inverse=True)
    return replace(
        rows,
        users=user_of.astype(np.int32),
        items=item_of.astype(np.int32),
        user_ids=rows.user_ids[users],
        item_ids=rows.item_ids[items],
    )
