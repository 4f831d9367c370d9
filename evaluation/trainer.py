"""Train one predictor by name: hold out a little, fit, measure, publish."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from evaluation.hooks import tracked
from predictors.capabilities import PredictsStars
from predictors.errors import TrainingError
from predictors.history import History
from predictors.plugins import predictor_class
from predictors.progress import Progress, ProgressEvent, silent
from predictors.run import Hook, Run, split_options
from predictors.training_data import TrainingData
from predictors.validation import MAX_USERS, Validator, hold_out_last

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from predictors.base import Predictor
    from predictors.serving.registry import ModelStore

FROM_SITE, FROM_FILE = "site", "file"  # whose ids an artifact has
PROTOCOL = "leave-one-out"
CHECKPOINTS = ".checkpoints"  # beside the versions of a model; no version starts with a dot

REFIT = "refit"  # folder of the refit's checkpoints
FIT_SHARE, MEASURED, REFIT_SHARE = 0.55, 0.58, 0.98  # of the progress bar


@dataclass(frozen=True, slots=True)
class Trained:
    """Holds the result of a training."""

    name: str
    version: str
    metrics: dict[str, float]
    cpu_seconds: float
    activated: bool
    left_out: Mapping[str, str] = field(default_factory=dict)  # members of a blend and why they are missing


def train(
    name: str,
    interactions: Interactions,
    store: ModelStore,
    *,
    id_space: str,
    source: str = "",
    options: Mapping[str, Any] | None = None,
    seed: int = 1,
    activate: bool = False,
    resume: bool = False,
    refit: bool = True,
    progress: Progress = silent,
    hooks: tuple[Hook, ...] = (),
    is_first: bool = True,
) -> Trained:
    """Fit a model and publish it as a new version of the store.

    The last interaction of up to 2,000 users is held out: the model may use these rows for early
    stopping, and the artifact carries the NDCG@10 and HR@10 reached on them (full catalogue, seen
    items masked). What is published is the same recipe fitted anew on all rows, the held-out ones
    included, for as long as the validation chose; without `refit` what was measured. `id_space` is
    FROM_SITE or FROM_FILE; only the first can be activated. Of several processes that train one model
    together only the first measures and publishes; the version of the others is empty.

    Raises TrainingError on unusable data or options or a disk that cannot be written, PredictorError on an
    unknown name. What `progress` raises ends the training; what the model wrote to its checkpoint folder
    stays, and `resume` goes on from there.
    """
    from datasets.splits.protocols import latest_of_each_pair

    kind = predictor_class(name)
    if activate:
        refuse_other_ids(name, id_space)
    if len(interactions) == 0:
        raise TrainingError("there are no interactions to train on; import or collect ratings first")
    rows = latest_of_each_pair(interactions)
    fitted_on, validation = hold_out_last(rows, max_users=MAX_USERS, seed=seed)
    checkpoint_dir = store.root / name / CHECKPOINTS
    started = time.process_time()

    n_held_out = len(validation)  # one row of each user
    refit = refit and n_held_out > 0
    run = Run(
        seed=seed,
        progress=progress,
        checkpoint_dir=checkpoint_dir,
        resume=resume,
        stage="select" if refit else "single",
    )
    config, run, graph = split_options(kind, options, run)
    data = TrainingData(fitted_on, validation if n_held_out else None, graph)
    facts = _described(interactions, id_space, source)
    with _disk_errors(name, store), tracked(hooks, name, config.as_dict(), facts) as final:
        if is_first and not resume:  # else a later --resume would find the refit of an earlier training
            _clear(checkpoint_dir)
        choosing = replace(run.part(0.0, FIT_SHARE if refit else REFIT_SHARE), hooks=hooks)
        predictor = kind.fit(data, config, choosing)
        progress(ProgressEvent(FIT_SHARE if refit else REFIT_SHARE, "measuring"))
        metrics = _measured(predictor, fitted_on, validation) if is_first else {}
        if refit:
            again = replace(run, checkpoint_dir=checkpoint_dir / REFIT)
            everything = TrainingData(rows, None, graph)
            predictor = predictor.refit(everything, again.part(MEASURED, REFIT_SHARE, "all rows"))
        cpu_seconds = time.process_time() - started
        if not is_first:
            return Trained(name, "", {}, cpu_seconds, activated=False)
        final |= {**metrics, "cpu_seconds": cpu_seconds}
        progress(ProgressEvent(REFIT_SHARE, "saving", metrics))
        version = store.publish(
            predictor,
            data=facts,
            metrics=_metric_rows(n_held_out, metrics, seed, cpu_seconds),
            activate=activate,
        )
        _clear(checkpoint_dir)
    return Trained(name, version, metrics, cpu_seconds, activate, predictor.meta.get("left_out", {}))


@contextmanager
def _disk_errors(name: str, store: ModelStore) -> Iterator[None]:
    """Turn what a full or read-only disk raises into a TrainingError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        where = getattr(error, "filename", None) or store.root
        reason = getattr(error, "strerror", None) or error
        raise TrainingError(f"{name} cannot be trained: {where}: {reason}") from error


