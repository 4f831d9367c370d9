"""A history becomes one new node of a trained graph, without torch and without touching its tables.

Adding a user u with films S and edge weights w changes A_hat in few places. With d the degrees of the
films before, W the sum of w, and B the rows of A_hat that belong to S:

    c_i = w_i / sqrt((d_i + w_i) W)     the new edges, i in S
    s_i = sqrt(d_i / (d_i + w_i))       the scale of the old entries in the rows of S

Everything else stays. At layer 1 only u, S and the users N(S) differ from the cached tables, and u at
layer 4 depends on nothing else that changed: S up to layer 3 and N(S) up to layer 2. So for up to
MAX_LAYERS layers the rows of u, S and N(S) give the vector of a full rebuild (`exact`). The local
form leaves N(S) as it is, an error of second order in s - 1.

The new vector is compared with the cached vectors of the films: how the newcomer would move those of
other films, by one edge per film among many, is left out in both forms.
"""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

MAX_LAYERS = 4
FORMS = ("exact", "local")
SLOPE = 0.2  # of the LeakyReLU of NGCF
EPSILON = 1e-12  # no vector shorter than this is scaled up to length 1

# A dense block is multiplied about so many times faster per entry than a sparse one.
_DENSE_ADVANTAGE = 12
_MOST_DENSE_ENTRIES = 1 << 24
_RENUMBER_UP_TO = 3  # edges per user of the graph; with more of them nearly everybody is a neighbour
# The start of a NGCF node, chosen on validation guests of MovieLens 100K: an average of people is shorter
# than a person, and by so much the two parts are lengthened.
_ALIKE, _AVERAGE = 2.0, 2.0
_KNOWN_BY = 5.0  # films after which the average person counts half

_GRAM_UP_TO = 96  # films; beyond, two thin products cost less than the square one


@dataclass(frozen=True)
class ItemRows:
    """The training graph seen from the films, each edge of weight 1.

    indptr  (n_items + 1,) int64
    users   (n_edges,) int32: users of film i at indptr[i]:indptr[i + 1], ascending
    """

    indptr: np.ndarray
    users: np.ndarray
    n_users: int

    @cached_property
    def degrees(self) -> np.ndarray:
        """(n_items,) float32"""
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
    """B, the rows of A_hat of some films, over the users who met any of them.

    Dense where that is the faster form, else CSR. `users` selects its columns among all users.
    """

    def __init__(self, rows: ItemRows, items: np.ndarray) -> None:
        starts, stops = rows.indptr[items], rows.indptr[items + 1]
        lengths = stops - starts
        n_edges = int(lengths.sum())
        met = [rows.users[start:stop] for start, stop in zip(starts, stops, strict=True)]
        self.users: np.ndarray | slice = slice(None)
        n_columns = rows.n_users
        columns: Sequence[np.ndarray] = met
        if n_edges < _RENUMBER_UP_TO * rows.n_users:
            # Few neighbours in a large graph: renumber them instead of carrying all columns.
            joined = np.concatenate([*met, np.empty(0, np.int32)])
            present = np.zeros(rows.n_users, dtype=bool)
            present[joined] = True
            self.users = np.flatnonzero(present)
            n_columns = len(self.users)
            place_of = np.cumsum(present, dtype=np.int32) - 1
            columns = np.split(place_of[joined], np.cumsum(lengths)[:-1])
        scale = rows.user_scale[self.users]
        item_scale = np.divide(
            1.0, np.sqrt(rows.degrees[items]), out=np.zeros(len(items), np.float32), where=lengths > 0
        )
        entries = len(items) * n_columns
        if entries <= min(_DENSE_ADVANTAGE * n_edges, _MOST_DENSE_ENTRIES):
            self.matrix: np.ndarray | sparse.csr_matrix = np.zeros((len(items), n_columns), np.float32)
            for row, (film_scale, here) in enumerate(zip(item_scale, columns, strict=True)):
                self.matrix[row, here] = film_scale * scale[here]
        else:
            indices = np.concatenate([*columns, np.empty(0, np.int32)]).astype(np.int32)
            indptr = np.concatenate([[0], np.cumsum(lengths)])
            data = np.repeat(item_scale, lengths) * scale[indices]
            self.matrix = sparse.csr_matrix((data, indices, indptr), shape=(len(items), n_columns))

    def from_users(self, x: np.ndarray) -> np.ndarray:
        """B x: (V, d) -> (S, d) float32"""
        return self.matrix @ x

    def to_users(self, y: np.ndarray) -> np.ndarray:
        """B^T y: (S, d) -> (V, d) float32"""
        return self.matrix.T @ y

    def there_and_back(self, y: np.ndarray) -> np.ndarray:
        """B B^T y: (S, d) -> (S, d) float32"""
        if isinstance(self.matrix, np.ndarray) and len(self.matrix) <= _GRAM_UP_TO:
            return self._gram @ y
        return self.from_users(self.to_users(y))

    @cached_property
    def _gram(self) -> np.ndarray:
        return self.matrix @ self.matrix.T


