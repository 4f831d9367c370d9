"""Read MovieLens 100K: u.item (parted by "|", Latin-1, a flag for each genre) and u.data (tabs).

Format: https://files.grouplens.org/datasets/movielens/ml-100k-README.txt
"""

from __future__ import annotations

from collections.abc import Iterator

from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.reading import LONGEST_LINE, TextFile, broken, split_plain
from movie.catalogue.importing.rows import Record, Table

# In the order of the flags; the first, "unknown", is no genre.
GENRES = (
    "",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
AFTER_TITLE = 3 + len(GENRES)  # release date, video release date, address, flags


def movies(file: TextFile) -> Table:
    return Table(("id", "title", "genres"), _movies(file))


def _movies(file: TextFile) -> Iterator[Record]:
    for number, line in file.lines():
        cells = line.split("|") if len(line) <= LONGEST_LINE else []
        flags = cells[-len(GENRES) :]
        if len(cells) >= 2 + AFTER_TITLE and set(flags) <= {"0", "1"}:
            title = "|".join(cells[1:-AFTER_TITLE])
            genres = "|".join(
                genre for genre, flag in zip(GENRES, flags, strict=True) if flag == "1" and genre
            )
            yield Record(number, line, [cells[0], title, genres])
        elif number == 1:
            message = "%(path)s should hold %(cells)d cells a line parted by “|”; line 1 is “%(line)s”."
            raise CatalogueError(message % {"path": file.path, "cells": 2 + AFTER_TITLE, "line": line[:100]})
        elif line.strip():
            yield broken(number, line)


def ratings(file: TextFile) -> Table:
    return Table(("user", "movie", "rating", "time"), split_plain(_checked(file), "\t", 4))


def _checked(file: TextFile) -> Iterator[tuple[int, str]]:
    for number, line in file.lines():
        if number == 1 and line.count("\t") != 3:
            message = "%(path)s should hold 4 cells a line parted by tabs; line 1 is “%(line)s”."
            raise CatalogueError(message % {"path": file.path, "line": line[:100]})
        yield number, line