def refit_version(
    name: str,
    version: str,
    interactions: Interactions,
    store: ModelStore,
    *,
    graph: str = "",
    source: str = "",
    seed: int = 1,
    device: str = "auto",
    progress: Progress = silent,
) -> str:
    """Fit the recipe of a version anew on all these rows and publish it; its figures are those of the first.

    Raises TrainingError as `train` does.
    """
    from datasets.splits.protocols import latest_of_each_pair

    meta = store.meta(name, version)
    data = TrainingData(latest_of_each_pair(interactions), None, graph)
    run = Run(seed=seed, device=device, progress=progress)
    described = _described(interactions, meta["data"]["id_space"], source)
    predictor = store.load(name, version).refit(data, run)
    return store.publish(predictor, data=described, metrics=meta["metrics"])


def refuse_other_ids(name: str, id_space: str) -> None:
    """Raise TrainingError unless the ids of an artifact are those of the site's films."""
    if id_space != FROM_SITE:
        raise TrainingError(
            f"{name} was trained on a file, whose ids are not those of the site's films, so it cannot serve "
            f"pages. Import the file, then: manage.py train {name} --from-site --activate"
        )


def _measured(predictor: Predictor, train: Interactions, validation: Interactions) -> dict[str, float]:
    """Return NDCG@10 and HR@10 on the held-out rows, of star predictors RMSE and MAE; empty without rows."""
    validator = Validator.from_rows(train, validation)
    if validator is None:
        return {}
    metrics = validator.measure(predictor)
    if isinstance(predictor, PredictsStars):
        metrics |= _star_errors(predictor, train, validation)
    return {name: round(value, 5) for name, value in metrics.items()}


def _star_errors(predictor: PredictsStars, train: Interactions, validation: Interactions) -> dict[str, float]:
    """Return RMSE and MAE, in stars, of the held-out rating of each user, told from their other ratings."""
    by_user = np.argsort(train.users, kind="stable")
    starts = np.searchsorted(train.users[by_user], np.arange(train.n_users + 1))
    item_ids, errors = train.item_ids.tolist(), []
    for user, item, stars in zip(validation.users, validation.items, validation.values, strict=True):
        rows = by_user[starts[user] : starts[user + 1]]
        rows = rows[~np.isnan(train.values[rows])]
        history = History.from_stars(
            {item_ids[train.items[row]]: float(train.values[row]) for row in rows.tolist()}
        )
        predicted = predictor.predict_stars(history, [item_ids[item]])
        if predicted and not np.isnan(stars):
            errors.append(predicted[item_ids[item]] - stars)
    if not errors:
        return {}
    return {"RMSE": float(np.sqrt(np.mean(np.square(errors)))), "MAE": float(np.mean(np.abs(errors)))}


def _metric_rows(
    n_users: int, metrics: Mapping[str, float], seed: int, cpu_seconds: float
) -> list[dict[str, Any]]:
    return [
        {
            "protocol": PROTOCOL,
            "part": "validation",
            "ranking": "full catalogue, seen items masked",
            "split": f"validation: the last row of {n_users} users, chosen by seed {seed}",
            "users": n_users,
            "seed": seed,
            "cpu_seconds": round(cpu_seconds, 2),
            **metrics,
        }
    ]


def _described(interactions: Interactions, id_space: str, source: str) -> dict[str, Any]:
    return {
        "fingerprint": interactions.fingerprint(),
        "source": source,
        "id_space": id_space,
        "n_users": interactions.n_users,
        "n_items": interactions.n_items,
        "n_interactions": len(interactions),
        "read_at": (interactions.read_at or datetime.now(UTC)).isoformat(),  # later films may be missing
        "until": int(interactions.at.max()),  # no later row was seen; seconds since 1970
    }


def _clear(checkpoint_dir: Path) -> None:
    """Delete the checkpoints of a training, of its refit too."""
    if checkpoint_dir.is_dir():
        for path in checkpoint_dir.rglob("*"):
            if path.is_file():
                path.unlink()
