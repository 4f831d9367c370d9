"""Lists whose movies differ from each other: maximal marginal relevance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from movie.recommendations.movie_index import MovieIndex

POOL_FACTOR, MAX_POOL = (
    5,
    500,
)  # movies looked at for a diverse list: so many times its length, at most so many


def mmr_rerank(
    rows: Sequence[int], scores: Sequence[float], index: MovieIndex, *, k: int, diversity: float
) -> list[int]:
    """Return the positions of k movies, chosen one by one by maximal marginal relevance.

    argmax of (1 - diversity) * score_i - diversity * max_j similarity(i, j) over those not chosen, where j
    are those chosen (Carbonell and Goldstein, SIGIR 1998, eq. in section 2, with diversity = 1 - lambda).
    Scores are brought to 0..1 over the candidates; two movies are as similar as the genres and directors
    that they share: |A and B| / sqrt(|A| |B|).
    """
    features = [index.features_of(row) for row in rows]
    relevance = _min_max(np.asarray(scores, dtype=np.float64))
    nearest = np.zeros(len(rows))  # similarity to the most similar movie chosen so far
    left = np.ones(len(rows), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < min(k, len(rows)):
        value = (1 - diversity) * relevance - diversity * nearest
        best = int(np.argmax(np.where(left, value, -np.inf)))
        chosen.append(best)
        left[best] = False
        np.maximum(nearest, [_cosine(features[best], other) for other in features], out=nearest)
    return chosen


def pool_size(k: int, diversity: float) -> int:
    """Return how many movies to rank so that k can be chosen from them."""
    return k if diversity == 0 else max(k, min(POOL_FACTOR * k, MAX_POOL))


def _min_max(scores: np.ndarray) -> np.ndarray:
    span = float(scores.max() - scores.min()) if len(scores) else 0.0
    return (scores - scores.min()) / span if span > 0 else np.ones(len(scores))


def _cosine(a: frozenset[str | int], b: frozenset[str | int]) -> float:
    return len(a & b) / float(np.sqrt(len(a) * len(b))) if a and b else 0.0