@dataclass(frozen=True)
class NewEdges:
    """The edges of a new node, films ascending, each once.

    items (S,) int64; weights (S,) float32 above 0; c and s (S, 1) float32 as in the module's docstring
    """

    items: np.ndarray
    weights: np.ndarray
    c: np.ndarray
    s: np.ndarray

    @classmethod
    def of(cls, items: np.ndarray, weights: np.ndarray, degrees: np.ndarray) -> NewEdges:
        """A film given more than once counts once, with its last weight."""
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
        """(d,) float32 weighted mean of these films' rows."""
        return (self.weights @ table[self.items]) / self.weights.sum()


class NewNode(ABC):
    """How one kind of model extends by a node. Holds tables that are only read."""

    rows: ItemRows
    films: np.ndarray  # (n_items, f) float32 final vectors of the films

    @abstractmethod
    def initial(self, edges: NewEdges) -> np.ndarray:
        """(d,) float32: what the new node starts from at layer 0."""

    @abstractmethod
    def vector(self, edges: NewEdges, start: np.ndarray, form: str) -> np.ndarray:
        """(f,) float32 final vector of the new node with `start` (d,) at layer 0."""

    @abstractmethod
    def tangent(self, edges: NewEdges, start: np.ndarray, form: str) -> Tangent:
        """The final vector as a function of `start` alone, for fine-tuning."""

    @property
    @abstractmethod
    def layer_0(self) -> np.ndarray:
        """(n_items, d) float32 what the films start from"""

    @cached_property
    def spread(self) -> float:
        """Root mean square of layer 0: the unit of a fine-tuning step."""
        return max(float(np.sqrt(np.mean(self.layer_0.astype(np.float64) ** 2))), EPSILON)

    def edges(self, items: np.ndarray, weights: np.ndarray) -> NewEdges:
        return NewEdges.of(items, weights, self.rows.degrees)


class Tangent(ABC):
    """A final vector and how it answers to the node's own layer 0."""

    @abstractmethod
    def at(self, start: np.ndarray) -> np.ndarray:
        """(d,) -> (f,) final vector"""

    @abstractmethod
    def pull_back(self, gradient: np.ndarray) -> np.ndarray:
        """(f,) gradient at the last `at` -> (d,) gradient of `start`"""


# -- LightGCN ------------------------------------------------------------------------------------


class LightGCNNode(NewNode):
    """layers[k] (n_items, d) float32 is E^(k) of the films, k = 0 .. L - 1; alpha (L + 1,); films = E."""

    def __init__(
        self, rows: ItemRows, layers: Sequence[np.ndarray], alpha: np.ndarray, films: np.ndarray
    ) -> None:
        self.rows, self.layers, self.films = rows, list(layers), films
        self.alpha = np.asarray(alpha, dtype=np.float32)

    @property
    def layer_0(self) -> np.ndarray:
        return self.layers[0]

    def initial(self, edges: NewEdges) -> np.ndarray:
        """Nothing for one or two films, their mean from five on, in between a blend."""
        share = min(max((len(edges.items) - 2) / 3, 0.0), 1.0)
        return np.float32(share) * edges.mean_of(self.layers[0])

    def vector(self, edges: NewEdges, start: np.ndarray, form: str) -> np.ndarray:
        here = [layer[edges.items] for layer in self.layers]
        return self._combined(edges, here, start, self._near(edges, form))

    def tangent(self, edges: NewEdges, start: np.ndarray, form: str) -> Tangent:
        """Exact: the final vector is affine in `start`, with the same factor in every dimension."""
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
        """The new node's alpha-weighted layers; here[k] (S, d) is E^(k) of its films before."""
        c, s = edges.c, edges.s
        node, films, films_before = start, here[0], here[0]
        total = self.alpha[0] * start
        for k in range(len(here)):
            following = c[:, 0] @ films
            if k + 1 < len(here):
                table = here[k + 1]
                if near is not None and k >= 1:
                    # What N(S) pass on of the change of S two layers ago.
                    table = table + near.there_and_back(s * films_before - here[k - 1])
                films_before, films = films, s * table + c * node
            node = following
            total = total + self.alpha[k + 1] * node
        return total


class _Affine(Tangent):
    def __init__(self, constant: np.ndarray, factor: np.ndarray) -> None:
        self.constant, self.factor = constant, factor

    def at(self, start: np.ndarray) -> np.ndarray:
        return self.constant + self.factor * start

    def pull_back(self, gradient: np.ndarray) -> np.ndarray:
        return self.factor * gradient


