"""Result rows: what was measured, how it came about, and the values of every user beside it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.protocols import CAPPED_RECALL
from evaluation.provenance import code_digest, commit, file_digest, versions
from predictors.errors import PredictorError
from ranking_metrics.intervals import bootstrap_interval, group_means

if TYPE_CHECKING:
    from datasets.readers.dataset import Dataset
    from datasets.splits.cases import Split
    from evaluation.conditions import Outcome
    from evaluation.runner import Benchmark

MASKED = "masked"  # the label of the headline condition in rows
THIRDS = ("short", "middle", "long")  # groups of users by the length of their history


class ReportError(PredictorError):
    """Raised for a report that cannot be read; the message names the cause."""


@dataclass(frozen=True)
class RunResult:
    """Holds the outcome and the cost of one fit and its evaluation."""

    outcomes: list[Outcome]
    fit_cpu_seconds: float
    score_cpu_seconds: float
    fit_seconds: float
    fit_peak_rss_mb: float
    peak_rss_mb: float
    options: dict[str, Any]
    config: dict[str, Any]
    curve: list[dict[str, float]]


def row_key(benchmark: Benchmark, model: str, dataset: Dataset, kept: str) -> str:
    """Return a digest that is equal for equal questions: data, protocol, model, seeds, options and code."""
    asked: dict[str, Any] = {
        "model": model,
        "protocol": benchmark.protocol,
        "stated": benchmark.stated,
        "data": dataset.content_sha256,
        "filter": kept,
        "part": benchmark.part,
        "seeds": benchmark.seeds,
        "options": dict(benchmark.options.get(model, {})),
        "budget": benchmark.budget,
        "candidates": benchmark.candidates,
        "limit_users": benchmark.limit_users,
        "order": benchmark.order,
        "n": benchmark.n,
        "held_out": benchmark.held_out,
        "curve": benchmark.curve,
        "labels": file_digest(benchmark.labels),
        "groups": file_digest(benchmark.groups),
        "code": code_digest(),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def build_row(
    benchmark: Benchmark,
    model: str,
    *,
    key: str,
    dataset: Dataset,
    kept: str,
    split: Split,
    runs: Sequence[RunResult],
    groups: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the row of one model as JSON. `groups` (n_users,) names the group of each user."""
    conditions = [
        summarize([run.outcomes[index] for run in runs], groups) for index in range(len(runs[0].outcomes))
    ]
    metrics: dict[str, float] = {}
    intervals: dict[str, list[float]] = {}
    for condition in conditions:
        suffix = f" [{condition['label']}]" if condition["label"] not in ("", MASKED) else ""
        metrics |= {name + suffix: value for name, value in condition["metrics"].items()}
        intervals |= {name + suffix: bounds for name, bounds in condition["intervals"].items()}
    fit_cpu = float(np.mean([run.fit_cpu_seconds for run in runs]))
    return {
        "model": model,
        "protocol": benchmark.protocol,
        "part": benchmark.part,
        "stated": benchmark.stated,
        "metrics": metrics,
        "intervals": intervals,
        "cpu_seconds": round(fit_cpu, 6),
        "score_cpu_seconds": round(float(np.mean([run.score_cpu_seconds for run in runs])), 6),
        "fit_seconds": round(float(np.mean([run.fit_seconds for run in runs])), 3),
        "peak_rss_mb": round(max(run.peak_rss_mb for run in runs), 1),
        "fit_peak_rss_mb": round(max(run.fit_peak_rss_mb for run in runs), 1),
        "budget_seconds": benchmark.budget,
        "budget_exceeded": benchmark.budget is not None
        and max(run.fit_cpu_seconds for run in runs) > benchmark.budget,
        "data": str(benchmark.data),
        "data_format": dataset.format,
        "data_sha256": dataset.sha256,
        "data_content_sha256": dataset.content_sha256,
        "n_users": dataset.interactions.n_users,
        "n_items": dataset.interactions.n_items,
        "n_interactions": len(dataset.interactions),
        "n_training_rows": len(split.train),
        "filter": kept,
        "sort": dataset.sort,
        "split": split.description,
        "history": split.history,
        "ranking": conditions[0]["ranking"],
        "recall": "divided by min(k, targets)"
        if benchmark.protocol in CAPPED_RECALL
        else "divided by targets",
        "limit_users": benchmark.limit_users,
        "seed": benchmark.seeds[0],
        "seeds": list(benchmark.seeds),
        "options": runs[0].options,
        "config": runs[0].config,
        "versions": versions(),
        "code": {"sha256": code_digest(), "commit": commit()},
        "conditions": conditions,
        "per_seed": [
            {
                "seed": seed,
                "cpu_seconds": round(run.fit_cpu_seconds, 6),
                "curve": run.curve,
                "metrics": {outcome.label or MASKED: outcome.means() for outcome in run.outcomes},
            }
            for seed, run in zip(benchmark.seeds, runs, strict=True)
        ],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "key": key,
    }


