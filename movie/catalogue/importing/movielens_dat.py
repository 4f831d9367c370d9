"""Read MovieLens 1M and 10M: movies.dat and ratings.dat, cells parted by "::", Latin-1 in the older one.

Format: https://files.grouplens.org/datasets/movielens/ml-1m-README.txt
"""

from __future__ import annotations

from collections.abc import Iterator

from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.reading import LONGEST_LINE, TextFile, broken, split_plain
from movie.catalogue.importing.rows import Record, Table

SEPARATOR = "::"


def movies(file: TextFile) -> Table:
    return Table(("id", "title", "genres"), _movies(file))


def _movies(file: TextFile) -> Iterator[Record]:
    for number, line in _checked(file, 3):
        identifier, _separator, rest = line.partition(SEPARATOR)
        title, separator, genres = rest.rpartition(SEPARATOR)  # a title may hold the separator itself
        if separator and len(line) <= LONGEST_LINE:
            yield Record(number, line, [identifier, title, genres])
        elif line.strip():
            yield broken(number, line)


def ratings(file: TextFile) -> Table:
    return Table(("user", "movie", "rating", "time"), split_plain(_checked(file, 4), SEPARATOR, 4))


def _checked(file: TextFile, cells: int) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file. Raises CatalogueError when the first has fewer than `cells` cells."""
    for number, line in file.lines():
        if number == 1 and line.count(SEPARATOR) < cells - 1:
            message = "%(path)s should hold %(cells)d cells a line parted by “::”; line 1 is “%(line)s”."
            raise CatalogueError(message % {"path": file.path, "cells": cells, "line": line[:100]})
        yield number, line
