"""LightGCN: propagation over the graph of items and people; a user is one more node of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors.base import Saved
from predictors.errors import ArtifactError
from predictors.models.graph.base import GraphConfig, GraphPredictor, graph_from, graph_tensors
from predictors.models.graph.new_node import MAX_LAYERS, ItemRows, Neighbourhood, NewEdges, NewNode, Tangent

if TYPE_CHECKING:
    from pytorch_models.graph.tables import LightGCNTables


@dataclass(frozen=True)
class LightgcnConfig(GraphConfig):
    """Configures LightGCN: how the layers are combined, and what all graph models share."""

    combination: str = "mean"  #: mean, or learned: the weights of the layers


class LightgcnPredictor(GraphPredictor):
    """Ranks by LightGCN (He et al., SIGIR 2020), extended by one node per user."""

    name = "lightgcn"
    label = "LightGCN"
    summary = "Averages tastes along the graph of people and films; you join it as a new node."
    paper = "lightgcn"
    config_class = LightgcnConfig
    tables_in_memory = (4, 4)
    node: LightGCNNode

    @classmethod
    def shape(cls, config: LightgcnConfig) -> dict[str, Any]:
        return {"dim": config.dim, "layers": config.layers, "combination": config.combination}

    @classmethod
    def new_node(cls, tables: LightGCNTables, rows: ItemRows) -> LightGCNNode:
        alpha, layers = tables.alpha, tables.item_layers
        item_vectors = sum(weight * layer for weight, layer in zip(alpha, layers, strict=True))
        served = [layer.astype(np.float32) for layer in layers[:-1]]
        return LightGCNNode(rows, served, alpha, item_vectors.astype(np.float32))

    @classmethod
    def user_vectors(cls, tables: LightGCNTables) -> np.ndarray:
        return tables.users

    def tensors(self) -> dict[str, np.ndarray]:
        node = self.node
        layers = {f"layer.{k}": table for k, table in enumerate(node.layers)}
        return {"item_vectors": node.item_vectors, "alpha": node.alpha, **layers, **graph_tensors(node.rows)}

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        read, n_items = saved.tensor, len(saved.ids)
        alpha = read("alpha", (None,))
        item_vectors = read("item_vectors", (n_items, None))
        n_layers = len(alpha) - 1
        n_tables = sum(name.startswith("layer.") for name in saved.tensors)
        if not 1 <= n_layers == n_tables <= MAX_LAYERS:
            raise ArtifactError(
                f"{saved.directory}: {n_layers} layers with {n_tables} tables, "
                f"expected 1 to {MAX_LAYERS} of both"
            )
        layers = [read(f"layer.{k}", (n_items, item_vectors.shape[1])) for k in range(n_layers)]
        return cls(LightGCNNode(graph_from(saved), layers, alpha, item_vectors), saved.ids, saved.config)


# -- the new node ----------------------------------------------------------------------


class LightGCNNode(NewNode):
    """Extends LightGCN by a node.

    layers[k] (n_items, d) float32 is E^(k) of the items, k = 0 .. L - 1; alpha (L + 1,); item_vectors = E.
    """

    def __init__(
        self, rows: ItemRows, layers: Sequence[np.ndarray], alpha: np.ndarray, item_vectors: np.ndarray
    ) -> None:
        self.rows, self.layers, self.item_vectors = rows, list(layers), item_vectors
        self.alpha = np.asarray(alpha, dtype=np.float32)

    @property
    def layer_0(self) -> np.ndarray:
        return self.layers[0]

    def initial(self, edges: NewEdges) -> np.ndarray:
        """Start from zero for one or two items, from their mean from five on, in between from a blend."""
        share = min(max((len(edges.items) - 2) / 3, 0.0), 1.0)
        return np.float32(share) * edges.mean_of(self.layers[0])

    def vector(self, edges: NewEdges, start: np.ndarray, form: str) -> np.ndarray:
        here = [layer[edges.items] for layer in self.layers]
        return self._combined(edges, here, start, self._near(edges, form))

    def tangent(self, edges: NewEdges, start: np.ndarray, form: str) -> Tangent:
        """Return the final vector, which is affine in `start` with the same factor in every dimension."""
        near = self._near(edges, form)
        here = [layer[edges.items] for layer in self.layers]
        constant = self._combined(edges, here, np.zeros_like(start), near)
        nothing = [np.zeros((len(edges.items), 1), np.float32)] * len(self.layers)
        factor = self._combined(edges, nothing, np.ones(1, np.float32), near)
        return _Affine(constant, factor)

    def _near(self, edges: NewEdges, form: str) -> Neighbourhood | None:
        if form == "local" or len(self.layers) < 3:  # N(S) first matters at layer 3
            return None
        return Neighbourhood(self.rows, edges.items)

    def _combined(
        self, edges: NewEdges, here: list[np.ndarray], start: np.ndarray, near: Neighbourhood | None
    ) -> np.ndarray:
        """Combine the new node's layers by alpha; here[k] (S, d) is E^(k) of its items before."""
        c, s = edges.c, edges.s
        node, item_vectors, item_vectors_before = start, here[0], here[0]
        total = self.alpha[0] * start
        for k in range(len(here)):
            following = c[:, 0] @ item_vectors
            if k + 1 < len(here):
                table = here[k + 1]
                if near is not None and k >= 1:
                    # What N(S) pass on of the change of S two layers ago.
                    table = table + near.gram_product(s * item_vectors_before - here[k - 1])
                item_vectors_before, item_vectors = item_vectors, s * table + c * node
            node = following
            total = total + self.alpha[k + 1] * node
        return total


class _Affine(Tangent):
    """Computes constant + factor * start."""

    def __init__(self, constant: np.ndarray, factor: np.ndarray) -> None:
        self.constant, self.factor = constant, factor
        self.n_operations = 2 * len(constant)

    def at(self, start: np.ndarray) -> np.ndarray:
        return self.constant + self.factor * start

    def pull_back(self, gradient: np.ndarray) -> np.ndarray:
        return self.factor * gradient
