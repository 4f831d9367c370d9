"""The benchmark runner: fits models on a split, asks them about the held-out users, yields a row each.

`run_benchmark` reads a data set, splits it once per seed, and fits and measures each model in a fresh
process, so that its CPU-seconds and its peak memory are its own. A model is handed training and validation
rows, never test rows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.readers.dataset import Dataset, read_dataset
from datasets.splits.cases import Split, limited
from datasets.splits.protocols import at_least, latest_of_each_pair, split_interactions
from evaluation.conditions import evaluate
from evaluation.labels import label_matrix, read_labels, user_groups
from evaluation.own_process import ProcessFailed, cpu_seconds, peak_rss_mb, run_in_own_process
from evaluation.protocols import MET, STARS, STATED, training_split
from evaluation.report import RunResult, UserValues, build_row, row_key
from predictors.base import Predictor
from predictors.errors import PredictorError
from predictors.plugins import MODELS, predictor_class
from predictors.progress import Progress, ProgressEvent
from predictors.run import Hook, Run, split_options
from predictors.training_data import TrainingData

log = logging.getLogger(__name__)

CURVE_METRICS = ("Recall@20", "NDCG@20")  # measured during training, under every protocol
CURVE_USERS = 2000


class BenchmarkError(PredictorError):
    """Raised for a question that cannot be measured; the message names the cause."""


@dataclass(frozen=True)
class Benchmark:
    """Describes a benchmark. `options` are by model; `budget` is CPU-seconds of one fit.

    A model may be named with a variant in brackets, `lightgcn[negatives=hard]`, see `varied`. With `curve`
    the models are measured by CURVE_METRICS while they train. `labels` and `groups` are files of item
    labels and user groups, see `evaluation.labels`.
    """

    protocol: str
    data: Path
    models: tuple[str, ...]
    seeds: tuple[int, ...] = (1,)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    budget: float | None = None
    columns: Mapping[str, str] | None = None
    format: str | None = None
    min_rating: float | None = None
    part: str = "test"
    stated: str = MET
    order: str = "random"
    n: tuple[str, ...] | None = None
    held_out: int | None = None
    limit_users: int | None = None
    candidates: int | None = None
    curve: bool = False
    labels: Path | None = None
    groups: Path | None = None

    def split(self, dataset: Dataset, seed: int) -> tuple[Split, str]:
        """Return the split of one seed, and the filter that was applied before it, in words."""
        kept = dataset.interactions
        words = []
        if self.min_rating is not None:
            kept = at_least(kept, self.min_rating)
            words.append(f"rating >= {self.min_rating:g}")
        once = latest_of_each_pair(kept)
        if len(once) < len(kept):
            words.append(f"latest row of each user and item ({len(kept) - len(once)} repeated rows dropped)")
        given = None
        if dataset.train is not None and dataset.test is not None:
            given = (dataset.train, dataset.test)
            if self.min_rating is not None:
                given = (at_least(given[0], self.min_rating), at_least(given[1], self.min_rating))
        split = split_interactions(
            self.protocol,
            once,
            given=given,
            seed=seed,
            part=self.part,
            order=self.order,
            n=self.n,
            held_out=self.held_out,
            limit_users=self.limit_users,
        )
        return split, "; ".join(words) or "none"

    def check(self) -> None:
        """Raise PredictorError on what cannot be measured, before anything is fitted."""
        kinds = {name: predictor_class(name) for name in map(kind_of, self.models)}
        if self.stated not in STATED:
            raise BenchmarkError(f"a history is stated as one of {', '.join(STATED)}, not {self.stated!r}")
        blind = [name for name, kind in kinds.items() if not kind.can_be_observed]
        if self.curve and blind:
            able = [name for name in MODELS if predictor_class(name).can_be_observed]
            raise BenchmarkError(
                f"{', '.join(blind)} cannot be measured while training, so there is no curve to draw; "
                f"a curve needs models that learn in epochs: {', '.join(able)}"
            )

    def check_data(self, dataset: Dataset) -> None:
        """Raise BenchmarkError if the data lacks what the question needs."""
        has_ratings = not np.isnan(dataset.interactions.values).all()
        if self.min_rating is not None and not has_ratings:
            raise BenchmarkError(f"{self.data} has no ratings, so none can be {self.min_rating:g} or more")
        if self.stated == STARS and not has_ratings:
            raise BenchmarkError(f"{self.data} has no ratings, so histories cannot be stated as stars")
        if self.protocol == "temporal" and not dataset.has_time:
            raise BenchmarkError(f"temporal needs times, and {self.data} has none")


@dataclass(frozen=True)
class Step:
    """Reports the progress of a running benchmark."""

    model: str
    seed: int
    event: ProgressEvent


Watch = Callable[[Step], None]


def run_benchmark(
    benchmark: Benchmark,
    *,
    finished: Sequence[Mapping[str, Any]] = (),
    values: UserValues | None = None,
    watch: Watch = lambda step: None,
) -> Iterator[dict[str, Any]]:
    """Measure one model after the other and yield its row as soon as it is complete.

    Rows among `finished` that answer the same question by the same code are yielded again instead of
    measured; a model that fails yields a row with `error`. `values` collects the values of every user.
    Raises DatasetError, SplitError and PredictorError before the first model starts.
    """
    benchmark.check()
    dataset = read_dataset(benchmark.data, columns=benchmark.columns, format=benchmark.format)
    for notice in dataset.notices:
        log.warning(notice)
    benchmark.check_data(dataset)
    labels, groups = _labels_and_groups(benchmark, dataset)
    splits = {}
    kept = "none"
    for seed in benchmark.seeds:
        splits[seed], kept = benchmark.split(dataset, seed)
    known = {row.get("key"): dict(row) for row in finished if "error" not in row}
    for model in benchmark.models:
        key = row_key(benchmark, model, dataset, kept)
        if key in known:
            yield known[key]
            continue
        runs: list[RunResult] = []
        try:
            for seed in benchmark.seeds:

                def report(event: ProgressEvent, model: str = model, seed: int = seed) -> None:
                    watch(Step(model, seed, event))

                runs.append(
                    run_in_own_process(
                        fit_and_evaluate, Task(benchmark, model, seed, splits[seed], labels), progress=report
                    )
                )
        except ProcessFailed as error:
            yield {"model": model, "protocol": benchmark.protocol, "key": key, "error": str(error)}
            continue
        if values is not None:
            values.add(key, benchmark.seeds, runs)
        split = splits[benchmark.seeds[0]]
        yield build_row(
            benchmark, model, key=key, dataset=dataset, kept=kept, split=split, runs=runs, groups=groups
        )


def _labels_and_groups(benchmark: Benchmark, dataset: Dataset) -> tuple[np.ndarray | None, np.ndarray | None]:
    labels = groups = None
    if benchmark.labels is not None:
        labels = label_matrix(read_labels(benchmark.labels), dataset.interactions.item_ids)  # type: ignore[arg-type]
    if benchmark.groups is not None:
        groups = user_groups(read_labels(benchmark.groups), dataset.interactions.user_ids)  # type: ignore[arg-type]
    return labels, groups


@dataclass(frozen=True)
class Task:
    """Describes one fit and its evaluation. `labels` (n_items, L) of the items, or None."""

    benchmark: Benchmark
    model: str
    seed: int
    split: Split
    labels: np.ndarray | None = None


def fit_and_evaluate(task: Task, report: Progress) -> RunResult:
    """Fit one model on a split, evaluate it, and return the outcomes and the cost of this process."""
    benchmark, split = task.benchmark, task.split
    kind = predictor_class(kind_of(task.model))
    options = options_for(benchmark, task.model, task.seed)
    hooks = (_Observer(split),) if benchmark.curve else ()
    config, run, graph = split_options(kind, options, Run(progress=report, hooks=hooks))
    visible = training_split(split, kind, benchmark.stated)
    cpu, wall = cpu_seconds(), time.monotonic()
    predictor = kind.fit(TrainingData(visible.train, visible.validation, graph), config, run)
    fit_cpu, fit_wall = cpu_seconds() - cpu, time.monotonic() - wall
    fit_peak = peak_rss_mb()
    cpu = cpu_seconds()
    outcomes = evaluate(
        predictor,
        split,
        stated=benchmark.stated,
        candidates=benchmark.candidates,
        seed=task.seed,
        progress=report,
        labels=task.labels,
    )
    return RunResult(
        outcomes,
        fit_cpu,
        cpu_seconds() - cpu,
        fit_wall,
        fit_peak,
        peak_rss_mb(),
        options,
        predictor.config.as_dict(),
        predictor.meta.get("training", {}).get("curve", []) if hooks else [],
    )


class _Observer(Hook):
    """Measures CURVE_METRICS on at most CURVE_USERS cases of the split, the same ones every time."""

    def __init__(self, split: Split) -> None:
        self.split = replace(split, cases=(limited(split.cases[-1], CURVE_USERS, seed=1),))

    def observe(self, predictor: Predictor) -> dict[str, float]:
        means = evaluate(predictor, self.split, metrics=CURVE_METRICS)[0].means()
        return {name: means[name] for name in CURVE_METRICS}


def kind_of(model: str) -> str:
    """Return `lightgcn` of `lightgcn[negatives=hard]`."""
    return model.partition("[")[0]


def varied(models: Sequence[str], option: str, values: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return each model with each value of an option: the name of the variant, and the option it sets.

    >>> varied(["lightgcn"], "negatives", ["uniform", "hard"])["lightgcn[negatives=hard]"]
    {'negatives': 'hard'}
    """
    return {f"{model}[{option}={value}]": {option: value} for model in models for value in values}


def options_for(benchmark: Benchmark, model: str, seed: int) -> dict[str, Any]:
    """Return the options of one fit: the seed, the CPU budget if any, and what was asked for this model."""
    offered: dict[str, Any] = {"seed": seed}
    if benchmark.budget is not None:
        offered["cpu_budget_seconds"] = benchmark.budget
    return {**offered, **benchmark.options.get(model, {})}
