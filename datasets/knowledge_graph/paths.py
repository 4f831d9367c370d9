"""Paths from a visitor through the films of their history to other films, found by array gathers alone.

    visitor - film - x - film                length 3
    visitor - film - x - film - y - film     length 5

x and y are entities of a `PathGraph`: persons, genres, countries, decades, or other users, who are one.
All searches are bounded by `Caps` and deterministic: among equals the lower index wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from datasets.knowledge_graph.path_graph import SHRINKAGE, PathGraph, heaviest, rows_of, within_groups

PEOPLE, LINK, HUB, LONG = range(4)  # kinds of paths
HUB_WEIGHT = 0.1
RECENCY = 0.25  # the n-th latest film of a history weighs n ** -RECENCY in a search
FEATURES = ("alike", "people", "of_history_film", "of_target", "films_of_x", "of_target_by_x", "age")


@dataclass(frozen=True)
class Caps:
    """Bounds of a search.

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


@dataclass(frozen=True)
class Histories:
    """Films of several visitors in one array, oldest first.

    films (T,) int64; owner (T,) int64, whose, ascending; age (T,) int64, 0 for the latest of each
    """

    films: np.ndarray
    owner: np.ndarray
    age: np.ndarray
    n_cases: int

    @classmethod
    def of(cls, histories: Sequence[np.ndarray], longest: int) -> Histories:
        """The latest `longest` films of each."""
        kept = [np.asarray(films, dtype=np.int64)[-longest:] for films in histories]
        lengths = np.array([len(films) for films in kept], dtype=np.int64)
        owner = np.repeat(np.arange(len(kept)), lengths)
        return cls.from_columns(np.concatenate([*kept, np.empty(0, np.int64)]), owner, len(kept))

    @classmethod
    def from_columns(cls, films: np.ndarray, owner: np.ndarray, n_cases: int) -> Histories:
        """From rows that are sorted by owner and, within, oldest first."""
        ends = np.cumsum(np.bincount(owner, minlength=n_cases))
        return cls(films, owner, ends[owner] - 1 - np.arange(len(films)), n_cases)


@dataclass(frozen=True)
class Targets:
    """Films asked about: films (N,) int64, each once per owner; owner (N,) int64."""

    films: np.ndarray
    owner: np.ndarray


@dataclass(frozen=True)
class Paths:
    """P paths, in order of the target and the kind, the strongest first.

    target   (P,) int64 into the targets
    place    (P,) int64 into the histories' rows: where the path starts
    kind     (P,) int8, one of PEOPLE, LINK, HUB, LONG
    films    (P, 3) int64: the history's film, the one in the middle or -1, the target
    via      (P, 2) int64: the entities x and y; y is -1 in a path of length 3
    relations  (P, 4) int64: film -> x, x -> film, film -> y, y -> film; -1 where there is none
    people   (P, 2) int64, see PathGraph.hop_people
    features (P, len(FEATURES)) float32: how the path is walked, see `_features`
    """

    target: np.ndarray
    place: np.ndarray
    kind: np.ndarray
    films: np.ndarray
    via: np.ndarray
    relations: np.ndarray
    people: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    def select(self, mask: np.ndarray) -> Paths:
        """Those of mask (P,) bool."""
        return Paths(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})


# -- searching -----------------------------------------------------------------------------------


