"""The protocol runner: fits models on a split, asks them about the held-out users, reports figures.

`evaluate` measures a predictor that exists. `run_benchmark` reads a data set, splits it once per seed,
and fits and measures each model in a fresh process, so that its CPU-seconds and its peak memory are
its own. A model is handed training and validation rows, never test rows.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import platform
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from datasets.readers.dataset import Dataset, read_dataset
from datasets.splits.protocols import (
    GIVEN,
    Cases,
    Split,
    at_least,
    latest_of_each_pair,
    limited,
    split_interactions,
)
from predictors.base import Predictor, Query, top_k
from predictors.capabilities import ScoresTrainingUsers
from predictors.errors import PredictorError
from predictors.plugins import predictor_class
from predictors.progress import Progress, ProgressEvent, silent
from predictors.run import Hook, Run, split_options
from predictors.training_data import TrainingData
from ranking_metrics import ranking as ranking_metrics

BATCH = 256
FULL_MASKED = "full catalogue, seen items masked"
FULL_UNMASKED = "full catalogue, nothing masked"
_LEAVE_ONE_OUT = ("HR@10", "NDCG@10", "MRR@10", "MRR")
METRICS = {
    "leave-one-out": _LEAVE_ONE_OUT,
    "given-split": ("Recall@20", "NDCG@20", "HR@20", "Precision@20"),
    "random-split": ("Recall@10", "NDCG@10", "HR@10", "MRR@10", "Precision@10"),
    "guest": ("NDCG@10", "Recall@20", "NDCG@100"),
    "temporal": _LEAVE_ONE_OUT,
}
LIST_LENGTH = {"given-split": 20}  # what coverage, novelty and popularity bias look at; 10 elsewhere
CURVE_METRICS = ("Recall@20", "NDCG@20")  # what is looked at during training, by whatever protocol
CURVE_USERS = 2000
KNOWN_USERS = ("leave-one-out", "given-split", "random-split")  # all users are in the training rows
UNMASKED_TOO = ("leave-one-out", "temporal")  # RecBole's sequential evaluation does not mask
_VERSIONED = ("numpy", "scipy", "polars", "torch", "onnxruntime", "safetensors")
_SECONDS_BETWEEN_REPORTS = 0.2


class BenchmarkError(PredictorError):
    """A model could not be measured; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """What one predictor reached under one condition.

    label    "" for the headline condition, else "unmasked", "candidates=100", "n=3" and so on
    ranking  what was ranked and what was masked
    users    (U,) int32
    values   (U, M) float64, one column per name
    coverage share of the catalogue that appeared in any list; None for sampled candidates
    """

    label: str
    ranking: str
    users: np.ndarray
    names: tuple[str, ...]
    values: np.ndarray
    coverage: tuple[str, float] | None = None

    def means(self) -> dict[str, float]:
        means = dict(zip(self.names, self.values.mean(axis=0).tolist(), strict=True))
        return means if self.coverage is None else {**means, self.coverage[0]: self.coverage[1]}


