"""The node of a new user in NGCF: its layers, the rows of the graph it is joined to, and its tangent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from predictors.models.graph.new_node import (
    EPSILON,
    ItemRows,
    Neighbourhood,
    NewEdges,
    NewNode,
    Tangent,
)

SLOPE = 0.2  # of the LeakyReLU, as in pytorch_models.graph.ngcf
# The start of a NGCF node, chosen on validation guests of MovieLens 100K: an average of people is shorter
# than a person, and by so much the two parts are lengthened.
_ALIKE, _AVERAGE = 2.0, 2.0
_KNOWN_BY = 5.0  # items after which the average person counts half


@dataclass(frozen=True)
class NGCFLayer:
    """Holds w1, w2 (in, out), b1, b2 (out,), all float32."""

    w1: np.ndarray
    w2: np.ndarray
    b1: np.ndarray
    b2: np.ndarray

    def before_activation(self, x: np.ndarray, message: np.ndarray, row_sums: np.ndarray) -> np.ndarray:
        """Compute the LeakyReLU's input (..., out) from x, message (..., in) and row_sums (..., 1)."""
        product = (x + message) @ self.w1 + (message * x) @ self.w2
        return product + self.b1 + row_sums * (self.b1 + self.b2)

    def __call__(self, x: np.ndarray, message: np.ndarray, row_sums: np.ndarray) -> np.ndarray:
        return leaky(self.before_activation(x, message, row_sums))


@dataclass(frozen=True)
class NGCFTables:
    """Holds the rows of the graph before the new node, all float32.

    item_layers    [k] (n_items, d_k), k = 0 .. L - 1, before scaling to length 1
    item_messages  [k] (n_items, d_k) rows of A_hat x, k = 0 .. L - 2, and 0 in any case
    user_layers    [k] (n_users, d_k), k = 0 .. L - 2
    user_messages  [k] (n_users, d_k), k = 1 .. L - 3 (the one of layer 0 is in user_before)
    user_before    (n_users, d_1) input of layer 1's LeakyReLU; needed from three layers on
    average_user   (d_0,) the direction of the mean user at layer 0, as long as users are
    """

    item_layers: list[np.ndarray]
    item_messages: list[np.ndarray]
    user_layers: list[np.ndarray]
    user_messages: dict[int, np.ndarray]
    user_before: np.ndarray | None
    average_user: np.ndarray