def candidates(
    graph: PathGraph, histories: Histories, seen: Sequence[np.ndarray], caps: Caps
) -> list[np.ndarray]:
    """The open search: the films each history leads to most strongly over hops, then over hubs.

    Returns up to caps.candidates items per case, the strongest first; none of `seen` or of the history.
    """
    edges, place = rows_of(graph.hop_indptr, histories.films)
    recency = (1.0 + histories.age) ** -RECENCY
    owner = histories.owner[place]
    shape = (histories.n_cases, graph.n_items)
    reached = np.bincount(
        owner * graph.n_items + graph.hop_film[edges],
        weights=graph.hop_weight[edges] * recency[place],
        minlength=shape[0] * shape[1],
    ).reshape(shape)
    found = []
    for case in range(histories.n_cases):
        mass = reached[case]
        own = histories.films[histories.owner == case]
        if np.count_nonzero(mass) < caps.candidates + len(own):
            mass = mass + _hub_mass(graph, own)
        mass[own] = 0
        mass[seen[case]] = 0
        wanted = min(caps.candidates, int(np.count_nonzero(mass)))
        if wanted == 0:
            found.append(np.empty(0, dtype=np.int64))
            continue
        threshold = np.partition(mass, len(mass) - wanted)[len(mass) - wanted]
        some = np.flatnonzero(mass >= threshold)
        found.append(some[np.argsort(-mass[some], kind="stable")[:wanted]])
    return found


def _hub_mass(graph: PathGraph, films: np.ndarray) -> np.ndarray:
    """(n_items,) float64, always less than any hop: how much of the history each film shares hubs with."""
    edges, _ = rows_of(graph.hub_indptr, films)
    shared = np.bincount(graph.hub_of[edges], minlength=graph.n_entities)
    shared = shared / np.maximum(graph.n_films, 1)
    every = np.repeat(np.arange(graph.n_items), np.diff(graph.hub_indptr))
    mass = np.bincount(every, weights=shared[graph.hub_of], minlength=graph.n_items)
    popular = 1.0 + graph.met / max(int(graph.met.max(initial=1)), 1)
    return 1e-6 * mass * popular


def towards(
    graph: PathGraph,
    histories: Histories,
    targets: Targets,
    caps: Caps,
    *,
    known: np.ndarray | None = None,
) -> Paths:
    """The strongest paths of each kind from the histories to these films.

    No path leads through another film of the history or twice through the same entity.

    known  (N,) bool, in training: targets that the history's own person met, in the rows the graph was built
           from. Of the people on a path to them that person is left out.
    """
    n_items = graph.n_items
    place_of = np.full(histories.n_cases * n_items, -1, dtype=np.int64)
    place_of[targets.owner * n_items + targets.films] = np.arange(len(targets.films))
    recency = (1.0 + histories.age) ** -RECENCY

    edges, place = rows_of(graph.hop_indptr, histories.films)
    target = place_of[histories.owner[place] * n_items + graph.hop_film[edges]]
    hit = np.flatnonzero(target >= 0)
    edges, place, target = edges[hit], place[hit], target[hit]
    nothing = np.full(len(edges), -1, dtype=np.int64)
    parts = [
        _Found(
            target,
            place,
            np.where(graph.hop_people[edges] > 0, PEOPLE, LINK),
            graph.hop_weight[edges] * recency[place],
            edges,
            nothing,
        ),
        _hub_paths(graph, histories, targets, caps),
        _long_paths(graph, histories, place_of, recency, caps),
    ]
    found = _Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    limits = np.array([caps.people, caps.link, caps.hub, caps.long])
    kept, _ = heaviest(found.target * len(limits) + found.kind, found.weight, limits[found.kind])
    paths = _told(graph, histories, targets, _Found(*(column[kept] for column in found)))
    return paths if known is None else _without_the_asked(paths, known)


class _Found(tuple[np.ndarray, ...]):
    """Columns of paths before they are written out.

    first and second are hops; in a path over a hub they are places in `hub_of` (of the history's film and
    of the target).
    """

    __slots__ = ()

    def __new__(cls, *columns: np.ndarray) -> _Found:
        return super().__new__(cls, columns)

    target = property(lambda self: self[0])
    place = property(lambda self: self[1])
    kind = property(lambda self: self[2])
    weight = property(lambda self: self[3])
    first = property(lambda self: self[4])
    second = property(lambda self: self[5])