@dataclass(frozen=True)
class Benchmark:
    """What is to be measured. `options` are by model; `budget` is CPU-seconds of one fit.

    A model may be named with a variant in brackets, `lightgcn[negatives=hard]`, see `varied`. With `curve`
    the models that can be observed are measured by CURVE_METRICS while they train.
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
    order: str = "random"
    n: tuple[str, ...] = GIVEN
    held_out: int | None = None
    limit_users: int | None = None
    candidates: int | None = None
    curve: bool = False

    def split(self, dataset: Dataset, seed: int) -> tuple[Split, str]:
        """The split of one seed, and the filter that was applied before it, in words."""
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


@dataclass(frozen=True)
class Step:
    """Where a running benchmark stands."""

    model: str
    seed: int
    event: ProgressEvent


Watch = Callable[[Step], None]


# -- one predictor -------------------------------------------------------------------------------


def evaluate(
    predictor: Predictor,
    split: Split,
    *,
    candidates: int | None = None,
    seed: int = 1,
    progress: Progress = silent,
    metrics: Sequence[str] | None = None,
) -> list[Outcome]:
    """Rank for every case of the split.

    `candidates` adds a condition in which only the targets and so many uniformly drawn items that the
    user never met are ranked; the draw depends on `seed` alone, so all models meet the same items.
    `metrics` replaces those of the protocol. A model that was just fitted and has learned something about
    the users themselves is measured by that too, as `users as trained`.
    """
    k = LIST_LENGTH.get(split.protocol, 10)
    information, percentile = ranking_metrics.popularity(split.train.items, split.train.n_items)
    properties = {f"novelty@{k}": information, f"popularity_bias@{k}": percentile}
    outcomes = []
    total = sum(len(cases) for cases in split.cases)
    before = 0
    for cases in split.cases:
        if not len(cases):
            continue
        conditions = _conditions(
            split.protocol, cases, candidates=candidates, k=k, properties=properties, metrics=metrics
        )
        knows_users = (
            split.protocol in KNOWN_USERS
            and isinstance(predictor, ScoresTrainingUsers)
            and predictor.score_users(cases.users[:1]) is not None
        )
        as_trained = _Condition(
            "users as trained",
            FULL_MASKED,
            tuple(metrics or METRICS[split.protocol]),
            capped_recall=False,
            list_length=k,
            properties=properties,
        )
        rng = np.random.default_rng([seed, 100])
        for first in range(0, len(cases), BATCH):
            last = min(first + BATCH, len(cases))
            queries = [
                Query.from_indices(cases.history[row], seen=cases.seen[row]) for row in range(first, last)
            ]
            scores = predictor.score(queries)
            targets = cases.targets.mask(first, last, split.train.n_items)
            seen = cases.seen.mask(first, last, split.train.n_items)
            n_targets = cases.targets.lengths[first:last]
            for condition in conditions:
                condition.add(scores, targets, seen, n_targets, rng)
            if knows_users:
                by_user = predictor.score_users(cases.users[first:last])
                as_trained.add(by_user, targets, seen, n_targets, rng)  # type: ignore[arg-type]
            progress(ProgressEvent((before + last) / total, "ranking"))
        before += len(cases)
        asked = [*conditions, as_trained] if knows_users else conditions
        outcomes += [condition.outcome(cases.users) for condition in asked]
    return outcomes


def _conditions(
    protocol: str,
    cases: Cases,
    *,
    candidates: int | None,
    k: int,
    properties: Mapping[str, np.ndarray],
    metrics: Sequence[str] | None,
) -> list[_Condition]:
    shared: dict[str, Any] = {
        "names": tuple(metrics or METRICS[protocol]),
        "capped_recall": protocol == "guest",
        "list_length": k,
    }
    conditions = [_Condition(cases.label, FULL_MASKED, properties=properties, **shared)]
    if protocol in UNMASKED_TOO:
        conditions.append(
            _Condition("unmasked", FULL_UNMASKED, properties=properties, masked=False, **shared)
        )
    if candidates:
        label = ", ".join(filter(None, (cases.label, f"candidates={candidates}")))
        ranking = f"targets and {candidates} uniformly drawn items the user never met, nothing else"
        conditions.append(_Condition(label, ranking, properties={}, negatives=candidates, **shared))
    return conditions


class _Condition:
    """One way of ranking the same scores, collected batch by batch."""

    def __init__(
        self,
        label: str,
        ranking: str,
        names: tuple[str, ...],
        *,
        capped_recall: bool,
        list_length: int,
        properties: Mapping[str, np.ndarray],
        masked: bool = True,
        negatives: int | None = None,
    ) -> None:
        self.label, self.ranking, self.names = label, ranking, names
        self.capped_recall, self.list_length, self.properties = capped_recall, list_length, properties
        self.masked, self.negatives = masked, negatives
        self.depth = max([list_length, *(k for k in map(ranking_metrics.cutoff, names) if k)])
        self.batches: list[np.ndarray] = []
        self.recommended: np.ndarray | None = None

    def add(
        self,
        scores: np.ndarray,
        targets: np.ndarray,
        seen: np.ndarray,
        n_targets: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        """scores (B, n_items) float32, targets and seen (B, n_items) bool, n_targets (B,)"""
        if self.negatives:
            allowed = targets | _uniform_negatives(targets | seen, self.negatives, rng)
            scores = np.where(allowed, scores, -np.inf)
        elif self.masked:
            scores = np.where(seen, -np.inf, scores)
        ranked, _ = top_k(scores, self.depth)
        places = ranking_metrics.first_places(scores, targets) if "MRR" in self.names else None
        values = ranking_metrics.per_user(
            ranking_metrics.hits_of(ranked, targets),
            n_targets,
            self.names,
            first_places=places,
            capped_recall=self.capped_recall,
        )
        lists = ranked[:, : self.list_length]
        beyond = [ranking_metrics.mean_of_ranked(lists, of_item) for of_item in self.properties.values()]
        self.batches.append(np.column_stack([values, *beyond]))
        if self.properties:
            if self.recommended is None:
                self.recommended = np.zeros(scores.shape[1], dtype=bool)
            self.recommended[lists[lists >= 0]] = True

    def outcome(self, users: np.ndarray) -> Outcome:
        coverage = None
        if self.recommended is not None:
            coverage = (f"coverage@{self.list_length}", float(self.recommended.mean()))
        return Outcome(
            self.label,
            self.ranking,
            users,
            (*self.names, *self.properties),
            np.concatenate(self.batches),
            coverage,
        )


def _uniform_negatives(known: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """(B, n_items) bool with n items per row, without replacement, none of them known.

    known (B, n_items) bool. Rows with fewer than n unknown items get all of them.
    """
    keys = rng.random(known.shape)
    keys[known] = 2.0
    n = min(n, known.shape[1])
    chosen = np.argpartition(keys, n - 1, axis=1)[:, :n]
    negatives = np.zeros_like(known)
    np.put_along_axis(negatives, chosen, True, axis=1)
    return negatives & ~known


# -- a benchmark ---------------------------------------------------------------------------------


def run_benchmark(
    benchmark: Benchmark,
    *,
    finished: Sequence[Mapping[str, Any]] = (),
    watch: Watch = lambda step: None,
) -> Iterator[dict[str, Any]]:
    """Measure one model after the other and yield its row as soon as it is complete.

    Rows among `finished` that answer the same question are yielded again instead of measured; a model
    that fails yields a row with `error`. Raises DatasetError, SplitError and PredictorError before the
    first model starts.
    """
    for model in benchmark.models:
        predictor_class(kind_of(model))  # an unknown name is refused before hours are spent
    dataset = read_dataset(benchmark.data, columns=benchmark.columns, format=benchmark.format)
    if benchmark.min_rating is not None and np.isnan(dataset.interactions.values).all():
        raise BenchmarkError(
            f"{benchmark.data} has no ratings, so none can be {benchmark.min_rating:g} or more"
        )
    if benchmark.protocol == "temporal" and not dataset.has_time:
        raise BenchmarkError(f"temporal needs times, and {benchmark.data} has none")
    splits = {}
    kept = "none"
    for seed in benchmark.seeds:
        splits[seed], kept = benchmark.split(dataset, seed)
    known = {row.get("key"): dict(row) for row in finished if "error" not in row}
    for model in benchmark.models:
        key = _key(benchmark, model, dataset, kept)
        if key in known:
            yield known[key]
            continue
        try:
            runs = [_in_own_process(benchmark, model, seed, splits[seed], watch) for seed in benchmark.seeds]
        except BenchmarkError as error:
            yield {"model": model, "protocol": benchmark.protocol, "key": key, "error": str(error)}
            continue
        yield _row(
            benchmark,
            model,
            key=key,
            dataset=dataset,
            kept=kept,
            split=splits[benchmark.seeds[0]],
            runs=runs,
        )


@dataclass(frozen=True)
class _Run:
    """What one process hands back for one model and seed."""

    outcomes: list[Outcome]
    fit_cpu_seconds: float
    score_cpu_seconds: float
    fit_seconds: float
    fit_peak_rss_mb: float
    peak_rss_mb: float
    options: dict[str, Any]
    config: dict[str, Any]
    curve: list[dict[str, float]]


def _in_own_process(benchmark: Benchmark, model: str, seed: int, split: Split, watch: Watch) -> _Run:
    """Spawned, not forked: a forked child of a process that ran threads can hang."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_child, args=(there,), name=f"fit {model}")
    try:
        with _undisturbed_start():
            child.start()
        there.close()
        here.send((benchmark, model, seed, split))
        while True:
            kind, content = here.recv()
            if kind == "progress":
                watch(Step(model, seed, content))
            elif kind == "error":
                raise BenchmarkError(content)
            else:
                child.join()
                return content
    except (EOFError, BrokenPipeError, ConnectionResetError):
        child.join()
        raise BenchmarkError(f"the process of {model} ended with exit code {child.exitcode}") from None
    finally:
        here.close()
        if child.pid is not None:
            if child.is_alive():
                child.terminate()
            child.join()


