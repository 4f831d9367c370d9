"""RKGE's auxiliary.txt: `id:1|genre:Drama,War|director:A,B|actors:C,D`, a film a line (RecSys 2018)."""

from __future__ import annotations

import re
from pathlib import Path

from datasets.knowledge_graph.graph import MOVIE
from datasets.knowledge_graph.triples import (
    Facts,
    Fold,
    Rejected,
    find_files,
    numbered_lines,
    require_entities,
)

_RKGE_COLUMNS = {
    "genre": ("in_genre", "genre"),
    "director": ("directed_by", "person"),
    "actors": ("starring", "person"),
}
_RKGE_ROW = "id:NUMBER|genre:...|director:...|actors:..."
_REMARK = re.compile(r"\s*\([^()]*\)$")  # "Thomas Haneke(co-director)"


def read_rkge(path: Path, fold: Fold) -> Facts:
    """Read RKGE's auxiliary.txt. Films have the ids of its rating files and no titles; "N/A" says nothing."""
    (file,) = find_files(path, "auxiliary.txt")
    facts = Facts()
    spellings: dict[tuple[str, str], str] = {}  # the first spelling names the entity
    for number, line in numbered_lines(file):
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
    return require_entities(facts, file, _RKGE_ROW)
