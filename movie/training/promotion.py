"""Whether a newly trained version is to serve: both versions asked about what neither has seen.

    after-training   the last interaction of visitors who did something after the active version was
                     trained. The candidate learns from what came before the earliest of them, the active
                     version is asked as it is
    same-rows        too few did. If the candidate's options differ from those of the active version, both
                     recipes are trained on the same older rows and asked about the same later ones

Either way one moment in time parts what models learn from and what they are asked about, and a visitor's
history is everything they did before the interaction in question, as it would be on the site. Models are
compared visitor by visitor: by NDCG@10 over the whole catalogue with seen films masked, a star predictor by
the RMSE of its stars.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evaluation.trainer import FROM_SITE, Trained, refit_version, train
from predictors.base import Predictor, Query
from predictors.capabilities import PredictsStars
from predictors.errors import ArtifactError, TrainingError
from predictors.history import History, Interaction
from predictors.plugins import predictor_class
from predictors.progress import Progress, ProgressEvent, silent
from predictors.serving import artifact
from predictors.serving.registry import ModelStore

if TYPE_CHECKING:
    from datasets.interactions import Interactions

AFTER_TRAINING, SAME_ROWS = "after-training", "same-rows"
LEAST_VISITORS, MOST_VISITORS = 100, 2000
ASKED_SHARE = 10  # of the visitors that could be asked one in so many is; the rest teaches the candidate
TOLERANCE = 0.02  # of the active version's figure
RESAMPLES = 1000
STAGING = ".retraining"  # in the folder of models; no kind is called so

NDCG, RMSE = "NDCG@10", "RMSE"
TRAINED, STORING = 0.9, 0.98  # of the progress bar
NEVER = -(2**62)

# An artefact's config holds these too; they belong to the run, not to the recipe.
OF_THE_RUN = frozenset(("threads",))  # options of a configuration that change nothing but the speed


class RetrainingBusy(Exception):
    """Somebody else is retraining into the same folder."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both versions reached on the same visitors. `difference` is the candidate's figure less the
    active version's, `low` to `high` its 95 % bootstrap interval over visitors."""

    protocol: str
    description: str
    metric: str
    visitors: int
    candidate: float
    active: float
    difference: float
    low: float
    high: float

    @property
    def gain(self) -> float:
        """The difference where more is better: an error that grows is a loss."""
        return -self.difference if self.metric == RMSE else self.difference


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a retraining ended. `version` is the candidate's, empty where none was stored."""

    model: str
    activated: bool
    reason: str
    version: str = ""
    active_before: str = ""
    comparison: Comparison | None = None

    def record(self) -> dict[str, Any]:
        """For the artefact's meta.json."""
        return {
            "outcome": "activated" if self.activated else "kept",
            "reason": self.reason,
            "active_before": self.active_before,
            **({"comparison": asdict(self.comparison)} if self.comparison else {}),
        }


