"""The new node: a history as one more user of a trained graph, without torch and without writing its tables.

Adding a user u with items S and edge weights w changes A_hat in few entries. With d the degrees of the
items before, W the sum of w, and B the rows of A_hat that belong to S:

    c_i = w_i / sqrt((d_i + w_i) W)     the new edges, i in S
    s_i = sqrt(d_i / (d_i + w_i))       the scale of the old entries in the rows of S

Everything else stays. At layer 1 only u, S and the users N(S) differ from the cached tables, and u at
layer 4 depends on nothing else that changed: S up to layer 3 and N(S) up to layer 2. So for up to
MAX_LAYERS layers the rows of u, S and N(S) give the vector of a full rebuild (`exact`). The local
form leaves N(S) as it is, an error of second order in s - 1.

The new vector is compared with the cached vectors of the items: how the newcomer would move those of
other items, by one edge per item among many, is left out in both forms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

MAX_LAYERS = 4
FORMS = ("exact", "local")
EPSILON = 1e-12  # no vector shorter than this is scaled up to length 1

# A dense block is multiplied about so many times faster per entry than a sparse one.
_DENSE_ADVANTAGE = 12
_MAX_DENSE_ENTRIES = 1 << 24
_RENUMBER_UP_TO = 3  # edges per user of the graph; with more of them nearly everybody is a neighbour
_GRAM_UP_TO = 96  # items; beyond, two thin products cost less than the square one


@dataclass(frozen=True)
class ItemRows:
    """Holds the training graph by items, each edge of weight 1.

    indptr  (n_items + 1,) int64
    users   (n_edges,) int32: users of item i at indptr[i]:indptr[i + 1], ascending
    """

    indptr: np.ndarray
    users: np.ndarray
    n_users: int

    @cached_property
    def degrees(self) -> np.ndarray:
        """(n_items,) float32 number of users of each item"""
        return np.diff(self.indptr).astype(np.float32)

    @cached_property
    def user_scale(self) -> np.ndarray:
        """(n_users,) float32: 1 / sqrt(degree), 0 without edges"""
        counts = np.bincount(self.users, minlength=self.n_users)
        return np.divide(
            1.0, np.sqrt(counts), out=np.zeros(self.n_users, dtype=np.float64), where=counts > 0
        ).astype(np.float32)

    @cached_property
    def row_sums(self) -> np.ndarray:
        """(n_items,) float32 row sums of A_hat"""
        sums = np.concatenate([[0.0], np.cumsum(self.user_scale[self.users], dtype=np.float64)])
        totals = sums[self.indptr[1:]] - sums[self.indptr[:-1]]
        degrees = self.degrees.astype(np.float64)
        scale = np.divide(1.0, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0)
        return (totals * scale).astype(np.float32)


class Neighbourhood:
    """Holds B, the rows of A_hat of some items, over the users of any of them.

    Dense where that is the faster form, else CSR. `users` selects its columns among all users.
    """

    def __init__(self, rows: ItemRows, items: np.ndarray) -> None:
        starts, stops = rows.indptr[items], rows.indptr[items + 1]
        lengths = stops - starts
        n_edges = int(lengths.sum())
        neighbours = [rows.users[start:stop] for start, stop in zip(starts, stops, strict=True)]
        self.users: np.ndarray | slice = slice(None)
        n_columns = rows.n_users
        columns: Sequence[np.ndarray] = neighbours
        if n_edges < _RENUMBER_UP_TO * rows.n_users:
            # Few neighbours in a large graph: renumber them instead of carrying all columns.
            joined = np.concatenate([*neighbours, np.empty(0, np.int32)])
            present = np.zeros(rows.n_users, dtype=bool)
            present[joined] = True
            self.users = np.flatnonzero(present)
            n_columns = len(self.users)
            position_of = np.cumsum(present, dtype=np.int32) - 1
            columns = np.split(position_of[joined], np.cumsum(lengths)[:-1])
        scale = rows.user_scale[self.users]
        item_scale = np.divide(
            1.0, np.sqrt(rows.degrees[items]), out=np.zeros(len(items), np.float32), where=lengths > 0
        )
        entries = len(items) * n_columns
        if entries <= min(_DENSE_ADVANTAGE * n_edges, _MAX_DENSE_ENTRIES):
            self.matrix: np.ndarray | sparse.csr_matrix = np.zeros((len(items), n_columns), np.float32)
            for row, (scale_of_item, here) in enumerate(zip(item_scale, columns, strict=True)):
                self.matrix[row, here] = scale_of_item * scale[here]
        else:
            indices = np.concatenate([*columns, np.empty(0, np.int32)]).astype(np.int32)
            indptr = np.concatenate([[0], np.cumsum(lengths)])
            data = np.repeat(item_scale, lengths) * scale[indices]
            self.matrix = sparse.csr_matrix((data, indices, indptr), shape=(len(items), n_columns))

    def from_users(self, x: np.ndarray) -> np.ndarray:
        """Compute B x: (V, d) -> (S, d) float32"""
        return self.matrix @ x

    def to_users(self, y: np.ndarray) -> np.ndarray:
        """Compute B^T y: (S, d) -> (V, d) float32"""
        return self.matrix.T @ y

    def gram_product(self, y: np.ndarray) -> np.ndarray:
        """Compute B B^T y: (S, d) -> (S, d) float32"""
        if isinstance(self.matrix, np.ndarray) and len(self.matrix) <= _GRAM_UP_TO:
            return self._gram @ y
        return self.from_users(self.to_users(y))

    @cached_property
    def _gram(self) -> np.ndarray:
        return self.matrix @ self.matrix.T


@dataclass(frozen=True)
class NewEdges:
    """Holds the edges of a new node, items ascending, each once.

    items (S,) int64; weights (S,) float32 above 0; c and s (S, 1) float32 as in the module's docstring
    """

    items: np.ndarray
    weights: np.ndarray
    c: np.ndarray
    s: np.ndarray

    @classmethod
    def from_history(cls, items: np.ndarray, weights: np.ndarray, degrees: np.ndarray) -> NewEdges:
        """Weigh the edges to items (T,); an item given more than once counts once, with its last weight.

        degrees (n_items,) number of users of each item
        """
        kept, from_the_end = np.unique(items[::-1], return_index=True)
        chosen = np.asarray(weights[::-1][from_the_end], dtype=np.float64)
        before = degrees[kept].astype(np.float64)
        after = before + chosen
        c = chosen / np.sqrt(after * chosen.sum())
        s = np.sqrt(before / after)
        return cls(
            kept,
            chosen.astype(np.float32),
            c.astype(np.float32)[:, None],
            s.astype(np.float32)[:, None],
        )

    def mean_of(self, table: np.ndarray) -> np.ndarray:
        """Return (d,) float32 the weighted mean of these items' rows."""
        return (self.weights @ table[self.items]) / self.weights.sum()


