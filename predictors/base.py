"""Predictor: load -> score -> recommend. Everything that all kinds share lives here.

A new kind implements four methods: `fit`, `score_batch`, `tensors` and `from_tensors`. Encoding of
ids, masking of what was seen, top-k, saving and loading happen here, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from predictors.errors import CannotAnswer
from predictors.history import History, MovieId, Reason, Recommendation
from predictors.id_map import IdMap
from predictors.progress import Progress, silent
from predictors.serving import artifact

if TYPE_CHECKING:
    from datasets.interactions import Interactions

_NO_ITEMS = np.empty(0, dtype=np.int64)
_NO_STARS = np.empty(0, dtype=np.float32)
GROUPS = 1024  # of scores, when the best few of many are looked for


@dataclass(frozen=True, slots=True)
class Query:
    """A history in index space: what a model sees.

    liked     (T,) int64 item indices, oldest first, unique
    weights   (T,) float32 in (0, 1], how much each liked film counts
    disliked  (D,) int64
    seen      (S,) int64, never to be recommended
    unknown   ids of the history that the model does not know
    rated     (R,) int64, films with stars, liked or not
    stars     (R,) float32, those stars
    """

    liked: np.ndarray
    weights: np.ndarray
    disliked: np.ndarray
    seen: np.ndarray
    unknown: tuple[MovieId, ...] = ()
    rated: np.ndarray = field(default_factory=lambda: _NO_ITEMS)
    stars: np.ndarray = field(default_factory=lambda: _NO_STARS)

    @classmethod
    def of(
        cls,
        liked: Sequence[int] | np.ndarray,
        weights: Sequence[float] | np.ndarray | None = None,
        disliked: Sequence[int] | np.ndarray = (),
        seen: Sequence[int] | np.ndarray | None = None,
    ) -> Query:
        """Build a query from plain indices. `seen` defaults to liked and disliked together."""
        liked = np.asarray(liked, dtype=np.int64)
        disliked = np.asarray(disliked, dtype=np.int64)
        return cls(
            liked=liked,
            weights=np.ones(len(liked), np.float32) if weights is None else np.asarray(weights, np.float32),
            disliked=disliked,
            seen=np.union1d(liked, disliked) if seen is None else np.asarray(seen, dtype=np.int64),
        )


Observe = Callable[["Predictor"], Mapping[str, float]]  # figures of a predictor in the making


class Predictor(ABC):
    """Ranks films for a history. Holds no state between calls and may be shared between threads."""

    name: ClassVar[str]
    min_history: ClassVar[int] = 1  # liked films without which it has nothing to say
    can_be_observed: ClassVar[bool] = False  # whether `fit` takes `observe`, to be measured while it trains
    wants_knowledge_graph: ClassVar[bool] = False  # whether `fit` has an option `graph` for its folder
    learns_from_dislikes: ClassVar[bool] = False  # whether `fit` wants low ratings too, not positives alone

    def __init__(self, ids: IdMap, meta: Mapping[str, Any] | None = None) -> None:
        self.ids = ids
        self.meta: dict[str, Any] = dict(meta or {})

    # -- what a kind implements ---------------------------------------------------------------

    @classmethod
    @abstractmethod
    def fit(
        cls,
        train: Interactions,
        validation: Interactions | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        progress: Progress = silent,
        checkpoint_dir: Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on positives. `validation` (same id spaces) is for early stopping and tuning only.

        Raises TrainingError when the data or an option cannot be used.
        """

    @abstractmethod
    def score_batch(self, queries: Sequence[Query]) -> np.ndarray:
        """(B, n_items) float32, finite, higher is better, nothing masked; the caller may write to it."""

    def score_users(self, users: np.ndarray) -> np.ndarray | None:
        """(B, n_items) float32 for rows of the training data, from what `fit` learned about these users
        themselves, for comparison with the literature. Serving never does: None, also after loading."""
        return None

    @abstractmethod
    def tensors(self) -> dict[str, np.ndarray]:
        """What `save` writes into `weights.safetensors`."""

    @classmethod
    @abstractmethod
    def from_tensors(
        cls, tensors: dict[str, np.ndarray], ids: IdMap, meta: dict[str, Any], directory: Path | None
    ) -> Self:
        """The inverse of `tensors`; `directory` holds the files of `write_extra_files`."""

    def config(self) -> dict[str, Any]:
        """The options this predictor was trained with, as JSON."""
        return dict(self.meta.get("config", {}))

    def write_extra_files(self, directory: Path) -> None:  # noqa: B027 - most kinds have none
        """Write files besides the weights, such as an ONNX graph."""

    def reasons(self, query: Query, indices: Sequence[int]) -> list[tuple[Reason, ...]]:
        """Why each of these items scored as it did; empty where the model cannot say."""
        return [()] * len(indices)

    def similar(self, movie_id: MovieId, k: int) -> list[Recommendation]:
        """Films like this one. Raises CannotAnswer where the kind does not support it."""
        raise CannotAnswer("not_supported", f"{self.name} does not rank similar films")

    def to(self, device: str) -> Self:
        """Compute on "cpu" or "cuda" from now on and return itself; kinds without a GPU path stay.

        Raises ValueError when the device is not there.
        """
        return self

    # -- what the base gives ------------------------------------------------------------------

    @property
    def version(self) -> str:
        return str(self.meta.get("version", ""))

    @property
    def n_items(self) -> int:
        return len(self.ids)

    def encode(self, history: History) -> Query:
        """Catalogue ids to indices; ids the model does not know end up in `Query.unknown`."""
        liked, unknown = self.ids.indices_of(history.strength)
        disliked, unknown_disliked = self.ids.indices_of(history.disliked)
        seen, unknown_seen = self.ids.indices_of(history.seen)
        rated, unknown_rated = self.ids.indices_of(history.ratings)
        not_liked = sorted({*unknown_disliked, *unknown_seen}, key=str)
        return Query(
            liked=liked,
            weights=_known_values(history.strength, unknown),
            disliked=np.sort(disliked),
            seen=np.sort(seen),
            unknown=tuple(dict.fromkeys((*unknown, *not_liked))),
            rated=rated,
            stars=_known_values(history.ratings, unknown_rated),
        )

    def score(self, history: History) -> np.ndarray:
        """(n_items,) float32 scores of every film, nothing masked.

        Raises CannotAnswer when fewer than `min_history` liked films are known to the model.
        """
        return self.score_batch([self._answerable(self.encode(history))])[0]

    def recommend(self, history: History, k: int, exclude: Iterable[MovieId] = ()) -> list[Recommendation]:
        """The k best films that were neither seen nor excluded, best first; fewer when there are fewer.

        Raises CannotAnswer as `score` does, ValueError when k is negative.
        """
        if k < 0:
            raise ValueError(f"k must not be negative, not {k}")
        query = self._answerable(self.encode(history))
        excluded, _ = self.ids.indices_of(exclude)
        indices, scores = self.rank_batch([query], k, excluded)
        best = indices[0][indices[0] >= 0]
        reasons = self.reasons(query, best)
        return [
            Recommendation(self.ids.ids[index], float(score), why)
            for index, score, why in zip(best, scores[0], reasons, strict=False)
        ]

    def rank_batch(
        self, queries: Sequence[Query], k: int, exclude: np.ndarray = _NO_ITEMS
    ) -> tuple[np.ndarray, np.ndarray]:
        """Top k of each query with seen and excluded items masked.

        Returns (B, k') int64 indices padded with -1 and (B, k') float32 scores padded with -inf,
        where k' = min(k, n_items). Equal scores are ordered by index, so lists are deterministic.
        """
        scores = self.score_batch(queries)
        for row, query in zip(scores, queries, strict=True):
            row[query.seen] = -np.inf
            row[exclude] = -np.inf
        return top_k(scores, k)

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
        """Write the artefact into a new directory. Raises ArtifactError when it exists already."""
        self.meta = {
            **self.meta,
            "name": self.name,
            "version": version or self.version,
            "config": self.config(),
            "data": dict(data or self.meta.get("data", {})),
            "metrics": [dict(metric) for metric in metrics] or self.meta.get("metrics", []),
        }
        artifact.write(directory, self.tensors(), self.ids, self.meta, extra=self.write_extra_files)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read and verify an artefact. Raises ArtifactError; runs no code from the artefact."""
        loaded = artifact.read(directory, expected_name=cls.name)
        return cls.from_tensors(loaded.tensors, loaded.ids, loaded.meta, directory)


def _known_values(by_film: Mapping[MovieId, float], unknown: Iterable[MovieId]) -> np.ndarray:
    """(T,) float32 values in order, without those of unknown films."""
    without = frozenset(unknown)
    values = (
        [value for film, value in by_film.items() if film not in without] if without else by_film.values()
    )
    return np.fromiter(values, dtype=np.float32, count=len(by_film) - len(without))


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Row-wise best k of (B, n) scores, best first, ties by lower index; -inf is left out.

    Returns (B, min(k, n)) int64 indices padded with -1 and the float32 scores padded with -inf.
    """
    n_rows, n_items = scores.shape
    k = min(k, n_items)
    if k == 0:
        return np.empty((n_rows, 0), np.int64), np.empty((n_rows, 0), np.float32)
    # Everything at or above the k-th score is a candidate: a plain partition would choose
    # among equal scores at random.
    threshold = _kth(_group_maxima(scores) if k <= GROUPS // 2 else scores, k)
    indices = np.full((n_rows, k), -1, dtype=np.int64)
    best = np.full((n_rows, k), -np.inf, dtype=np.float32)
    for row in range(n_rows):
        if threshold[row] == -np.inf:
            candidates = np.flatnonzero(scores[row] > -np.inf)
        else:
            candidates = np.flatnonzero(scores[row] >= threshold[row])
        order = candidates[np.argsort(-scores[row, candidates], kind="stable")[:k]]
        indices[row, : len(order)] = order
        best[row, : len(order)] = scores[row, order]
    return indices, best


def _group_maxima(scores: np.ndarray) -> np.ndarray:
    """(B, GROUPS): the best of every GROUPS-th score; (B, n) as they are where there are few.

    The k-th best of them is at most the k-th best score, mostly by little, and found in a third of the time.
    """
    n_rows, n_items = scores.shape
    if n_items < 4 * GROUPS:
        return scores
    return scores[:, : n_items - n_items % GROUPS].reshape(n_rows, -1, GROUPS).max(axis=1)


def _kth(scores: np.ndarray, k: int) -> np.ndarray:
    """(B,) the k-th best of each row."""
    place = scores.shape[1] - k
    return np.partition(scores, place, axis=1)[:, place]