@dataclass(frozen=True, slots=True)
class Later:
    """Rows up to the second `until` to learn from, and the latest ones of some visitors to be asked about.

    taught   what may be learned from
    rows     everything, each visitor and film once
    targets  (C,) int64, the rows in question; a visitor's history is their rows before it
    """

    until: int
    taught: Interactions
    rows: Interactions
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def before(self, target: int) -> slice:
        """The rows of this visitor's history."""
        return slice(int(self.rows.indptr[self.rows.users[target]]), int(target))


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Nobody else retrains into this folder meanwhile, on any process of this machine.

    Raises RetrainingBusy at once.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{STAGING}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RetrainingBusy(
                "Another retraining is at work here: process {pid}.".format(pid=lock.read().strip() or "?")
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def retrain(
    name: str,
    data: Interactions,
    store: ModelStore,
    *,
    options: Mapping[str, Any] | None = None,
    of_the_run: Mapping[str, Any] | None = None,
    source: str = "",
    seed: int = 1,
    tolerance: float = TOLERANCE,
    least_visitors: int = LEAST_VISITORS,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Outcome:
    """Train a candidate, compare it with the active version, and let it serve unless its figure falls.

    It falls when it is worse by more than `tolerance`, a share of the active version's figure. The
    candidate has the options of the active version, changed by `options`; `of_the_run` are options that are
    no part of a recipe, such as the device. It is stored either way, with the outcome in its meta.json.
    The caller is `alone`. Whatever `progress` raises leaves the active version as it was and stores nothing.

    Raises TrainingError on data or options that cannot be used.
    """
    active, before, problem = _active(name, store)
    recipe = {} if active is None else recipe_of(active)
    wanted = {**recipe, **(options or {})}
    by_stars = predictor_class(name).learns_from_dislikes
    later, protocol = None, AFTER_TRAINING
    if active is not None:
        later = later_rows(data, since=_known_until(active), least=least_visitors, seed=seed, rated=by_stars)
        if later is None:
            if wanted == recipe:
                return Outcome(name, False, _too_little_new(least_visitors), active_before=before)
            protocol = SAME_ROWS
            later = later_rows(data, since=None, least=least_visitors, seed=seed, rated=by_stars)
            if later is None:
                return Outcome(name, False, _too_few(least_visitors), active_before=before)
    comparison = None
    with _staging(store.root) as staged:
        train_here = partial(
            _trained,
            name,
            data if later is None else compacted(later.taught),
            staged,
            source=source,
            seed=seed,
            refit=later is None,
        )
        parts = 2 if protocol == SAME_ROWS else 1
        trained = train_here({**wanted, **(of_the_run or {})}, _part(progress, 0.0, TRAINED / parts))
        if active is not None and later is not None:
            candidate = staged.load(name, trained.version)
            if protocol == SAME_ROWS:
                rest = _part(progress, TRAINED / parts, TRAINED, "the active recipe")
                again = train_here({**recipe, **(of_the_run or {})}, rest)
                active = staged.load(name, again.version)
            asked = _part(progress, TRAINED, STORING, "comparing")
            if by_stars and isinstance(candidate, PredictsStars) and isinstance(active, PredictsStars):
                comparison = compared_by_stars(candidate, active, later, protocol, asked)
            else:
                comparison = compared_by_rank(candidate, active, later, protocol, asked)
        outcome = _decided(name, comparison, tolerance, problem)
        if outcome.activated and later is not None and not dry_run:
            on_all = refit_version(
                name, trained.version, data, staged, source=source, seed=seed, **(of_the_run or {})
            )
            trained = replace(trained, version=on_all)
        progress(ProgressEvent(STORING, "storing"))
        if dry_run:
            return replace(outcome, active_before=before)
        if outcome.activated and store.current(name) != before:
            meanwhile = "%(version)s was activated meanwhile and was not compared with."
            reason = meanwhile % {"version": store.current(name) or "-"}
            outcome = replace(outcome, activated=False, reason=reason)
        outcome = replace(outcome, version=trained.version, active_before=before)
        artifact.annotate(staged.path(name, trained.version), {"retrained": outcome.record()})
        store.take_in(name, trained.version, staged.path(name, trained.version))
    if outcome.activated:
        store.activate(name, outcome.version)
    return outcome


def recipe_of(predictor: Predictor) -> dict[str, Any]:
    """The options that a version was trained with, without those of the run it was trained in."""
    return {name: value for name, value in predictor.config.as_dict().items() if name not in OF_THE_RUN}


def later_rows(
    data: Interactions, *, since: int | None, least: int, seed: int, rated: bool = False
) -> Later | None:
    """The latest last rows of visitors, all after the second `since`, and all rows before the first of them.

    Of the visitors who could be asked one in ASKED_SHARE is, but at least `least`; the latest, so that as
    little as can be is kept from learning. With `rated` they are asked about rows with stars. None where
    fewer could be asked or nothing would be left to learn from.
    """
    from datasets.splits.protocols import latest_of_each_pair

    everything = latest_of_each_pair(data)
    rows = everything.select(~np.isnan(everything.values)) if rated else everything
    users = np.flatnonzero(np.diff(rows.indptr) > 1)
    last = rows.indptr[users + 1] - 1
    last = last[rows.at[last] > (NEVER if since is None else since)]
    if len(last) < max(least, 1):
        return None
    number = min(MOST_VISITORS, max(least, len(last) // ASKED_SHARE))
    until = int(np.sort(rows.at[last])[-number]) - 1
    last = last[rows.at[last] > until]
    if len(last) > MOST_VISITORS:  # many in the same second
        last = np.sort(np.random.default_rng(seed).permutation(last)[:MOST_VISITORS])
    taught = everything.select(everything.at <= until)
    return Later(until, taught, rows, last) if len(taught) else None


def compacted(rows: Interactions) -> Interactions:
    """The same rows in id spaces of their own: nobody and no film without a row."""
    users, user_of = np.unique(rows.users, return_inverse=True)
    items, item_of = np.unique(rows.items, return_inverse=True)
    return replace(
        rows,
        users=user_of.astype(np.int32),
        items=item_of.astype(np.int32),
        user_ids=rows.user_ids[users],
        item_ids=rows.item_ids[items],
    )


def compared_by_rank(
    candidate: Predictor, active: Predictor, later: Later, protocol: str, progress: Progress = silent
) -> Comparison:
    """NDCG@10 of the film that each visitor turned to next."""
    from datasets.splits.protocols import Cases, Ragged, Split
    from evaluation.conditions import evaluate

    histories = [later.rows.items[later.before(target)] for target in later.targets]
    indptr = np.concatenate([[0], np.cumsum([len(history) for history in histories])]).astype(np.int64)
    history = Ragged(indptr, np.concatenate(histories).astype(np.int64))
    places = np.arange(len(later) + 1, dtype=np.int64)
    targets = Ragged(places, later.rows.items[later.targets].astype(np.int64))
    cases = Cases("", places[:-1].astype(np.int32), history, history, targets)
    split = Split(
        protocol, later.taught, None, (cases,), _described(later), "all rows before the one asked for"
    )
    values = []
    for place, predictor in enumerate((candidate, active)):
        asked = cast("Predictor", AskedInOtherIds(predictor, later.rows.item_ids))
        half = _part(progress, place / 2, (place + 1) / 2)
        values.append(evaluate(asked, split, metrics=(NDCG,), progress=half)[0].values[:, 0])
    return _comparison(NDCG, np.mean, values, later, protocol)


def compared_by_stars(
    candidate: PredictsStars, active: PredictsStars, later: Later, protocol: str, progress: Progress = silent
) -> Comparison:
    """RMSE of the stars that each visitor gave next, of films that both versions know.

    Raises TrainingError where they have no such film in common.
    """
    errors = []
    films = later.rows.item_ids.tolist()
    for place, target in enumerate(later.targets):
        film = films[later.rows.items[target]]
        told = _as_history(later, target)
        expected = [predictor.predict_stars(told, [film]) for predictor in (candidate, active)]
        if all(expected):
            errors.append([each[film] - float(later.rows.values[target]) for each in expected])
        progress(ProgressEvent((place + 1) / len(later), ""))
    if not errors:
        raise TrainingError("no film that was rated lately is known to both versions")
    squares = np.square(np.array(errors))  # (C, 2)
    return _comparison(RMSE, _root_of_mean, list(squares.T), later, protocol)


class AskedInOtherIds:
    """A predictor asked in the index space of `item_ids`. A film it does not know is never in its list, and
    a visitor of whose films it knows too few gets no list."""

    min_history = 0  # too short a history gets no list here

    def __init__(self, predictor: Predictor, item_ids: np.ndarray) -> None:
        self.predictor = predictor
        indices = [predictor.ids.index_of(each) for each in item_ids.tolist()]
        self.own = np.array([-1 if index is None else index for index in indices], dtype=np.int64)

    def score_users(self, users: np.ndarray) -> None:
        return None

    def score(self, queries: Sequence[Query]) -> np.ndarray:
        """(B, len(item_ids)) float32, -inf where it has nothing to say."""
        scores = np.full((len(queries), len(self.own)), -np.inf, dtype=np.float32)
        asked = [
            Query.from_indices(self._known(query.liked), seen=self._known(query.seen)) for query in queries
        ]
        counts = np.array([len(query.liked) for query in asked])
        able = np.flatnonzero(counts >= self.predictor.min_history)
        if len(able):
            theirs = self.predictor.score([asked[row] for row in able.tolist()])
            known = np.flatnonzero(self.own >= 0)
            scores[np.ix_(able, known)] = theirs[:, self.own[known]]
        return scores

    def _known(self, items: np.ndarray) -> np.ndarray:
        own = self.own[items]
        return own[own >= 0]


def _active(name: str, store: ModelStore) -> tuple[Predictor | None, str, str]:
    """The active version, its name, and why there is nothing to compare with."""
    version = store.current(name)
    if not version:
        return None, "", "There was no active version to compare with."
    try:
        return store.load(name, version), version, ""
    except ArtifactError as error:
        return None, version, f"The active version cannot be read: {error}"


def _known_until(active: Predictor) -> int:
    """No later row was among those that a version was trained on; seconds since 1970."""
    until = active.meta.get("data", {}).get("until")
    if isinstance(until, int):
        return until
    return int(datetime.fromisoformat(str(active.meta["created"])).timestamp())


def _trained(
    name: str,
    rows: Interactions,
    staged: ModelStore,
    options: Mapping[str, Any],
    progress: Progress,
    *,
    source: str,
    seed: int,
    refit: bool,
) -> Trained:
    return train(
        name,
        rows,
        staged,
        id_space=FROM_SITE,
        source=source,
        options=options,
        seed=seed,
        refit=refit,
        progress=progress,
    )


def _decided(name: str, comparison: Comparison | None, tolerance: float, problem: str) -> Outcome:
    if comparison is None:
        return Outcome(name, True, problem)
    falls = comparison.gain < -tolerance * comparison.active
    said = "{metric} {candidate:.4f} after {active:.4f} (difference {low:+.4f} to {high:+.4f}, 95 %)".format(
        **asdict(comparison)
    )
    verdict = "worse by more than %(share).3g %%" if falls else "not worse by more than %(share).3g %%"
    asked = f"{comparison.protocol}, {comparison.visitors} visitors"
    reason = f"{said}, {verdict % {'share': 100 * tolerance}}; {asked}."
    return Outcome(name, not falls, reason, comparison=comparison)


def _comparison(
    metric: str,
    figure: Callable[[np.ndarray], Any],
    values: Sequence[np.ndarray],
    later: Later,
    protocol: str,
) -> Comparison:
    """Both figures, and how far apart they might be had other visitors like these been asked.

    values  of the candidate and of the active version, (C,) float64 by visitor
    """
    candidate, active = values
    rng = np.random.default_rng(0)
    apart = []
    for _resample in range(RESAMPLES):
        drawn = rng.integers(0, len(candidate), len(candidate))
        apart.append(float(figure(candidate[drawn])) - float(figure(active[drawn])))
    low, high = np.quantile(apart, [0.025, 0.975])
    reached, before = float(figure(candidate)), float(figure(active))
    return Comparison(
        protocol=protocol,
        description=_described(later),
        metric=metric,
        visitors=len(candidate),
        candidate=round(reached, 5),
        active=round(before, 5),
        difference=round(reached - before, 5),
        low=round(float(low), 5),
        high=round(float(high), 5),
    )


def _root_of_mean(squares: np.ndarray) -> float:
    return float(np.sqrt(np.mean(squares)))


def _described(later: Later) -> str:
    return (
        f"the last row after {later.until} (seconds since 1970) of {len(later)} visitors; "
        f"learned from {len(later.taught)} rows up to then"
    )


def _as_history(later: Later, target: int) -> History:
    """The ratings that a visitor gave before, as the site would hand them over."""
    rows = later.rows
    films, stars = rows.item_ids[rows.items[later.before(target)]].tolist(), rows.values[later.before(target)]
    moment = datetime.fromtimestamp(0, UTC)
    return History(
        Interaction(f"{place:09d}", "", "rating", film, moment, float(value))
        for place, (film, value) in enumerate(zip(films, stars, strict=True))
    )


def _too_little_new(least: int) -> str:
    return (
        f"Fewer than {least} visitors did something since the active version was trained, and the options "
        "are the same: there is nothing to decide."
    )


def _too_few(least: int) -> str:
    return f"Fewer than {least} visitors did two things or more: too few to compare by."


def _part(progress: Progress, begin: float, end: float, label: str = "") -> Progress:
    """Reports of a part of the work as reports of the whole."""

    def report(event: ProgressEvent) -> None:
        message = f"{label}: {event.message}" if label and event.message else label or event.message
        progress(replace(event, done=begin + (end - begin) * event.done, message=message))

    return report


@contextmanager
def _staging(root: Path) -> Iterator[ModelStore]:
    """A store on the same disk for versions that nobody is to see yet; gone with the block."""
    folder = root / STAGING
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    try:
        yield ModelStore(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
