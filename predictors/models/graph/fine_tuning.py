"""Fine-tuning of a new node: a few BPR steps on its own layer 0 (Rendle et al., UAI 2009)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from predictors.models.graph.new_node import NewEdges, NewNode, Tangent

MAX_OPERATIONS = 25_000_000  # about 50 CPU-milliseconds: ten steps of NGCF for 2,400 liked items


@dataclass(frozen=True)
class FineTuning:
    """Configures BPR steps on the new node's own layer 0, which is a copy; no table is written.

    steps           at most; 0 = none
    rate            of Adam, as a share of the root mean square of the items' layer 0
    max_operations  multiply-adds of all steps together: a long history gets fewer steps. No clock is read,
                    so that a history has one list and not one per load of the machine
    """

    steps: int = 0
    rate: float = 0.1
    max_operations: int = MAX_OPERATIONS


def affordable_steps(n_liked: int, n_disliked: int, n_dims: int, tangent: Tangent, how: FineTuning) -> int:
    """Return the number of steps that fit into `how.max_operations`, `how.steps` at most.

    A step multiplies the differences (n_liked, n_dims) of each kind of pair twice, and evaluates the tangent.
    """
    n_pairs = n_liked * (2 if n_disliked else 1)
    return min(how.steps, how.max_operations // (2 * n_pairs * n_dims + tangent.n_operations))


def seed_of(edges: NewEdges, disliked: np.ndarray) -> int:
    """Return the seed of a history: it draws the same negatives in every process."""
    digest = hashlib.blake2b(digest_size=8)
    for array in (edges.items, edges.weights, np.unique(disliked)):
        digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(b"|")
    return int.from_bytes(digest.digest(), "little")


def fine_tuned(
    node: NewNode, edges: NewEdges, start: np.ndarray, disliked: np.ndarray, how: FineTuning
) -> np.ndarray:
    """Return (d,) float32 `start` after the steps of Adam that its budget affords.

    In each step every liked item, by its weight, is compared with one item drawn from the rest of the
    catalogue and, when there are disliked items, one of those.
    """
    rng = np.random.default_rng(seed_of(edges, disliked))
    # The local form is near enough for a direction; the answer is then made in the form asked for.
    item_vectors, tangent = node.item_vectors, node.tangent(edges, start, "local")
    n_items, n_liked = len(item_vectors), len(edges.items)
    disliked = np.setdiff1d(disliked, edges.items)
    if n_liked + len(disliked) >= n_items and not len(disliked):
        return start  # nothing is left to compare with
    liked = item_vectors[edges.items]
    rate = np.float32(how.rate * node.spread)
    weights = edges.weights / edges.weights.sum()
    vector = start.astype(np.float32, copy=True)
    mean: np.ndarray = np.zeros_like(vector)
    square: np.ndarray = np.zeros_like(vector)
    excluded = np.zeros(n_items, dtype=bool)
    excluded[edges.items] = True
    for step in range(1, affordable_steps(n_liked, len(disliked), item_vectors.shape[1], tangent, how) + 1):
        drawn = rng.integers(0, n_items, n_liked)
        drawn = np.where(excluded[drawn], rng.integers(0, n_items, n_liked), drawn)
        pairs = [(item_vectors[drawn], weights * ~excluded[drawn])]
        if len(disliked):
            pairs.append((item_vectors[disliked[rng.integers(0, len(disliked), n_liked)]], weights))
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
