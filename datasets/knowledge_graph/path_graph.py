"""The path graph: the films of a data set and the entities between them, laid out for a path search.

Between two films stands an entity: a person, a genre, a country, a decade, or other users. Users are one
entity, their identity is dropped: all paths film - user - film between two films would score the same, so
they are one hop that knows how many people it stands for. Nothing about a single person is kept, and no
such path is lost to sampling. Which pairs film - entity - film there are is found once:

    hops   every pair over people, and over entities with few films (persons, rare countries)
    hubs   entities with more films than that (genres, decades): their pairs are found when they are asked
           for, by joining the hubs of one film with those of the other
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from datasets.knowledge_graph.grouped import top_k_per_group, within_groups

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from datasets.knowledge_graph.graph import KnowledgeGraph

FILM, USER = "movie", "user"
RATED_BY = "rated_by"
SHRINKAGE = 20.0  # people added to the mean before two films count as alike, as in item neighbours
LINK_WEIGHT = 0.3  # what an entity shared with one film alone weighs against a cosine of one
STRONGEST = 3  # hops of each kind by which a path of length 5 leaves a film
NOBODY = 0.5  # people of a film that nobody met, where a logarithm is taken
BLOCK = 512  # films whose common people are counted at one time


@dataclass(frozen=True)
class PathGraph:
    """Holds the arrays of a path search; they are only read, so threads share them.

    Entities are the items 0..n_items-1, then those of the knowledge graph that two items share, and last
    the one user. A relation r < R leads from a film, r + R to a film; R = len(relation_names).

    types       (E,) uint8 into type_names
    n_users     (n_items,) int32, people who interacted with the film
    n_films     (E,) int32, films of an entity; 0 for films and the user
    hop_indptr  (n_items + 1,) int64; from film i lead the hops hop_indptr[i]:hop_indptr[i + 1]
    hop_film    (M,) int32, where the hop ends
    hop_via     (M,) int32, the entity between
    hop_first, hop_second  (M,) uint8, relations to and from that entity
    hop_people  (M,) int32, how many people the hop stands for; 0 where it leads over no people
    hop_weight  (M,) float32, how strong it is: it orders the hops, the model does not see it
    strongest   (n_items, 2 * STRONGEST) int32, the strongest hops of each film, padded with -1
    hub_indptr  (n_items + 1,) int64; hub_of (L,) int32 entities; hub_relation (L,) uint8
    """

    type_names: tuple[str, ...]
    relation_names: tuple[str, ...]
    types: np.ndarray
    n_users: np.ndarray
    n_films: np.ndarray
    hop_indptr: np.ndarray
    hop_film: np.ndarray
    hop_via: np.ndarray
    hop_first: np.ndarray
    hop_second: np.ndarray
    hop_people: np.ndarray
    hop_weight: np.ndarray
    strongest: np.ndarray
    hub_indptr: np.ndarray
    hub_of: np.ndarray
    hub_relation: np.ndarray

    @property
    def n_items(self) -> int:
        return len(self.n_users)

    @property
    def n_entities(self) -> int:
        return len(self.types)

    @property
    def user(self) -> int:
        """Return the entity that stands for all users."""
        return len(self.types) - 1

    @property
    def n_relations(self) -> int:
        return len(self.relation_names)

    def log_popularity(self, films: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """Compute (N,) float32 log of each film's number of people over that of the most popular film.

        known  (N,) bool, in training: films of the person who is asked about, who is left out.
        """
        people = self.n_users[films] - (0 if known is None else known.astype(np.int64))
        most = max(int(self.n_users.max(initial=1)), 1)
        return np.log(np.maximum(people, NOBODY) / most).astype(np.float32)

    @property
    def rated_by(self) -> int:
        return self.relation_names.index(RATED_BY)

    @property
    def rated(self) -> int:
        """Return the relation from a user to a film."""
        return self.rated_by + self.n_relations

    @property
    def end(self) -> int:
        """Return the relation after a path's last entity (Wang et al., section 3.3)."""
        return 2 * self.n_relations

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, np.ndarray], type_names: Sequence[str], relation_names: Sequence[str]
    ) -> PathGraph:
        """Build a path graph from its arrays. Raises ValueError when the arrays do not belong together."""
        missing = [name for name in _ARRAYS if name not in tensors]
        if missing or RATED_BY not in relation_names:
            raise ValueError(f"missing: {', '.join(missing) or RATED_BY}")
        graph = cls(tuple(type_names), tuple(relation_names), **{name: tensors[name] for name in _ARRAYS})
        graph._check()
        return graph

    def _check(self) -> None:
        n_items, n_entities, n_codes = self.n_items, self.n_entities, 2 * self.n_relations
        rules = {
            "types": n_entities > n_items and _within(self.types, len(self.type_names)),
            "n_films": len(self.n_films) == n_entities,
            "hop_indptr": _covers(self.hop_indptr, n_items, len(self.hop_film)),
            "hub_indptr": _covers(self.hub_indptr, n_items, len(self.hub_of)),
            "hop_film": _within(self.hop_film, n_items),
            "hop_via": len(self.hop_via) == len(self.hop_film) and _within(self.hop_via, n_entities),
            "hop_first": len(self.hop_first) == len(self.hop_film) and _within(self.hop_first, n_codes),
            "hop_second": len(self.hop_second) == len(self.hop_film) and _within(self.hop_second, n_codes),
            "hop_people": len(self.hop_people) == len(self.hop_film),
            "hop_weight": len(self.hop_weight) == len(self.hop_film),
            "strongest": len(self.strongest) == n_items
            and self.strongest.ndim == 2
            and _within(self.strongest, len(self.hop_film), -1),
            "hub_of": _within(self.hub_of, n_entities),
            "hub_relation": len(self.hub_relation) == len(self.hub_of)
            and _within(self.hub_relation, n_codes),
        }
        wrong = [name for name, holds in rules.items() if not holds]
        if wrong:
            raise ValueError(f"the path graph does not hold together: {', '.join(wrong)}")