class NGCFNode(NewNode):
    """Extends NGCF by a node."""

    def __init__(
        self, rows: ItemRows, layers: Sequence[NGCFLayer], tables: NGCFTables, item_vectors: np.ndarray
    ) -> None:
        self.rows, self.layers, self.tables, self.item_vectors = rows, list(layers), tables, item_vectors

    @property
    def layer_0(self) -> np.ndarray:
        return self.tables.item_layers[0]

    def initial(self, edges: NewEdges) -> np.ndarray:
        """Start from people with the same items, and from the average person while little is known.

        Never zero, which would lose the product of node and message at layer 1; and not the mean of
        the items, since a layer's matrices expect the row of a person here: with it NDCG@10 of
        MovieLens 100K validation guests is .32 after two items, with people .58, popularity .53.
        """
        message = self.tables.item_messages[0][edges.items]
        sums = self.rows.row_sums[edges.items][:, None]
        people = np.divide(message, sums, out=np.zeros_like(message), where=sums > 0)
        alike = (edges.weights @ people) / edges.weights.sum()
        unknown = _KNOWN_BY / (_KNOWN_BY + len(edges.items))
        return np.float32(_ALIKE) * alike + np.float32(_AVERAGE * unknown) * self.tables.average_user

    def vector(self, edges: NewEdges, start: np.ndarray, form: str) -> np.ndarray:
        node, total = start, edges.c.sum(axis=0)
        parts = [start]
        for layer, message in zip(self.layers, self._messages(edges, start, form), strict=True):
            node = layer(node, message, total)
            parts.append(unit_length(node))
        return np.concatenate(parts)

    def tangent(self, edges: NewEdges, start: np.ndarray, form: str) -> Tangent:
        """Return the final vector with the messages held; the change left out is of order c squared."""
        return _OwnPath(self.layers, list(self._messages(edges, start, form)), float(edges.c.sum()))

    def _messages(self, edges: NewEdges, start: np.ndarray, form: str) -> list[np.ndarray]:
        """Compute [k] (d_k,) the message to the new node at layer k: the sum of c_i times its items' rows."""
        tables, items, c, s = self.tables, edges.items, edges.c, edges.s
        near = None
        if form == "exact" and len(self.layers) >= 3:
            near = Neighbourhood(self.rows, items)
        item_vectors, node, total = tables.item_layers[0][items], start, c.sum(axis=0)
        row_sums = s * self.rows.row_sums[items][:, None] + c
        messages = []
        item_vectors_change: np.ndarray = (s - 1) * item_vectors  # of what S send to N(S)
        users_change: np.ndarray | None = None  # of the rows of N(S)
        for k, layer in enumerate(self.layers):
            messages.append(c[:, 0] @ item_vectors)
            if k + 1 == len(self.layers):
                break
            message = tables.item_messages[k][items]
            if near is not None and users_change is not None:
                message = message + near.from_users(users_change)
            item_vectors_after = layer(item_vectors, s * message + c * node, row_sums)
            if near is not None and k + 2 < len(self.layers):
                users_change = self._users_change(k, near, item_vectors_change, users_change, s)
                item_vectors_change = s * item_vectors_after - tables.item_layers[k + 1][items]
            node = layer(node, messages[-1], total)
            item_vectors = item_vectors_after
        return messages

    def _users_change(
        self,
        k: int,
        near: Neighbourhood,
        item_vectors_change: np.ndarray,
        users_change: np.ndarray | None,
        s: np.ndarray,
    ) -> np.ndarray:
        """Compute (V, d_{k+1}) by how much the rows of N(S) differ from their table after layer k."""
        tables, layer = self.tables, self.layers[k]
        message_change = near.to_users(item_vectors_change)
        row_sum_change = near.to_users(s - 1)
        if k == 0:
            # Their own rows are still the old ones, so the input of LeakyReLU is the cached one plus this.
            x = tables.user_layers[0][near.users]
            before = tables.user_before[near.users]  # type: ignore[index]
            more = message_change @ layer.w1
            more += (message_change * x) @ layer.w2
            more += row_sum_change * (layer.b1 + layer.b2)
            more += before
            return leaky(more) - leaky(before)
        x = tables.user_layers[k][near.users] + users_change
        message = tables.user_messages[k][near.users] + message_change
        row_sums = self._user_row_sums[near.users][:, None] + row_sum_change
        return layer(x, message, row_sums) - tables.user_layers[k + 1][near.users]

    @cached_property
    def _user_row_sums(self) -> np.ndarray:
        """Return (n_users,) float32 row sums of A_hat."""
        degrees = self.rows.degrees
        scale = np.divide(1.0, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0)
        per_edge = np.repeat(scale, np.diff(self.rows.indptr))
        sums = np.bincount(self.rows.users, weights=per_edge, minlength=self.rows.n_users)
        return (sums * self.rows.user_scale).astype(np.float32)


class _OwnPath(Tangent):
    """Computes the layers of NGCF for one node with its messages held."""

    def __init__(self, layers: Sequence[NGCFLayer], messages: list[np.ndarray], row_sum: float) -> None:
        self.layers, self.messages, self.row_sum = layers, messages, np.array([row_sum], np.float32)
        self._outputs: list[np.ndarray] = []
        self.n_operations = 2 * sum(layer.w1.size + layer.w2.size for layer in layers)

    def at(self, start: np.ndarray) -> np.ndarray:
        self._outputs = [start]
        for layer, message in zip(self.layers, self.messages, strict=True):
            self._outputs.append(layer(self._outputs[-1], message, self.row_sum))
        return np.concatenate([start, *(unit_length(x) for x in self._outputs[1:])])

    def pull_back(self, gradient: np.ndarray) -> np.ndarray:
        bounds = np.cumsum([len(x) for x in self._outputs])[:-1]
        first, *others = np.split(gradient, bounds)
        back = np.zeros_like(others[-1])
        for k in range(len(self.layers) - 1, -1, -1):
            x, layer = self._outputs[k + 1], self.layers[k]
            length = max(float(np.linalg.norm(x)), EPSILON)
            unit = x / length
            back = back + (others[k] - unit * (unit @ others[k])) / length
            back = np.where(x > 0, back, np.float32(SLOPE) * back)
            back = layer.w1 @ back + self.messages[k] * (layer.w2 @ back)
        return first + back


def leaky(x: np.ndarray) -> np.ndarray:
    """Apply LeakyReLU with SLOPE."""
    return np.maximum(x, np.float32(SLOPE) * x)


def unit_length(x: np.ndarray) -> np.ndarray:
    """Scale rows (..., d) to length 1."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), np.float32(EPSILON))
