"""Knowledge graphs of the field, read into entities and triples.

    rkge      auxiliary.txt: `id:1|genre:Drama,War|director:A,B|actors:C,D`, a film a line
              (Sun et al., RecSys 2018)
    dbpedia   <property>.edgelist files of `film-URI entity-URI` lines, and mappings.tsv with
              `id <tab> title <tab> film-URI` (Palumbo et al., entity2rec, RecSys 2017)
    recbole   .kg (head_id, relation_id, tail_id) and .link (item_id, entity_id), tabs, a typed header

Files may be .gz or .xz. A row that cannot be used is put on `Facts.rejected` with its file and line, and
the rest goes on; a file that is not of the format raises DatasetError. Every edge leads from a film:
one that the file states the other way round is turned, and an edge that touches no film is left out.
"""

from __future__ import annotations

import lzma
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from datasets.knowledge_graph.graph import INVERSE, MOVIE, KnowledgeGraph
from datasets.readers.delimited import COMPRESSED, DatasetError

SOURCES = ("rkge", "dbpedia", "recbole")
ENTITY = "entity"  # the type of what a file names without saying what it is
Fold = Callable[[str], str]  # names with an equal fold are one person


class Rejected(NamedTuple):
    path: Path
    line: int
    reason: str
    raw: str


@dataclass
class Facts:
    """Entities and triples as a source states them, for `KnowledgeGraph.from_triples`.

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
        return KnowledgeGraph.from_triples(
            self.entities, self.triples, type_names=self.type_names, relation_names=self.relation_names
        )

    def with_films(self, films: Mapping[str, Sequence[tuple[str, str]]]) -> Facts:
        """The same with other films: each film key becomes these (key, name) pairs.

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


def read_facts(source: str, path: Path, *, fold: Fold) -> Facts:
    """The entities and triples of one of SOURCES at this folder or file. Raises DatasetError.

    `fold` says which spellings of a name are one person, where a source has names and no ids.
    """
    if not path.exists():
        raise DatasetError(path, "there is no such file or folder", expected=f"the files of {source}")
    if source == "rkge":
        return read_rkge(path, fold=fold)
    if source == "dbpedia":
        return read_dbpedia(path)
    if source == "recbole":
        return read_recbole(path)
    raise DatasetError(path, f"there is no source {source!r}", expected="one of " + ", ".join(SOURCES))


# -- RKGE ----------------------------------------------------------------------------------------

_RKGE_COLUMNS = {
    "genre": ("in_genre", "genre"),
    "director": ("directed_by", "person"),
    "actors": ("starring", "person"),
}
_RKGE_ROW = "id:NUMBER|genre:...|director:...|actors:..."
_REMARK = re.compile(r"\s*\([^()]*\)$")  # "Thomas Haneke(co-director)"


def read_rkge(path: Path, *, fold: Fold) -> Facts:
    """RKGE's auxiliary.txt. Films have the ids of its rating files and no titles; "N/A" says nothing."""
    (file,) = _files(path, "auxiliary.txt")
    facts = Facts()
    spellings: dict[tuple[str, str], str] = {}  # the first spelling met names the entity
    for number, line in _lines(file):
        cells = [cell.partition(":") for cell in line.split("|")]
        film = cells[0][2].strip()
        labels = [label.strip().lower() for label, _, _ in cells]
        if labels != ["id", *_RKGE_COLUMNS] or not film.isdigit():
            facts.rejected.append(Rejected(file, number, f"expected {_RKGE_ROW}", line))
            continue
        key = f"{MOVIE}:{film}"
        if key in facts.entities:
            facts.rejected.append(Rejected(file, number, f"film {film} was stated before", line))
            continue
        facts.entities[key] = film
        for label, (_, _, text) in zip(labels[1:], cells[1:], strict=True):
            relation, kind = _RKGE_COLUMNS[label]
            for part in text.split(","):
                name = " ".join(_REMARK.sub("", part).split())
                if name in ("", "N/A"):
                    continue
                name = spellings.setdefault((kind, fold(name)), name)
                facts.entities.setdefault(f"{kind}:{name}", name)
                facts.triples.append((key, relation, f"{kind}:{name}"))
    return _not_empty(facts, file, _RKGE_ROW)


# -- DBpedia -------------------------------------------------------------------------------------