def summarize(outcomes: Sequence[Outcome], groups: np.ndarray | None = None) -> dict[str, Any]:
    """Return the mean over seeds and 95 % bootstrap interval over users of one condition."""
    first = outcomes[0]
    if same_users([outcome.users for outcome in outcomes]):
        samples = [np.mean([outcome.values for outcome in outcomes], axis=0)]
    else:  # another seed held out other users
        samples = [outcome.values for outcome in outcomes]
    lower, upper = bootstrap_interval(samples)
    means = [outcome.means() for outcome in outcomes]
    return {
        "label": first.label or MASKED,
        "ranking": first.ranking,
        "users": len(first.users),
        "metrics": {name: float(np.mean([mean[name] for mean in means])) for name in means[0]},
        "intervals": {
            name: [float(low), float(high)] for name, low, high in zip(first.names, lower, upper, strict=True)
        },
        "groups": _group_rows(outcomes, groups),
    }


def same_users(users: Sequence[np.ndarray]) -> bool:
    """Return True if every run asked the same users in the same order."""
    return all(np.array_equal(users[0], each) for each in users)


def _group_rows(outcomes: Sequence[Outcome], groups: np.ndarray | None) -> list[dict[str, Any]]:
    """Return the metrics of thirds of users by the length of their history, and of named groups."""
    first = outcomes[0]
    values = np.concatenate([outcome.values for outcome in outcomes])
    lengths = np.concatenate([outcome.lengths for outcome in outcomes])
    divisions: list[tuple[np.ndarray, list[str]]] = []
    cuts = np.quantile(lengths, [1 / 3, 2 / 3])
    if cuts[0] < cuts[1] < lengths.max():
        third = np.searchsorted(cuts, lengths, side="left")
        divisions.append((third, [_third_name(lengths[third == number], number) for number in range(3)]))
    if groups is not None:
        own = np.concatenate([groups[outcome.users] for outcome in outcomes])
        names = sorted({str(name) for name in own if name})
        number = {name: index for index, name in enumerate(names)}
        divisions.append((np.array([number.get(str(name), -1) for name in own]), names))
    return [
        {
            "group": names[group],
            "users": int((members == group).sum()) // len(outcomes),
            "metrics": dict(zip(first.names, mean.tolist(), strict=True)),
        }
        for members, names in divisions
        for group, mean in group_means(values, members).items()
    ]


def _third_name(lengths: np.ndarray, number: int) -> str:
    return f"{THIRDS[number]} history, {lengths.min()} to {lengths.max()}"


# -- files -----------------------------------------------------------------------------------------


class UserValues:
    """Holds the values of every user by row, condition and seed, in one compressed file beside a report."""

    def __init__(self, arrays: Mapping[str, np.ndarray] | None = None) -> None:
        self.arrays = dict(arrays or {})

    @classmethod
    def read(cls, report: Path) -> UserValues:
        """Return the values beside a report; none where there is no file. Raises ReportError."""
        path = values_path(report)
        if not path.exists():
            return cls()
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls({name: file[name] for name in file.files})
        except (OSError, ValueError) as error:
            raise ReportError(f"{path} cannot be read: {error}") from error

    def add(self, key: str, seeds: Sequence[int], runs: Sequence[RunResult]) -> None:
        """Keep the outcomes of one row."""
        for seed, run in zip(seeds, runs, strict=True):
            for outcome in run.outcomes:
                stem = f"{key}/{outcome.label or MASKED}/{seed}"
                self.arrays[f"{stem}/users"] = outcome.users.astype(np.int32)
                self.arrays[f"{stem}/names"] = np.array(outcome.names)
                self.arrays[f"{stem}/values"] = outcome.values.astype(np.float32)

    def get(self, key: str, label: str, seed: int) -> tuple[np.ndarray, list[str], np.ndarray] | None:
        """Return (U,) users, M names and (U, M) values of one condition; None where they were not kept."""
        stem = f"{key}/{label}/{seed}"
        if f"{stem}/values" not in self.arrays:
            return None
        users, names, values = (self.arrays[f"{stem}/{part}"] for part in ("users", "names", "values"))
        return users, names.tolist(), values

    def write(self, report: Path, keys: Sequence[str]) -> None:
        """Write the values of these rows, atomically."""
        path = values_path(report)
        writing = path.with_name(f".{path.name}.{os.getpid()}.npz")
        kept = {name: array for name, array in self.arrays.items() if name.partition("/")[0] in keys}
        np.savez_compressed(writing, **kept)  # type: ignore[arg-type]
        os.replace(writing, path)  # noqa: PTH105 - os.replace is the atomic one on every system


def values_path(report: Path) -> Path:
    """Return where the values of every user lie: `report.json` has `report.users.npz` beside it."""
    return report.with_suffix(".users.npz")


def write_report(
    path: Path,
    benchmark: Benchmark,
    rows: Sequence[Mapping[str, Any]],
    values: UserValues | None = None,
    comparisons: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the rows so far, and the values of every user beside them, atomically."""
    results = [row for row in rows if "error" not in row]
    report = {
        "protocol": benchmark.protocol,
        "stated": benchmark.stated,
        "data": str(benchmark.data),
        "seeds": list(benchmark.seeds),
        "models": list(benchmark.models),
        "results": results,
        "failures": [row for row in rows if "error" in row],
        "comparisons": list(comparisons),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    if values is not None:
        values.write(path, [row["key"] for row in results])
    writing = path.with_name(f".{path.name}.{os.getpid()}")
    writing.write_text(
        json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    os.replace(writing, path)  # noqa: PTH105 - os.replace is the atomic one on every system


def read_report(path: Path) -> list[dict[str, Any]]:
    """Return the finished rows of an earlier report; none where there is no file.

    Raises ReportError when the file is no report.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReportError(f"{path} is no benchmark report: {error!r}") from error
    return rows
