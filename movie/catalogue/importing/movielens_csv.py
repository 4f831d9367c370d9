"""Read MovieLens "latest", 20M, 25M and 32M: movies.csv, links.csv, tags.csv, ratings.csv.

Format: https://files.grouplens.org/datasets/movielens/ml-latest-README.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from movie.catalogue.importing.cells import imdb_id, tmdb_id
from movie.catalogue.importing.errors import CatalogueError, RowError
from movie.catalogue.importing.reading import TextFile, header, split_quoted
from movie.catalogue.importing.rows import Record, RejectedRow, Table

MOVIES_HEADER = "movieId,title,genres"
RATINGS_HEADER = "userId,movieId,rating,timestamp"
LINKS_HEADER = "movieId,imdbId,tmdbId"
TAGS_HEADER = "userId,movieId,tag,timestamp"


def _records(file: TextFile, expected: str) -> Iterator[Record]:
    lines = file.lines()
    found = header(file.path, lines)
    if found.strip() != expected:
        message = "%(path)s should begin with the line “%(expected)s”; it begins with “%(found)s”."
        raise CatalogueError(message % {"path": file.path, "expected": expected, "found": found[:100]})
    return split_quoted(lines, ",", expected.count(",") + 1)


def movies(file: TextFile) -> Table:
    return Table(("id", "title", "genres"), _records(file, MOVIES_HEADER))


def ratings(file: TextFile) -> Table:
    return Table(("user", "movie", "rating", "time"), _records(file, RATINGS_HEADER))


def is_movielens(path: Path) -> bool:
    """Return whether a CSV file has a header of MovieLens; other CSV files may have any columns."""
    with TextFile(path, fallback="latin-1") as file:
        return header(path, file.lines()).strip() in (MOVIES_HEADER, RATINGS_HEADER)


def links(file: TextFile) -> Iterator[tuple[str, str, str] | RejectedRow]:
    """Yield (MovieLens id, IMDb id, TMDB id), "" where there is none."""
    for record in _records(file, LINKS_HEADER):
        if record.cells is None:
            yield RejectedRow(record.line, record.problem, record.raw)  # type: ignore[arg-type]
            continue
        try:
            yield record.cells[0].strip(), imdb_id(record.cells[1]), tmdb_id(record.cells[2])
        except RowError as row_error:
            yield RejectedRow(record.line, row_error.reason, record.raw)


def tags(file: TextFile) -> Iterator[Record]:
    """Return records of (user, movie, tag, time)."""
    return _records(file, TAGS_HEADER)