_ARRAYS = tuple(each.name for each in fields(PathGraph) if each.name not in ("type_names", "relation_names"))


def build_path_graph(
    train: Interactions, graph: KnowledgeGraph | None = None, *, neighbours: int = 1000, hub_limit: int = 50
) -> tuple[PathGraph, list[int]]:
    """Build the path graph over the items of `train`, with the knowledge graph's index of each later entity.

    An item is the film "movie:<item id>" of the graph. Of the knowledge graph everything counts but its own
    users and edges between films: people come from the rows of `train`.

    neighbours  most films that one film leads to over people, the most alike
    hub_limit   an entity with more films than this is a hub

    Memory: BLOCK x n_items floats besides the result. Raises ValueError on unusable bounds.
    """
    if neighbours < 1 or hub_limit < 1:
        raise ValueError("neighbours and hub_limit must be 1 or more")
    n_items = train.n_items
    links = _links(train, graph)
    entities, via, counts = np.unique(links[1], return_inverse=True, return_counts=True)
    if len(links[0]):  # an entity of one film alone leads nowhere
        pairs = np.unique(np.stack([via, links[0]]), axis=1)
        counts = np.bincount(pairs[0], minlength=len(entities))
        shared = counts > 1
        position = np.cumsum(shared) - 1
        kept = shared[via]
        links = links[:, kept]
        via, entities, counts = position[via[kept]], entities[shared], counts[shared]
    via = via + n_items
    type_names = [FILM, USER] if graph is None else [*graph.type_names]
    type_names += [name for name in (FILM, USER) if name not in type_names]
    relation_names = [RATED_BY] if graph is None else [*graph.relation_names]
    relation_names += [RATED_BY] if RATED_BY not in relation_names else []
    types = np.full(n_items + len(entities) + 1, type_names.index(FILM), dtype=np.uint8)
    if graph is not None:
        types[n_items:-1] = graph.types[entities]
    types[-1] = type_names.index(USER)
    n_films = np.concatenate([np.zeros(n_items), counts, [0]]).astype(np.int32)
    n_users = np.bincount(train.items, minlength=n_items).astype(np.int32)
    is_hub = n_films[via] > hub_limit if len(via) else np.zeros(0, dtype=bool)
    rated_by, n_relations = relation_names.index(RATED_BY), len(relation_names)
    hops = np.concatenate(
        [
            _over_people(train, neighbours, len(types) - 1, rated_by, n_relations),
            _over_entities(links[0][~is_hub], via[~is_hub], links[2][~is_hub], n_relations),
        ],
        axis=1,
    )
    hops = hops[:, np.lexsort((hops[3], hops[2], hops[1], hops[0]))]
    source, film, between, first, second, people = hops
    weight = np.where(
        people > 0,
        people / (np.sqrt(n_users[source].astype(np.float64) * n_users[film]) + SHRINKAGE),
        LINK_WEIGHT / np.maximum(n_films[between] - 1, 1),
    ).astype(np.float32)
    indptr = _indptr(source, n_items)
    hub_order = np.lexsort((links[2][is_hub], via[is_hub], links[0][is_hub]))
    hub_film = links[0][is_hub][hub_order]
    path_graph = PathGraph(
        tuple(type_names),
        tuple(relation_names),
        types=types,
        n_users=n_users,
        n_films=n_films,
        hop_indptr=indptr,
        hop_film=film.astype(np.int32),
        hop_via=between.astype(np.int32),
        hop_first=first.astype(np.uint8),
        hop_second=second.astype(np.uint8),
        hop_people=people.astype(np.int32),
        hop_weight=weight,
        strongest=_strongest(source, people > 0, weight, n_items),
        hub_indptr=_indptr(hub_film, n_items),
        hub_of=via[is_hub][hub_order].astype(np.int32),
        hub_relation=links[2][is_hub][hub_order].astype(np.uint8),
    )
    return path_graph, entities.tolist()


