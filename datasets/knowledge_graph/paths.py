"""Paths from a visitor through the films of their history to other films, as arrays.

    visitor - film - x - film                length 3
    visitor - film - x - film - y - film     length 5

x and y are entities of a `PathGraph`: persons, genres, countries, decades, or other users, who are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

PEOPLE, LINK, HUB, LONG = range(4)  # kinds of paths
FEATURES = (
    "alike", "people", "of_history_film", "of_target", "films_of_x", "of_target_by_x", "age",
    "entities", "long",
)  # fmt: skip


@dataclass(frozen=True)
class Caps:
    """Bounds a path search.

    history      latest films of a history that paths start from
    people, link, hub, long   paths of each kind to one film, the strongest
    per_hub      films of the history that one hub is reached from, the latest
    middles      films in the middle of paths of length 5
    candidates   films that an open search finds
    """

    history: int = 100
    people: int = 24
    link: int = 12
    hub: int = 6
    long: int = 3
    per_hub: int = 3
    middles: int = 24
    candidates: int = 300


EXPLAINING = Caps()  # what can be named as a reason
RANKING = Caps(people=40, candidates=1000)  # more people and films count than are named


@dataclass(frozen=True)
class Histories:
    """Holds the films of several visitors in one array, oldest first.

    films (T,) int64; owner (T,) int64, whose, ascending; age (T,) int64, 0 for the latest of each
    """

    films: np.ndarray
    owner: np.ndarray
    age: np.ndarray
    n_cases: int

    @classmethod
    def from_items(cls, histories: Sequence[np.ndarray], max_length: int) -> Histories:
        """Take the latest `max_length` films of each history, item indices (T,) oldest first."""
        kept = [np.asarray(films, dtype=np.int64)[-max_length:] for films in histories]
        lengths = np.array([len(films) for films in kept], dtype=np.int64)
        owner = np.repeat(np.arange(len(kept)), lengths)
        return cls.from_columns(np.concatenate([*kept, np.empty(0, np.int64)]), owner, len(kept))

    @classmethod
    def from_columns(cls, films: np.ndarray, owner: np.ndarray, n_cases: int) -> Histories:
        """Take rows that are sorted by owner and, within one, oldest first."""
        ends = np.cumsum(np.bincount(owner, minlength=n_cases))
        return cls(films, owner, ends[owner] - 1 - np.arange(len(films)), n_cases)


@dataclass(frozen=True)
class Targets:
    """Holds the films to find paths to: films (N,) int64, each once per owner; owner (N,) int64."""

    films: np.ndarray
    owner: np.ndarray


@dataclass(frozen=True)
class Paths:
    """Holds P paths, in order of the target and the kind, the strongest first.

    target   (P,) int64 into the targets
    row    (P,) int64 into the histories' rows: where the path starts
    kind     (P,) int8, one of PEOPLE, LINK, HUB, LONG
    films    (P, 3) int64: the history's film, the one in the middle or -1, the target
    via      (P, 2) int64: the entities x and y; y is -1 in a path of length 3
    relations  (P, 4) int64: film -> x, x -> film, film -> y, y -> film; -1 where there is none
    people   (P, 2) int64, see PathGraph.hop_people
    features (P, len(FEATURES)) float32: how the path is walked, see `datasets.knowledge_graph.search`
    """

    target: np.ndarray
    row: np.ndarray
    kind: np.ndarray
    films: np.ndarray
    via: np.ndarray
    relations: np.ndarray
    people: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    def select(self, mask: np.ndarray) -> Paths:
        """Return the paths of mask (P,) bool."""
        return Paths(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})
