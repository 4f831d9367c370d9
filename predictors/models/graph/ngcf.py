"""NGCF: messages along the graph of items and people; a user is one more node of it (ngcf_node.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from predictors.base import Saved
from predictors.errors import ArtifactError
from predictors.models.graph.base import GraphConfig, GraphPredictor, graph_from, graph_tensors
from predictors.models.graph.first_embedding import LIGHTGCN, RANDOM, SINGULAR, lightgcn_start
from predictors.models.graph.new_node import EPSILON, MAX_LAYERS, ItemRows
from predictors.models.graph.ngcf_node import NGCFLayer, NGCFNode, NGCFTables

if TYPE_CHECKING:
    from predictors.run import Run
    from predictors.training_data import TrainingData
    from pytorch_models.graph.tables import NGCFTables as TrainedTables


@dataclass(frozen=True)
class NgcfConfig(GraphConfig):
    """Configures NGCF, whose layers all have `dim` columns.

    A new node takes ten steps of its own by default: on a graph of short histories its exact vector alone
    ranks below popularity (docs/benchmarks.md).
    """

    epochs: int = 40
    learning_rate: float = 0.003
    l2: float = 0.001
    message_dropout: float = 0.1  #: share of messages left out while training
    node_dropout: float = 0.0  #: share of nodes left out while training
    fine_tune_steps: int = 10
    #: the first embedding: random, singular, or the final vectors of a LightGCN trained for it (lightgcn)
    start: str = "random"
    start_scale: float = 3.0  #: length of a first embedding that is not random; every later layer has 1
    frozen_epochs: int = 1  #: epochs in which an embedding that is not random stays as it starts
    lightgcn_epochs: int = 4  #: of the LightGCN to begin with, which begins with singular vectors

    starts: ClassVar[tuple[str, ...]] = (RANDOM, SINGULAR, LIGHTGCN)

    def check(self) -> None:
        super().check()
        self.require(self.start_scale > 0, "start_scale must be above 0")
        self.require(self.frozen_epochs >= 0, "frozen_epochs must be 0 or more")
        self.require(self.lightgcn_epochs >= 1, "lightgcn_epochs must be 1 or more")


class NgcfPredictor(GraphPredictor):
    """Ranks by NGCF (Wang et al., SIGIR 2019), extended by one node per user."""

    name = "ngcf"
    label = "NGCF"
    summary = "A neural network over the graph of people and films; you join it as a new node."
    paper = "ngcf"
    config_class = NgcfConfig
    tables_in_memory = (32, 10)
    node: NGCFNode

    @classmethod
    def shape(cls, config: NgcfConfig) -> dict[str, Any]:
        return {
            "dim": config.dim,
            "layer_dims": (config.dim,) * config.layers,
            "message_dropout": config.message_dropout,
            "node_dropout": config.node_dropout,
        }

    @classmethod
    def fit_options(cls, config: NgcfConfig) -> dict[str, Any]:
        frozen = 0 if config.start == RANDOM else config.frozen_epochs
        return {**super().fit_options(config), "frozen_epochs": frozen}

    @classmethod
    def first_embedding(cls, data: TrainingData, config: NgcfConfig, run: Run) -> np.ndarray | None:
        started = super().first_embedding(data, config, run)
        if config.start == LIGHTGCN:
            started = lightgcn_start(data, config, run)
        return None if started is None else started * np.float32(config.start_scale)

    @classmethod
    def new_node(cls, tables: TrainedTables, rows: ItemRows) -> NGCFNode:
        n_users, n_layers = tables.n_users, len(tables.w1)
        deep = n_layers > 2
        return NGCFNode(
            rows,
            [
                NGCFLayer(*(_float32(part[k]) for part in (tables.w1, tables.w2, tables.b1, tables.b2)))
                for k in range(n_layers)
            ],
            NGCFTables(
                [_float32(layer[n_users:]) for layer in tables.layers[:n_layers]],
                [_float32(message[n_users:]) for message in tables.messages],
                # N(S) is followed up to layer L - 2.
                [_float32(layer[:n_users]) for layer in tables.layers[: n_layers - 1]] if deep else [],
                {k: _float32(tables.messages[k][:n_users]) for k in range(1, n_layers - 2)},
                _float32(tables.before[:n_users]) if deep else None,
                _average(_float32(tables.layers[0][:n_users]), rows),
            ),
            _float32(tables.final[n_users:]),
        )

    @classmethod
    def user_vectors(cls, tables: TrainedTables) -> np.ndarray:
        return tables.final[: tables.n_users]

    def tensors(self) -> dict[str, np.ndarray]:
        tables = self.node.tables
        named = {
            "item_vectors": self.node.item_vectors,
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
            NGCFNode(rows, layers, tables, read("item_vectors", (n_items, sum(dims)))),
            saved.ids,
            saved.config,
        )


def _float32(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=np.float32)


def _average(users: np.ndarray, rows: ItemRows) -> np.ndarray:
    """Return (d,) float32 the direction of the mean of the users with an edge, at their typical length."""
    users = users[rows.user_scale > 0]
    mean = users.mean(axis=0)
    typical = np.sqrt((users**2).sum(axis=1).mean())
    return (mean * (typical / max(float(np.linalg.norm(mean)), EPSILON))).astype(np.float32)
