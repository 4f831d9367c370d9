"""The knowledge graph: typed entities and labelled edges, kept with their inverses in CSR arrays.

    movie:12 --directed_by--> person:5          and so          person:5 --directed_by^-1--> movie:12

Films come first, entities of one type lie side by side, and the edges of an entity are sorted, so that
everything a path search asks is a slice or a gather. Nothing here imports torch: a web process walks
the graph with NumPy alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as bytes_of

INVERSE = "^-1"  # suffix of an inverse relation's name in paths shown to callers
MOVIE, USER = "movie", "user"
RATED_BY = "rated_by"

FORMAT = 1
META = "graph.json"
_READS = 5  # tries to read a graph that is replaced at the same time
MOST_TYPES, MOST_RELATIONS = 256, 128  # codes are uint8, and each relation has its inverse

Triples = tuple[np.ndarray, np.ndarray, np.ndarray]  # heads, relation codes, tails, (N,) int64 each


class KnowledgeGraphError(ValueError):
    """Entities or edges that make no graph, or a saved graph that cannot be read."""


@dataclass(frozen=True, eq=False)
class KnowledgeGraph:
    """Typed entities and labelled edges in CSR form; every triple is stored with its inverse.

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
        """Build from (key, name) and (head key, relation name, tail key), films as heads.

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
        codes = _codes("type", kinds, MOST_TYPES)
        if kinds[:1] != (MOVIE,):
            raise KnowledgeGraphError(f"the first type must be {MOVIE!r}, not {kinds[:1]}")
        for key, kind in zip(given, type_of, strict=True):
            if kind not in codes:
                raise KnowledgeGraphError(f"the entity {key!r} has none of the types {', '.join(kinds)}")
        types = np.fromiter((codes[kind] for kind in type_of), dtype=np.uint8, count=len(given))
        order = np.argsort(types, kind="stable")
        keys = tuple(given[place] for place in order)
        names = tuple(listed[place][1] or _id_of(given[place]) for place in order)

        rows = list(triples)
        relations = (
            tuple(relation_names)
            if relation_names is not None
            else tuple(dict.fromkeys(name for _, name, _ in rows))
        )
        places = {key: place for place, key in enumerate(keys)}
        numbers = _codes("relation", relations, MOST_RELATIONS)
        heads = np.fromiter((places.get(head, -1) for head, _, _ in rows), dtype=np.int64, count=len(rows))
        labels = np.fromiter((numbers.get(name, -1) for _, name, _ in rows), dtype=np.int64, count=len(rows))
        tails = np.fromiter((places.get(tail, -1) for _, _, tail in rows), dtype=np.int64, count=len(rows))
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
        """From forward triples in index space, in any order and with repetitions."""
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
            _frozen(types.astype(np.uint8)),
            relation_names,
            _frozen(indptr.astype(np.int64)),
            _frozen(sorted_tails.astype(np.int32)),
            _frozen(sorted_codes.astype(np.uint8)),
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
    def _places(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self.keys)}

    def index_of(self, key: str) -> int | None:
        """The entity behind a key, or None when it is unknown."""
        return self._places.get(key)

    def indices_of(self, keys: Iterable[str]) -> np.ndarray:
        """(T,) int64 entities behind these keys, -1 where one is unknown."""
        return np.fromiter((self._places.get(key, -1) for key in keys), dtype=np.int64)

    def entities_of(self, type_name: str) -> range:
        """The entities of one type, which lie side by side; empty for a type that is not there."""
        if type_name not in self.type_names:
            return range(0)
        code = self.type_names.index(type_name)
        return range(*(int(edge) for edge in np.searchsorted(self.types, [code, code + 1])))

    def relation_label(self, code: int) -> str:
        """The name of a relation code, with INVERSE where it leads back; twice back is forward."""
        if code < self.n_relations:
            return self.relation_names[code]
        name = self.relation_names[code - self.n_relations]
        return name.removesuffix(INVERSE) if name.endswith(INVERSE) else name + INVERSE

    def triples(self) -> Triples:
        """Heads, relation codes and tails (n_edges,) int64 of every triple, without the inverses."""
        heads = np.repeat(np.arange(self.n_entities, dtype=np.int64), self.degrees)
        forward = self.relations < self.n_relations
        return heads[forward], self.relations[forward].astype(np.int64), self.tails[forward].astype(np.int64)

    # -- deriving another ---------------------------------------------------------------------

    def with_movies(self, keys: Iterable[str]) -> KnowledgeGraph:
        """With these films too, without edges, after the films that are there; known ones are skipped.

        Other entities move up by the number of films added. Raises KnowledgeGraphError on a key that
        is not a film's.
        """
        added = tuple(key for key in dict.fromkeys(keys) if key not in self._places)
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

    def with_users(
        self,
        users: np.ndarray,
        movie_entities: np.ndarray,
        *,
        n_users: int | None = None,
        most_per_user: int | None = None,
    ) -> KnowledgeGraph:
        """With entities `user:0` .. `user:<n_users-1>` at the end and an edge `rated_by` per meeting.

        users           (N,) 0..n_users-1; the rows of one user from oldest to newest
        movie_entities  (N,) films of this graph; a row with -1 (a film it does not know) is left out
        n_users         by default one more than the largest of `users`
        most_per_user   keep only the newest films of each user, this many at most

        Other entities keep their indices. The code of an inverse relation grows by one, because
        `rated_by` is a new relation. Raises KnowledgeGraphError on a graph that has users, a film
        that is none, or a user out of range.
        """
        if self.entities_of(USER) or RATED_BY in self.relation_names:
            raise KnowledgeGraphError("this graph has users already")
        users, films = np.asarray(users, dtype=np.int64), np.asarray(movie_entities, dtype=np.int64)
        if users.shape != films.shape:
            raise KnowledgeGraphError(f"{len(users)} users but {len(films)} films")
        n_users = (int(users.max()) + 1 if len(users) else 0) if n_users is None else n_users
        if len(users) and (users.min() < 0 or users.max() >= n_users):
            raise KnowledgeGraphError(f"a user is outside 0..{n_users - 1}")
        if len(films) and (films.min() < -1 or films.max() >= self.n_movies):
            raise KnowledgeGraphError(f"a film is outside 0..{self.n_movies - 1}")
        users, films = users[films >= 0], films[films >= 0]
        if most_per_user is not None:
            kept = _newest(users, films, most_per_user, self.n_movies)
            users, films = users[kept], films[kept]
        type_names = self.type_names if USER in self.type_names else (*self.type_names, USER)
        if type_names[-1] != USER:
            raise KnowledgeGraphError(f"the type {USER!r} must be the last one")
        _codes("type", type_names, MOST_TYPES)
        relation_names = (*self.relation_names, RATED_BY)
        _codes("relation", relation_names, MOST_RELATIONS)
        heads, relations, tails = self.triples()
        return self._assemble(
            self.keys + tuple(f"{USER}:{user}" for user in range(n_users)),
            self.names + tuple(str(user) for user in range(n_users)),
            np.concatenate([self.types, np.full(n_users, len(type_names) - 1, np.uint8)]),
            (
                np.concatenate([heads, films]),
                np.concatenate([relations, np.full(len(films), self.n_relations)]),
                np.concatenate([tails, self.n_entities + users]),
            ),
            type_names=type_names,
            relation_names=relation_names,
        )

    def without_hubs(self, limit: int) -> KnowledgeGraph:
        """Without the edges of every entity, films aside, that has more than `limit` of them.

        A person or a place that half the catalogue shares says little about a film and costs a path
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

    # -- describing ---------------------------------------------------------------------------

    def statistics(self) -> dict[str, Any]:
        """Counts as JSON: entities by type, triples by relation, and the largest entity of each type.

        `linked` counts the entities of a type with at least one edge; `degree` is edges per linked
        entity; `hub` is the one with most edges.
        """
        by_type: dict[str, Any] = {}
        for name in self.type_names:
            entities = self.entities_of(name)
            degrees = self.degrees[entities.start : entities.stop]
            linked = int(np.count_nonzero(degrees))
            largest = entities.start + int(degrees.argmax()) if linked else None
            by_type[name] = {
                "entities": len(entities),
                "linked": linked,
                "degree": float(degrees.sum() / linked) if linked else 0.0,
                "hub": None
                if largest is None
                else {
                    "key": self.keys[largest],
                    "name": self.names[largest],
                    "edges": int(self.degrees[largest]),
                },
            }
        counts = np.bincount(self.relations, minlength=2 * self.n_relations)
        return {
            "entities": self.n_entities,
            "edges": self.n_edges,
            "types": by_type,
            "relations": {name: int(counts[code]) for code, name in enumerate(self.relation_names)},
        }

    def coverage(self, weights: np.ndarray | None = None) -> dict[str, dict[str, float]]:
        """What share of the films has an edge of each relation, and of any.

        weights  (n_movies,) how much each film counts in `weighted`, such as its ratings; all alike if None

        Returns by relation, and under "" for all of them: `films`, the share with an edge; `weighted`, the
        same by weight; `onward`, the share by weight from which the edge leads on to another film, so that a
        path can pass. Films that users join do not count as led on to by a user.
        """
        n = self.n_movies
        weight = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
        if weight.shape != (n,):
            raise KnowledgeGraphError(f"{n} films but weights of shape {weight.shape}")
        heads, relations, tails = self.triples()
        from_film = (heads < n) & (relations != self._rated_by)
        heads, relations, tails = heads[from_film], relations[from_film], tails[from_film]
        pairs = np.unique(heads * max(self.n_entities, 1) + tails)  # a person of two roles is met once
        shared = np.bincount(pairs % max(self.n_entities, 1), minlength=self.n_entities) > 1
        shared[:n] = True  # a film that is an end itself

        def share(chosen: np.ndarray) -> dict[str, float]:
            has, onward = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
            has[heads[chosen]] = True
            onward[heads[chosen & shared[tails]]] = True
            total = weight.sum() or 1.0
            return {
                "films": float(has.mean()) if n else 0.0,
                "weighted": float(weight[has].sum() / total),
                "onward": float(weight[onward].sum() / total),
            }

        by_relation = {
            name: share(relations == code)
            for code, name in enumerate(self.relation_names)
            if code != self._rated_by
        }
        return by_relation | {"": share(np.ones(len(heads), dtype=bool))}

    @property
    def _rated_by(self) -> int:
        """The code of `rated_by`, or -1."""
        return self.relation_names.index(RATED_BY) if RATED_BY in self.relation_names else -1

    # -- keeping ------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """The tensors of `from_parts`: types, indptr, tails, relations."""
        return {
            "types": self.types,
            "indptr": self.indptr,
            "tails": self.tails,
            "relations": self.relations,
        }

    def words(self) -> dict[str, list[str]]:
        """The JSON of `from_parts`: keys, names, type_names, relation_names."""
        return {
            "keys": list(self.keys),
            "names": list(self.names),
            "type_names": list(self.type_names),
            "relation_names": list(self.relation_names),
        }

    @classmethod
    def from_parts(
        cls, arrays: Mapping[str, np.ndarray], words: Mapping[str, Sequence[str]]
    ) -> KnowledgeGraph:
        """The inverse of `arrays` and `words`, for whoever keeps a graph inside a file of their own.

        Raises KnowledgeGraphError when the parts do not fit together.
        """
        try:
            graph = cls(
                tuple(words["keys"]),
                tuple(words["names"]),
                tuple(words["type_names"]),
                arrays["types"],
                tuple(words["relation_names"]),
                arrays["indptr"],
                arrays["tails"],
                arrays["relations"],
            )
        except (KeyError, TypeError) as error:
            raise KnowledgeGraphError(f"a part of the graph is missing: {error}") from error
        graph._check()
        return graph

    def _check(self) -> None:
        n = self.n_entities
        sound = (
            len(self.names) == len(self.types) == n
            and len(set(self.keys)) == n
            and self.type_names[:1] == (MOVIE,)
            and self.indptr.shape == (n + 1,)
            and self.indptr[0] == 0
            and self.indptr[-1] == len(self.tails) == len(self.relations)
            and bool((np.diff(self.indptr) >= 0).all())
            and bool((np.diff(self.types.astype(np.int16)) >= 0).all())
            and (n == 0 or int(self.types.max()) < len(self.type_names))
            and (len(self.tails) == 0 or (int(self.tails.min()) >= 0 and int(self.tails.max()) < n))
            and (len(self.tails) == 0 or int(self.relations.max()) < 2 * self.n_relations)
        )
        if not sound:
            raise KnowledgeGraphError("the parts of the graph do not fit together")

    def save(self, directory: Path, *, about: Mapping[str, Any] | None = None) -> None:
        """Write the graph into a folder, in place of the graph that lies there, if any.

            graph.json                  facts (`about`, statistics), names and sha256 of the other two
            arrays-<hash>.safetensors   the arrays
            words-<hash>.json           keys and names

        `graph.json` is switched last and atomically: a reader finds the old graph or the new one.
        Raises KnowledgeGraphError when the folder holds other things.
        """
        _refuse_foreign(directory)
        directory.mkdir(parents=True, exist_ok=True)
        arrays = bytes_of({name: np.ascontiguousarray(array) for name, array in self.arrays().items()})
        words = json.dumps(self.words(), ensure_ascii=False).encode()
        files = {}
        for stem, suffix, content in (("arrays", "safetensors", arrays), ("words", "json", words)):
            digest = hashlib.sha256(content).hexdigest()
            files[f"{stem}-{digest[:12]}.{suffix}"] = digest
            _write(directory / f"{stem}-{digest[:12]}.{suffix}", content)
        meta = {
            "format": FORMAT,
            "created": datetime.now(UTC).isoformat(),
            **(about or {}),
            "statistics": self.statistics(),
            "files": files,
        }
        _write(directory / META, json.dumps(meta, indent=1, ensure_ascii=False).encode())
        for path in _own_files(directory):
            if path.name not in files:
                path.unlink()

    @classmethod
    def load(cls, directory: Path) -> KnowledgeGraph:
        """Verify and read a saved graph. Raises KnowledgeGraphError; runs no code from the files."""
        for _ in range(_READS):
            files = read_about(directory)["files"]
            contents = _contents(directory, files)
            if contents is not None:
                break
        else:
            raise KnowledgeGraphError(f"{directory} lacks a file that {META} names: {', '.join(files)}")
        try:
            arrays = tensors_of(contents["arrays"])
            words = json.loads(contents["words"])
        except (KeyError, ValueError, SafetensorError) as error:
            raise KnowledgeGraphError(f"{directory} cannot be read: {error}") from error
        return cls.from_parts({name: _frozen(array) for name, array in arrays.items()}, words)