# Properties of https://dbpedia.org/ontology/Film that entity2rec distributes: relation and type.
_DBPEDIA = {
    "director": ("directed_by", "person"),
    "writer": ("written_by", "person"),
    "starring": ("starring", "person"),
    "producer": ("produced_by", "person"),
    "musicComposer": ("composed_by", "person"),
    "cinematography": ("shot_by", "person"),
    "editing": ("edited_by", "person"),
    "distributor": ("distributed_by", "company"),
}
_MAPPING_ROW = "id <tab> title <tab> URI of the film"
_EDGE_ROW = "URI of the film, space, URI of the entity"


def read_dbpedia(path: Path) -> Facts:
    """Edge lists named after DBpedia's properties. A URI is one entity; films have the ids of mappings.tsv.

    The name of an entity is the end of its URI without the words in brackets that tell namesakes
    apart. What distributes a film is a company, everyone else of a known property a person.
    """
    (mapping,) = _files(path, "mappings.tsv", "original/mappings.tsv")
    lists = sorted([*path.glob("*.edgelist*"), *path.glob("graphs/*.edgelist*")])
    if not lists:
        raise DatasetError(path, "there are no edge lists", expected="files such as dbo:director.edgelist")
    facts = Facts()
    films: defaultdict[str, list[str]] = defaultdict(list)  # two films of a data set may be one of DBpedia
    for number, line in _lines(mapping):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 3 or not all(cells):
            facts.rejected.append(Rejected(mapping, number, f"expected {_MAPPING_ROW}", line))
        elif (key := f"{MOVIE}:{cells[0]}") in facts.entities:
            facts.rejected.append(Rejected(mapping, number, f"film {cells[0]} was stated before", line))
        else:
            facts.entities[key] = cells[1]
            films[cells[2]].append(key)
    _not_empty(facts, mapping, _MAPPING_ROW)
    edges = _Edges(facts)
    for file in lists:
        name = file.name.partition(".edgelist")[0].rpartition(":")[2]
        relation, kind = _DBPEDIA.get(name, (name, ENTITY))
        for number, line in _lines(file):
            ends = line.split()
            if len(ends) != 2:
                facts.rejected.append(Rejected(file, number, f"expected {_EDGE_ROW}", line))
            elif ends[0] not in films:
                facts.rejected.append(Rejected(file, number, f"{mapping.name} has no such film", line))
            else:
                edges.add(films[ends[0]], relation, kind, ends[1])
    edges.write(name_of=_dbpedia_name, id_of=_dbpedia_id)
    if not facts.triples:
        raise DatasetError(lists[0], "no row could be used", expected=_EDGE_ROW, line=1)
    return facts


def _dbpedia_id(uri: str) -> str:
    return uri.rpartition("/resource/")[2]


def _dbpedia_name(uri: str) -> str:
    return _REMARK.sub("", unquote(_dbpedia_id(uri)).replace("_", " ")).strip()


# -- RecBole -------------------------------------------------------------------------------------

# The film relations of Freebase that RecBole's data sets use (KB4Rec, Zhao et al., Data Intelligence
# 2019). Most edges are stated twice, from either end; under one name they are one edge.
_FREEBASE = {
    "film.film.directed_by": ("directed_by", "person"),
    "film.director.film": ("directed_by", "person"),
    "film.film.written_by": ("written_by", "person"),
    "film.writer.film": ("written_by", "person"),
    "film.film.actor": ("starring", "person"),
    "film.actor.film": ("starring", "person"),
    "film.film.produced_by": ("produced_by", "person"),
    "film.producer.film": ("produced_by", "person"),
    "film.film.cinematography": ("shot_by", "person"),
    "film.cinematographer.film": ("shot_by", "person"),
    "film.film.genre": ("in_genre", "genre"),
    "film.film_genre.films_in_this_genre": ("in_genre", "genre"),
    "film.film.country": ("from_country", "country"),
    "film.film.language": ("in_language", "language"),
    "film.film.production_companies": ("made_by", "company"),
    "film.production_company.films": ("made_by", "company"),
    "film.film.subjects": ("about", "subject"),
    "film.film_subject.films": ("about", "subject"),
    "film.film.rating": ("certified", "certificate"),
    "film.content_rating.film": ("certified", "certificate"),
    "film.film.award_won": ("won", "award"),
    "film.film.award_nomination": ("nominated_for", "award"),
}
_HEADERS = {".kg": ("head_id", "relation_id", "tail_id"), ".link": ("item_id", "entity_id")}


