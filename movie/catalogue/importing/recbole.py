"""Read RecBole's atomic files: .item and .inter, tabs, a header of name:type.

Format: https://recbole.io/docs/user_guide/data/atomic_files.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from movie.catalogue.importing.columns import meanings
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.reading import TextFile, header, split_plain
from movie.catalogue.importing.rows import Record, Table

TYPES = ("token", "token_seq", "float", "float_seq")
UNKNOWN = "unkonwn"  # so spelt in the MovieLens files that RecBole distributes


def table(file: TextFile, kind: str, chosen: Mapping[str, str] | None = None) -> Table:
    """Return the table of a file. Raises CatalogueError for a file of other columns."""
    lines = file.lines()
    columns = [name.partition(":") for name in header(file.path, lines).split("\t")]
    if any(kind not in TYPES for _name, _colon, kind in columns):
        message = "%(path)s should begin with a line of name:type columns parted by tabs, as in RecBole."
        raise CatalogueError(message % {"path": file.path})
    names = tuple(name for name, _colon, _kind in columns)
    meaning = meanings(file.path, names, kind, chosen)
    found = Table(meaning, split_plain(lines, "\t", len(meaning)), " ", delimiter="\t", names=names)
    return replace(found, records=_repaired(found)) if kind == "movies" else found


def _repaired(table: Table) -> Iterator[Record]:
    """Yield records without RecBole's false years, such as "V" for a video and "unkonwn" for none."""
    title = table.columns.index("title")
    year = table.columns.index("year") if "year" in table.columns else None
    for record in table.records:
        if record.cells is not None:
            if record.cells[title] == UNKNOWN:
                record.cells[title] = "unknown"
            if year is not None and not record.cells[year].strip().isdigit():
                record.cells[year] = ""
        yield record
