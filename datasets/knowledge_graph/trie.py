"""Paths as a tree of their prefixes, so that a recurrent network reads each prefix once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.knowledge_graph.path_graph import PathGraph
from datasets.knowledge_graph.paths import Paths


@dataclass(frozen=True)
class Level:
    """Holds the nodes of one depth: each continues a `parent` of the level before by relation and entity."""

    parent: np.ndarray  # (n,) int64
    entity: np.ndarray  # (n,) int64
    relation: np.ndarray  # (n,) int64


@dataclass(frozen=True)
class Trie:
    """Holds paths with equal prefixes written once.

    levels  films of the history, then x, then films in the middle, then y; the visitor is the root
    short   (n,) int64 paths of length 3, their parent in levels[1]; `short_parent`
    long    (m,) int64 paths of length 5, their parent in levels[3]; `long_parent`
    """

    levels: tuple[Level, ...]
    short: np.ndarray
    short_parent: np.ndarray
    long: np.ndarray
    long_parent: np.ndarray


def build_trie(graph: PathGraph, paths: Paths) -> Trie:
    """Build the tree of the prefixes of paths; the visitors are one and the same root."""
    n_codes = 2 * graph.n_relations + 1
    films, via, relations = paths.films, paths.via, paths.relations

    def level(parent: np.ndarray, entity: np.ndarray, relation: np.ndarray) -> tuple[Level, np.ndarray]:
        keys = (parent * graph.n_entities + entity) * n_codes + relation
        _, one, node = np.unique(keys, return_index=True, return_inverse=True)
        return Level(parent[one], entity[one], relation[one]), node

    first, at = level(np.zeros(len(paths), dtype=np.int64), films[:, 0], relations[:, 0])
    second, at = level(at, via[:, 0], relations[:, 1])
    long = np.flatnonzero(films[:, 1] >= 0)
    third, after = level(at[long], films[long, 1], relations[long, 2])
    fourth, after = level(after, via[long, 1], relations[long, 3])
    short = np.flatnonzero(films[:, 1] < 0)
    return Trie((first, second, third, fourth), short, at[short], long, after)
