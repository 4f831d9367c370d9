"""Promotion: train a candidate, compare it with the active version, and activate it unless it is worse.

Two protocols, each with one moment in time between the rows to learn from and the rows to rank:

    after-training   the last interactions of visitors after the active version was trained. The candidate
                     learns from the rows before them, the active version is used as it is
    same-rows        used when too few visitors came back and the candidate's options differ: both recipes
                     are trained on the same older rows and ranked on the same later ones
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.trainer import FROM_SITE, refit_version, train
from movie.core.locks import AlreadyLocked, file_lock
from movie.core.progress import part_of
from movie.training.comparison import Comparison, compare
from movie.training.site_store import SiteModelStore
from movie.training.temporal_split import MIN_VISITORS, TemporalSplit, reindexed, split_by_time
from predictors.base import Predictor
from predictors.errors import ArtifactError
from predictors.item_index import find_obstacle
from predictors.plugins import predictor_class
from predictors.progress import Progress, ProgressEvent, silent
from predictors.serving import artifact
from predictors.serving.registry import ModelStore

if TYPE_CHECKING:
    from datasets.interactions import Interactions

AFTER_TRAINING, SAME_ROWS = "after-training", "same-rows"
TOLERANCE = 0.02  # share of the active version's figure
STAGING = ".retraining"  # in the folder of models; no model has this name
TRAINED, STORING = 0.9, 0.98  # of the progress bar
RUN_OPTIONS = frozenset(("threads",))  # options of a configuration that change nothing but the speed


class RetrainingBusy(Exception):
    """Another process is retraining into the same folder."""


@dataclass(frozen=True, slots=True)
class RetrainResult:
    """Result of a retraining. `version` is the candidate's, empty where none was stored."""

    model: str
    activated: bool
    reason: str
    version: str = ""
    active_before: str = ""
    comparison: Comparison | None = None

    def as_meta(self) -> dict[str, Any]:
        """Return the outcome for the artifact's meta.json."""
        return {
            "outcome": "activated" if self.activated else "kept",
            "reason": self.reason,
            "active_before": self.active_before,
            **({"comparison": asdict(self.comparison)} if self.comparison else {}),
        }


@dataclass(frozen=True, slots=True)
class _Trainer:
    """Trains versions of one model into a staging store."""

    name: str
    staged: ModelStore
    run_options: Mapping[str, Any]
    source: str
    seed: int

    def train(
        self, rows: Interactions, recipe: Mapping[str, Any], progress: Progress, *, refit: bool = False
    ) -> str:
        """Train a version and return its name."""
        trained = train(
            self.name,
            rows,
            self.staged,
            id_space=FROM_SITE,
            source=self.source,
            options={**recipe, **self.run_options},
            seed=self.seed,
            refit=refit,
            progress=progress,
        )
        return trained.version

    def refit(self, version: str, rows: Interactions) -> str:
        """Train the recipe of a version on more rows and return the new version's name."""
        return refit_version(
            self.name, version, rows, self.staged, source=self.source, seed=self.seed, **self.run_options
        )


@contextmanager
def exclusive_lock(root: Path) -> Iterator[None]:
    """Keep other processes of this machine from retraining into this folder meanwhile.

    Raises RetrainingBusy at once.
    """
    with ExitStack() as held:
        try:
            held.enter_context(file_lock(root / f"{STAGING}.lock"))
        except AlreadyLocked as other:
            raise RetrainingBusy(f"Another retraining is at work here: process {other.pid}.") from None
        yield


def retrain(
    name: str,
    data: Interactions,
    store: ModelStore,
    *,
    options: Mapping[str, Any] | None = None,
    run_options: Mapping[str, Any] | None = None,
    source: str = "",
    seed: int = 1,
    tolerance: float = TOLERANCE,
    min_visitors: int = MIN_VISITORS,
    dry_run: bool = False,
    progress: Progress = silent,
) -> RetrainResult:
    """Train a candidate, compare it with the active version, and activate it unless its figure falls.

    The figure falls when it is worse by more than `tolerance`, a share of the active version's figure. The
    candidate has the recipe of the active version, changed by `options`; `run_options` are no part of a
    recipe, such as the device. The candidate is stored either way, with the outcome in its meta.json. The
    caller holds `exclusive_lock`. An exception that `progress` raises leaves the active version as it was
    and stores nothing.

    Raises TrainingError on data or options that cannot be used.
    """
    active, before, problem = _load_active(name, store)
    recipe = {} if active is None else recipe_of(active)
    changed = {**recipe, **(options or {})}
    split, protocol, reason = None, AFTER_TRAINING, problem
    if active is not None:
        split, protocol, reason = _split(
            data, active, is_changed=changed != recipe, min_visitors=min_visitors, seed=seed
        )
        if split is None:
            return RetrainResult(name, False, reason, active_before=before)
    with _staging(store.root) as staged:
        trainer = _Trainer(name, staged, run_options or {}, source, seed)
        if active is None or split is None:
            version = trainer.train(data, changed, part_of(progress, 0.0, TRAINED), refit=True)
            outcome = RetrainResult(name, True, reason)
        else:
            version, comparison = _train_and_compare(
                trainer, split, protocol, active=active, recipes=(changed, recipe), progress=progress
            )
            outcome = _gate(name, comparison, tolerance)
            if outcome.activated and not dry_run:
                version = trainer.refit(version, data)
        progress(ProgressEvent(STORING, "storing"))
        if dry_run:
            return replace(outcome, active_before=before)
        outcome = _unless_activated_meanwhile(outcome, store, before)
        obstacle = find_obstacle(staged.meta(name, version))
        if obstacle:
            outcome = replace(outcome, activated=False, reason=f"It cannot be activated: {obstacle}.")
        outcome = replace(outcome, version=version, active_before=before)
        artifact.annotate(staged.path(name, version), {"retrained": outcome.as_meta()})
        store.take_in(name, version, staged.path(name, version))
    if outcome.activated:
        store.activate(name, outcome.version)
    return outcome


