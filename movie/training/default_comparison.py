"""Compare models as the default of this site: on its own log, in time order, paired, per history length.

Every model is trained by the recipe of its active version on the rows up to one moment. Visitors who came
after it are asked at each length n of a history: given the last n movies that they liked,

    next   the movie that they liked next is to be found: NDCG@10
    later  all movies that they liked from then on are to be found: NDCG@10

Popularity alone answers the second question well and shows everybody the same, a model of sequences the
first. The balance is the mean of both, each over the best figure that one of the models reached; models whose
lists are much the same for everybody are not proposed. Nothing is switched by this.

What is measured is kept in the folder of models until all is done, so that an interrupted comparison resumes.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evaluation.provenance import code_digest
from evaluation.trainer import FROM_SITE, train
from movie.core.progress import part_of
from movie.training.comparison import NDCG, IdTranslatingPredictor
from movie.training.promotion import recipe_of
from movie.training.site_store import SiteModelStore
from movie.training.temporal_split import TemporalSplit, reindexed, split_by_time
from predictors.base import Predictor
from predictors.errors import PredictorError, TrainingError
from predictors.progress import Progress, silent
from ranking_metrics.intervals import bootstrap_interval

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from datasets.splits.cases import Cases
    from predictors.serving.registry import ModelStore

LENGTHS = (1, 3, 5, 10, 20)
FEWEST_VISITORS = 30  # at a length that is reported
MOST_SHARED = 0.3  # of their ten movies that two visitors may have in common under a proposed default
FOLDER = ".comparing"  # in the folder of models; no model has this name
TRAINED = 0.9  # of the progress of one model
NEXT, LATER = "next", "later"
TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Questions:
    """Visitors who are asked after n movies; all by the same index.

    users  (C,) indices of the split's rows
    next   cases with one target each
    later  cases with all later movies as targets
    """

    n: int
    users: np.ndarray
    next: Cases
    later: Cases


@dataclass(frozen=True, slots=True)
class Answers:
    """Holds what one model reached at one length: (C,) NDCG@10 of both questions, and what lists share."""

    next: np.ndarray
    later: np.ndarray
    shared: float


@dataclass(frozen=True, slots=True)
class DefaultResult:
    """Result of a comparison, as it is stored and shown.

    default   the model that answers first now; `proposed` the one that the figures speak for
    is_clear  whether the paired interval of their difference leaves zero out
    until     the moment up to which models learned
    tables    JSON: `models` with the balance over all lengths, `lengths` with the figures of each,
              `left_out` with the models that could not be trained and why
    """

    default: str
    proposed: str
    is_clear: bool
    visitors: int
    until: datetime
    tables: dict[str, Any]


def compare_defaults(
    names: Sequence[str],
    data: Interactions,
    store: ModelStore,
    *,
    default: str,
    min_visitors: int,
    seed: int = 1,
    run_options: Callable[[str], Mapping[str, Any]] = lambda name: {},
    progress: Progress = silent,
) -> DefaultResult:
    """Train and ask the models; `default` must be among them.

    `run_options` gives options that are no part of a recipe, such as the device. What `progress` raises ends
    the comparison; finished models and checkpoints stay for the next call. Raises TrainingError when there
    are too few visitors to ask.
    """
    split = split_by_time(data, since=None, min_visitors=min_visitors, seed=seed)
    if split is None:
        raise TrainingError(f"fewer than {min_visitors} visitors did two things: too few to compare by")
    asked = [each for each in (questions_at(split, n) for n in LENGTHS) if len(each.users) >= FEWEST_VISITORS]
    if not asked:
        raise TrainingError(f"fewer than {FEWEST_VISITORS} visitors came back: too few to compare by")
    folder = store.root / FOLDER / _digest(split, seed)
    _delete_others(folder)
    found: dict[str, list[Answers]] = {}
    left_out: dict[str, str] = {}
    for position, name in enumerate(names):
        part = part_of(progress, position / len(names), (position + 1) / len(names), name)
        try:
            recipe = _recipe(name, store)
            kept = folder / f"{name}-{_short_hash(repr(sorted(recipe.items())))}.npz"
            answers = _read(kept, asked)
            if answers is None:
                options = {**recipe, **run_options(name)}
                answers = _train_and_ask(name, options, split, asked, folder, seed=seed, progress=part)
                _write(kept, asked, answers)
            found[name] = answers
        except PredictorError as error:
            if name == default:
                raise
            left_out[name] = str(error)
    result = decide(asked, found, default)
    result.tables["left_out"] = left_out
    until = datetime.fromtimestamp(split.until, UTC)
    shutil.rmtree(folder.parent, ignore_errors=True)
    return DefaultResult(default, result.proposed, result.is_clear, _n_visitors(asked), until, result.tables)


def questions_at(split: TemporalSplit, n: int) -> Questions:
    """Ask each visitor who came after the split's moment, at their first movie after it with n before it."""
    from datasets.splits.cases import Cases, Ragged

    rows = split.rows
    late = np.unique(rows.users[rows.at > split.until])
    begin, end = rows.indptr[late], rows.indptr[late + 1]
    before = np.array([int((rows.at[a:b] <= split.until).sum()) for a, b in zip(begin, end, strict=True)])
    first = begin + np.maximum(before, n)  # the movie to be found
    fits = first < end
    users, begin, first, end = late[fits], begin[fits], first[fits], end[fits]

    def rows_between(starts: np.ndarray, stops: np.ndarray) -> Ragged:
        indptr = np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.int64)
        parts = [rows.items[a:b] for a, b in zip(starts, stops, strict=True)]
        return Ragged(indptr, np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64))

    history, seen = rows_between(first - n, first), rows_between(begin, first)
    whom = users.astype(np.int32)
    return Questions(
        n,
        users,
        Cases(f"n={n}", whom, history, seen, rows_between(first, first + 1)),
        Cases(f"n={n}", whom, history, seen, rows_between(first, end)),
    )


