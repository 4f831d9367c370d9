"""Two models on the same users: the difference with its paired bootstrap interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evaluation.report import UserValues, same_users
from predictors.errors import PredictorError
from ranking_metrics.intervals import Difference, bootstrap_interval


class CompareError(PredictorError):
    """Two rows cannot be compared; the message says why."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Holds the difference of two models in one metric under one condition."""

    candidate: str
    baseline: str
    condition: str
    metric: str
    difference: Difference

    def record(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        return {**asdict(self), "is_clear": self.difference.is_clear}


def compare_rows(
    candidate: Mapping[str, Any], baseline: Mapping[str, Any], values: UserValues
) -> list[Compared]:
    """Return candidate less baseline for every metric that both rows have, condition by condition.

    Raises CompareError when the rows answer different questions or the values of their users are missing.
    """
    for name in ("protocol", "part", "data_content_sha256", "filter", "seeds", "split"):
        if candidate[name] != baseline[name]:
            raise CompareError(
                f"{candidate['model']} and {baseline['model']} differ in {name}: "
                f"{candidate[name]!r} and {baseline[name]!r}"
            )
    labels = [condition["label"] for condition in baseline["conditions"]]
    found = []
    for condition in candidate["conditions"]:
        if condition["label"] in labels:
            found += _compare_condition(candidate, baseline, condition["label"], values)
    return found


def _compare_condition(
    candidate: Mapping[str, Any], baseline: Mapping[str, Any], label: str, values: UserValues
) -> list[Compared]:
    users, differences, shared = [], [], []
    for seed in candidate["seeds"]:
        pair = [values.get(row["key"], label, seed) for row in (candidate, baseline)]
        if pair[0] is None or pair[1] is None:
            raise CompareError(f"the values of the users of {label}, seed {seed} were not kept")
        (some, names, first), (others, other_names, second) = pair[0], pair[1]
        if not np.array_equal(some, others):
            raise CompareError(f"{candidate['model']} and {baseline['model']} asked different users")
        shared = [name for name in names if name in other_names]
        columns = [[of.index(name) for name in shared] for of in (names, other_names)]
        users.append(some)
        differences.append(first[:, columns[0]].astype(np.float64) - second[:, columns[1]].astype(np.float64))
    if same_users(users):  # the seeds are repetitions; otherwise each held out users of its own
        differences = [np.mean(differences, axis=0)]
    low, high = bootstrap_interval(differences)
    means = np.mean([part.mean(axis=0) for part in differences], axis=0)
    n_users = sum(len(part) for part in differences)
    return [
        Compared(
            candidate["model"],
            baseline["model"],
            label,
            name,
            Difference(float(means[column]), float(low[column]), float(high[column]), n_users),
        )
        for column, name in enumerate(shared)
    ]
