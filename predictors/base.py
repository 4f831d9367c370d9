"""Predictor: load -> score -> recommend. Everything that all models share lives here.

A model implements four methods: `_fit`, `_score`, `tensors` and `from_artifact`. Checks of the data,
encoding of ids, masking of seen items, top-k, saving and loading happen here, once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from predictors.config import Config
from predictors.errors import ArtifactError, CannotAnswer, ConfigError, InvalidScores
from predictors.history import History, MovieId, Reason, Recommendation
from predictors.id_map import IdMap
from predictors.influences import Influences, leave_one_out, without_liked
from predictors.packages import packages_required
from predictors.query import Query
from predictors.ranking import AllScores, FirstStage
from predictors.refit import Schedule, refit_config
from predictors.run import Run
from predictors.serving import artifact
from predictors.training_data import TrainingData, as_training_data

if TYPE_CHECKING:
    from datasets.interactions import Interactions

_NO_ITEMS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Saved:
    """Holds the parts of an artifact that a predictor is rebuilt from.

    directory holds what `write_extra_files` wrote; None where the tensors come from elsewhere.
    """

    tensors: Mapping[str, np.ndarray]
    ids: IdMap
    config: Any
    meta: Mapping[str, Any] = field(default_factory=dict)
    directory: Path | None = None

    def tensor(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """Return a tensor of a known shape (None = any size). Raises ArtifactError on another."""
        array = self.tensors.get(name)
        found = "nothing" if array is None else f"shape {array.shape}"
        if array is None or len(array.shape) != len(shape):
            raise ArtifactError(
                f"{self.directory}: expected the tensor {name} of shape {shape}, found {found}"
            )
        if any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
            raise ArtifactError(
                f"{self.directory}: expected the tensor {name} of shape {shape}, found {found}"
            )
        return array


class Predictor(ABC):
    """Ranks items for a history. Holds no state between calls and may be shared between threads.

    `name`, `label`, `summary` and `paper` are what people read about a model; `config` is how it was
    trained, `meta` what else its artifact records.
    """

    name: ClassVar[str]
    label: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""  # slug of a paper review, or a URL
    config_class: ClassVar[type[Config]] = Config
    min_history: ClassVar[int] = 1  # liked items without which it cannot answer
    can_be_observed: ClassVar[bool] = False  # whether hooks can measure it while it trains
    is_costly: ClassVar[bool] = False  # whether a list takes a computation of its own, not a product alone
    wants_knowledge_graph: ClassVar[bool] = False  # whether it trains on TrainingData.graph
    learns_from_dislikes: ClassVar[bool] = False  # whether it trains on low ratings too
    trains_on_processes: ClassVar[bool] = False  # whether several processes can train one together
    # whether it is fitted for what comes next and for what comes later alike, and is judged by both
    aims_at_balance: ClassVar[bool] = False

    def __init__(self, ids: IdMap, config: Config | None = None) -> None:
        self.ids = ids
        self.config: Any = self.config_class() if config is None else config
        self.meta: dict[str, Any] = {}

    # -- what a model implements --------------------------------------------------------------

    @classmethod  # noqa: B027 - most models take all data
    def check_data(cls, data: TrainingData, config: Any) -> None:
        """Raise TrainingError when the data cannot be used; cheap, called before `_fit`."""

    @classmethod
    @abstractmethod
    def _fit(cls, data: TrainingData, config: Any, run: Run) -> Self:
        """Train on checked data. Raises TrainingError when the data cannot be used."""

    @abstractmethod
    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        """Score all items: (B, n_items) float32, finite, higher is better, unmasked, owned by the caller."""

    @abstractmethod
    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays that `save` writes into `weights.safetensors`."""

    @classmethod
    @abstractmethod
    def from_artifact(cls, saved: Saved) -> Self:
        """Rebuild a predictor from its `tensors`. Raises ArtifactError when they do not fit together."""

    def _score_items(self, queries: Sequence[Query], items: np.ndarray) -> np.ndarray:
        """Score candidates (B, n) or (n,) as (B, n) float32; override where few items cost less than all."""
        scores = self._score(queries)
        return scores[:, items] if items.ndim == 1 else np.take_along_axis(scores, items, axis=1)

    def influences(self, query: Query, targets: np.ndarray) -> Influences:
        """Return what each liked item adds to the scores of items (K,): measured by leaving each out.

        A model whose score is a sum over the history overrides it with the exact parts of the sum.
        """
        return leave_one_out(self, query, targets)

    def _refit(self, data: TrainingData, run: Run) -> Self:
        """Fit the recipe anew; override where a part of the fit need not be repeated."""
        return self._fit(data, refit_config(self.config, self.meta.get("chosen", {})), run)

    def write_extra_files(self, directory: Path) -> None:  # noqa: B027 - most models have none
        """Write files besides the weights, such as an ONNX graph."""

    def to(self, device: str) -> Self:
        """Compute on "cpu" or "cuda" from now on and return itself; models without a GPU path stay.

        Raises ValueError when the device is not there.
        """
        return self

    # -- what the base gives ------------------------------------------------------------------

    @classmethod
    def fit(
        cls, data: TrainingData | Interactions, config: Config | None = None, run: Run | None = None
    ) -> Self:
        """Train on rows; rows alone are training data without validation.

        Validation rows are for early stopping and tuning only. Raises TrainingError when the data
        cannot be used, ConfigError (one of them) when the configuration is of another model.
        """
        data = as_training_data(data)
        config = cls.config_class() if config is None else config
        run = Run() if run is None else run
        if not isinstance(config, cls.config_class):
            raise ConfigError(
                f"{cls.name} is configured by {cls.config_class.__name__}, not {type(config).__name__}"
            )
        data.check()
        cls.check_data(data, config)
        schedule = Schedule()
        with packages_required():
            predictor = cls._fit(data, config, replace(run, hooks=(*run.hooks, schedule)))
        facts: dict[str, Any] = {"config": predictor.config.as_dict(), "run": run.recorded()}
        chosen = schedule.chosen(predictor.meta.get("training", {}), config)
        predictor.meta = {**facts, **({"chosen": chosen} if chosen else {}), **predictor.meta}
        return predictor

    def refit(self, data: TrainingData | Interactions, run: Run | None = None) -> Self:
        """Fit this predictor's recipe anew on all rows that may be served, validation rows included.

        Iterative models train for the length that their validation chose; nothing is chosen again.
        The artifact keeps this predictor's configuration. Raises TrainingError as `fit` does.
        """
        data = as_training_data(data)
        data = replace(data, validation=data.train.select(np.zeros(len(data.train), dtype=bool)))
        run = replace(Run() if run is None else run, stage="refit", cpu_budget_seconds=0.0)
        data.check()
        self.check_data(data, self.config)
        with packages_required():
            predictor = self._refit(data, run)
        predictor.config = self.config
        kept: dict[str, Any] = {
            name: self.meta[name] for name in ("config", "run", "chosen") if name in self.meta
        }
        predictor.meta = {**predictor.meta, **kept}
        return predictor

    @property
    def version(self) -> str:
        return str(self.meta.get("version", ""))

    @property
    def n_items(self) -> int:
        return len(self.ids)

    def encode(self, history: History) -> Query:
        """Translate catalogue ids into item indices; unknown ids are kept in `Query.unknown`."""
        strength, ratings = history.strength, history.ratings
        liked, unknown = self.ids.indices_of(strength)
        disliked, unknown_disliked = self.ids.indices_of(history.disliked)
        seen, unknown_seen = self.ids.indices_of(history.seen)
        rated, unknown_rated = self.ids.indices_of(ratings)
        seen.sort()
        not_liked = sorted({*unknown_disliked, *unknown_seen}, key=str)
        return Query(
            liked=liked,
            weights=_known_values(strength, unknown),
            disliked=disliked,
            seen=seen,
            unknown=tuple(dict.fromkeys((*unknown, *not_liked))),
            rated=rated,
            stars=_known_values(ratings, unknown_rated),
            mean_stars=fmean(ratings.values()) if ratings else math.nan,
        )

    def score(self, queries: Sequence[Query], items: np.ndarray | Sequence[int] | None = None) -> np.ndarray:
        """Score all items, (B, n_items) float32, or candidates: items (B, n) or (n,) -> (B, n) float32.

        Higher is better; nothing is masked; the caller may write to the result. Raises InvalidScores
        when the model gives NaN.
        """
        if items is None:
            scores = self._score(queries)
        else:
            scores = self._score_items(queries, np.asarray(items, dtype=np.int64))
        if np.isnan(scores.min(initial=0)):
            raise InvalidScores(f"{self.name} {self.version}".strip() + " scored an item with NaN")
        return scores

    def first_stage(self, queries: Sequence[Query]) -> list[FirstStage]:
        """Return what chooses the best items of each query; override where all exact scores cost more.

        Raises InvalidScores as `score` does.
        """
        return [AllScores(scores) for scores in self.score(queries)]

    def score_history(self, history: History) -> np.ndarray:
        """Score every item for one history: (n_items,) float32, nothing masked.

        Raises CannotAnswer when fewer than `min_history` liked items are known to the model.
        """
        return self.score([self._answerable(self.encode(history))])[0]

    def recommend(self, history: History, k: int, exclude: Iterable[MovieId] = ()) -> list[Recommendation]:
        """Return the k best items that were neither seen nor excluded, best first; fewer if there are fewer.

        Raises CannotAnswer as `score` does, ValueError when k is negative.
        """
        if k < 0:
            raise ValueError(f"k must not be negative, not {k}")
        query = self._answerable(self.encode(history))
        excluded, _ = self.ids.indices_of(exclude)
        indices, scores = self.retrieve([query], k, excluded)
        best = indices[0][indices[0] >= 0]
        reasons = self.reasons(query, best)
        return [
            Recommendation(self.ids[index], float(score), why)
            for index, score, why in zip(best, scores[0], reasons, strict=False)
        ]

    def supporters(
        self,
        query: Query,
        targets: Sequence[int] | np.ndarray,
        unnamed: np.ndarray = _NO_ITEMS,
        most: int | None = None,
    ) -> list[list[tuple[MovieId, float]]]:
        """Return for each item index the liked items that support its score, with shares, largest first.

        All shares sum to 1, without the item indices `unnamed`; the `most` largest are returned. An item of
        the history is looked at as if it were not in it.
        """
        targets = np.asarray(targets, dtype=np.int64)
        ranked: list[list[tuple[MovieId, float]]] = [[] for _ in targets]
        is_liked = np.isin(targets, query.liked)
        for rows in ([np.flatnonzero(~is_liked)], np.flatnonzero(is_liked)[:, None]):
            for some in rows:
                if len(some) == 0:
                    continue
                known = without_liked(query, targets[some[0]]) if is_liked[some[0]] else query
                influences = self.influences(known, targets[some])
                if len(influences.items) == 0:
                    continue
                shares = influences.shares(known, unnamed)
                names = self.ids.ids_of(influences.items)
                best = (
                    shares.argmax(axis=0, keepdims=True)  # in a tenth of the time of an order
                    if most == 1
                    else np.argsort(-shares, axis=0, kind="stable")[:most]
                )
                amounts = np.take_along_axis(shares, best, axis=0)
                for row, order, column in zip(
                    some.tolist(), best.T.tolist(), amounts.T.tolist(), strict=True
                ):
                    ranked[row] = [
                        (names[n], share) for n, share in zip(order, column, strict=True) if share > 0
                    ]
        return ranked

    def reasons(
        self, query: Query, targets: Sequence[int] | np.ndarray, unnamed: np.ndarray = _NO_ITEMS
    ) -> list[tuple[Reason, ...]]:
        """Name for each item index the liked item that supports its score most, none of `unnamed`, if any."""
        return [
            (Reason("history", ranked[0][0], round(ranked[0][1], 4)),) if ranked else ()
            for ranked in self.supporters(query, targets, unnamed, most=1)
        ]

    def retrieve(
        self, queries: Sequence[Query], n: int, exclude: np.ndarray = _NO_ITEMS
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the n best items of each query, as `first_stage` finds them, without seen and excluded ones.

        Returns (B, n') int64 indices padded with -1 and (B, n') float32 scores padded with -inf,
        where n' = min(n, n_items). Equal scores are ordered by index, so lists are deterministic.
        """
        n = min(n, self.n_items)
        indices = np.full((len(queries), n), -1, dtype=np.int64)
        best = np.full((len(queries), n), -np.inf, dtype=np.float32)
        for row, (stage, query) in enumerate(zip(self.first_stage(queries), queries, strict=True)):
            stage.exclude(query.seen)
            stage.exclude(exclude)
            items, scores = stage.top_k(n)
            indices[row, : len(items)], best[row, : len(items)] = items, scores
        return indices, best

    def _answerable(self, query: Query) -> Query:
        if len(query.liked) < self.min_history:
            raise CannotAnswer("no_known_films" if query.unknown else "history_too_short")
        return query

    def save(
        self,
        directory: Path,
        *,
        version: str = "",
        data: Mapping[str, Any] | None = None,
        metrics: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write the artifact into a new directory. Raises ArtifactError when it exists already."""
        self.meta = {
            **self.meta,
            "name": self.name,
            "version": version or self.version,
            "config": self.config.as_dict(),
            "data": dict(data or self.meta.get("data", {})),
            "metrics": [dict(metric) for metric in metrics] or self.meta.get("metrics", []),
        }
        artifact.write(directory, self.tensors(), self.ids, self.meta, extra=self.write_extra_files)

    @classmethod  # noqa: B027 - most import all they need with their own module
    def import_libraries(cls) -> None:
        """Import what serving needs beyond this module, so that processes forked from this one share it."""

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read and verify an artifact. Raises ArtifactError; runs no code from the artifact."""
        loaded = artifact.read(directory, expected_name=cls.name)
        return cls.restore(loaded.tensors, loaded.ids, loaded.meta, directory)

    @classmethod
    def restore(
        cls,
        tensors: Mapping[str, np.ndarray],
        ids: IdMap,
        meta: Mapping[str, Any],
        directory: Path | None = None,
    ) -> Self:
        """Rebuild a predictor from the verified parts of an artifact. Raises ArtifactError."""
        try:
            config = cls.config_class.read(meta.get("config", {}))
        except ConfigError as error:
            raise ArtifactError(f"{directory}: config: {error}") from error
        predictor = cls.from_artifact(Saved(tensors, ids, config, meta, directory))
        predictor.meta = dict(meta)
        return predictor


def _known_values(by_id: Mapping[MovieId, float], unknown: Iterable[MovieId]) -> np.ndarray:
    """Return (T,) float32 values in order, without those of unknown items."""
    without = frozenset(unknown)
    values = [value for each, value in by_id.items() if each not in without] if without else by_id.values()
    return np.fromiter(values, dtype=np.float32, count=len(by_id) - len(without))
