"""KPRN's network in NumPy, for serving: equal to `pytorch_models.kprn.network.Kprn` in eval mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from datasets.knowledge_graph.path_graph import PathGraph
from datasets.knowledge_graph.paths import Paths
from datasets.knowledge_graph.trie import Trie, build_trie

NAMES = (
    "entities", "types", "relations", "read.weight", "read.bias", "remember.weight",
    "inner.weight", "inner.bias", "outer.weight", "outer.bias", "walk",
)  # fmt: skip


@dataclass(frozen=True)
class KprnScorer:
    """What the LSTM reads at each step, multiplied out once; only read, so threads share it.

    step      (E, 4H) float32, of every entity with its type and the bias
    relation  (R, 4H) float32
    remember  (H, 4H), inner (H, H), outer (H,): weights, to be multiplied from the right
    """

    step: np.ndarray
    relation: np.ndarray
    remember: np.ndarray
    inner: np.ndarray
    inner_bias: np.ndarray
    outer: np.ndarray
    outer_bias: float
    walk: np.ndarray
    pooling: str
    gamma: float

    @classmethod
    def of(
        cls,
        weights: Mapping[str, np.ndarray],
        graph: PathGraph,
        *,
        relations: bool,
        types: bool,
        pooling: str,
        gamma: float,
    ) -> KprnScorer:
        """From the weights of the torch model. Raises ValueError on shapes that do not fit."""
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
            weights["walk"],
            pooling,
            gamma,
        )

    def score(self, graph: PathGraph, paths: Paths) -> np.ndarray:
        """(P,) float32: the score s of each path."""
        trie: Trie = build_trie(graph, paths)
        hidden, cell = _lstm(self.step[graph.user][None] + self.relation[graph.rated], None)
        states = []
        for level in trie.levels:
            gates = self.step[level.entity]
            gates += self.relation[level.relation]
            gates += (hidden @ self.remember)[level.parent]
            hidden, cell = _lstm(gates, cell[level.parent])
            states.append((hidden, cell))
        scores = paths.features @ self.walk + np.float32(self.outer_bias)
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

    def pool(self, scores: np.ndarray, target: np.ndarray, n_targets: int) -> np.ndarray:
        """(P,) scores of paths, ordered by target -> (n_targets,) of films, -inf without a path (eq. 11)."""
        pooled = np.full(n_targets, -np.inf, dtype=np.float32)
        if not len(scores):
            return pooled
        starts = np.flatnonzero(np.append(True, target[1:] != target[:-1]))
        there = target[starts]
        if self.pooling == "mean":
            counts = np.diff(np.append(starts, len(target)))
            pooled[there] = np.add.reduceat(scores, starts) / counts
            return pooled
        highest = np.maximum.reduceat(scores, starts)
        if self.pooling == "max":
            pooled[there] = highest
            return pooled
        gamma = np.float32(self.gamma)
        pooled[there] = highest
        total = np.add.reduceat(np.exp((scores - pooled[target]) / gamma), starts)
        pooled[there] = np.log(total) + highest / gamma
        return pooled


def _lstm(gates: np.ndarray, cell: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(n, 4H) gates i, f, g, o, overwritten -> hidden and cell, (n, H) each (eq. 4-8)."""
    width = gates.shape[1] // 4
    new_cell = np.tanh(gates[:, 2 * width : 3 * width])
    new_cell *= _sigmoid(gates[:, :width])
    if cell is not None:
        new_cell += _sigmoid(gates[:, width : 2 * width]) * cell
    hidden = np.tanh(new_cell)
    hidden *= _sigmoid(gates[:, 3 * width :])
    return hidden, new_cell


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) as a tanh, which does not overflow."""
    half = np.tanh(x * np.float32(0.5))
    half *= np.float32(0.5)
    half += np.float32(0.5)
    return half