def read_about(directory: Path) -> dict[str, Any]:
    """The facts of a saved graph: format, created, source, ids, statistics, files.

    Raises KnowledgeGraphError when the folder holds no graph of this format.
    """
    try:
        meta = json.loads((directory / META).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise KnowledgeGraphError(f"{directory} holds no {META}: not a knowledge graph") from error
    except (OSError, ValueError) as error:
        raise KnowledgeGraphError(f"{directory / META} cannot be read: {error}") from error
    found = meta.get("format") if isinstance(meta, dict) else None
    if found != FORMAT or not isinstance(meta.get("files"), dict):
        raise KnowledgeGraphError(f"{directory / META} has format {found!r}, expected {FORMAT}")
    return meta


# -- small parts ---------------------------------------------------------------------------------


def _type_of(key: str) -> str:
    kind, colon, rest = key.partition(":")
    if not (kind and colon and rest):
        raise KnowledgeGraphError(f"{key!r} is no key; expected type:id, such as movie:12")
    return kind


def _id_of(key: str) -> str:
    return key.partition(":")[2]


def _codes(what: str, names: Sequence[str], most: int) -> dict[str, int]:
    if len(set(names)) != len(names):
        raise KnowledgeGraphError(f"the {what} {_first_repeated(names)!r} occurs more than once")
    if len(names) > most:
        raise KnowledgeGraphError(f"{len(names)} {what}s are too many; at most {most} have a code")
    return {name: code for code, name in enumerate(names)}


def _first_repeated(words: Iterable[str]) -> str:
    met: set[str] = set()
    return next(word for word in words if word in met or met.add(word))  # type: ignore[func-returns-value]


def _refuse(what: str, given: list[str], found: np.ndarray) -> None:
    if (missing := np.flatnonzero(found < 0)).size:
        first = int(missing[0])
        raise KnowledgeGraphError(
            f"triple {first + 1} names the {what} {given[first]!r}, which does not exist"
        )


def _newest(users: np.ndarray, films: np.ndarray, most: int, n_movies: int) -> np.ndarray:
    """Rows to keep: the last `most` different films of each user; rows of a user come oldest first."""
    if most < 1:
        raise KnowledgeGraphError(f"most_per_user must be 1 or more, not {most}")
    # The last row of each pair stands for it, so that a film met again counts as new.
    _, from_end = np.unique((users * max(n_movies, 1) + films)[::-1], return_index=True)
    rows = np.sort(len(users) - 1 - from_end)
    rows = rows[np.argsort(users[rows], kind="stable")]
    counts = np.bincount(users[rows])
    rank_from_end = np.repeat(np.cumsum(counts), counts) - np.arange(len(rows))  # the newest has 1
    return rows[rank_from_end <= most]


def _frozen(array: np.ndarray) -> np.ndarray:
    """Unwritable: a graph is shared between threads."""
    array.flags.writeable = False
    return array


def _write(path: Path, content: bytes) -> None:
    building = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        building.write_bytes(content)
        os.replace(building, path)  # noqa: PTH105 - os.replace is the atomic one on every system
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def _contents(directory: Path, files: Mapping[str, str]) -> dict[str, bytes] | None:
    """The verified files by stem; None when one is not there, as while a new graph takes their place."""
    contents = {}
    for name, expected in files.items():
        if Path(name).name != name:
            raise KnowledgeGraphError(f"{directory / META} names a file outside the folder: {name!r}")
        try:
            content = (directory / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KnowledgeGraphError(f"{directory / name} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise KnowledgeGraphError(f"{directory / name} is damaged: its sha256 is not the recorded one")
        contents[name.partition("-")[0]] = content
    return contents


def _own_files(directory: Path) -> list[Path]:
    return [*directory.glob("arrays-*.safetensors"), *directory.glob("words-*.json")]


def _refuse_foreign(directory: Path) -> None:
    """A graph is only written into a new or empty folder or over another graph."""
    if directory.exists() and not directory.is_dir():
        raise KnowledgeGraphError(f"{directory} is no folder")
    if not directory.is_dir() or (directory / META).is_file():
        return
    # What a first writing that was interrupted left behind is ours as well.
    own = {*_own_files(directory), *directory.glob(".*")}
    if any(path not in own for path in directory.iterdir()):
        raise KnowledgeGraphError(f"{directory} holds other things; name a folder of its own for the graph")
