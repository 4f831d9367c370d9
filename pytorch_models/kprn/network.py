"""KPRN: an LSTM reads each path from a visitor to a film, and the scores of all paths to a film are pooled.

Wang et al., "Explainable Reasoning over Knowledge Graphs for Recommendation" (AAAI 2019). Each step of a
path is an entity, its type and the relation that leaves it (eq. 2):

    x_l = e_l + e'_l + r_l        (concatenated)
    h_l = LSTM(x_l, h_{l-1})      (eq. 3-8)
    s   = w2 . relu(W1 h_L)       (eq. 10)
    score of a film = log sum over its paths of exp(s / gamma)      (eq. 11)

Three things differ. Users are one entity, which stands for the visitor and for everybody on a path, so
that somebody who was never seen is served by the same weights; a path over users stands for many. How a
path is walked (how many people it stands for, how many films share its entity, how long ago its film was
seen) adds `walk . features` to s, which an LSTM over entities cannot count; `walk=False` is without. And
one path leads to every film from people in general, with s = bias + weight * log popularity: a prior for
those of whom little is known, which each film of a history outweighs a little more. It belongs to no
history, so nothing is explained by it, and a film that it alone leads to counts as one without a path;
`general=False` is without.

Paths are read as a tree (`datasets.knowledge_graph.paths.Trie`): what paths share is read once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from datasets.knowledge_graph.path_graph import PathGraph
from datasets.knowledge_graph.paths import FEATURES, Paths
from datasets.knowledge_graph.trie import Trie, build_trie

POOLINGS = ("lse", "max", "mean")
INITIAL_STD = 0.1
# Where the walk starts: a cosine of films for people, one divided by the films of an entity.
# Among guests of MovieLens 1M a path over an entity, or a long one, says far less than one over people.
WALK = {"alike": 0.65, "films_of_x": -1.0, "age": -0.1, "entities": -3.7, "long": -3.7}
GENERAL = (-1.2, 0.5)  # bias, weight
NO_PATH = -30.0  # what a film without a path scores in a loss: as good as nothing


@dataclass(frozen=True)
class KprnConfig:
    """Configures the network.

    dim          of an entity's vector; `small_dim` of a type's and a relation's
    hidden       of the LSTM and the scorer
    relations, types   whether a step tells its relation, its type
    walk         whether s has the term `walk . features`
    general      whether a path leads to every film from people in general
    pooling      lse, max or mean
    gamma        of the pooling (eq. 11)
    dropout      share of entities that lose their own vector in a training step, and keep their type
    """

    n_entities: int
    n_types: int
    n_relations: int
    dim: int = 32
    small_dim: int = 8
    hidden: int = 32
    relations: bool = True
    types: bool = True
    walk: bool = True
    general: bool = True
    pooling: str = "lse"
    gamma: float = 1.0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, not {self.pooling!r}")
        if min(self.dim, self.small_dim, self.hidden) < 1 or self.gamma <= 0 or not 0 <= self.dropout < 1:
            raise ValueError("dim, small_dim and hidden must be 1 or more, gamma above 0, dropout in [0, 1)")


@dataclass(frozen=True)
class TreeBatch:
    """Holds a `Trie` and its paths as tensors; entities by their position in `entities`.

    entities (U,) int64; levels [(parent, entity, relation)]; leaf_parent [(n,), (m,)] and leaf_entity the
    same, short paths first; order (P,) int64: where each path's score is; features (P, F) and target (P,);
    popularity (n_targets,): see PathGraph.log_popularity
    """

    entities: torch.Tensor
    levels: tuple[tuple[torch.Tensor, torch.Tensor, torch.Tensor], ...]
    leaf_parent: tuple[torch.Tensor, torch.Tensor]
    leaf_entity: tuple[torch.Tensor, torch.Tensor]
    order: torch.Tensor
    features: torch.Tensor
    target: torch.Tensor
    popularity: torch.Tensor

    @property
    def n_targets(self) -> int:
        return len(self.popularity)

    @classmethod
    def from_paths(
        cls, graph: PathGraph, paths: Paths, films: np.ndarray, known: np.ndarray | None = None
    ) -> TreeBatch:
        """Build the batch of these paths to the targets `films` (n_targets,); `known` as in `find_paths`."""
        trie: Trie = build_trie(graph, paths)
        ends = (paths.films[trie.short, 2], paths.films[trie.long, 2])
        every = [np.array([graph.user]), *(level.entity for level in trie.levels), *ends]
        entities, positions = np.unique(np.concatenate(every), return_inverse=True)
        local = np.split(positions, np.cumsum([len(each) for each in every])[:-1])
        order = np.empty(len(paths), dtype=np.int64)
        order[np.concatenate([trie.short, trie.long])] = np.arange(len(paths))
        tensor = torch.from_numpy
        return cls(
            tensor(entities),
            tuple(
                (tensor(level.parent), tensor(entity), tensor(level.relation))
                for level, entity in zip(trie.levels, local[1:5], strict=True)
            ),
            (tensor(trie.short_parent), tensor(trie.long_parent)),
            (tensor(local[5]), tensor(local[6])),
            tensor(order),
            tensor(paths.features),
            tensor(paths.target),
            tensor(graph.log_popularity(films, known)),
        )


class Kprn(nn.Module):
    """Holds the network; `kinds` is the type of each entity; the last entity is the user."""

    kinds: torch.Tensor

    def __init__(
        self, config: KprnConfig, kinds: np.ndarray, rated: int, generator: torch.Generator | None = None
    ) -> None:
        """Initialise the weights; `rated` is the relation from a user to a film."""
        super().__init__()
        self.config, self.rated, self.end = config, rated, config.n_relations - 1
        self.entities = nn.Parameter(torch.empty(config.n_entities, config.dim))
        self.types = nn.Parameter(torch.empty(config.n_types, config.small_dim))
        self.relations = nn.Parameter(torch.empty(config.n_relations, config.small_dim))
        self.read = nn.Linear(config.dim + 2 * config.small_dim, 4 * config.hidden)  # i, f, g, o
        self.remember = nn.Linear(config.hidden, 4 * config.hidden, bias=False)
        self.inner = nn.Linear(config.hidden, config.hidden)
        self.outer = nn.Linear(config.hidden, 1)
        start = torch.tensor([WALK.get(name, 0.0) for name in FEATURES])
        self.walk = nn.Parameter(start if config.walk else torch.zeros_like(start))
        self.walk.requires_grad_(config.walk)
        self.general = nn.Parameter(torch.tensor(GENERAL), requires_grad=config.general)
        self.register_buffer("kinds", torch.as_tensor(kinds.astype(np.int64)))
        for table in (self.entities, self.types, self.relations):
            nn.init.normal_(table, std=INITIAL_STD, generator=generator)
        for layer in (self.read, self.remember, self.inner):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(self.read.bias)
        nn.init.zeros_(self.inner.bias)
        # At first every path counts as it is walked, and the network learns what to change.
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)
        with torch.no_grad():
            self.read.bias[config.hidden : 2 * config.hidden] = 1.0  # remember, to begin with

    def forward(self, batch: TreeBatch) -> torch.Tensor:
        """Compute (P,) the score s of each path."""
        config = self.config
        own = self.entities.index_select(0, batch.entities)
        if self.training and config.dropout:
            kept = torch.rand(len(own), 1, device=own.device) >= config.dropout
            own = own * kept / (1 - config.dropout)
        by_entity, by_type, by_relation = self.read.weight.split(
            [config.dim, config.small_dim, config.small_dim], dim=1
        )
        step = own @ by_entity.t() + self.read.bias  # (U, 4H)
        if config.types:
            step = step + (self.types @ by_type.t()).index_select(0, self.kinds[batch.entities])
        relations = self.relations @ by_relation.t() if config.relations else None  # (R, 4H)

        def gates(entity: torch.Tensor, relation: torch.Tensor | int) -> torch.Tensor:
            rows = step.index_select(0, entity)
            if relations is None:
                return rows
            return rows + (
                relations[relation] if isinstance(relation, int) else relations.index_select(0, relation)
            )

        user = torch.full((1,), len(batch.entities) - 1, device=own.device)
        hidden, cell = _lstm(gates(user, self.rated), None)
        states = []
        for parent, entity, relation in batch.levels:
            remembered = self.remember(hidden).index_select(0, parent)
            hidden, cell = _lstm(gates(entity, relation) + remembered, cell.index_select(0, parent))
            states.append((hidden, cell))
        ends = []
        for (hidden, cell), parent, entity in zip(
            (states[1], states[3]), batch.leaf_parent, batch.leaf_entity, strict=True
        ):
            remembered = self.remember(hidden).index_select(0, parent)
            ends.append(_lstm(gates(entity, self.end) + remembered, cell.index_select(0, parent))[0])
        last = torch.cat(ends)  # (P, H)
        scores = self.outer(functional.relu(self.inner(last)))[:, 0]
        return scores.index_select(0, batch.order) + batch.features @ self.walk

    def pooled(self, batch: TreeBatch) -> torch.Tensor:
        """Compute (n_targets,) the score of each film (eq. 11); NO_PATH where there is no path."""
        config, scores, target, n = self.config, self(batch), batch.target, batch.n_targets
        if not config.general:
            return pool(scores, target, n, config.pooling, config.gamma)
        reached = torch.zeros(n, dtype=torch.bool, device=scores.device)
        reached[target] = True
        general = self.general[0] + self.general[1] * batch.popularity
        scores = torch.cat([scores, general])
        target = torch.cat([target, torch.arange(n, device=target.device)])
        return torch.where(reached, pool(scores, target, n, config.pooling, config.gamma), NO_PATH)


def _lstm(gates: torch.Tensor, cell: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute hidden and cell, (n, H) each, from gates (n, 4H) and the last cell (n, H) (eq. 4-8)."""
    i, f, g, o = gates.chunk(4, dim=1)
    new = torch.sigmoid(i) * torch.tanh(g)
    if cell is not None:
        new = new + torch.sigmoid(f) * cell
    return torch.sigmoid(o) * torch.tanh(new), new


def pool(
    scores: torch.Tensor, target: torch.Tensor, n_targets: int, pooling: str, gamma: float
) -> torch.Tensor:
    """Pool scores of paths (P,) into scores of films (n_targets,); eq. 11, or max or mean."""
    if pooling == "mean":
        total = scores.new_zeros(n_targets).index_add(0, target, scores)
        count = scores.new_zeros(n_targets).index_add(0, target, torch.ones_like(scores))
        return torch.where(count > 0, total / count.clamp_min(1), NO_PATH)
    highest = scores.new_full((n_targets,), -torch.inf).scatter_reduce(0, target, scores, "amax")
    if pooling == "max":
        return torch.where(torch.isfinite(highest), highest, NO_PATH)
    shift = highest.detach().clamp_min(NO_PATH)
    spread = torch.exp((scores - shift.index_select(0, target)) / gamma)
    total = scores.new_zeros(n_targets).index_add(0, target, spread)
    some = total > 0
    return torch.where(some, torch.log(torch.where(some, total, 1.0)) + shift / gamma, NO_PATH)
