"""Search for the options of a model that rank validation rows best. Test rows are never touched.

Every trial fits the model with options of its search space (`predictors.tuning`) and measures the headline
metric of the protocol on the validation part. The first trial has the options the search starts from, so
that its result is never worse than these on validation. Models that train in steps report their own
validation figures, by the one validator, and a trial that is worse than the median of the earlier ones at
the same share of the work is pruned (Optuna's MedianPruner). Trials are proposed by TPE (Bergstra et al.
2011). Everything is kept in one folder: stopped at any moment, a search goes on from there.

    trials.log   Optuna's journal
    trials.json  every trial with its options and figure, for people and for pages
    config.json  the best options so far, for `--config`
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.conditions import evaluate
from evaluation.protocols import MET, headline, training_split
from predictors.errors import PredictorError, TrainingError
from predictors.plugins import predictor_class
from predictors.progress import Progress, ProgressEvent, silent
from predictors.run import RUN_OPTIONS, Hook, Run, split_options
from predictors.training_data import TrainingData
from predictors.tuning import Space, write_config
from predictors.validation import METRIC

if TYPE_CHECKING:
    import optuna

    from datasets.splits.cases import Split

JOURNAL, TRIALS, CONFIG = "trials.log", "trials.json", "config.json"
CPU_SECONDS, MESSAGE = "cpu_seconds", "message"  # what is kept of a trial beside its value
SHARES = 1000  # progress of a trial is counted in thousandths, so that trials of any length compare
LEAST_TO_PRUNE = 5  # trials that are never pruned: the median of fewer says little


class TuningBusy(PredictorError):
    """Another process searches in the same folder."""


@dataclass(frozen=True)
class Search:
    """Describes a search: the model, the space, the data and the budget.

    split    the validation part of a protocol
    options  by name, that every trial has; those of `space` are where the search starts
    budget   CPU-seconds of all trials together, earlier ones of a continued search included
    """

    model: str
    split: Split
    space: Space
    options: Mapping[str, Any] = field(default_factory=dict)
    n_trials: int = 20
    budget: float = 0.0
    stated: str = MET
    seed: int = 1
    source: str = ""

    @property
    def metric(self) -> str:
        return headline(self.split.protocol)

    @property
    def recipe(self) -> dict[str, Any]:
        """The options that belong to the model, not to the run or the machine."""
        return {name: value for name, value in self.options.items() if name not in (*RUN_OPTIONS, "graph")}

    def digest(self) -> str:
        """Return what is equal for equal searches, however many trials they are to have."""
        asked = {
            "data": self.split.train.fingerprint(),
            "split": [self.split.protocol, self.split.description, self.stated],
            "space": {name: asdict(parameter) for name, parameter in sorted(self.space.items())},
            "options": {name: str(value) for name, value in sorted(self.recipe.items())},
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]

    def folder(self, root: Path) -> Path:
        """Return where this search is kept."""
        return root / f"{self.model}-{self.digest()}"


@dataclass(frozen=True)
class Tuned:
    """Holds the result of a search; `start` is the figure of its first options, None if they failed."""

    metric: str
    value: float
    start: float | None
    options: dict[str, Any]
    n_trials: int
    n_pruned: int
    n_failed: int
    cpu_seconds: float
    config: Path


def tune(search: Search, root: Path, *, progress: Progress = silent) -> Tuned:
    """Run trials until there are enough or the budget is used up, and return the best options.

    What `progress` raises ends the search; what was found until then is kept, and the same search goes on
    from there. Raises TrainingError when no trial could be completed, TuningBusy when another process is
    at work on the same search, PredictorError on an unknown model.
    """
    import optuna

    folder = search.folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        study = _open_study(search, folder)
        while True:
            finished = _finished(study)
            used = sum(trial.user_attrs[CPU_SECONDS] for trial in finished)
            if len(finished) >= search.n_trials or (search.budget and used >= search.budget):
                break
            trial = study.ask()
            started, known = time.process_time(), None
            state, value, message = optuna.trial.TrialState.FAIL, None, ""
            try:
                known = _same_options(_suggest(trial, search.space), finished)
                value = known.value if known else _measure(search, trial, len(finished), used, progress)
                state = optuna.trial.TrialState.COMPLETE
            except optuna.TrialPruned:
                state = optuna.trial.TrialState.PRUNED
            except PredictorError as error:
                message = str(error)
            except BaseException:
                study.tell(trial, state=state)
                raise
            seconds = 0.0 if known else round(time.process_time() - started, 3)
            trial.set_user_attr(CPU_SECONDS, seconds)
            trial.set_user_attr(MESSAGE, message)
            study.tell(trial, value, state)
            _write(search, study, folder)
        _write(search, study, folder)
        return _result(search, study, folder)


def _measure(search: Search, trial: optuna.Trial, number: int, used: float, progress: Progress) -> float:
    """Return the figure of one trial on the validation part."""
    options = {**search.options, **trial.params}
    kind = predictor_class(search.model)

    def report(event: ProgressEvent) -> None:
        message = f"trial {number + 1} of {search.n_trials}: {event.message}".rstrip(": ")
        progress(ProgressEvent((number + min(event.done, 1.0)) / search.n_trials, message, event.metrics))

    run = Run(
        seed=search.seed,
        progress=report,
        hooks=(_Pruning(trial),),
        cpu_budget_seconds=max(search.budget - used, 0.0),
    )
    config, run, graph = split_options(kind, options, run)
    taught = training_split(search.split, kind, search.stated)
    predictor = kind.fit(TrainingData(taught.train, taught.validation, graph), config, run)
    outcomes = evaluate(predictor, search.split, stated=search.stated, metrics=(search.metric,))
    own = [outcome for outcome in outcomes if outcome.label in {cases.label for cases in search.split.cases}]
    return float(np.mean([outcome.means()[search.metric] for outcome in own]))


class _Pruning(Hook):
    """Ends a trial whose validation figures are worse than the median of the earlier ones."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def on_step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        import optuna

        if METRIC in metrics:
            self.trial.report(float(metrics[METRIC]), round(SHARES * step / max(total, 1)))
            if self.trial.should_prune():
                raise optuna.TrialPruned