def _hub_paths(graph: PathGraph, histories: Histories, targets: Targets, caps: Caps) -> _Found:
    """Join the hubs of the history with those of the targets."""
    left, place = rows_of(graph.hub_indptr, histories.films)
    right, target = rows_of(graph.hub_indptr, targets.films)
    left_key = histories.owner[place] * graph.n_entities + graph.hub_of[left]
    right_key = targets.owner[target] * graph.n_entities + graph.hub_of[right]
    kept, _ = heaviest(left_key, -histories.age[place].astype(np.float64), caps.per_hub)
    left, place, left_key = left[kept], place[kept], left_key[kept]  # sorted by key
    starts = np.searchsorted(left_key, right_key)
    sizes = np.searchsorted(left_key, right_key, side="right") - starts
    chosen = np.repeat(starts, sizes) + within_groups(sizes)
    target, right = np.repeat(target, sizes), np.repeat(right, sizes)
    place, left = place[chosen], left[chosen]
    weight = HUB_WEIGHT / graph.n_films[graph.hub_of[left]] * (1.0 + histories.age[place]) ** -RECENCY
    return _Found(target, place, np.full(len(place), HUB), weight, left, right)


def _long_paths(
    graph: PathGraph, histories: Histories, place_of: np.ndarray, recency: np.ndarray, caps: Caps
) -> _Found:
    """Leave each film by its strongest hops, keep the strongest films reached, and hop once more."""
    n_items = graph.n_items
    first = graph.strongest[histories.films]
    place = np.repeat(np.arange(len(first)), first.shape[1])
    first = first.ravel().astype(np.int64)
    place, first = place[first >= 0], first[first >= 0]
    owner, middle = histories.owner[place], graph.hop_film[first].astype(np.int64)
    own = histories.owner * n_items + histories.films
    new = ~np.isin(owner * n_items + middle, own)
    place, first, owner, middle = place[new], first[new], owner[new], middle[new]
    weight = graph.hop_weight[first] * recency[place]
    kept, _ = heaviest(owner * n_items + middle, weight, 1)
    kept = kept[heaviest(owner[kept], weight[kept], caps.middles)[0]]
    second, row = rows_of(graph.hop_indptr, middle[kept])
    target = place_of[owner[kept][row] * n_items + graph.hop_film[second]]
    hit = np.flatnonzero(target >= 0)
    row, second, target = kept[row[hit]], second[hit], target[hit]
    over_people = graph.hop_people[second] > 0
    again = (graph.hop_via[first[row]] == graph.hop_via[second]) & ~over_people
    again |= histories.films[place[row]] == graph.hop_film[second]  # there and back
    row, second, target = row[~again], second[~again], target[~again]
    weight = weight[row] * graph.hop_weight[second]
    return _Found(target, place[row], np.full(len(row), LONG), weight, first[row], second)


def _told(graph: PathGraph, histories: Histories, targets: Targets, found: _Found) -> Paths:
    """Write the paths out."""
    n, n_relations = len(found.target), graph.n_relations
    films = np.full((n, 3), -1, dtype=np.int64)
    via, people = np.full((n, 2), -1, dtype=np.int64), np.zeros((n, 2), dtype=np.int64)
    relations = np.full((n, 4), -1, dtype=np.int64)
    films[:, 0], films[:, 2] = histories.films[found.place], targets.films[found.target]
    over_hub, is_long = found.kind == HUB, found.kind == LONG
    hops = found.first[~over_hub]
    via[~over_hub, 0], people[~over_hub, 0] = graph.hop_via[hops], graph.hop_people[hops]
    relations[~over_hub, 0], relations[~over_hub, 1] = graph.hop_first[hops], graph.hop_second[hops]
    via[over_hub, 0] = graph.hub_of[found.first[over_hub]]
    relations[over_hub, 0] = graph.hub_relation[found.first[over_hub]]
    relations[over_hub, 1] = graph.hub_relation[found.second[over_hub]].astype(np.int64) + n_relations
    films[is_long, 1] = graph.hop_film[found.first[is_long]]
    hops = found.second[is_long]
    via[is_long, 1], people[is_long, 1] = graph.hop_via[hops], graph.hop_people[hops]
    relations[is_long, 2], relations[is_long, 3] = graph.hop_first[hops], graph.hop_second[hops]
    features = _features(graph, films, via, people, histories.age[found.place])
    return Paths(
        found.target, found.place, found.kind.astype(np.int8), films, via, relations, people, features
    )