# -- NGCF ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NGCFLayer:
    """w1, w2 (in, out), b1, b2 (out,), all float32"""

    w1: np.ndarray
    w2: np.ndarray
    b1: np.ndarray
    b2: np.ndarray

    def before_activation(self, x: np.ndarray, message: np.ndarray, row_sums: np.ndarray) -> np.ndarray:
        """x, message (..., in), row_sums (..., 1) -> (..., out); see pytorch_models.graph.ngcf"""
        product = (x + message) @ self.w1 + (message * x) @ self.w2
        return product + self.b1 + row_sums * (self.b1 + self.b2)

    def __call__(self, x: np.ndarray, message: np.ndarray, row_sums: np.ndarray) -> np.ndarray:
        return leaky(self.before_activation(x, message, row_sums))


@dataclass(frozen=True)
class NGCFTables:
    """What a new node meets of the others before it came, all float32.

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
    def __init__(
        self, rows: ItemRows, layers: Sequence[NGCFLayer], tables: NGCFTables, films: np.ndarray
    ) -> None:
        self.rows, self.layers, self.tables, self.films = rows, list(layers), tables, films

    @property
    def layer_0(self) -> np.ndarray:
        return self.tables.item_layers[0]

    def initial(self, edges: NewEdges) -> np.ndarray:
        """People who met the same films, and the average person while little is known.

        Never zero, which would lose the product of node and message at layer 1; and not the mean of
        the films, since a layer's matrices expect the row of a person here: with it NDCG@10 of
        MovieLens 100K validation guests is .32 after two films, with people .58, popularity .53.
        """
        heard = self.tables.item_messages[0][edges.items]
        sums = self.rows.row_sums[edges.items][:, None]
        people = np.divide(heard, sums, out=np.zeros_like(heard), where=sums > 0)
        alike = (edges.weights @ people) / edges.weights.sum()
        unknown = _KNOWN_BY / (_KNOWN_BY + len(edges.items))
        return np.float32(_ALIKE) * alike + np.float32(_AVERAGE * unknown) * self.tables.average_user

    def vector(self, edges: NewEdges, start: np.ndarray, form: str) -> np.ndarray:
        node, total = start, edges.c.sum(axis=0)
        parts = [start]
        for layer, message in zip(self.layers, self._messages(edges, start, form), strict=True):
            node = layer(node, message, total)
            parts.append(of_length_1(node))
        return np.concatenate(parts)

    def tangent(self, edges: NewEdges, start: np.ndarray, form: str) -> Tangent:
        """The messages to the node are held: what it hears back of itself is of order c squared."""
        return _OwnPath(self.layers, list(self._messages(edges, start, form)), float(edges.c.sum()))

    def _messages(self, edges: NewEdges, start: np.ndarray, form: str) -> list[np.ndarray]:
        """[k] (d_k,) what the new node hears at layer k: sum of c_i times its films' rows."""
        tables, items, c, s = self.tables, edges.items, edges.c, edges.s
        near = None
        if form == "exact" and len(self.layers) >= 3:
            near = Neighbourhood(self.rows, items)
        films, node, total = tables.item_layers[0][items], start, c.sum(axis=0)
        row_sums = s * self.rows.row_sums[items][:, None] + c
        messages = []
        films_change: np.ndarray = (s - 1) * films  # of what S send to N(S)
        users_change: np.ndarray | None = None  # of the rows of N(S)
        for k, layer in enumerate(self.layers):
            messages.append(c[:, 0] @ films)
            if k + 1 == len(self.layers):
                break
            heard = tables.item_messages[k][items]
            if near is not None and users_change is not None:
                heard = heard + near.from_users(users_change)
            films_after = layer(films, s * heard + c * node, row_sums)
            if near is not None and k + 2 < len(self.layers):
                users_change = self._users_change(k, near, films_change, users_change, s)
                films_change = s * films_after - tables.item_layers[k + 1][items]
            node = layer(node, messages[-1], total)
            films = films_after
        return messages

    def _users_change(
        self,
        k: int,
        near: Neighbourhood,
        films_change: np.ndarray,
        users_change: np.ndarray | None,
        s: np.ndarray,
    ) -> np.ndarray:
        """(V, d_{k+1}) by how much the rows of N(S) differ from their table after layer k."""
        tables, layer = self.tables, self.layers[k]
        more_heard = near.to_users(films_change)
        more_row_sum = near.to_users(s - 1)
        if k == 0:
            # Their own rows are still the old ones, so the input of LeakyReLU is the cached one plus this.
            x = tables.user_layers[0][near.users]
            before = tables.user_before[near.users]  # type: ignore[index]
            more = more_heard @ layer.w1
            more += (more_heard * x) @ layer.w2
            more += more_row_sum * (layer.b1 + layer.b2)
            more += before
            return leaky(more) - leaky(before)
        x = tables.user_layers[k][near.users] + users_change
        heard = tables.user_messages[k][near.users] + more_heard
        row_sums = self._user_row_sums[near.users][:, None] + more_row_sum
        return layer(x, heard, row_sums) - tables.user_layers[k + 1][near.users]

    @cached_property
    def _user_row_sums(self) -> np.ndarray:
        """(n_users,) float32 row sums of A_hat"""
        degrees = self.rows.degrees
        scale = np.divide(1.0, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0)
        per_edge = np.repeat(scale, np.diff(self.rows.indptr))
        sums = np.bincount(self.rows.users, weights=per_edge, minlength=self.rows.n_users)
        return (sums * self.rows.user_scale).astype(np.float32)


