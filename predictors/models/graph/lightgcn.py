"""LightGCN: films and people as a graph, smoothed over three steps; a visitor is one more node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors.base import Saved
from predictors.errors import ArtifactError
from predictors.models.graph.base import GraphConfig, GraphPredictor, graph_from, graph_tensors
from predictors.models.graph.fold_in import MAX_LAYERS, ItemRows, LightGCNNode

if TYPE_CHECKING:
    from pytorch_models.graph.lightgcn import LightGCN
    from pytorch_models.graph.propagation import BipartiteGraph, Propagate


@dataclass(frozen=True)
class LightgcnConfig(GraphConfig):
    """How the layers are combined, beside what all graph models share."""

    combination: str = "mean"  #: mean, or learned: the weights of the layers


class LightgcnPredictor(GraphPredictor):
    """He et al., SIGIR 2020, extended by one node per visitor (predictors.models.graph.fold_in)."""

    name = "lightgcn"
    label = "LightGCN"
    summary = "Averages tastes along the graph of people and films; you join it as a new node."
    paper = "lightgcn"
    config_class = LightgcnConfig
    node: LightGCNNode

    @classmethod
    def build_model(cls, graph: BipartiteGraph, generator: Any, options: LightgcnConfig) -> LightGCN:
        from pytorch_models.graph.lightgcn import LightGCN, LightGCNConfig

        if options.layers > MAX_LAYERS:
            raise ValueError(f"layers must be {MAX_LAYERS} or fewer: more cannot be served exactly")
        config = LightGCNConfig(
            graph.n_users, graph.n_items, options.dim, options.layers, options.combination
        )
        return LightGCN(config, generator)

    @classmethod
    def node_of(cls, model: LightGCN, propagate: Propagate, rows: ItemRows) -> LightGCNNode:  # type: ignore[override]
        n_users = model.config.n_users
        tables = [table.detach()[n_users:].cpu().numpy() for table in model.tables(propagate)]
        alpha = model.combination().detach().cpu().numpy()
        films = sum(weight * table for weight, table in zip(alpha, tables, strict=True))
        layers = [table.astype(np.float32) for table in tables[:-1]]
        return LightGCNNode(rows, layers, alpha, films.astype(np.float32))

    def tensors(self) -> dict[str, np.ndarray]:
        node = self.node
        layers = {f"layer.{k}": table for k, table in enumerate(node.layers)}
        return {"films": node.films, "alpha": node.alpha, **layers, **graph_tensors(node.rows)}

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        read, n_items = saved.tensor, len(saved.ids)
        alpha = read("alpha", (None,))
        films = read("films", (n_items, None))
        n_layers = len(alpha) - 1
        n_tables = sum(name.startswith("layer.") for name in saved.tensors)
        if not 1 <= n_layers == n_tables <= MAX_LAYERS:
            raise ArtifactError(
                f"{saved.directory}: {n_layers} layers with {n_tables} tables, "
                f"expected 1 to {MAX_LAYERS} of both"
            )
        layers = [read(f"layer.{k}", (n_items, films.shape[1])) for k in range(n_layers)]
        return cls(LightGCNNode(graph_from(saved), layers, alpha, films), saved.ids, saved.config)