def recipe_of(predictor: Predictor) -> dict[str, Any]:
    """Return the options that a version was trained with, without those of the run."""
    return {name: value for name, value in predictor.config.as_dict().items() if name not in RUN_OPTIONS}


def _load_active(name: str, store: ModelStore) -> tuple[Predictor | None, str, str]:
    """Return the active version, its name, and the reason when there is nothing to compare with."""
    version = store.current(name)
    if not version:
        return None, "", "There was no active version to compare with."
    try:
        return store.load(name, version), version, ""
    except ArtifactError as error:
        return None, version, f"The active version cannot be read: {error}"


def _split(
    data: Interactions, active: Predictor, *, is_changed: bool, min_visitors: int, seed: int
) -> tuple[TemporalSplit | None, str, str]:
    """Return the split to compare on, its protocol, and the reason when there is none."""
    rated = predictor_class(active.name).learns_from_dislikes
    since = _trained_until(active)
    split = split_by_time(data, since=since, min_visitors=min_visitors, seed=seed, rated=rated)
    if split is not None:
        return split, AFTER_TRAINING, ""
    if not is_changed:
        reason = (
            f"Fewer than {min_visitors} visitors did something since the active version was trained, and the "
            "options are the same: there is nothing to decide."
        )
        return None, "", reason
    split = split_by_time(data, since=None, min_visitors=min_visitors, seed=seed, rated=rated)
    reason = f"Fewer than {min_visitors} visitors did two things or more: too few to compare by."
    return split, SAME_ROWS, reason


def _train_and_compare(
    trainer: _Trainer,
    split: TemporalSplit,
    protocol: str,
    *,
    active: Predictor,
    recipes: tuple[Mapping[str, Any], Mapping[str, Any]],
    progress: Progress,
) -> tuple[str, Comparison]:
    """Train the candidate, and by `same-rows` the active recipe anew; return the candidate's version."""
    changed, recipe = recipes
    rows = reindexed(split.train)
    until = TRAINED / (2 if protocol == SAME_ROWS else 1)
    version = trainer.train(rows, changed, part_of(progress, 0.0, until))
    if protocol == SAME_ROWS:
        rest = part_of(progress, until, TRAINED, "the active recipe")
        active = trainer.staged.load(trainer.name, trainer.train(rows, recipe, rest))
    comparison = compare(
        trainer.staged.load(trainer.name, version),
        active,
        split,
        protocol,
        by_stars=predictor_class(trainer.name).learns_from_dislikes,
        progress=part_of(progress, TRAINED, STORING, "comparing"),
    )
    return version, comparison


def _trained_until(active: Predictor) -> int:
    """Return the time of the latest row that a version was trained on, in seconds since 1970."""
    until = active.meta.get("data", {}).get("until")
    if isinstance(until, int):
        return until
    return int(datetime.fromisoformat(str(active.meta["created"])).timestamp())


def _gate(name: str, comparison: Comparison, tolerance: float) -> RetrainResult:
    """Decide whether the candidate is activated."""
    falls = comparison.gain < -tolerance * comparison.active
    figures = (
        "{metric} {candidate:.4f} after {active:.4f} (difference {low:+.4f} to {high:+.4f}, 95 %)".format(
            **asdict(comparison)
        )
    )
    verdict = f"{'worse' if falls else 'not worse'} by more than {100 * tolerance:.3g} %"
    reason = f"{figures}, {verdict}; {comparison.protocol}, {comparison.visitors} visitors."
    return RetrainResult(name, not falls, reason, comparison=comparison)


def _unless_activated_meanwhile(outcome: RetrainResult, store: ModelStore, before: str) -> RetrainResult:
    """Return the outcome, turned into "kept" when somebody activated another version meanwhile."""
    now = store.current(outcome.model)
    if not outcome.activated or now == before:
        return outcome
    reason = f"{now or '-'} was activated meanwhile and was not compared with."
    return replace(outcome, activated=False, reason=reason)


@contextmanager
def _staging(root: Path) -> Iterator[ModelStore]:
    """Yield a store on the same disk for versions that are not published yet; remove it afterwards."""
    folder = root / STAGING
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    try:
        yield SiteModelStore(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