class _OwnPath(Tangent):
    """The layers of NGCF for one node with its messages held."""

    def __init__(self, layers: Sequence[NGCFLayer], messages: list[np.ndarray], row_sum: float) -> None:
        self.layers, self.messages, self.row_sum = layers, messages, np.array([row_sum], np.float32)
        self._outputs: list[np.ndarray] = []

    def at(self, start: np.ndarray) -> np.ndarray:
        self._outputs = [start]
        for layer, message in zip(self.layers, self.messages, strict=True):
            self._outputs.append(layer(self._outputs[-1], message, self.row_sum))
        return np.concatenate([start, *(of_length_1(x) for x in self._outputs[1:])])

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
    """LeakyReLU with SLOPE."""
    return np.maximum(x, np.float32(SLOPE) * x)


def of_length_1(x: np.ndarray) -> np.ndarray:
    """(..., d) rows scaled to length 1."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), np.float32(EPSILON))


# -- fine-tuning ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class FineTuning:
    """BPR steps (UAI 2009) on the new node's own layer 0, which is a copy; no table is touched.

    steps      0 = none
    rate       of Adam, as a share of the root mean square of the films' layer 0
    budget_ms  CPU-milliseconds of the calling thread; when they run out, the answer is the one
               without fine-tuning, so that a history has one list and not one per load of the machine
    """

    steps: int = 0
    rate: float = 0.1
    budget_ms: float = 50.0


def seed_of(edges: NewEdges, disliked: np.ndarray) -> int:
    """The same history draws the same negatives in every process."""
    digest = hashlib.blake2b(digest_size=8)
    for array in (edges.items, edges.weights, np.unique(disliked)):
        digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(b"|")
    return int.from_bytes(digest.digest(), "little")


def fine_tuned(
    node: NewNode, edges: NewEdges, start: np.ndarray, disliked: np.ndarray, how: FineTuning
) -> np.ndarray | None:
    """(d,) float32: `start` after `how.steps` of Adam; None when the budget ran out.

    In each step every liked film, by its weight, meets one film drawn from the rest of the catalogue
    and, when there are disliked films, one of those.
    """
    limit = time.thread_time() + how.budget_ms / 1000
    rng = np.random.default_rng(seed_of(edges, disliked))
    # The local form is near enough for a direction; the answer is then made in the form asked for.
    films, tangent = node.films, node.tangent(edges, start, "local")
    n_items, n_liked = len(films), len(edges.items)
    disliked = np.setdiff1d(disliked, edges.items)
    if n_liked + len(disliked) >= n_items and not len(disliked):
        return start  # nothing is left to compare with
    liked = films[edges.items]
    rate = np.float32(how.rate * node.spread)
    weights = edges.weights / edges.weights.sum()
    vector = start.astype(np.float32, copy=True)
    mean: np.ndarray = np.zeros_like(vector)
    square: np.ndarray = np.zeros_like(vector)
    excluded = np.zeros(n_items, dtype=bool)
    excluded[edges.items] = True
    for step in range(1, how.steps + 1):
        if time.thread_time() > limit:
            return None
        drawn = rng.integers(0, n_items, n_liked)
        drawn = np.where(excluded[drawn], rng.integers(0, n_items, n_liked), drawn)
        pairs = [(films[drawn], weights * ~excluded[drawn])]
        if len(disliked):
            pairs.append((films[disliked[rng.integers(0, len(disliked), n_liked)]], weights))
        final = tangent.at(vector)
        gradient = np.zeros(len(final), dtype=np.float32)
        for against, pair_weights in pairs:
            difference = liked - against
            margin = np.clip(difference @ final, -30, 30)
            gradient -= (pair_weights / (1 + np.exp(margin))).astype(np.float32) @ difference
        slope = tangent.pull_back(gradient)
        mean = 0.9 * mean + 0.1 * slope
        square = 0.999 * square + 0.001 * slope * slope
        corrected = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        vector = (vector - rate * (mean / (1 - 0.9**step)) / corrected).astype(np.float32)
    return vector
