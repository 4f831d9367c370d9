"""Read any CSV or TSV file; ids may be any text.

The first line names the columns, unless they are chosen by their numbers.
"""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

from movie.catalogue.importing.columns import are_positions, meanings, meanings_by_position
from movie.catalogue.importing.reading import (
    DELIMITERS,
    TextFile,
    header,
    read_columns,
    split_plain,
    split_quoted,
)
from movie.catalogue.importing.rows import Table

PROBED_LINES = 100  # that tell the delimiter of a file without a header


def table(file: TextFile, kind: str, chosen: Mapping[str, str] | None = None) -> Table:
    """Return the table of a file. Raises CatalogueError for a file of other columns."""
    if chosen and are_positions(chosen):
        return _by_position(file, kind, chosen)
    lines = file.lines()
    columns, delimiter, line = read_columns(header(file.path, lines), lines)
    meaning = meanings(file.path, columns, kind, chosen)
    split = split_plain if delimiter == "\t" and '"' not in line else split_quoted
    records = split(lines, delimiter, len(meaning))
    return Table(meaning, records, delimiter=delimiter, names=tuple(columns))


def _by_position(file: TextFile, kind: str, chosen: Mapping[str, str]) -> Table:
    lines = file.lines()
    first = (1, header(file.path, lines))
    sample = [first, *itertools.islice(lines, PROBED_LINES - 1)]
    delimiter, width = find_delimiter([line for _number, line in sample])
    meaning = meanings_by_position(file.path, width, kind, chosen)
    split = split_plain if delimiter == "\t" and '"' not in first[1] else split_quoted
    names = tuple(str(number) for number in range(1, width + 1))
    return Table(
        meaning, split(itertools.chain(sample, lines), delimiter, width), delimiter=delimiter, names=names
    )


def find_delimiter(lines: Sequence[str]) -> tuple[str, int]:
    """Return the delimiter by which most lines have the same number of cells, and that number.

    Of two that fit equally the one that makes more cells, then the first of DELIMITERS.
    """
    best = (0, 1, DELIMITERS[0])
    for delimiter in reversed(DELIMITERS):
        widths = Counter(
            len(cells) for line in lines if (cells := next(csv.reader([line], delimiter=delimiter), []))
        )
        width, n_lines = max(widths.items(), key=lambda each: (each[1], each[0]), default=(1, 0))
        if width > 1 and (n_lines, width) >= best[:2]:
            best = n_lines, width, delimiter
    return best[2], best[1]
