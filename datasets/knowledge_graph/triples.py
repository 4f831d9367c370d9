"""Entities and triples as a source states them, and what all readers of them share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from datasets.knowledge_graph.graph import MOVIE, KnowledgeGraph
from datasets.readers.source import COMPRESSED, DatasetError, plain_name, read_content

ENTITY = "entity"  # the type of what a file names without saying what it is
Fold = Callable[[str], str]  # names with an equal fold are one person


class Rejected(NamedTuple):
    """Names a row that could not be used, and the reason."""

    path: Path
    line: int
    reason: str
    raw: str


@dataclass
class Facts:
    """Holds the entities and triples of a source, for `KnowledgeGraph.from_triples`.

    entities   names by key
    triples    (film key, relation name, key)
    rejected   rows that could not be used
    left_out   sound rows that touch no film
    """

    entities: dict[str, str] = field(default_factory=dict)
    triples: list[tuple[str, str, str]] = field(default_factory=list)
    type_names: tuple[str, ...] | None = None
    relation_names: tuple[str, ...] | None = None
    rejected: list[Rejected] = field(default_factory=list)
    left_out: int = 0

    def graph(self) -> KnowledgeGraph:
        """Build the graph. Raises KnowledgeGraphError."""
        return KnowledgeGraph.from_triples(
            self.entities, self.triples, type_names=self.type_names, relation_names=self.relation_names
        )

    def with_films(self, films: Mapping[str, Sequence[tuple[str, str]]]) -> Facts:
        """Return the facts of other films: each film key becomes these (key, name) pairs.

        A film that is not among them is left out with its edges, and so is what only it led to.
        """
        entities = {key: name for pairs in films.values() for key, name in pairs}
        triples = []
        for film, relation, other in self.triples:
            others = films.get(other, ()) if _is_film(other) else [(other, self.entities[other])]
            for key, _ in films.get(film, ()):
                for tail, name in others:
                    if tail != key:
                        entities.setdefault(tail, name)
                        triples.append((key, relation, tail))
        return Facts(entities, triples, self.type_names, self.relation_names, self.rejected, self.left_out)


class TypedEdges:
    """Collects edges to entities whose type is the one that most of their edges state."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._edges: list[tuple[list[str], str, str]] = []
        self._kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, films: list[str], relation: str, kind: str, thing: str) -> None:
        self._edges.append((films, relation, thing))
        self._kinds[thing][kind] += 1

    def write(self, *, name_of: Fold = str, id_of: Fold = str) -> None:
        keys = {}
        for thing, kinds in self._kinds.items():
            kind = max(kinds, key=lambda kind: (kinds[kind], kind))  # of equals always the same one
            keys[thing] = f"{kind}:{id_of(thing)}"
            self._facts.entities[keys[thing]] = name_of(thing)
        for films, relation, thing in self._edges:
            self._facts.triples += [(film, relation, keys[thing]) for film in films]


def _is_film(key: str) -> bool:
    return key.startswith(f"{MOVIE}:")


def require_entities(facts: Facts, file: Path, expected: str) -> Facts:
    """Return the facts. Raises DatasetError when they have no entity."""
    if not facts.entities:
        first = facts.rejected[0].line if facts.rejected else None
        raise DatasetError(file, "no row could be used", expected=expected, line=first)
    return facts


def find_files(path: Path, *patterns: str) -> list[Path]:
    """Return the one file that a path means: itself, or that of the first pattern that a folder holds."""
    if path.is_file():
        return [path]
    for pattern in patterns:
        found = sorted({file for suffix in ("", *COMPRESSED) for file in path.glob(pattern + suffix)})
        if len({plain_name(file) for file in found}) > 1:
            names = ", ".join(file.name for file in found)
            raise DatasetError(path, f"the folder holds {names}", expected="one of them, named itself")
        if found:
            return found[:1]
    raise DatasetError(
        path, f"there is no {patterns[0]}", expected=" or ".join(patterns) + ", also as .gz or .xz"
    )


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number, from 1, and the text of each line that is not blank. Raises DatasetError."""
    content = read_content(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = content[: error.start].count(b"\n") + 1
        raise DatasetError(path, "not UTF-8 text", expected="UTF-8", line=wrong) from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r")
