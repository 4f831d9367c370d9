"""Find out from the first rows how a file is to be read, and say so before anything is written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from movie.catalogue.importing.cells import SECONDS, TimeFormat, parse_number
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.formats import Format, OpenFile
from movie.catalogue.importing.rows import PROBED_ROWS, Scale, Table
from movie.core.batches import take

DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
UNIT_NAMES = {1: "seconds", 1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}
LEAST_VALUES = 20  # that tell a scale; fewer rows are stars or are refused one by one
LEAST_FLAGS = 3  # values of nothing but 0 and 1 that tell flags
MISFITS = 0.1  # share of values that are no stars, from which on a file has another scale
HIGHEST = (5, 10, 20, 100)  # of scales in use
LOWEST = (1, 0.5, 0)

Announce = Callable[[str], object]  # is told a line, before anything is written


def say_nothing(line: str) -> None:
    """Take a line and show it nowhere."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The scale (None: stars) and the form of times of a file, with `lines` that say so."""

    scale: Scale | None
    times: TimeFormat
    lines: tuple[str, ...]


def file_line(file: OpenFile, known: Format, table: Table) -> str:
    """Return how a file is read: format, delimiter, encoding and what each column means."""
    parts = [known.name]
    if table.delimiter:
        parts.append(f"cells parted by {DELIMITER_NAMES.get(table.delimiter, repr(table.delimiter))}")
    if encoding := getattr(file, "encoding", ""):
        parts.append(encoding.removesuffix("-sig").upper())
    names = table.names or table.columns
    used = ((meaning, name) for meaning, name in zip(table.columns, names, strict=True) if meaning)
    columns = ", ".join(f"{meaning}={name}" for meaning, name in used)
    return f"{file.path} is read as {', '.join(parts)}; columns {columns}."


def probe(
    table: Table,
    path: Path,
    *,
    scale: Scale | None = None,
    day_first: bool | None = None,
    are_ratings: bool = True,
) -> tuple[Table, Findings]:
    """Return the table, unread, and what its first rows tell. A stated `scale` is not looked for.

    Raises CatalogueError for a file that is to hold ratings and holds nothing but 0 and 1.
    """
    first = take(table.records, PROBED_ROWS, length=lambda record: len(record.raw))
    rows = [record.cells for record in first if record.cells is not None]
    unread = replace(table, records=itertools.chain(first, table.records))

    def column(name: str) -> list[str]:
        if name not in table.columns:
            return []
        at = table.columns.index(name)
        return [cells[at] for cells in rows]

    values = [value for text in column("rating") if (value := _number(text)) is not None]
    times = TimeFormat.detect(column("time"), day_first=day_first) if "time" in table.columns else SECONDS
    if are_ratings and scale is None:
        _refuse_flags(values, path)
    found = scale or find_scale(values)
    lines = []
    if are_ratings:
        lines.append(_scale_line(found, len(rows), is_stated=scale is not None))
    lines.append(_times_line(times, column("time"), has_times="time" in table.columns))
    return unread, Findings(found, times, tuple(lines))


def find_scale(values: Sequence[float]) -> Scale | None:
    """Return the scale of ratings that are not half stars; None for stars, and where nothing tells."""
    misfits = [value for value in values if not 0.5 <= value <= 5 or value * 2 % 1]
    if len(values) < LEAST_VALUES or len(misfits) < MISFITS * len(values):
        return None
    high = next((high for high in HIGHEST if max(values) <= high), None)
    low = next((low for low in LOWEST if min(values) >= low), None)
    return None if high is None or low is None else Scale(low, high)


def _refuse_flags(values: Sequence[float], path: Path) -> None:
    if len(values) >= LEAST_FLAGS and set(values) <= {0, 1}:
        found = " and ".join(f"{each:g}" for each in sorted(set(values)))
        raise CatalogueError(
            f"The ratings of {path} are nothing but {found}, which are no stars. Import such a file with "
            "import_interactions --kind watch (or click), or state the scale: --scale 0-1."
        )


def _scale_line(scale: Scale | None, n_rows: int, *, is_stated: bool) -> str:
    if scale is None:
        return "Ratings are stars: halves from 0.5 to 5."
    how = "as stated" if is_stated else f"by the first {n_rows:,} rows (--scale states another)"
    return f"Ratings go from {scale.low:g} to {scale.high:g}, {how}; each becomes the nearest half star."


def _times_line(times: TimeFormat, texts: Sequence[str], *, has_times: bool) -> str:
    if not has_times:
        return "There are no times: rows count as of now."
    if any(_number(text) is not None for text in texts):
        return f"Times are {UNIT_NAMES.get(times.per_second, 'numbers')} since 1970."
    return "Times are dates; those without a zone are UTC."


def _number(text: str) -> float | None:
    try:
        value = parse_number(text)
    except ValueError:
        return None
    return value if value == value else None  # noqa: PLR0124 - NaN is no value
