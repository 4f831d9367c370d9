"""LightGCN: films and people as a graph, smoothed over three steps; a visitor is one more node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors.errors import ArtifactError
from predictors.id_map import IdMap
from predictors.models.graph.base import GraphOptions, GraphPredictor, graph_from, graph_tensors, take
from predictors.models.graph.fold_in import MAX_LAYERS, ItemRows, LightGCNNode

if TYPE_CHECKING:
    from pytorch_models.graph.lightgcn import LightGCN
    from pytorch_models.graph.propagation import BipartiteGraph, Propagate


@dataclass(frozen=True, slots=True)
class LightgcnOptions(GraphOptions):
    """combination  mean, or learned: the weights of the layers"""

    combination: str = "mean"


class LightgcnPredictor(GraphPredictor):
    """He et al., SIGIR 2020, extended by one node per visitor (predictors.models.graph.fold_in)."""

    name = "lightgcn"
    options_class = LightgcnOptions
    node: LightGCNNode

    @classmethod
    def build_model(cls, graph: BipartiteGraph, generator: Any, options: LightgcnOptions) -> LightGCN:
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
    def from_tensors(
        cls, tensors: dict[str, np.ndarray], ids: IdMap, meta: dict[str, Any], directory: Path | None
    ) -> Self:
        read, n_items = take(tensors, directory), len(ids)
        alpha = read("alpha", (None,))
        films = read("films", (n_items, None))
        n_layers = len(alpha) - 1
        n_tables = sum(name.startswith("layer.") for name in tensors)
        if not 1 <= n_layers == n_tables <= MAX_LAYERS:
            raise ArtifactError(
                f"{directory}: {n_layers} layers with {n_tables} tables, expected 1 to {MAX_LAYERS} of both"
            )
        layers = [read(f"layer.{k}", (n_items, films.shape[1])) for k in range(n_layers)]
        return cls(LightGCNNode(graph_from(read, n_items, directory), layers, alpha, films), ids, meta)