def _links(train: Interactions, graph: KnowledgeGraph | None) -> np.ndarray:
    """Return (3, L) int64: item, entity of the knowledge graph, relation; each once."""
    if graph is None:
        return np.empty((3, 0), dtype=np.int64)
    item_of = np.full(len(graph.keys), -1, dtype=np.int64)
    index_of = {key: index for index, key in enumerate(graph.keys)}
    for item, item_id in enumerate(train.item_ids.tolist()):
        entity = index_of.get(f"{FILM}:{item_id}")
        if entity is not None:
            item_of[entity] = item
    heads = np.repeat(np.arange(len(graph.keys)), np.diff(graph.indptr))
    left_out = [graph.type_names.index(name) for name in (FILM, USER) if name in graph.type_names]
    relations = np.asarray(graph.relations, dtype=np.int64)
    kept = (item_of[heads] >= 0) & (relations < len(graph.relation_names))
    kept &= ~np.isin(graph.types[graph.tails], left_out)
    return np.stack([item_of[heads[kept]], graph.tails[kept].astype(np.int64), relations[kept]])


def _over_people(
    train: Interactions, neighbours: int, user: int, rated_by: int, n_relations: int
) -> np.ndarray:
    """Return (6, M) int64: film, film, user, relations, and the number of people; no film leads to itself."""
    n_users = train.csr().tocsc()
    by_item = n_users.T.tocsr()
    counts = np.diff(n_users.indptr).astype(np.float32)
    n_items = train.n_items
    rows = []
    for start in range(0, n_items, BLOCK):
        stop = min(start + BLOCK, n_items)
        together = (by_item[start:stop] @ n_users).toarray()
        together[np.arange(stop - start), np.arange(start, stop)] = 0
        alike = together / (np.sqrt(counts[start:stop, None] * counts[None]) + SHRINKAGE)
        if neighbours < n_items:
            order = np.argsort(-alike, axis=1, kind="stable")[:, neighbours:]
            np.put_along_axis(together, order, 0, axis=1)
        block = sparse.coo_matrix(together)
        rows.append(np.stack([block.row + start, block.col, block.data]).astype(np.int64))
    film, other, people = np.concatenate(rows, axis=1)
    same = np.ones_like(film)
    return np.stack([film, other, same * user, same * rated_by, same * (rated_by + n_relations), people])


def _over_entities(film: np.ndarray, via: np.ndarray, relation: np.ndarray, n_relations: int) -> np.ndarray:
    """Return (6, M) int64: every pair of links to the same entity; no film leads to itself."""
    order = np.lexsort((film, via))
    film, via, relation = film[order], via[order], relation[order]
    starts = np.searchsorted(via, via)
    sizes = np.searchsorted(via, via, side="right") - starts
    left = np.repeat(np.arange(len(via)), sizes)
    right = np.repeat(starts, sizes) + within_groups(sizes)
    apart = film[left] != film[right]
    left, right = left[apart], right[apart]
    return np.stack(
        [
            film[left],
            film[right],
            via[left],
            relation[left],
            relation[right] + n_relations,
            np.zeros_like(left),
        ]
    )


def _strongest(source: np.ndarray, over_people: np.ndarray, weight: np.ndarray, n_items: int) -> np.ndarray:
    table = np.full((n_items, 2 * STRONGEST), -1, dtype=np.int32)
    for column, kind in enumerate((over_people, ~over_people)):
        edges = np.flatnonzero(kind)
        kept, rank = top_k_per_group(source[edges], weight[edges], STRONGEST)
        table[source[edges[kept]], column * STRONGEST + rank] = edges[kept]
    return table


def path_graph_statistics(graph: PathGraph) -> dict[str, Any]:
    """Count the parts of a path graph, as JSON."""
    over_people = graph.hop_people > 0
    return {
        "entities": graph.n_entities,
        "hops_over_people": int(over_people.sum()),
        "hops_over_entities": int((~over_people).sum()),
        "hubs": len(np.unique(graph.hub_of)),
        "links_to_hubs": len(graph.hub_of),
    }


def _indptr(rows: np.ndarray, n_rows: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))]).astype(np.int64)


def _within(array: np.ndarray, n: int, least: int = 0) -> bool:
    return not array.size or bool(array.min() >= least and array.max() < n)


def _covers(indptr: np.ndarray, n_rows: int, n_values: int) -> bool:
    fits = len(indptr) == n_rows + 1 and indptr[0] == 0 and indptr[-1] == n_values
    return bool(fits and not (np.diff(indptr) < 0).any())
