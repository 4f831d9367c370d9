"""The path search, by array gathers alone: candidates of an open search, and the paths to given films.

All searches are bounded by `Caps` and deterministic: among equals the lower index wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from datasets.knowledge_graph.grouped import csr_entries, top_k_per_group, within_groups
from datasets.knowledge_graph.path_graph import SHRINKAGE, PathGraph
from datasets.knowledge_graph.paths import FEATURES, HUB, LINK, LONG, PEOPLE, Caps, Histories, Paths, Targets

HUB_WEIGHT = 0.1
RECENCY = 0.25  # the n-th latest film of a history weighs n ** -RECENCY in a search


def candidates(
    graph: PathGraph, histories: Histories, seen: Sequence[np.ndarray], caps: Caps
) -> list[np.ndarray]:
    """Find the films that each history leads to most strongly over hops, then over hubs.

    Returns up to caps.candidates items per case, the strongest first; none of `seen` or of the history.
    """
    edges, row = csr_entries(graph.hop_indptr, histories.films)
    recency = (1.0 + histories.age) ** -RECENCY
    owner = histories.owner[row]
    shape = (histories.n_cases, graph.n_items)
    reached = np.bincount(
        owner * graph.n_items + graph.hop_film[edges],
        weights=graph.hop_weight[edges] * recency[row],
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
    """Return (n_items,) float64 how strongly each film shares hubs with the history; less than any hop."""
    edges, _ = csr_entries(graph.hub_indptr, films)
    shared = np.bincount(graph.hub_of[edges], minlength=graph.n_entities)
    shared = shared / np.maximum(graph.n_films, 1)
    every = np.repeat(np.arange(graph.n_items), np.diff(graph.hub_indptr))
    mass = np.bincount(every, weights=shared[graph.hub_of], minlength=graph.n_items)
    popular = 1.0 + graph.n_users / max(int(graph.n_users.max(initial=1)), 1)
    return 1e-6 * mass * popular


def find_paths(
    graph: PathGraph,
    histories: Histories,
    targets: Targets,
    caps: Caps,
    *,
    known: np.ndarray | None = None,
) -> Paths:
    """Find the strongest paths of each kind from the histories to these films.

    No path leads through another film of the history or twice through the same entity.

    known  (N,) bool, in training: targets of the history's own person, in the rows the graph was built
           from. Of the people on a path to them that person is left out.
    """
    n_items = graph.n_items
    position_of = np.full(histories.n_cases * n_items, -1, dtype=np.int64)
    position_of[targets.owner * n_items + targets.films] = np.arange(len(targets.films))
    recency = (1.0 + histories.age) ** -RECENCY

    edges, row = csr_entries(graph.hop_indptr, histories.films)
    target = position_of[histories.owner[row] * n_items + graph.hop_film[edges]]
    hit = np.flatnonzero(target >= 0)
    edges, row, target = edges[hit], row[hit], target[hit]
    nothing = np.full(len(edges), -1, dtype=np.int64)
    parts = [
        _Found(
            target,
            row,
            np.where(graph.hop_people[edges] > 0, PEOPLE, LINK),
            graph.hop_weight[edges] * recency[row],
            edges,
            nothing,
        ),
        _hub_paths(graph, histories, targets, caps),
        _long_paths(graph, histories, position_of, recency, caps),
    ]
    found = _Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    limits = np.array([caps.people, caps.link, caps.hub, caps.long])
    kept, _ = top_k_per_group(found.target * len(limits) + found.kind, found.weight, limits[found.kind])
    paths = _written_out(graph, histories, targets, _Found(*(column[kept] for column in found)))
    return paths if known is None else _without_own_person(paths, known)


class _Found(tuple[np.ndarray, ...]):
    """Holds columns of paths before they are written out.

    first and second are hops; in a path over a hub they are positions in `hub_of` (of the history's film and
    of the target).
    """

    __slots__ = ()

    def __new__(cls, *columns: np.ndarray) -> _Found:
        return super().__new__(cls, columns)

    target = property(lambda self: self[0])
    row = property(lambda self: self[1])
    kind = property(lambda self: self[2])
    weight = property(lambda self: self[3])
    first = property(lambda self: self[4])
    second = property(lambda self: self[5])


def _hub_paths(graph: PathGraph, histories: Histories, targets: Targets, caps: Caps) -> _Found:
    """Join the hubs of the history with those of the targets."""
    left, row = csr_entries(graph.hub_indptr, histories.films)
    right, target = csr_entries(graph.hub_indptr, targets.films)
    left_key = histories.owner[row] * graph.n_entities + graph.hub_of[left]
    right_key = targets.owner[target] * graph.n_entities + graph.hub_of[right]
    kept, _ = top_k_per_group(left_key, -histories.age[row].astype(np.float64), caps.per_hub)
    left, row, left_key = left[kept], row[kept], left_key[kept]  # sorted by key
    starts = np.searchsorted(left_key, right_key)
    sizes = np.searchsorted(left_key, right_key, side="right") - starts
    chosen = np.repeat(starts, sizes) + within_groups(sizes)
    target, right = np.repeat(target, sizes), np.repeat(right, sizes)
    row, left = row[chosen], left[chosen]
    weight = HUB_WEIGHT / graph.n_films[graph.hub_of[left]] * (1.0 + histories.age[row]) ** -RECENCY
    return _Found(target, row, np.full(len(row), HUB), weight, left, right)


def _long_paths(
    graph: PathGraph, histories: Histories, position_of: np.ndarray, recency: np.ndarray, caps: Caps
) -> _Found:
    """Leave each film by its strongest hops, keep the strongest films reached, and hop once more."""
    n_items = graph.n_items
    first = graph.strongest[histories.films]
    row = np.repeat(np.arange(len(first)), first.shape[1])
    first = first.ravel().astype(np.int64)
    row, first = row[first >= 0], first[first >= 0]
    owner, middle = histories.owner[row], graph.hop_film[first].astype(np.int64)
    own = histories.owner * n_items + histories.films
    new = ~np.isin(owner * n_items + middle, own)
    row, first, owner, middle = row[new], first[new], owner[new], middle[new]
    weight = graph.hop_weight[first] * recency[row]
    kept, _ = top_k_per_group(owner * n_items + middle, weight, 1)
    kept = kept[top_k_per_group(owner[kept], weight[kept], caps.middles)[0]]
    second, group = csr_entries(graph.hop_indptr, middle[kept])
    target = position_of[owner[kept][group] * n_items + graph.hop_film[second]]
    hit = np.flatnonzero(target >= 0)
    left, second, target = kept[group[hit]], second[hit], target[hit]
    over_people = graph.hop_people[second] > 0
    again = (graph.hop_via[first[left]] == graph.hop_via[second]) & ~over_people
    again |= histories.films[row[left]] == graph.hop_film[second]  # back to where it began
    left, second, target = left[~again], second[~again], target[~again]
    weight = weight[left] * graph.hop_weight[second]
    return _Found(target, row[left], np.full(len(left), LONG), weight, first[left], second)


def _written_out(graph: PathGraph, histories: Histories, targets: Targets, found: _Found) -> Paths:
    """Write found paths out as `Paths`."""
    n, n_relations = len(found.target), graph.n_relations
    films = np.full((n, 3), -1, dtype=np.int64)
    via, people = np.full((n, 2), -1, dtype=np.int64), np.zeros((n, 2), dtype=np.int64)
    relations = np.full((n, 4), -1, dtype=np.int64)
    films[:, 0], films[:, 2] = histories.films[found.row], targets.films[found.target]
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
    features = _features(graph, films, via, people, histories.age[found.row])
    return Paths(found.target, found.row, found.kind.astype(np.int8), films, via, relations, people, features)


def _without_own_person(paths: Paths, known: np.ndarray) -> Paths:
    """Take one person off the short paths to `known` targets; a path over that person alone is dropped."""
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
    """Return (P, F) float32, logarithms. In a path of length 5 those of its two hops are added.

    alike            how many people share both films, against how many have either: a cosine with shrinkage
    people           how many people share both
    of_history_film  how many people have the film that such a hop leaves
    of_target        how many people have the film that such a hop reaches
    films_of_x       how many films share the entity
    of_target_by_x   how many people have the film that is reached by an entity
    age              row of the history's film, counted from the latest = 1
    entities         how many hops lead over an entity instead of people; no logarithm
    long             1 in a path of length 5, else 0
    """
    features = np.zeros((len(films), len(FEATURES)), dtype=np.float32)
    log_users = np.log1p(graph.n_users).astype(np.float32)
    root_users = np.sqrt(graph.n_users, dtype=np.float32)
    log_films = np.log1p(graph.n_films).astype(np.float32)
    middle = np.where(films[:, 1] < 0, films[:, 2], films[:, 1])
    for column, (start, end) in enumerate(((films[:, 0], middle), (films[:, 1], films[:, 2]))):
        there = via[:, column] >= 0
        over_people = there & (people[:, column] > 0)
        left, right = start[over_people], end[over_people]
        log_people = np.log(people[over_people, column]).astype(np.float32)
        features[over_people, 0] += log_people - np.log(root_users[left] * root_users[right] + SHRINKAGE)
        features[over_people, 1] += log_people
        features[over_people, 2] += log_users[left]
        features[over_people, 3] += log_users[right]
        linked = there & ~over_people
        features[linked, 4] += log_films[via[linked, column]]
        features[linked, 5] += log_users[end[linked]]
        features[linked, 7] += 1
    features[:, 6] = np.log1p(age)
    features[:, 8] = films[:, 1] >= 0
    return features