@contextmanager
def _undisturbed_start() -> Iterator[None]:
    """Hold SIGTERM for the milliseconds in which a child is made, so that none is left behind.

    The child inherits that Ctrl-C, which reaches the whole group, is for the parent alone. Only the
    main thread may and need do this.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[int] = []
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda number, frame: late.append(number)),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
    }
    try:
        yield
    finally:
        for held, handler in before.items():
            signal.signal(held, signal.SIG_DFL if handler is None else handler)
    for number in late:
        signal.raise_signal(number)


def _child(parent: Connection) -> None:
    try:
        benchmark, model, seed, split = parent.recv()
    except (EOFError, OSError):  # the parent was interrupted
        return
    last_report = 0.0

    def report(event: ProgressEvent) -> None:
        nonlocal last_report
        now = time.monotonic()
        if event.done >= 1 or now - last_report >= _SECONDS_BETWEEN_REPORTS:
            last_report = now
            parent.send(("progress", event))

    try:
        parent.send(("run", _fit_and_evaluate(benchmark, model, seed, split, report)))
    except PredictorError as error:
        parent.send(("error", str(error)))
    finally:
        parent.close()


def _fit_and_evaluate(benchmark: Benchmark, model: str, seed: int, split: Split, report: Progress) -> _Run:
    kind = predictor_class(kind_of(model))
    options = options_for(benchmark, model, seed)
    observed = benchmark.curve and kind.can_be_observed
    hooks = (_Observer(split),) if observed else ()
    config, run, graph = split_options(kind, options, Run(progress=report, hooks=hooks))
    cpu, wall = _cpu_seconds(), time.monotonic()
    predictor = kind.fit(TrainingData(split.train, split.validation, graph), config, run)
    fit_cpu, fit_wall = _cpu_seconds() - cpu, time.monotonic() - wall
    fit_peak = _peak_rss_mb()
    cpu = _cpu_seconds()
    outcomes = evaluate(predictor, split, candidates=benchmark.candidates, seed=seed, progress=report)
    return _Run(
        outcomes,
        fit_cpu,
        _cpu_seconds() - cpu,
        fit_wall,
        fit_peak,
        _peak_rss_mb(),
        options,
        predictor.config.as_dict(),
        predictor.meta.get("training", {}).get("curve", []) if observed else [],
    )


class _Observer(Hook):
    """Measures CURVE_METRICS on at most CURVE_USERS cases of the split, the same ones every time."""

    def __init__(self, split: Split) -> None:
        self.split = replace(split, cases=(limited(split.cases[-1], CURVE_USERS, seed=1),))

    def observe(self, predictor: Predictor) -> dict[str, float]:
        means = evaluate(predictor, self.split, metrics=CURVE_METRICS)[0].means()
        return {name: means[name] for name in CURVE_METRICS}


def kind_of(model: str) -> str:
    """`lightgcn` of `lightgcn[negatives=hard]`."""
    return model.partition("[")[0]


def varied(models: Sequence[str], option: str, values: Sequence[str]) -> dict[str, dict[str, str]]:
    """Each model with each value of an option, by the name of the variant, with the option that makes it.

    >>> varied(["lightgcn"], "negatives", ["uniform", "hard"])["lightgcn[negatives=hard]"]
    {'negatives': 'hard'}
    """
    return {f"{model}[{option}={value}]": {option: value} for model in models for value in values}


def options_for(benchmark: Benchmark, model: str, seed: int) -> dict[str, Any]:
    """The options of one fit: the seed, the CPU budget if any, and what was asked for this model."""
    offered: dict[str, Any] = {"seed": seed}
    if benchmark.budget is not None:
        offered["cpu_budget_seconds"] = benchmark.budget
    return {**offered, **benchmark.options.get(model, {})}


def _cpu_seconds() -> float:
    """User and system time of this process, all its threads, and its finished children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak_rss_mb() -> float:
    """Megabytes (2**20 bytes) at the highest. VmHWM starts anew at exec, ru_maxrss does not on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    unit = 1 << 20 if platform.system() == "Darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


# -- rows and the report -------------------------------------------------------------------------


def _key(benchmark: Benchmark, model: str, dataset: Dataset, kept: str) -> str:
    """Equal keys answer the same question: same data, protocol, model, seeds and options."""
    asked: dict[str, Any] = {
        "model": model,
        "protocol": benchmark.protocol,
        "data": dataset.content_sha256,
        "filter": kept,
        "part": benchmark.part,
        "seeds": benchmark.seeds,
        "options": dict(benchmark.options.get(model, {})),
        "budget": benchmark.budget,
        "candidates": benchmark.candidates,
        "limit_users": benchmark.limit_users,
    }
    if benchmark.curve:
        asked["curve"] = True
    if benchmark.protocol == "guest":
        asked |= {"order": benchmark.order, "n": benchmark.n, "held_out": benchmark.held_out}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _row(
    benchmark: Benchmark,
    model: str,
    *,
    key: str,
    dataset: Dataset,
    kept: str,
    split: Split,
    runs: Sequence[_Run],
) -> dict[str, Any]:
    conditions = [_summary([run.outcomes[index] for run in runs]) for index in range(len(runs[0].outcomes))]
    metrics: dict[str, float] = {}
    intervals: dict[str, list[float]] = {}
    for condition in conditions:
        suffix = f" [{condition['label']}]" if condition["label"] not in ("", "masked") else ""
        metrics |= {name + suffix: value for name, value in condition["metrics"].items()}
        intervals |= {name + suffix: bounds for name, bounds in condition["intervals"].items()}
    fit_cpu = float(np.mean([run.fit_cpu_seconds for run in runs]))
    return {
        "model": model,
        "protocol": benchmark.protocol,
        "part": benchmark.part,
        "metrics": metrics,
        "intervals": intervals,
        "cpu_seconds": round(fit_cpu, 6),
        "score_cpu_seconds": round(float(np.mean([run.score_cpu_seconds for run in runs])), 6),
        "fit_seconds": round(float(np.mean([run.fit_seconds for run in runs])), 3),
        "peak_rss_mb": round(max(run.peak_rss_mb for run in runs), 1),
        "fit_peak_rss_mb": round(max(run.fit_peak_rss_mb for run in runs), 1),
        "budget_seconds": benchmark.budget,
        "budget_exceeded": benchmark.budget is not None
        and max(r.fit_cpu_seconds for r in runs) > benchmark.budget,
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
        "recall": "divided by min(k, targets)" if benchmark.protocol == "guest" else "divided by targets",
        "limit_users": benchmark.limit_users,
        "seed": benchmark.seeds[0],
        "seeds": list(benchmark.seeds),
        "options": runs[0].options,
        "config": runs[0].config,
        "versions": versions(),
        "conditions": conditions,
        "per_seed": [
            {
                "seed": seed,
                "cpu_seconds": round(run.fit_cpu_seconds, 6),
                "curve": run.curve,
                "metrics": {_full_label(outcome): outcome.means() for outcome in run.outcomes},
            }
            for seed, run in zip(benchmark.seeds, runs, strict=True)
        ],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "key": key,
    }


def _full_label(outcome: Outcome) -> str:
    return outcome.label or "masked"


def _summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Mean over seeds and 95 % bootstrap interval over users of one condition."""
    first = outcomes[0]
    if all(np.array_equal(first.users, outcome.users) for outcome in outcomes):
        samples = [np.mean([outcome.values for outcome in outcomes], axis=0)]
    else:  # another seed held out other users
        samples = [outcome.values for outcome in outcomes]
    lower, upper = ranking_metrics.bootstrap_interval(samples)
    means = [outcome.means() for outcome in outcomes]
    return {
        "label": _full_label(first),
        "ranking": first.ranking,
        "users": len(first.users),
        "metrics": {name: float(np.mean([mean[name] for mean in means])) for name in means[0]},
        "intervals": {
            name: [float(low), float(high)] for name, low, high in zip(first.names, lower, upper, strict=True)
        },
    }


def versions() -> dict[str, str]:
    """Python and the libraries that figures depend on, without importing any of them."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_report(path: Path, benchmark: Benchmark, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows so far; the file is whole at every moment."""
    report = {
        "protocol": benchmark.protocol,
        "data": str(benchmark.data),
        "seeds": list(benchmark.seeds),
        "models": list(benchmark.models),
        "results": [row for row in rows if "error" not in row],
        "failures": [row for row in rows if "error" in row],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    writing = path.with_name(f".{path.name}.{os.getpid()}")
    writing.write_text(
        json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    os.replace(writing, path)  # noqa: PTH105 - os.replace is the atomic one on every system


def read_report(path: Path) -> list[dict[str, Any]]:
    """The finished rows of an earlier report; none where there is no file.

    Raises BenchmarkError when the file is no report.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{path} is no benchmark report: {error!r}") from error
    return rows
