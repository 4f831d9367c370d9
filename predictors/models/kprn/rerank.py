"""Reranking of a model's list by KPRN, so that the first films can be explained best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictors.base import Predictor
from predictors.models.kprn.model import KprnPredictor
from predictors.query import Query

DEPTH = 100  # films of the base's list that may change ranks
WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


def candidates_of(
    base: Predictor, kprn: KprnPredictor, queries: Sequence[Query], depth: int = DEPTH
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (B, N) the base's best films, padded with -1, its scores and KPRN's, both standardised by row.

    A film without a path counts as the worst one with a path.
    """
    films, scores = base.retrieve(queries, depth)
    is_film = films >= 0
    path_scores = kprn.score_films(queries, [row[row >= 0] for row in films])
    by_paths = np.full(scores.shape, -np.inf, dtype=np.float32)
    by_paths[is_film] = np.concatenate(path_scores)
    return films, _standardised(scores), _standardised(by_paths)


def blended(films: np.ndarray, scores: np.ndarray, by_paths: np.ndarray, weight: float) -> np.ndarray:
    """Order films (B, N) by (1 - weight) * scores + weight * by_paths, padding last; ties keep order."""
    mixed = (1 - weight) * scores + weight * by_paths
    mixed[films < 0] = -np.inf
    return np.take_along_axis(films, np.argsort(-mixed, axis=1, kind="stable"), axis=1)


def _standardised(scores: np.ndarray) -> np.ndarray:
    """Scale to mean 0 and deviation 1 by row; -inf becomes the least finite score, a row without any 0."""
    finite = np.isfinite(scores)
    least = np.where(finite, scores, np.inf).min(axis=1, keepdims=True)
    filled = np.where(finite, scores, np.where(np.isfinite(least), least, 0)).astype(np.float64)
    deviation = filled.std(axis=1, keepdims=True)
    return (filled - filled.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)
