"""NGCF: messages along the graph of films and people; a visitor is one more node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from predictors.base import Saved
from predictors.errors import ArtifactError
from predictors.models.graph.base import GraphConfig, GraphPredictor, graph_from, graph_tensors
from predictors.models.graph.fold_in import EPSILON, MAX_LAYERS, ItemRows, NGCFLayer, NGCFNode, NGCFTables

if TYPE_CHECKING:
    from pytorch_models.graph.ngcf import NGCF
    from pytorch_models.graph.propagation import BipartiteGraph, Propagate


@dataclass(frozen=True)
class NgcfConfig(GraphConfig):
    """All layers have `dim` columns.

    A new node takes ten steps of its own by default: on a graph of short histories its exact vector alone
    ranks below popularity (docs/benchmarks.md).
    """

    epochs: int = 40
    learning_rate: float = 0.003
    l2: float = 0.001
    message_dropout: float = 0.1  #: share of messages left out while training
    node_dropout: float = 0.0  #: share of nodes left out while training
    fine_tune_steps: int = 10


class NgcfPredictor(GraphPredictor):
    """Wang et al., SIGIR 2019, extended by one node per visitor (predictors.models.graph.fold_in)."""

    name = "ngcf"
    label = "NGCF"
    summary = "A neural network over the graph of people and films; you join it as a new node."
    paper = "ngcf"
    config_class = NgcfConfig
    node: NGCFNode

    @classmethod
    def build_model(cls, graph: BipartiteGraph, generator: Any, options: NgcfConfig) -> NGCF:
        import torch

        from pytorch_models.graph.ngcf import NGCF, NGCFConfig

        if not 1 <= options.layers <= MAX_LAYERS:
            raise ValueError(f"layers must be 1 to {MAX_LAYERS}: more cannot be served exactly")
        config = NGCFConfig(
            graph.n_users,
            graph.n_items,
            options.dim,
            (options.dim,) * options.layers,
            options.message_dropout,
            options.node_dropout,
        )
        return NGCF(config, torch.as_tensor(graph.row_sums), generator)

    @classmethod
    def node_of(cls, model: NGCF, propagate: Propagate, rows: ItemRows) -> NGCFNode:  # type: ignore[override]
        n_users, n_layers = model.config.n_users, len(model.w1)

        def numbers(tensor: Any) -> np.ndarray:
            return np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float32)

        tables = model.tables(propagate)
        messages = [propagate(table) for table in tables[: max(n_layers - 1, 1)]]
        return NGCFNode(
            rows,
            [
                NGCFLayer(*(numbers(part[k]) for part in (model.w1, model.w2, model.b1, model.b2)))
                for k in range(n_layers)
            ],
            NGCFTables(
                [numbers(table[n_users:]) for table in tables[:n_layers]],
                [numbers(message[n_users:]) for message in messages],
                # N(S) is followed up to layer L - 2.
                [numbers(table[:n_users]) for table in tables[: max(n_layers - 1, 0)]]
                if n_layers > 2
                else [],
                {k: numbers(messages[k][:n_users]) for k in range(1, n_layers - 2)},
                numbers(model.before_activation(0, tables[0], propagate)[:n_users]) if n_layers > 2 else None,
                _average(numbers(model.embedding[:n_users]), rows),
            ),
            numbers(model(propagate)[n_users:]),
        )

    def tensors(self) -> dict[str, np.ndarray]:
        tables = self.node.tables
        named = {
            "films": self.node.films,
            "average_user": tables.average_user,
            **graph_tensors(self.node.rows),
        }
        for k, layer in enumerate(self.node.layers):
            named |= {f"w1.{k}": layer.w1, f"w2.{k}": layer.w2, f"b1.{k}": layer.b1, f"b2.{k}": layer.b2}
        named |= {f"item_layer.{k}": table for k, table in enumerate(tables.item_layers)}
        named |= {f"item_message.{k}": table for k, table in enumerate(tables.item_messages)}
        named |= {f"user_layer.{k}": table for k, table in enumerate(tables.user_layers)}
        named |= {f"user_message.{k}": table for k, table in tables.user_messages.items()}
        if tables.user_before is not None:
            named["user_before"] = tables.user_before
        return named

    @classmethod
    def from_artifact(cls, saved: Saved) -> Self:
        read, n_items = saved.tensor, len(saved.ids)
        rows = graph_from(saved)
        n_layers = sum(name.startswith("w1.") for name in saved.tensors)
        if not 1 <= n_layers <= MAX_LAYERS:
            raise ArtifactError(f"{saved.directory}: {n_layers} layers, expected 1 to {MAX_LAYERS}")
        dims = [read("item_layer.0", (n_items, None)).shape[1]]
        layers = []
        for k in range(n_layers):
            w1 = read(f"w1.{k}", (dims[k], None))
            dims.append(w1.shape[1])
            w2 = read(f"w2.{k}", w1.shape)
            layers.append(NGCFLayer(w1, w2, read(f"b1.{k}", (dims[-1],)), read(f"b2.{k}", (dims[-1],))))
        deep = n_layers > 2
        tables = NGCFTables(
            [read(f"item_layer.{k}", (n_items, dims[k])) for k in range(n_layers)],
            [read(f"item_message.{k}", (n_items, dims[k])) for k in range(max(n_layers - 1, 1))],
            [read(f"user_layer.{k}", (rows.n_users, dims[k])) for k in range(n_layers - 1 if deep else 0)],
            {k: read(f"user_message.{k}", (rows.n_users, dims[k])) for k in range(1, n_layers - 2)},
            read("user_before", (rows.n_users, dims[1])) if deep else None,
            read("average_user", (dims[0],)),
        )
        return cls(
            NGCFNode(rows, layers, tables, read("films", (n_items, sum(dims)))), saved.ids, saved.config
        )


def _average(users: np.ndarray, rows: ItemRows) -> np.ndarray:
    """(d,) float32: the direction of the mean of the users with an edge, at their typical length."""
    users = users[rows.user_scale > 0]
    mean = users.mean(axis=0)
    typical = np.sqrt((users**2).sum(axis=1).mean())
    return (mean * (typical / max(float(np.linalg.norm(mean)), EPSILON))).astype(np.float32)