@dataclass(frozen=True, slots=True)
class Decision:
    proposed: str
    is_clear: bool
    tables: dict[str, Any]


def decide(asked: Sequence[Questions], found: Mapping[str, Sequence[Answers]], default: str) -> Decision:
    """Propose the model of the best balance, if it is clearly better than the default.

    found  by model, the answers at each of the lengths in the order of `asked`
    """
    balances: dict[str, list[np.ndarray]] = {name: [] for name in found}
    lengths = []
    for position, questions in enumerate(asked):
        here = {name: answers[position] for name, answers in found.items()}
        best = [
            max(TINY, *(float(getattr(each, part).mean()) for each in here.values()))
            for part in (NEXT, LATER)
        ]
        rows = []
        for name, each in here.items():
            balances[name].append((each.next / best[0] + each.later / best[1]) / 2)
            differences = {
                part: _difference([getattr(each, part)], [getattr(here[default], part)], [questions])
                for part in (NEXT, LATER)
            }
            rows.append(
                {
                    "model": name,
                    NEXT: _rounded(each.next.mean()),
                    LATER: _rounded(each.later.mean()),
                    "shared": _rounded(each.shared),
                    "differences": differences,
                }
            )
        lengths.append({"n": questions.n, "visitors": len(questions.users), "rows": rows})
    models: list[dict[str, Any]] = [
        {
            "model": name,
            "balance": _rounded(np.mean([each.mean() for each in balances[name]])),
            "shared": _rounded(max(each.shared for each in answers)),
            "difference": _difference(balances[name], balances[default], asked),
        }
        for name, answers in found.items()
    ]
    models.sort(key=lambda row: -row["balance"])
    personal = [row for row in models if row["shared"] <= MOST_SHARED]
    proposed, is_clear = default, False
    if personal and personal[0]["model"] != default:
        is_clear = personal[0]["difference"][1] > 0
        proposed = personal[0]["model"] if is_clear else default
    return Decision(proposed, is_clear, {"models": models, "lengths": lengths})