def _without_the_asked(paths: Paths, known: np.ndarray) -> Paths:
    """One person fewer on short paths to the targets that are `known`; none is left of a path of one."""
    mine = known[paths.target] & (paths.kind == PEOPLE)
    people = paths.people - mine[:, None] * np.array([1, 0])
    features = paths.features.copy()
    fewer = (np.log(np.maximum(people[mine, 0], 1)) - np.log(paths.people[mine, 0])).astype(np.float32)
    features[mine, FEATURES.index("alike")] += fewer
    features[mine, FEATURES.index("people")] += fewer
    kept = ~mine | (people[:, 0] > 0)
    changed = replace(paths, people=people, features=features)
    return Paths(*(getattr(changed, each.name)[kept] for each in fields(Paths)))


def _features(
    graph: PathGraph, films: np.ndarray, via: np.ndarray, people: np.ndarray, age: np.ndarray
) -> np.ndarray:
    """(P, F) float32, logarithms. In a path of length 5 those of its two hops are added.

    alike            how many people met both films, against how many met either: a cosine with shrinkage
    people           how many people met both
    of_history_film  how many people met the film that such a hop leaves
    of_target        how many people met the film that such a hop reaches
    films_of_x       how many films share the entity
    of_target_by_x   how many people met the film that is reached by an entity
    age              place of the history's film, counted from the latest = 1
    """
    features = np.zeros((len(films), len(FEATURES)), dtype=np.float32)
    log_met = np.log1p(graph.met).astype(np.float32)
    root_met = np.sqrt(graph.met, dtype=np.float32)
    log_films = np.log1p(graph.n_films).astype(np.float32)
    middle = np.where(films[:, 1] < 0, films[:, 2], films[:, 1])
    for column, (start, end) in enumerate(((films[:, 0], middle), (films[:, 1], films[:, 2]))):
        there = via[:, column] >= 0
        over_people = there & (people[:, column] > 0)
        left, right = start[over_people], end[over_people]
        log_people = np.log(people[over_people, column]).astype(np.float32)
        features[over_people, 0] += log_people - np.log(root_met[left] * root_met[right] + SHRINKAGE)
        features[over_people, 1] += log_people
        features[over_people, 2] += log_met[left]
        features[over_people, 3] += log_met[right]
        linked = there & ~over_people
        features[linked, 4] += log_films[via[linked, column]]
        features[linked, 5] += log_met[end[linked]]
    features[:, 6] = np.log1p(age)
    return features


# -- a path's prefixes ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """Nodes of one depth: each continues `parent` of the level before by an entity, left by a relation."""

    parent: np.ndarray  # (n,) int64
    entity: np.ndarray  # (n,) int64
    relation: np.ndarray  # (n,) int64


@dataclass(frozen=True)
class Trie:
    """Paths with equal beginnings written once, so that a recurrent network reads each beginning once.

    levels  films of the history, then x, then films in the middle, then y; the visitor is the root
    short   (n,) int64 paths of length 3, their parent in levels[1]; `short_parent`
    long    (m,) int64 paths of length 5, their parent in levels[3]; `long_parent`
    """

    levels: tuple[Level, ...]
    short: np.ndarray
    short_parent: np.ndarray
    long: np.ndarray
    long_parent: np.ndarray


def trie_of(graph: PathGraph, paths: Paths) -> Trie:
    """The tree of the paths' prefixes; the visitors are one and the same root."""
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
