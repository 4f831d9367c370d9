"""Edge lists of DBpedia's properties with mappings.tsv (Palumbo et al., entity2rec, RecSys 2017)."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote

from datasets.knowledge_graph.graph import MOVIE
from datasets.knowledge_graph.triples import (
    ENTITY,
    Facts,
    Rejected,
    TypedEdges,
    find_files,
    numbered_lines,
    require_entities,
)
from datasets.readers.source import DatasetError

_BRACKETS = re.compile(r"\s*\([^()]*\)$")  # "Heat (1995 film)"
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
    """Read edge lists named after DBpedia's properties.

    A URI is one entity; films have the ids of mappings.tsv. The name of an entity is the end of its URI
    without the words in brackets that tell namesakes apart. What distributes a film is a company, everyone
    else of a known property a person.
    """
    (mapping,) = find_files(path, "mappings.tsv", "original/mappings.tsv")
    lists = sorted([*path.glob("*.edgelist*"), *path.glob("graphs/*.edgelist*")])
    if not lists:
        raise DatasetError(path, "there are no edge lists", expected="files such as dbo:director.edgelist")
    facts = Facts()
    films: defaultdict[str, list[str]] = defaultdict(list)  # two films of a data set may be one of DBpedia
    for number, line in numbered_lines(mapping):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != 3 or not all(cells):
            facts.rejected.append(Rejected(mapping, number, f"expected {_MAPPING_ROW}", line))
        elif (key := f"{MOVIE}:{cells[0]}") in facts.entities:
            facts.rejected.append(Rejected(mapping, number, f"film {cells[0]} was stated before", line))
        else:
            facts.entities[key] = cells[1]
            films[cells[2]].append(key)
    require_entities(facts, mapping, _MAPPING_ROW)
    edges = TypedEdges(facts)
    for file in lists:
        name = file.name.partition(".edgelist")[0].rpartition(":")[2]
        relation, kind = _DBPEDIA.get(name, (name, ENTITY))
        for number, line in numbered_lines(file):
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
    return _BRACKETS.sub("", unquote(_dbpedia_id(uri)).replace("_", " ")).strip()
