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

from collections.abc import Callable
from pathlib import Path

from datasets.knowledge_graph.dbpedia import read_dbpedia
from datasets.knowledge_graph.recbole import read_recbole
from datasets.knowledge_graph.rkge import read_rkge
from datasets.knowledge_graph.triples import Facts, Fold
from datasets.readers.source import DatasetError

READERS: dict[str, Callable[[Path, Fold], Facts]] = {
    "rkge": read_rkge,
    "dbpedia": lambda path, fold: read_dbpedia(path),
    "recbole": lambda path, fold: read_recbole(path),
}
SOURCES = tuple(READERS)


def read_facts(source: str, path: Path, *, fold: Fold) -> Facts:
    """Read the entities and triples of one of SOURCES at this folder or file. Raises DatasetError.

    `fold` maps the spellings of a person's name to one, where a source has names and no ids.
    """
    if source not in READERS:
        raise DatasetError(path, f"there is no source {source!r}", expected="one of " + ", ".join(SOURCES))
    if not path.exists():
        raise DatasetError(path, "there is no such file or folder", expected=f"the files of {source}")
    return READERS[source](path, fold)
