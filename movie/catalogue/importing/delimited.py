"""Read any CSV or TSV file with a header line; ids may be any text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from movie.catalogue.importing.columns import (
    MOVIE_COLUMNS,
    MOVIES_NEED,
    RATING_COLUMNS,
    RATINGS_NEED,
    meanings,
)
from movie.catalogue.importing.reading import TextFile, header, read_columns, split_plain, split_quoted
from movie.catalogue.importing.rows import Table


def _open(
    file: TextFile,
    known: Mapping[str, Sequence[str]],
    needed: Sequence[str],
    chosen: Mapping[str, str] | None,
) -> Table:
    lines = file.lines()
    columns, delimiter, line = read_columns(header(file.path, lines), lines)
    meaning = meanings(file.path, columns, known, needed, chosen)
    split = split_plain if delimiter == "\t" and '"' not in line else split_quoted
    return Table(meaning, split(lines, delimiter, len(meaning)))


def movies(file: TextFile, chosen: Mapping[str, str] | None = None) -> Table:
    return _open(file, MOVIE_COLUMNS, MOVIES_NEED, chosen)


def ratings(file: TextFile, chosen: Mapping[str, str] | None = None) -> Table:
    return _open(file, RATING_COLUMNS, RATINGS_NEED, chosen)
