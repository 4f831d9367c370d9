"""Read JSON Lines: one object a line. Lists of names or of objects with a name are lists of cells."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from movie.catalogue.importing.columns import meanings
from movie.catalogue.importing.errors import CatalogueError, RejectReason
from movie.catalogue.importing.reading import LONGEST_LINE, TextFile, broken
from movie.catalogue.importing.rows import Record, Table

PROBED_LINES = 1_000  # whose keys are the columns: a key may be left out where it has no value


def table(file: TextFile, kind: str, chosen: Mapping[str, str] | None = None) -> Table:
    """Return the table of a file; its columns are the keys of the first lines.

    Raises CatalogueError for a file without objects or of other columns.
    """
    lines = file.lines()
    sample = list(itertools.islice(lines, PROBED_LINES))
    names = tuple(dict.fromkeys(key for _number, line in sample for key in _object(line) or ()))
    if not names:
        first = sample[0][1][:100] if sample else ""
        raise CatalogueError(f"{file.path} should hold a JSON object a line; line 1 is “{first}”.")
    meaning = meanings(file.path, names, kind, chosen)
    used = [(name, each) for name, each in zip(names, meaning, strict=True) if each]
    names = tuple(name for name, _meaning in used)
    records = _records(itertools.chain(sample, lines), names)
    return Table(tuple(each for _name, each in used), records, names=names)


def _records(lines: Iterable[tuple[int, str]], names: tuple[str, ...]) -> Iterator[Record]:
    for number, line in lines:
        if len(line) > LONGEST_LINE:
            yield broken(number, line)
        elif (found := _object(line)) is not None:
            yield Record(number, line, [_text(found.get(name)) for name in names])
        elif line.strip():
            yield Record(number, line, None, RejectReason.NO_OBJECT)


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "1" if value else "0"
        case list() | dict():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)