def _suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, parameter in space.items():
        low, high = parameter.low or 0, parameter.high or 0
        if parameter.choices:
            values[name] = trial.suggest_categorical(name, list(parameter.choices))
        elif parameter.is_integer:
            values[name] = trial.suggest_int(name, int(low), int(high), log=parameter.log)
        else:
            values[name] = trial.suggest_float(name, low, high, log=parameter.log)
    return values


def _same_options(options: Mapping[str, Any], trials: list[Any]) -> Any:
    """Return the completed trial that had these options; None where there is none."""
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    return next((trial for trial in complete if trial.params == options), None)


def _open_study(search: Search, folder: Path) -> optuna.Study:
    """Return the study of a folder, its first trial queued; trials that nobody finished are closed."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    study = optuna.create_study(
        study_name=search.model, storage=storage, direction="maximize", load_if_exists=True
    )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    n_before = len(study.get_trials(deepcopy=False))
    # A continued search must not propose again what its first trials proposed.
    study.sampler = optuna.samplers.TPESampler(seed=search.seed + 1000 * n_before)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=LEAST_TO_PRUNE)
    if not _finished(study):
        study.enqueue_trial(_start(search), skip_if_exists=True)
    return study


def _start(search: Search) -> dict[str, Any]:
    """Return the options that the search starts from, as far as its space holds them."""
    kind = predictor_class(search.model)
    config, _, _ = split_options(kind, search.options)
    defaults = config.as_dict()
    start = {}
    for name, parameter in search.space.items():
        value = defaults[name]
        if value in parameter.choices or (not parameter.choices and parameter.low <= value <= parameter.high):
            start[name] = value
    return start


def _finished(study: optuna.Study) -> list[Any]:
    """Return the trials that ended by themselves."""
    return [trial for trial in study.get_trials(deepcopy=False) if CPU_SECONDS in trial.user_attrs]


def _result(search: Search, study: optuna.Study, folder: Path) -> Tuned:
    trials = _finished(study)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if not complete:
        reason = next((trial.user_attrs[MESSAGE] for trial in trials if trial.user_attrs[MESSAGE]), "")
        raise TrainingError(f"none of {len(trials)} trials of {search.model} could be completed: {reason}")
    best = max(complete, key=lambda trial: trial.value)
    states = [trial.state.name for trial in trials]
    return Tuned(
        search.metric,
        best.value,
        trials[0].value if trials[0].state.name == "COMPLETE" else None,
        {**search.recipe, **best.params},
        len(trials),
        states.count("PRUNED"),
        states.count("FAIL"),
        round(sum(trial.user_attrs[CPU_SECONDS] for trial in trials), 2),
        folder / CONFIG,
    )


def _write(search: Search, study: optuna.Study, folder: Path) -> None:
    """Write the trials so far and the best options, each file atomically."""
    trials = _finished(study)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    best = max(complete, key=lambda trial: trial.value) if complete else None
    if best is not None:
        write_config(folder / CONFIG, search.model, {**search.recipe, **best.params})
    said = {
        "model": search.model,
        "metric": search.metric,
        "protocol": search.split.protocol,
        "split": search.split.description,
        "stated": search.stated,
        "seed": search.seed,
        "source": search.source,
        "data": {
            "fingerprint": search.split.train.fingerprint(),
            "n_users": search.split.train.n_users,
            "n_items": search.split.train.n_items,
            "n_interactions": len(search.split.train),
        },
        "space": {name: asdict(parameter) for name, parameter in search.space.items()},
        "best": None if best is None else best.number,
        "updated": datetime.now(UTC).isoformat(timespec="seconds"),
        "trials": [
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "value": trial.value if trial.state.name == "COMPLETE" else None,
                "options": trial.params,
                "cpu_seconds": trial.user_attrs[CPU_SECONDS],
                "message": trial.user_attrs[MESSAGE],
            }
            for trial in trials
        ],
    }
    writing = folder / f".{TRIALS}.{os.getpid()}"
    writing.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    os.replace(writing, folder / TRIALS)  # noqa: PTH105 - os.replace is the atomic one on every system


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises TuningBusy at once."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TuningBusy(f"another process is at work on the same search, in {folder}") from None
        yield
