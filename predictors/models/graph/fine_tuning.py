"""Fine-tuning of a new node: a few BPR steps on its own layer 0 (Rendle et al., UAI 2009)."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import numpy as np

from predictors.models.graph.new_node import NewEdges, NewNode


@dataclass(frozen=True)
class FineTuning:
    """Configures BPR steps on the new node's own layer 0, which is a copy; no table is written.

    steps      0 = none
    rate       of Adam, as a share of the root mean square of the films' layer 0
    budget_ms  CPU-milliseconds of the calling thread; when they run out, the answer is the one
               without fine-tuning, so that a history has one list and not one per load of the machine
    """

    steps: int = 0
    rate: float = 0.1
    budget_ms: float = 50.0


def seed_of(edges: NewEdges, disliked: np.ndarray) -> int:
    """Return the seed of a history: it draws the same negatives in every process."""
    digest = hashlib.blake2b(digest_size=8)
    for array in (edges.items, edges.weights, np.unique(disliked)):
        digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(b"|")
    return int.from_bytes(digest.digest(), "little")


def fine_tuned(
    node: NewNode, edges: NewEdges, start: np.ndarray, disliked: np.ndarray, how: FineTuning
) -> np.ndarray | None:
    """Return (d,) float32 `start` after `how.steps` of Adam; None when the budget ran out.

    In each step every liked film, by its weight, is compared with one film drawn from the rest of the
    catalogue and, when there are disliked films, one of those.
    """
    limit = time.thread_time() + how.budget_ms / 1000
    rng = np.random.default_rng(seed_of(edges, disliked))
    # The local form is near enough for a direction; the answer is then made in the form asked for.
    films, tangent = node.films, node.tangent(edges, start, "local")
    n_items, n_liked = len(films), len(edges.items)
    disliked = np.setdiff1d(disliked, edges.items)
    if n_liked + len(disliked) >= n_items and not len(disliked):
        return start  # nothing is left to compare with
    liked = films[edges.items]
    rate = np.float32(how.rate * node.spread)
    weights = edges.weights / edges.weights.sum()
    vector = start.astype(np.float32, copy=True)
    mean: np.ndarray = np.zeros_like(vector)
    square: np.ndarray = np.zeros_like(vector)
    excluded = np.zeros(n_items, dtype=bool)
    excluded[edges.items] = True
    for step in range(1, how.steps + 1):
        if time.thread_time() > limit:
            return None
        drawn = rng.integers(0, n_items, n_liked)
        drawn = np.where(excluded[drawn], rng.integers(0, n_items, n_liked), drawn)
        pairs = [(films[drawn], weights * ~excluded[drawn])]
        if len(disliked):
            pairs.append((films[disliked[rng.integers(0, len(disliked), n_liked)]], weights))
        final = tangent.at(vector)
        gradient = np.zeros(len(final), dtype=np.float32)
        for against, pair_weights in pairs:
            difference = liked - against
            margin = np.clip(difference @ final, -30, 30)
            gradient -= (pair_weights / (1 + np.exp(margin))).astype(np.float32) @ difference
        slope = tangent.pull_back(gradient)
        mean = 0.9 * mean + 0.1 * slope
        square = 0.999 * square + 0.001 * slope * slope
        corrected = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        vector = (vector - rate * (mean / (1 - 0.9**step)) / corrected).astype(np.float32)
    return vector