class NewNode(ABC):
    """Extends one kind of model by a node. Its tables are only read, so threads share them."""

    rows: ItemRows
    item_vectors: np.ndarray  # (n_items, f) float32 final vectors of the items

    @abstractmethod
    def initial(self, edges: NewEdges) -> np.ndarray:
        """Return (d,) float32 the layer 0 of the new node."""

    @abstractmethod
    def vector(self, edges: NewEdges, start: np.ndarray, form: str) -> np.ndarray:
        """Compute (f,) float32 the final vector of the new node with `start` (d,) at layer 0."""

    @abstractmethod
    def tangent(self, edges: NewEdges, start: np.ndarray, form: str) -> Tangent:
        """Return the final vector as a function of `start` alone, for fine-tuning."""

    @property
    @abstractmethod
    def layer_0(self) -> np.ndarray:
        """(n_items, d) float32 layer 0 of the items"""

    @cached_property
    def spread(self) -> float:
        """The root mean square of layer 0, the unit of a fine-tuning step."""
        return max(float(np.sqrt(np.mean(self.layer_0.astype(np.float64) ** 2))), EPSILON)

    def edges(self, items: np.ndarray, weights: np.ndarray) -> NewEdges:
        """Weigh the edges to items (T,) int64 with weights (T,) float32."""
        return NewEdges.from_history(items, weights, self.rows.degrees)


class Tangent(ABC):
    """Computes a final vector from the node's own layer 0, with its derivative."""

    n_operations: int  # multiply-adds of one `at` and one `pull_back`

    @abstractmethod
    def at(self, start: np.ndarray) -> np.ndarray:
        """Compute (f,) the final vector from (d,) layer 0."""

    @abstractmethod
    def pull_back(self, gradient: np.ndarray) -> np.ndarray:
        """Turn the gradient (f,) at the last `at` into the gradient (d,) of `start`."""
