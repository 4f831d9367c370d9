"""Propagation by DGL, as in the NGCF authors' code, and graphs in DGL's own file format."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from datasets.bipartite_graph import BipartiteGraph


def dgl_module() -> ModuleType:
    """Import DGL with its PyTorch backend, which must be chosen before its import.

    Raises ImportError where DGL is not installed.
    """
    os.environ.setdefault("DGLBACKEND", "pytorch")
    import dgl

    return dgl


def to_dgl(graph: BipartiteGraph, *, dtype: torch.dtype = torch.float32) -> Any:
    """Build the heterograph: nodes `user` and `item`, relations user_self, item_self, ui and iu.

    Edge data: `weight` of ui and iu, and `norm`, the entry of A_hat (1 on the self relations).
    """
    dgl = dgl_module()
    edges = graph.user_items.tocoo()
    users, items = torch.as_tensor(edges.row).long(), torch.as_tensor(edges.col).long()
    every_user, every_item = torch.arange(graph.n_users), torch.arange(graph.n_items)
    hetero = dgl.heterograph(
        {
            ("user", "user_self", "user"): (every_user, every_user),
            ("item", "item_self", "item"): (every_item, every_item),
            ("user", "ui", "item"): (users, items),
            ("item", "iu", "user"): (items, users),
        },
        num_nodes_dict={"user": graph.n_users, "item": graph.n_items},
    )
    norm = edges.data / np.sqrt(graph.degrees[edges.row] * graph.degrees[graph.n_users + edges.col])
    for relation in ("ui", "iu"):
        hetero.edges[relation].data["weight"] = torch.as_tensor(edges.data, dtype=dtype)
        hetero.edges[relation].data["norm"] = torch.as_tensor(norm, dtype=dtype)
    for relation, count in (("user_self", graph.n_users), ("item_self", graph.n_items)):
        hetero.edges[relation].data["norm"] = torch.ones(count, dtype=dtype)
    return hetero


def save_dgl(graph: BipartiteGraph, path: Path) -> None:
    """Write the heterograph in DGL's own file format, weights in float64."""
    dgl_module().save_graphs(str(path), [to_dgl(graph, dtype=torch.float64)])


def load_dgl(path: Path) -> BipartiteGraph:
    """Read a heterograph that `save_dgl` wrote. Raises ValueError when it is not one of ours."""
    graphs, _ = dgl_module().load_graphs(str(path))
    if len(graphs) != 1 or set(graphs[0].etypes) != {"user_self", "item_self", "ui", "iu"}:
        raise ValueError(f"{path} does not hold one graph with the relations user_self, item_self, ui, iu")
    hetero = graphs[0]
    users, items = hetero.edges(etype="ui")
    return BipartiteGraph.from_arrays(
        users.numpy(),
        items.numpy(),
        hetero.num_nodes("user"),
        hetero.num_nodes("item"),
        hetero.edges["ui"].data["weight"].numpy(),
    )


def dgl_propagation(
    graph: BipartiteGraph, *, device: torch.device | str, dtype: torch.dtype
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return `x -> A_hat x` as message passing of DGL. Raises ImportError where DGL is missing."""
    function = dgl_module().function
    hetero = to_dgl(graph, dtype=dtype).to(device)
    n_users = graph.n_users

    def propagate(x: torch.Tensor) -> torch.Tensor:
        with hetero.local_scope():
            hetero.nodes["user"].data["x"] = x[:n_users]
            hetero.nodes["item"].data["x"] = x[n_users:]
            weighted = (function.u_mul_e("x", "norm", "m"), function.sum("m", "sum"))
            hetero.multi_update_all({"ui": weighted, "iu": weighted}, "sum")
            return torch.cat([hetero.nodes["user"].data["sum"], hetero.nodes["item"].data["sum"]])

    return propagate
