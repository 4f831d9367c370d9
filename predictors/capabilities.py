"""Protocols for what some predictors do beside ranking. Test with `isinstance(predictor, FindsSimilar)`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from predictors.base import Predictor
    from predictors.history import History, MovieId, Recommendation


@runtime_checkable
class AddsUpItems(Protocol):
    """Scores are sums over the items of a history, so they can be joined with others of the kind."""

    def item_weights(self, items: np.ndarray) -> np.ndarray:
        """Return (b, n_items) float32: what each item, met once, adds to every score."""
        ...


@runtime_checkable
class FindsSimilar(Protocol):
    """Ranks the items that are like an item."""

    def similar(self, movie_id: MovieId, k: int) -> list[Recommendation]:
        """Return the nearest items, nearest first. Raises CannotAnswer on an unknown item."""
        ...


@runtime_checkable
class HasDial(Protocol):
    """Answers anywhere between unexpected and well-known items."""

    def with_familiarity(self, familiarity: float) -> Predictor:
        """Return the predictor at a point from -1, unexpected, to 1, well-known; 0 is the one as fitted.

        It shares the arrays. Raises ValueError on a number outside.
        """
        ...


@runtime_checkable
class PredictsStars(Protocol):
    """Predicts the rating that a user would give."""

    def predict_stars(self, history: History, movie_ids: Iterable[MovieId]) -> dict[MovieId, float]:
        """Return stars within 0.5 to 5 by item; unknown items are left out."""
        ...


@runtime_checkable
class ScoresTrainingUsers(Protocol):
    """Scores users of the training data by their trained vectors, for comparison with papers."""

    def score_users(self, users: np.ndarray) -> np.ndarray | None:
        """Return (B, n_items) float32 for user indices; None where the vectors were not kept."""
        ...


def has_dial(predictor: object) -> TypeGuard[HasDial]:
    """Return whether a predictor is one that `HasDial` describes, without the 55 calls of `isinstance`.

    It is asked at every ranking; `isinstance` with a protocol is as quick from Python 3.12 on.
    """
    return hasattr(predictor, "with_familiarity")


def at_familiarity(predictor: Predictor, familiarity: float) -> Predictor:
    """Return the predictor at a point of its dial, or as it is where it has none."""
    if familiarity and has_dial(predictor):
        return predictor.with_familiarity(familiarity)
    return predictor
