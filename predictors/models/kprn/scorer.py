"""KPRN's network in NumPy, for serving: equal to `pytorch_models.kprn.network.Kprn` in eval mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from datasets.knowledge_graph.path_graph import PathGraph
from datasets.knowledge_graph.paths import FEATURES, Paths
from datasets.knowledge_graph.trie import Trie, build_trie

NAMES = (
    "entities", "types", "relations", "read.weight", "read.bias", "remember.weight",
    "inner.weight", "inner.bias", "outer.weight", "outer.bias", "walk",
)  # fmt: skip
GENERAL = "general"  # absent in artifacts from before there was such a path


@dataclass(frozen=True)
class KprnScorer:
    """Holds the inputs of the LSTM at each step, multiplied out once; only read, so threads share it.

    step      (E, 4H) float32, of every entity with its type and the bias
    relation  (R, 4H) float32
    remember  (H, 4H), inner (H, H), outer (H,): weights, to be multiplied from the right
    general   (2,) bias and weight of the path from people in general; None without it
    """

    step: np.ndarray
    relation: np.ndarray
    remember: np.ndarray
    inner: np.ndarray
    inner_bias: np.ndarray
    outer: np.ndarray
    outer_bias: float
    walk: np.ndarray
    general: np.ndarray | None
    pooling: str
    gamma: float

    @classmethod
    def from_weights(
        cls,
        weights: Mapping[str, np.ndarray],
        graph: PathGraph,
        *,
        relations: bool,
        types: bool,
        general: bool,
        pooling: str,
        gamma: float,
    ) -> KprnScorer:
        """Build the scorer from the torch model's weights. Raises ValueError on shapes that do not fit."""
        missing = [name for name in NAMES if name not in weights]
        if missing:
            raise ValueError(f"the weights {', '.join(missing)} are missing")
        dim, small = weights["entities"].shape[1], weights["types"].shape[1]
        read = weights["read.weight"]
        if len(weights["entities"]) != graph.n_entities or len(weights["relations"]) != graph.end + 1:
            raise ValueError("the weights belong to another graph")
        if read.shape[1] != dim + 2 * small or len(weights["types"]) != len(graph.type_names):
            raise ValueError("the weights do not fit each other")
        step = weights["entities"] @ read[:, :dim].T + weights["read.bias"]
        if types:
            step += (weights["types"] @ read[:, dim : dim + small].T)[graph.types]
        relation = weights["relations"] @ read[:, dim + small :].T
        return cls(
            step.astype(np.float32),
            relation.astype(np.float32) * np.float32(relations),
            np.ascontiguousarray(weights["remember.weight"].T),
            np.ascontiguousarray(weights["inner.weight"].T),
            weights["inner.bias"],
            weights["outer.weight"][0],
            float(weights["outer.bias"][0]),
            np.pad(weights["walk"], (0, len(FEATURES) - len(weights["walk"]))),  # older ones know fewer
            weights.get(GENERAL) if general else None,
            pooling,
            gamma,
        )

    def score(self, graph: PathGraph, paths: Paths) -> np.ndarray:
        """Compute (P,) float32 the score s of each path."""
        scores = paths.features @ self.walk + np.float32(self.outer_bias)
        if not self.outer.any():  # never trained: the network says nothing
            return scores
        trie: Trie = build_trie(graph, paths)
        hidden, cell = _lstm(self.step[graph.user][None] + self.relation[graph.rated], None)
        states = []
        for level in trie.levels:
            gates = self.step[level.entity]
            gates += self.relation[level.relation]
            gates += (hidden @ self.remember)[level.parent]
            hidden, cell = _lstm(gates, cell[level.parent])
            states.append((hidden, cell))
        for rows, parent, (hidden, cell) in (
            (trie.short, trie.short_parent, states[1]),
            (trie.long, trie.long_parent, states[3]),
        ):
            if not len(rows):
                continue
            gates = self.step[paths.films[rows, 2]]
            gates += (hidden @ self.remember + self.relation[graph.end])[parent]
            last, _ = _lstm(gates, cell[parent])
            scores[rows] += np.maximum(last @ self.inner + self.inner_bias, 0) @ self.outer
        return scores

    def pool(self, scores: np.ndarray, target: np.ndarray, popularity: np.ndarray) -> np.ndarray:
        """Pool path scores (P,), ordered by target, into one of each target; -inf without a path (eq. 11).

        popularity (n_targets,), see PathGraph.log_popularity. The path from people in general counts for
        targets that another path leads to.
        """
        pooled = np.full(len(popularity), -np.inf, dtype=np.float32)
        if not len(scores):
            return pooled
        starts = np.flatnonzero(np.append(True, target[1:] != target[:-1]))
        reached = target[starts]
        general = np.full(len(reached), -np.inf, dtype=np.float32)
        if self.general is not None:
            general = self.general[0] + self.general[1] * popularity[reached]
        if self.pooling == "mean":
            counts = np.diff(np.append(starts, len(target)))
            total = np.add.reduceat(scores, starts)
            if self.general is not None:
                total, counts = total + general, counts + 1
            pooled[reached] = total / counts
            return pooled
        highest = np.maximum(np.maximum.reduceat(scores, starts), general)
        pooled[reached] = highest
        if self.pooling == "max":
            return pooled
        gamma = np.float32(self.gamma)
        total = np.add.reduceat(np.exp((scores - pooled[target]) / gamma), starts)
        total += np.exp((general - highest) / gamma)
        pooled[reached] = np.log(total) + highest / gamma
        return pooled


def _lstm(gates: np.ndarray, cell: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Compute hidden and cell, (n, H) each, from gates i, f, g, o (n, 4H), overwritten (eq. 4-8)."""
    hidden_size = gates.shape[1] // 4
    new_cell = np.tanh(gates[:, 2 * hidden_size : 3 * hidden_size])
    new_cell *= _sigmoid(gates[:, :hidden_size])
    if cell is not None:
        new_cell += _sigmoid(gates[:, hidden_size : 2 * hidden_size]) * cell
    hidden = np.tanh(new_cell)
    hidden *= _sigmoid(gates[:, 3 * hidden_size :])
    return hidden, new_cell


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """Compute 1 / (1 + exp(-x)) as a tanh, which does not overflow."""
    half = np.tanh(x * np.float32(0.5))
    half *= np.float32(0.5)
    half += np.float32(0.5)
    return half