def _difference(
    some: Sequence[np.ndarray], others: Sequence[np.ndarray], asked: Sequence[Questions]
) -> list[float]:
    """Return the mean difference over lengths with its paired 95 % interval over visitors: value, low, high.

    A visitor who is asked at several lengths is drawn once for all of them.
    """
    visitors, place = np.unique(np.concatenate([each.users for each in asked]), return_inverse=True)
    shares = np.concatenate([(a - b) / len(a) for a, b in zip(some, others, strict=True)]) * (
        len(visitors) / len(asked)
    )
    by_visitor = np.bincount(place, weights=shares, minlength=len(visitors))
    low, high = bootstrap_interval([by_visitor[:, None]])
    return [_rounded(by_visitor.mean()), _rounded(low[0]), _rounded(high[0])]


def _train_and_ask(
    name: str,
    options: Mapping[str, Any],
    split: TemporalSplit,
    asked: Sequence[Questions],
    folder: Path,
    *,
    seed: int,
    progress: Progress,
) -> list[Answers]:
    staged = SiteModelStore(folder / "models")
    trained = train(
        name,
        reindexed(split.train),
        staged,
        id_space=FROM_SITE,
        options=options,
        seed=seed,
        resume=True,
        refit=False,
        progress=part_of(progress, 0.0, TRAINED),
    )
    predictor = staged.load(name, trained.version)
    answers = _ask(predictor, split, asked, part_of(progress, TRAINED, 1.0, "asking"))
    staged.delete(name, trained.version)
    return answers


def _ask(
    predictor: Predictor, split: TemporalSplit, asked: Sequence[Questions], progress: Progress
) -> list[Answers]:
    from datasets.splits.cases import Split
    from evaluation.conditions import evaluate

    translated = cast("Predictor", IdTranslatingPredictor(predictor, split.rows.item_ids))
    cases = tuple(each for questions in asked for each in (questions.next, questions.later))
    evaluated = Split("session", split.train, None, cases, split.describe(), "the last n rows")
    outcomes = evaluate(translated, evaluated, metrics=(NDCG,), progress=progress)
    return [
        Answers(of_next.values[:, 0], of_later.values[:, 0], 1 - of_next.totals["personalization@10"])
        for of_next, of_later in zip(outcomes[::2], outcomes[1::2], strict=True)
    ]


def _recipe(name: str, store: ModelStore) -> dict[str, Any]:
    version = store.current(name)
    return recipe_of(store.load(name, version)) if version else {}


def _read(path: Path, asked: Sequence[Questions]) -> list[Answers] | None:
    """Return the answers of an interrupted comparison; None where there are none."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return [
                Answers(kept[f"next-{each.n}"], kept[f"later-{each.n}"], float(kept[f"shared-{each.n}"]))
                for each in asked
            ]
    except (OSError, KeyError, ValueError):
        return None


def _write(path: Path, asked: Sequence[Questions], answers: Sequence[Answers]) -> None:
    arrays: dict[str, Any] = {}
    for n, each in zip((questions.n for questions in asked), answers, strict=True):
        arrays |= {f"next-{n}": each.next, f"later-{n}": each.later, f"shared-{n}": np.array(each.shared)}
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(unfinished, **arrays)
    unfinished.replace(path)


def _digest(split: TemporalSplit, seed: int) -> str:
    """Return what a kept answer holds for: the rows, the moment, the code."""
    digest = hashlib.sha256(f"{split.until} {seed} {LENGTHS} {code_digest()}".encode())
    for column in (split.rows.users, split.rows.items, split.rows.at):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]


def _delete_others(folder: Path) -> None:
    """Delete what earlier comparisons of other data left behind."""
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _n_visitors(asked: Sequence[Questions]) -> int:
    return len(np.unique(np.concatenate([each.users for each in asked])))


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _rounded(value: float) -> float:
    return round(float(value), 5)
