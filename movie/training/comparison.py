"""Compare two versions of a model visitor by visitor, on interactions that neither has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from evaluation.protocols import MET, STARS
from movie.core.progress import part_of
from movie.training.temporal_split import TemporalSplit
from predictors.base import Predictor
from predictors.capabilities import PredictsStars
from predictors.errors import TrainingError
from predictors.history import History, Interaction
from predictors.progress import Progress, ProgressEvent, silent
from predictors.query import Query
from ranking_metrics.intervals import paired_interval

if TYPE_CHECKING:
    from datasets.splits.cases import Cases

NDCG, RMSE, BALANCE = "NDCG@10", "RMSE", "balance"
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Comparison:
    """Figures of two versions on the same visitors.

    `difference` is the candidate's figure minus the active version's, `low` to `high` its paired 95 %
    bootstrap interval over visitors. `stated` says how histories are stated, as `evaluation.protocols` names
    it: for NDCG and balance `met`, every liked movie alike, as in the validator of early stopping.
    """

    protocol: str
    description: str
    metric: str
    visitors: int
    candidate: float
    active: float
    difference: float
    low: float
    high: float
    stated: str = MET

    @property
    def gain(self) -> float:
        """Return the difference with the sign of an improvement: a growing error is a loss."""
        return -self.difference if self.metric == RMSE else self.difference


def compare(
    candidate: Predictor,
    active: Predictor,
    split: TemporalSplit,
    protocol: str,
    *,
    by_stars: bool,
    progress: Progress = silent,
) -> Comparison:
    """Compare by the question that the model was fitted for.

    By RMSE when `by_stars` holds and both versions predict stars, by balance where a model is fitted for
    the balance of what comes next and what comes later, else by NDCG@10 of what comes next.
    """
    if by_stars and isinstance(candidate, PredictsStars) and isinstance(active, PredictsStars):
        return compare_by_stars(candidate, active, split, protocol, progress)
    if candidate.aims_at_balance:
        return compare_by_balance(candidate, active, split, protocol, progress)
    return compare_by_rank(candidate, active, split, protocol, progress)


def compare_by_rank(
    candidate: Predictor, active: Predictor, split: TemporalSplit, protocol: str, progress: Progress = silent
) -> Comparison:
    """Compare by NDCG@10 of each visitor's target, ranked among all movies with seen ones masked."""
    values = _ranked((candidate, active), (_next_cases(split),), split, protocol, progress)
    return _comparison(NDCG, np.mean, [each[0] for each in values], split, protocol)


def compare_by_balance(
    candidate: Predictor, active: Predictor, split: TemporalSplit, protocol: str, progress: Progress = silent
) -> Comparison:
    """Compare by the mean of two NDCG@10, each over the better version's: of the target, of all later movies.

    Later are all of a visitor's movies after the split's moment, given those before it. Popularity alone
    answers this well, a model of sequences the other question.
    """
    asked = (_next_cases(split), _later_cases(split))
    values = _ranked((candidate, active), asked, split, protocol, progress)
    best = [
        max(float(of_candidate.mean()), float(of_active.mean()), TINY)
        for of_candidate, of_active in zip(*values, strict=True)
    ]
    balances = [
        np.mean([answered / top for answered, top in zip(each, best, strict=True)], axis=0) for each in values
    ]
    return _comparison(BALANCE, np.mean, balances, split, protocol)


def _ranked(
    versions: Sequence[Predictor],
    asked: Sequence[Cases],
    split: TemporalSplit,
    protocol: str,
    progress: Progress,
) -> list[list[np.ndarray]]:
    """Return for each version and question NDCG@10 of the visitors, (C,) float64."""
    from datasets.splits.cases import Split
    from evaluation.conditions import evaluate

    described = split.describe()
    evaluated = Split(protocol, split.train, None, tuple(asked), described, "all rows before the target")
    values = []
    for index, predictor in enumerate(versions):
        translated = cast("Predictor", IdTranslatingPredictor(predictor, split.rows.item_ids))
        part = part_of(progress, index / len(versions), (index + 1) / len(versions))
        outcomes = evaluate(translated, evaluated, metrics=(NDCG,), progress=part)
        values.append([outcome.values[:, 0] for outcome in outcomes])
    return values


def _next_cases(split: TemporalSplit) -> Cases:
    """Ask for the last row of each visitor, given all rows before it."""
    return _cases("next", split, split.targets, split.targets + 1)


def _later_cases(split: TemporalSplit) -> Cases:
    """Ask for all rows of each visitor after the split's moment, given those before it, or the first row."""
    begin, end = (split.rows.indptr[split.rows.users[split.targets] + after] for after in (0, 1))
    known = [
        int((split.rows.at[first:last] <= split.until).sum()) for first, last in zip(begin, end, strict=True)
    ]
    return _cases("later", split, begin + np.maximum(known, 1), end)