def read_recbole(path: Path) -> Facts:
    """RecBole's .kg and .link. Films have the ids of the .inter file; there are no names.

    Relations of Freebase get the names and types that this project uses. Others keep their name, with
    INVERSE where the edge was turned, and what they lead to has the type `entity`.
    """
    (graph,) = _files(path, "*.kg")
    (link,) = _files(
        path if path.is_dir() else path.parent, f"{_plain(graph).removesuffix('.kg')}.link", "*.link"
    )
    facts = Facts()
    films: defaultdict[str, list[str]] = defaultdict(list)
    for number, line, cells in _atomic_rows(link, ".link", facts):
        if (key := f"{MOVIE}:{cells[0]}") in facts.entities:
            facts.rejected.append(Rejected(link, number, f"film {cells[0]} was stated before", line))
        else:
            facts.entities[key] = cells[0]
            films[cells[1]].append(key)
    _not_empty(facts, link, "item_id <tab> entity_id")
    edges = _Edges(facts)
    for _number, _line, (head, label, tail) in _atomic_rows(graph, ".kg", facts):
        relation, kind = _FREEBASE.get(label, (label, ENTITY))
        if head in films and tail in films:
            pairs = ((one, other) for one in films[head] for other in films[tail] if one != other)
            facts.triples += [(one, relation, other) for one, other in pairs]
        elif head in films:
            edges.add(films[head], relation, kind, tail)
        elif tail in films:
            turned = relation if label in _FREEBASE else relation + INVERSE
            edges.add(films[tail], turned, kind, head)
        else:
            facts.left_out += 1
    edges.write()
    if not facts.triples:
        raise DatasetError(graph, "no row leads to a film of the .link file", expected="ids of one data set")
    return facts


def _atomic_rows(file: Path, suffix: str, facts: Facts) -> Iterator[tuple[int, str, list[str]]]:
    """Rows of an atomic file with their columns in our order, whatever theirs is."""
    wanted = _HEADERS[suffix]
    typed = " <tab> ".join(f"{name}:token" for name in wanted)
    places: list[int] | None = None
    width = 0
    for number, line in _lines(file):
        cells = [cell.strip() for cell in line.split("\t")]
        if places is None:
            names, width = [cell.partition(":")[0] for cell in cells], len(cells)
            if any(":" not in cell for cell in cells) or not set(wanted) <= set(names):
                raise DatasetError(file, f"the header is {line[:80]!r}", expected=typed, line=number)
            places = [names.index(name) for name in wanted]
        elif len(cells) != width or not all(cells[place] for place in places):
            facts.rejected.append(Rejected(file, number, f"expected {typed}", line))
        else:
            yield number, line, [cells[place] for place in places]
    if places is None:
        raise DatasetError(file, "the file is empty", expected=typed)


# -- what they share -----------------------------------------------------------------------------


class _Edges:
    """Edges to things whose type is what most of their edges say."""

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


def _not_empty(facts: Facts, file: Path, expected: str) -> Facts:
    if not facts.entities:
        first = facts.rejected[0].line if facts.rejected else None
        raise DatasetError(file, "no row could be used", expected=expected, line=first)
    return facts


def _plain(path: Path) -> str:
    return path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED else path.name


def _files(path: Path, *patterns: str) -> list[Path]:
    """The one file that a path means: itself, or the first of these patterns that a folder holds."""
    if path.is_file():
        return [path]
    for pattern in patterns:
        found = sorted({file for suffix in ("", *COMPRESSED) for file in path.glob(pattern + suffix)})
        if len({_plain(file) for file in found}) > 1:
            names = ", ".join(file.name for file in found)
            raise DatasetError(path, f"the folder holds {names}", expected="one of them, named itself")
        if found:
            return found[:1]
    raise DatasetError(
        path, f"there is no {patterns[0]}", expected=" or ".join(patterns) + ", also as .gz or .xz"
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and the lines that are not blank."""
    unpack = COMPRESSED.get(path.suffix)
    try:
        raw = path.read_bytes()
        content = unpack(raw) if unpack else raw
    except (EOFError, lzma.LZMAError) as error:
        raise DatasetError(path, f"damaged: {error}", expected=f"a whole {path.suffix} file") from error
    except OSError as error:
        raise DatasetError(path, error.strerror or str(error), expected="a readable file") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = content[: error.start].count(b"\n") + 1
        raise DatasetError(path, "not UTF-8 text", expected="UTF-8", line=wrong) from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.rstrip("\r")
