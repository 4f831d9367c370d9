"""The bipartite graph of users and items, and propagation over it.

Nodes 0..n_users-1 are users, n_users..n_users+n_items-1 items. The propagation matrix is

    A_hat = D^-1/2 A D^-1/2        (NGCF, SIGIR 2019, eq. 8; LightGCN, SIGIR 2020, eq. 3)

which is symmetric, so the gradient of `x -> A_hat x` is the same call again. On the CPU the product
is one `torch.embedding_bag`: 64-d rows are gathered and summed with vector instructions, several
times faster than the CSR product of torch, SciPy or DGL. On CUDA it is a CSR product.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from scipy import sparse

Propagate = Callable[[torch.Tensor], torch.Tensor]
BACKENDS = ("native", "dgl")

_INT32_EDGES = 2**31 - 1


@dataclass(frozen=True)
class BipartiteGraph:
    """Who met which item: one edge per pair.

    user_items (n_users, n_items) CSR float64 of edge weights, all above 0, indices sorted
    """

    user_items: sparse.csr_matrix

    @classmethod
    def from_arrays(
        cls,
        users: np.ndarray,
        items: np.ndarray,
        n_users: int,
        n_items: int,
        weights: np.ndarray | None = None,
    ) -> BipartiteGraph:
        """Build from index columns (N,) in any order.

        A pair that occurs more than once is one edge; without `weights` each edge weighs 1, with
        them the largest weight of the pair counts. Raises ValueError on an index outside the graph
        or a weight that is not above 0.
        """
        users, items = np.asarray(users, dtype=np.int64), np.asarray(items, dtype=np.int64)
        if len(users) != len(items):
            raise ValueError(f"{len(users)} users but {len(items)} items")
        for name, column, limit in (("user", users, n_users), ("item", items, n_items)):
            if len(column) and (column.min() < 0 or column.max() >= limit):
                raise ValueError(f"a {name} index is outside 0..{limit - 1}")
        if weights is None:
            keys = np.unique(users * n_items + items)
            data = np.ones(len(keys))
        else:
            values = np.asarray(weights, dtype=np.float64)
            if len(values) != len(users) or (len(values) and not values.min() > 0):
                raise ValueError("every edge needs a weight above 0")
            every_key = users * n_items + items
            order = np.lexsort((values, every_key))
            last = np.append(np.diff(every_key[order]) != 0, True)[: len(order)]
            keys, data = every_key[order][last], values[order][last]
        rows = keys // n_items
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_users))])
        matrix = sparse.csr_matrix((data, keys % n_items, indptr), shape=(n_users, n_items))
        return cls(matrix)

    @property
    def n_users(self) -> int:
        return self.user_items.shape[0]

    @property
    def n_items(self) -> int:
        return self.user_items.shape[1]

    @property
    def n_nodes(self) -> int:
        return self.n_users + self.n_items

    @property
    def n_edges(self) -> int:
        """Each pair once."""
        return self.user_items.nnz

    @cached_property
    def degrees(self) -> np.ndarray:
        """(n_nodes,) float64 sums of edge weights."""
        by_user = np.asarray(self.user_items.sum(axis=1)).ravel()
        by_item = np.asarray(self.user_items.sum(axis=0)).ravel()
        return np.concatenate([by_user, by_item])

    @cached_property
    def normalised(self) -> sparse.csr_matrix:
        """A_hat, (n_nodes, n_nodes) CSR float64, symmetric; a node without edges has an empty row."""
        degrees = self.degrees
        scale = np.divide(1.0, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0)
        block = self.user_items.tocsr(copy=True)
        rows = np.repeat(np.arange(self.n_users), np.diff(block.indptr))
        block.data = block.data * scale[rows] * scale[self.n_users + block.indices]
        matrix = sparse.bmat([[None, block], [block.T, None]], format="csr", dtype=np.float64)
        if matrix.shape != (self.n_nodes, self.n_nodes):  # bmat infers nothing from an empty block
            matrix = sparse.csr_matrix((self.n_nodes, self.n_nodes))
        matrix.sort_indices()
        return matrix

    @cached_property
    def row_sums(self) -> np.ndarray:
        """(n_nodes,) float64 row sums of A_hat."""
        return np.asarray(self.normalised.sum(axis=1)).ravel()


# -- the kernel ----------------------------------------------------------------------------------


class _BagPropagation(torch.autograd.Function):
    """A_hat x as one embedding bag. The autograd of `embedding_bag` itself costs ten times as much:
    it does not know that the matrix is symmetric and scatters instead."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, indices: torch.Tensor, offsets: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(indices, offsets, values)
        return _bag(x, indices, offsets, values)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        indices, offsets, values = ctx.saved_tensors
        return _bag(gradients[0].contiguous(), indices, offsets, values), None, None, None


def _bag(x: torch.Tensor, indices: torch.Tensor, offsets: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.embedding_bag(
        indices, x, offsets, mode="sum", per_sample_weights=values, include_last_offset=True
    )


class _SparsePropagation(torch.autograd.Function):
    """A_hat x as a CSR product, for CUDA."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        ctx.matrix = matrix
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, None]:
        return ctx.matrix @ gradients[0].contiguous(), None


def propagation(
    graph: BipartiteGraph,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    backend: str = "native",
) -> Propagate:
    """`x -> A_hat x` for x (n_nodes, d) of this dtype on this device, differentiable in x.

    `backend` is one of BACKENDS. Raises ValueError on another one, ImportError where DGL is missing.
    """
    if backend == "dgl":
        return _dgl_propagation(graph, device=device, dtype=dtype)
    if backend != "native":
        raise ValueError(f"there is no backend {backend!r}; known: {', '.join(BACKENDS)}")
    matrix = graph.normalised
    # 32-bit indices halve what is read beside the rows themselves.
    whole = torch.int32 if matrix.nnz <= _INT32_EDGES else torch.int64
    indices = torch.as_tensor(matrix.indices, dtype=whole, device=device)
    offsets = torch.as_tensor(matrix.indptr, dtype=whole, device=device)
    values = torch.as_tensor(matrix.data, dtype=dtype, device=device)
    if torch.device(device).type == "cuda":
        wide = torch.sparse_csr_tensor(offsets.long(), indices.long(), values, size=matrix.shape)
        return lambda x: _SparsePropagation.apply(x, wide)
    return lambda x: _BagPropagation.apply(x.contiguous(), indices, offsets, values)


# -- DGL -----------------------------------------------------------------------------------------


def dgl_module() -> ModuleType:
    """DGL with its PyTorch backend, which must be chosen before its import.

    Raises ImportError where DGL is not installed.
    """
    os.environ.setdefault("DGLBACKEND", "pytorch")
    import dgl

    return dgl


def to_dgl(graph: BipartiteGraph, *, dtype: torch.dtype = torch.float32) -> Any:
    """The heterograph: nodes `user` and `item`, relations user_self, item_self, ui and iu.

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


def _dgl_propagation(graph: BipartiteGraph, *, device: torch.device | str, dtype: torch.dtype) -> Propagate:
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