def _cases(label: str, split: TemporalSplit, start: np.ndarray, stop: np.ndarray) -> Cases:
    """Ask each visitor of the split for their rows start..stop-1, given all rows before."""
    from datasets.splits.cases import Cases, Ragged

    def rows_between(starts: np.ndarray, stops: np.ndarray) -> Ragged:
        indptr = np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.int64)
        parts = [split.rows.items[first:last] for first, last in zip(starts, stops, strict=True)]
        return Ragged(indptr, np.concatenate(parts).astype(np.int64))

    begin = split.rows.indptr[split.rows.users[split.targets]]
    history = rows_between(begin, start)
    visitors = np.arange(len(split), dtype=np.int32)
    return Cases(label, visitors, history, history, rows_between(start, stop))


def compare_by_stars(
    candidate: PredictsStars,
    active: PredictsStars,
    split: TemporalSplit,
    protocol: str,
    progress: Progress = silent,
) -> Comparison:
    """Compare by RMSE of the stars of each visitor's target, over movies that both versions know.

    Raises TrainingError when they know no such movie in common.
    """
    errors = []
    movie_ids = split.rows.item_ids.tolist()
    for n_done, target in enumerate(split.targets, start=1):
        movie_id = movie_ids[split.rows.items[target]]
        history = _rated_history(split, target)
        predicted = [predictor.predict_stars(history, [movie_id]) for predictor in (candidate, active)]
        if all(predicted):
            errors.append([stars[movie_id] - float(split.rows.values[target]) for stars in predicted])
        progress(ProgressEvent(n_done / len(split), ""))
    if not errors:
        raise TrainingError("no film that was rated lately is known to both versions")
    squares = np.square(np.array(errors))  # (C, 2)
    return _comparison(RMSE, _root_of_mean, list(squares.T), split, protocol)


class IdTranslatingPredictor:
    """A predictor that is called with indices of `item_ids` in place of its own.

    An item that it does not know gets the score -inf, and so does every item for a user of whose items it
    knows too few.
    """

    min_history = 0  # a shorter history than the predictor needs is scored -inf here

    def __init__(self, predictor: Predictor, item_ids: np.ndarray) -> None:
        self.predictor = predictor
        indices = [predictor.ids.index_of(each) for each in item_ids.tolist()]
        self.own_indices = np.array([-1 if index is None else index for index in indices], dtype=np.int64)

    def score_users(self, users: np.ndarray) -> None:
        return None

    def score(self, queries: Sequence[Query]) -> np.ndarray:
        """Return scores (B, len(item_ids)) float32, -inf where the predictor has none."""
        scores = np.full((len(queries), len(self.own_indices)), -np.inf, dtype=np.float32)
        translated = [
            Query.from_indices(self._translate(query.liked), seen=self._translate(query.seen))
            for query in queries
        ]
        counts = np.array([len(query.liked) for query in translated])
        rows = np.flatnonzero(counts >= self.predictor.min_history)
        if len(rows):
            own_scores = self.predictor.score([translated[row] for row in rows.tolist()])
            known = np.flatnonzero(self.own_indices >= 0)
            scores[np.ix_(rows, known)] = own_scores[:, self.own_indices[known]]
        return scores

    def _translate(self, items: np.ndarray) -> np.ndarray:
        indices = self.own_indices[items]
        return indices[indices >= 0]


def _comparison(
    metric: str,
    figure: Callable[[np.ndarray], Any],
    values: Sequence[np.ndarray],
    split: TemporalSplit,
    protocol: str,
) -> Comparison:
    """Return both figures, and their difference with the paired interval of `evaluation.compare`.

    values  of the candidate and of the active version, (C,) float64 by visitor
    """
    candidate, active = values
    candidate_figure, active_figure = float(figure(candidate)), float(figure(active))
    interval = paired_interval(candidate, active)
    # A difference of roots is the difference of the squares over the sum of the roots.
    scale = max(candidate_figure + active_figure, TINY) if metric == RMSE else 1.0
    return Comparison(
        protocol=protocol,
        description=split.describe(),
        metric=metric,
        visitors=len(candidate),
        candidate=round(candidate_figure, 5),
        active=round(active_figure, 5),
        difference=round(candidate_figure - active_figure, 5),
        low=round(interval.low / scale, 5),
        high=round(interval.high / scale, 5),
        stated=STARS if metric == RMSE else MET,
    )


def _root_of_mean(squares: np.ndarray) -> float:
    return float(np.sqrt(np.mean(squares)))


def _rated_history(split: TemporalSplit, target: int) -> History:
    """Return the ratings that the target's visitor gave before, as the site would hand them over."""
    rows, before = split.rows, split.history_rows(target)
    movie_ids, stars = rows.item_ids[rows.items[before]].tolist(), rows.values[before]
    moment = datetime.fromtimestamp(0, UTC)
    return History(
        Interaction(f"{position:09d}", "", "rating", movie_id, moment, float(value))
        for position, (movie_id, value) in enumerate(zip(movie_ids, stars, strict=True))
    )
