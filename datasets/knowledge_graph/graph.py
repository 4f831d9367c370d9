"""The knowledge graph: typed entities and labelled edges with their inverses in CSR arrays.

    movie:12 --directed_by--> person:5          and so          person:5 --directed_by^-1--> movie:12

Films come first, entities of one type lie side by side, and the edges of an entity are sorted, so that
everything a path search asks is a slice or a gather. Nothing here imports torch: a web process walks
the graph with NumPy alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

INVERSE = "^-1"  # suffix of an inverse relation's name in paths shown to callers
MOVIE = "movie"

MAX_TYPES, MAX_RELATIONS = 256, 128  # codes are uint8, and each relation has its inverse

Triples = tuple[np.ndarray, np.ndarray, np.ndarray]  # heads, relation codes, tails, (N,) int64 each


class KnowledgeGraphError(ValueError):
    """Reports entities or edges that make no graph, or a saved graph that cannot be read."""


@dataclass(frozen=True, eq=False)
class KnowledgeGraph:
    """Holds typed entities and labelled edges in CSR form; every triple is stored with its inverse.

    E entities, M edges (each triple twice), R relations.

    keys            (E,) "movie:12", "person:5", "genre:Drama", "user:17": type, colon, id; unique
    names           (E,) what to show
    type_names      "movie" first; entities lie in the order of these types
    types           (E,) uint8 into type_names
    relation_names  R names; code r goes forward (movie -> x), code r + R back (x -> movie)
    indptr          (E + 1,) int64: edges of entity e are indptr[e]:indptr[e + 1]
    tails           (M,) int32 entities that the edges lead to
    relations       (M,) uint8 codes; the edges of an entity are sorted by (relation, tail)
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    type_names: tuple[str, ...]
    types: np.ndarray
    relation_names: tuple[str, ...]
    indptr: np.ndarray
    tails: np.ndarray
    relations: np.ndarray

    # -- making one ---------------------------------------------------------------------------

    @classmethod
    def from_triples(
        cls,
        entities: Mapping[str, str] | Iterable[tuple[str, str]],
        triples: Iterable[tuple[str, str, str]],
        *,
        type_names: Sequence[str] | None = None,
        relation_names: Sequence[str] | None = None,
    ) -> KnowledgeGraph:
        """Build a graph from (key, name) and (head key, relation name, tail key), films as heads.

        The type of an entity is what stands before the colon of its key. Within a type the given
        order is kept; a triple that occurs more than once is one edge; an empty name becomes the id.
        Without `type_names` and `relation_names` they are taken in order of appearance, `movie` first.

        Raises KnowledgeGraphError on a key twice, a key without a known type, a triple that names an
        entity or a relation that does not exist, and an edge from an entity to itself.
        """
        listed = list(entities.items() if isinstance(entities, Mapping) else entities)
        given = [key for key, _ in listed]
        if len(set(given)) != len(given):
            raise KnowledgeGraphError(f"the entity {_first_repeated(given)!r} occurs more than once")
        type_of = [_type_of(key) for key in given]
        kinds = tuple(type_names) if type_names is not None else tuple(dict.fromkeys([MOVIE, *type_of]))
        codes = _codes("type", kinds, MAX_TYPES)
        if kinds[:1] != (MOVIE,):
            raise KnowledgeGraphError(f"the first type must be {MOVIE!r}, not {kinds[:1]}")
        for key, kind in zip(given, type_of, strict=True):
            if kind not in codes:
                raise KnowledgeGraphError(f"the entity {key!r} has none of the types {', '.join(kinds)}")
        types = np.fromiter((codes[kind] for kind in type_of), dtype=np.uint8, count=len(given))
        order = np.argsort(types, kind="stable")
        keys = tuple(given[position] for position in order)
        names = tuple(listed[position][1] or _id_of(given[position]) for position in order)

        rows = list(triples)
        relations = (
            tuple(relation_names)
            if relation_names is not None
            else tuple(dict.fromkeys(name for _, name, _ in rows))
        )
        position_of = {key: position for position, key in enumerate(keys)}
        numbers = _codes("relation", relations, MAX_RELATIONS)
        heads = np.fromiter(
            (position_of.get(head, -1) for head, _, _ in rows), dtype=np.int64, count=len(rows)
        )
        labels = np.fromiter((numbers.get(name, -1) for _, name, _ in rows), dtype=np.int64, count=len(rows))
        tails = np.fromiter(
            (position_of.get(tail, -1) for _, _, tail in rows), dtype=np.int64, count=len(rows)
        )
        _refuse("entity", [row[0] for row in rows], heads)
        _refuse("relation", [row[1] for row in rows], labels)
        _refuse("entity", [row[2] for row in rows], tails)
        return cls._assemble(
            keys,
            names,
            types[order],
            (heads, labels, tails),
            type_names=kinds,
            relation_names=relations,
        )

    @classmethod
    def _assemble(
        cls,
        keys: tuple[str, ...],
        names: tuple[str, ...],
        types: np.ndarray,
        triples: Triples,
        *,
        type_names: tuple[str, ...],
        relation_names: tuple[str, ...],
    ) -> KnowledgeGraph:
        """Build a graph from forward triples in index space, in any order and with repetitions."""
        heads, relations, tails = triples
        if (loops := np.flatnonzero(heads == tails)).size:
            raise KnowledgeGraphError(f"an edge leads from {keys[int(heads[loops[0]])]!r} to itself")
        n_entities, n_relations = len(keys), len(relation_names)
        from_here = np.concatenate([heads, tails]).astype(np.int64)
        codes = np.concatenate([relations, relations + n_relations]).astype(np.int64)
        to_there = np.concatenate([tails, heads]).astype(np.int64)
        width = max(n_entities, 1)
        edges = np.unique((from_here * (2 * n_relations) + codes) * width + to_there)
        rest, sorted_tails = np.divmod(edges, width)
        sorted_heads, sorted_codes = np.divmod(rest, max(2 * n_relations, 1))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(sorted_heads, minlength=n_entities))])
        return cls(
            keys,
            names,
            type_names,
            read_only(types.astype(np.uint8)),
            relation_names,
            read_only(indptr.astype(np.int64)),
            read_only(sorted_tails.astype(np.int32)),
            read_only(sorted_codes.astype(np.uint8)),
        )

    # -- asking -------------------------------------------------------------------------------

    @property
    def n_entities(self) -> int:
        return len(self.keys)

    @property
    def n_edges(self) -> int:
        """Triples: each edge once, without its inverse."""
        return len(self.tails) // 2

    @property
    def n_relations(self) -> int:
        return len(self.relation_names)

    @cached_property
    def n_movies(self) -> int:
        """Films are the entities 0..n_movies-1."""
        return int(np.count_nonzero(self.types == 0))

    @cached_property
    def degrees(self) -> np.ndarray:
        """(E,) int64 edges of each entity; two roles of one person in one film are two."""
        return np.diff(self.indptr)

    @cached_property
    def _position_of_key(self) -> dict[str, int]:
        return {key: position for position, key in enumerate(self.keys)}

    def index_of(self, key: str) -> int | None:
        """Return the entity of a key, or None when it is unknown."""
        return self._position_of_key.get(key)

    def indices_of(self, keys: Iterable[str]) -> np.ndarray:
        """Return (T,) int64 the entities of these keys, -1 where one is unknown."""
        return np.fromiter((self._position_of_key.get(key, -1) for key in keys), dtype=np.int64)

    def entities_of(self, type_name: str) -> range:
        """Return the entities of one type, which lie side by side; empty for an unknown type."""
        if type_name not in self.type_names:
            return range(0)
        code = self.type_names.index(type_name)
        return range(*(int(edge) for edge in np.searchsorted(self.types, [code, code + 1])))

    def relation_label(self, code: int) -> str:
        """Return the name of a relation code, with INVERSE where it leads back; twice back is forward."""
        if code < self.n_relations:
            return self.relation_names[code]
        name = self.relation_names[code - self.n_relations]
        return name.removesuffix(INVERSE) if name.endswith(INVERSE) else name + INVERSE

    def triples(self) -> Triples:
        """Return heads, relation codes and tails, (n_edges,) int64 each, without inverses."""
        heads = np.repeat(np.arange(self.n_entities, dtype=np.int64), self.degrees)
        forward = self.relations < self.n_relations
        return heads[forward], self.relations[forward].astype(np.int64), self.tails[forward].astype(np.int64)

    # -- deriving another ---------------------------------------------------------------------

    def with_movies(self, keys: Iterable[str]) -> KnowledgeGraph:
        """Return the graph with these films added, without edges, after its own; known ones are skipped.

        Other entities move up by the number of films added. Raises KnowledgeGraphError on a key that
        is not a film's.
        """
        added = tuple(key for key in dict.fromkeys(keys) if key not in self._position_of_key)
        if wrong := next((key for key in added if _type_of(key) != MOVIE), None):
            raise KnowledgeGraphError(f"{wrong!r} is no film")
        n, more = self.n_movies, len(added)
        heads, relations, tails = self.triples()
        return self._assemble(
            self.keys[:n] + added + self.keys[n:],
            self.names[:n] + tuple(_id_of(key) for key in added) + self.names[n:],
            np.concatenate([np.zeros(more, np.uint8), self.types]),
            (heads + np.where(heads >= n, more, 0), relations, tails + np.where(tails >= n, more, 0)),
            type_names=self.type_names,
            relation_names=self.relation_names,
        )

    def without_hubs(self, limit: int) -> KnowledgeGraph:
        """Return the graph without the edges of every entity, films aside, that has more than `limit`.

        A person or a position that half the catalogue shares says little about a film and costs a path
        search most of its time. The entity itself stays, with no edges, so that indices stay valid.
        A film is never a hub: a film that many people rated keeps its edges. Raises
        KnowledgeGraphError on a limit below 1.
        """
        if limit < 1:
            raise KnowledgeGraphError(f"the limit of a hub must be 1 or more, not {limit}")
        hub = (self.degrees > limit) & (self.types != 0)
        heads, relations, tails = self.triples()
        kept = ~(hub[heads] | hub[tails])
        return self._assemble(
            self.keys,
            self.names,
            self.types,
            (heads[kept], relations[kept], tails[kept]),
            type_names=self.type_names,
            relation_names=self.relation_names,
        )


