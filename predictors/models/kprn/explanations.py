"""Explanations of KPRN: from scored paths to reasons, each a path by the keys of its entities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.knowledge_graph.path_graph import PathGraph
from datasets.knowledge_graph.paths import Paths
from predictors.explain import CLICKED, LIKED, RATED, SOMEONE, WATCHED, WATCHLIST, PathReason, PathStep
from predictors.history import History, MovieId
from predictors.id_map import IdMap

INVERSE = "^-1"  # as in datasets.knowledge_graph.graph, which serving does not need


@dataclass(frozen=True)
class Entities:
    """Holds keys and names of the entities after the films of a path graph, without the user."""

    keys: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class PathNames:
    """Translates the numbers of a path into keys and relation names."""

    ids: IdMap
    graph: PathGraph
    entities: Entities

    def key_of(self, entity: int) -> str:
        """Return the key of an entity: "movie:12", "person:5", or SOMEONE for any user."""
        n_items = len(self.ids)
        if entity < n_items:
            return f"movie:{self.ids[entity]}"
        return SOMEONE if entity == self.graph.user else self.entities.keys[entity - n_items]

    def name_of(self, key: str) -> str:
        """Return the name of an entity that is no film, as it was during training; else the key."""
        try:
            return self.entities.names[self.entities.keys.index(key)]
        except ValueError:
            return key

    def relation_name(self, code: int) -> str:
        """Return the name of a relation, with INVERSE where it leads to a film."""
        names = self.graph.relation_names
        return names[code] if code < len(names) else names[code - len(names)] + INVERSE

    def steps(self, history: History, paths: Paths, path: int) -> tuple[PathStep, ...]:
        """Return the steps of one path, from the film of the history to the recommended one."""
        start, middle, target = paths.films[path].tolist()
        steps = [PathStep(_first_relation(history, self.ids[start]), self.key_of(start))]
        ends = (target,) if middle < 0 else (middle, target)
        for hop, end in enumerate(ends):
            forward, backward = paths.relations[path, 2 * hop : 2 * hop + 2].tolist()
            steps.append(PathStep(self.relation_name(forward), self.key_of(int(paths.via[path, hop]))))
            steps.append(PathStep(self.relation_name(backward), self.key_of(end)))
        return tuple(steps)


def path_shares(paths: Paths, scores: np.ndarray) -> np.ndarray:
    """Return (P,) float64 the softmax of scores (P,) over the paths to each target, P >= 1."""
    starts = np.flatnonzero(np.append(True, paths.target[1:] != paths.target[:-1]))
    sizes = np.diff(np.append(starts, len(scores)))
    weights = np.exp(scores - np.repeat(np.maximum.reduceat(scores, starts), sizes))
    return weights / np.repeat(np.add.reduceat(weights, starts), sizes)


def path_reasons(
    names: PathNames, history: History, paths: Paths, shares: np.ndarray, *, rows: slice, limit: int
) -> tuple[PathReason, ...]:
    """Choose the reasons of one film from its paths `rows`: up to `limit` over people and `limit` others.

    Paths that differ in the relations alone are one reason, with their shares added. No two reasons lead
    over the same entity from the same film of the history.
    """
    merged: dict[tuple[int, ...], list[float]] = {}  # films and entities of a path -> share, its best path
    order = rows.start + np.argsort(-shares[rows], kind="stable")
    for path in order.tolist():
        nodes = (*paths.films[path].tolist(), *paths.via[path].tolist())
        merged.setdefault(nodes, [0.0, path])[0] += float(shares[path])
    over_people = (paths.via == names.graph.user).any(axis=1)
    reasons: list[PathReason] = []
    used: set[tuple[int, int]] = set()
    left = {True: limit, False: limit}
    for share, path in sorted(merged.values(), key=lambda found: -found[0]):
        first, (x, y) = int(paths.films[int(path), 0]), paths.via[int(path)].tolist()
        connecting, family = (first, x if y < 0 else y), bool(over_people[int(path)])
        if connecting in used or not left[family]:
            continue
        used.add(connecting)
        left[family] -= 1
        reasons.append(PathReason(names.steps(history, paths, int(path)), share))
    return tuple(reasons)


def _first_relation(history: History, film: MovieId) -> str:
    """Return what the visitor did with the film that a path begins at."""
    if film in history.ratings:
        return RATED
    if film in history.watches:
        return WATCHED
    if film in history.watchlist:
        return WATCHLIST
    return CLICKED if film in history.clicked else LIKED
