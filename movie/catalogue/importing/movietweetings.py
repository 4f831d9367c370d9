"""Read MovieTweetings: movies.dat and ratings.dat, cells parted by "::", UTF-8. Film ids are IMDb ids.

Format: https://github.com/sidooms/MovieTweetings. Ratings are IMDb's, 1 to 10; a few tweets say 0, which
counts as 1. The file users.dat holds Twitter ids and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from movie.catalogue.importing import movielens_dat
from movie.catalogue.importing.cells import imdb_id
from movie.catalogue.importing.errors import RejectReason, RowError
from movie.catalogue.importing.reading import TextFile
from movie.catalogue.importing.rows import Record, Table

# IMDb ids have seven digits at least; those of MovieLens have six at most.
_FIRST_LINE = {"movies": re.compile(r"\d{7,10}::"), "ratings": re.compile(r"\d+::\d{7,10}::\d+::\d+")}


def is_movietweetings(path: Path, kind: str) -> bool:
    """Return whether the first line of a file of `kind` ("movies" or "ratings") has an IMDb id."""
    with TextFile(path, fallback="latin-1") as file:
        first = next(iter(file.lines()), (1, ""))
    return _FIRST_LINE[kind].match(first[1].lstrip("\ufeff")) is not None


def movies(file: TextFile) -> Table:
    table = movielens_dat.movies(file)
    return Table(table.columns, _with_imdb_ids(table.records, 0))


def ratings(file: TextFile) -> Table:
    table = movielens_dat.ratings(file)
    return Table(table.columns, _from_one(_with_imdb_ids(table.records, 1)))


def _with_imdb_ids(records: Iterator[Record], at: int) -> Iterator[Record]:
    """Write the ids in cell `at` as the site does: "0113277" becomes "tt0113277"."""
    for record in records:
        if record.cells is None:
            yield record
            continue
        try:
            record.cells[at] = imdb_id(record.cells[at])
        except RowError:
            yield Record(record.line, record.raw, None, RejectReason.IMDB)
            continue
        yield record


def _from_one(records: Iterator[Record]) -> Iterator[Record]:
    for record in records:
        if record.cells is not None and record.cells[2].strip() == "0":
            record.cells[2] = "1"
        yield record
