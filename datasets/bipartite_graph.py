"""The bipartite graph of users and items with its propagation matrix.

Nodes 0..n_users-1 are users, n_users..n_users+n_items-1 items. The propagation matrix is

    A_hat = D^-1/2 A D^-1/2        (NGCF, SIGIR 2019, eq. 8; LightGCN, SIGIR 2020, eq. 3)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class BipartiteGraph:
    """Holds the interaction graph of users and items: one edge per pair.

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
        """Build a graph from index columns (N,) in any order.

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
        """The number of pairs."""
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