def _type_of(key: str) -> str:
    kind, colon, rest = key.partition(":")
    if not (kind and colon and rest):
        raise KnowledgeGraphError(f"{key!r} is no key; expected type:id, such as movie:12")
    return kind


def _id_of(key: str) -> str:
    return key.partition(":")[2]


def _codes(what: str, names: Sequence[str], limit: int) -> dict[str, int]:
    if len(set(names)) != len(names):
        raise KnowledgeGraphError(f"the {what} {_first_repeated(names)!r} occurs more than once")
    if len(names) > limit:
        raise KnowledgeGraphError(f"{len(names)} {what}s are too many; at most {limit} have a code")
    return {name: code for code, name in enumerate(names)}


def _first_repeated(words: Iterable[str]) -> str:
    known: set[str] = set()
    return next(word for word in words if word in known or known.add(word))  # type: ignore[func-returns-value]


def _refuse(what: str, given: list[str], found: np.ndarray) -> None:
    if (missing := np.flatnonzero(found < 0)).size:
        first = int(missing[0])
        raise KnowledgeGraphError(
            f"triple {first + 1} names the {what} {given[first]!r}, which does not exist"
        )


def read_only(array: np.ndarray) -> np.ndarray:
    """Make an array read-only, since a graph is shared between threads, and return it."""
    array.flags.writeable = False
    return array
