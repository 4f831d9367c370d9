"""Detect the format of a file from its name and, where many share a name, its header.

Folders are searched for their movie or rating file, so the path of an unpacked data set will do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from movie.catalogue.importing import movielens_csv, movietweetings
from movie.catalogue.importing.cells import LONGEST_NAME
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.reading import COMPRESSIONS, TextFile, plain_name
from movie.catalogue.importing.rows import Scale, Table
from movie.catalogue.models import SHARED_SOURCES

MOVIELENS = "movielens"  # ids that all MovieLens data sets but 100K share
MOVIELENS_100K = "ml-100k"
# Names that every data set gives its files: two such files are not of one id space.
_PART_NAMES = frozenset(("movies", "films", "items", "titles", "ratings", "interactions", "reviews"))
_MOVIELENS_SET = re.compile(r"^ml-?(latest(-small)?|\d+m\w*)$", re.IGNORECASE)


@dataclass(frozen=True)
class Format:
    """Describes how to recognise and read a format. `module` is imported on first use."""

    name: str
    module: str
    movies: str  # patterns of file names without compression suffix
    ratings: str
    source: str = ""  # id space; "" takes the file's name
    fallback: str | None = None  # encoding of files that are not UTF-8
    named_columns: bool = True  # whether --columns means anything
    visitors: str = ""  # prefix of its users, where the id space is not the name of the data set
    scale: Scale | None = None  # of its ratings, where they are not stars

    def has(self, path: Path, kind: str) -> bool:
        return re.fullmatch(getattr(self, kind), plain_name(path), re.IGNORECASE) is not None


FORMATS = {
    known.name: known
    for known in (
        Format(
            "movietweetings",
            "movietweetings",
            r"movies\.dat",
            r"ratings\.dat",
            "imdb",
            "latin-1",
            False,
            visitors="movietweetings",
            scale=Scale(1, 10),
        ),
        Format(
            "movielens-dat", "movielens_dat", r"movies\.dat", r"ratings\.dat", MOVIELENS, "latin-1", False
        ),
        Format(
            "movielens-100k",
            "movielens_100k",
            r"u\.item",
            r"u\.data|u[1-5ab]\.(base|test)",
            MOVIELENS_100K,
            "latin-1",
            False,
        ),
        Format("recbole", "recbole", r".+\.item", r".+\.inter"),
        Format("parquet", "parquet", r".+\.parquet", r".+\.parquet"),
        Format(
            "movielens-csv", "movielens_csv", r"movies\.csv", r"ratings\.csv", MOVIELENS, "latin-1", False
        ),
        Format("csv", "delimited", r".+\.(csv|tsv|txt)", r".+\.(csv|tsv|txt)"),
        Format("jsonl", "json_lines", r".+\.(jsonl|ndjson)", r".+\.(jsonl|ndjson)"),
    )
}
# What to look for in a folder, in this order.
_FOLDER = {
    "movies": (
        "movies.csv",
        "movies.dat",
        "u.item",
        "*.item",
        "movies.parquet",
        "movies.tsv",
        "movies.jsonl",
        "items.*",
    ),
    "ratings": (
        "ratings.csv",
        "ratings.dat",
        "u.data",
        "*.inter",
        "ratings.parquet",
        "ratings.tsv",
        "ratings.jsonl",
        "interactions.*",
    ),
}


class OpenFile(Protocol):
    """Describes an open file for the readers of all formats."""

    path: Path

    @property
    def done(self) -> float: ...


def locate(path: Path, kind: str) -> Path:
    """Return the file of `kind` ("movies" or "ratings") at a path. Raises CatalogueError."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise CatalogueError(f"There is no file or folder {path}.")
    for pattern in _FOLDER[kind]:
        found = sorted(
            {file for suffix in ("", *COMPRESSIONS) for file in path.glob(pattern + suffix) if file.is_file()}
        )
        plain = {plain_name(file) for file in found}
        if len(plain) > 1:
            message = "%(path)s holds several files that may be meant (%(files)s); name one of them."
            raise CatalogueError(message % {"path": path, "files": ", ".join(sorted(plain)[:10])})
        if found:
            return found[0]  # the plain file before its compressed copies
    message = "%(path)s holds none of the files looked for: %(patterns)s (also as .gz or .xz)."
    raise CatalogueError(message % {"path": path, "patterns": ", ".join(_FOLDER[kind])})


def format_of(path: Path, kind: str, name: str | None = None) -> Format:
    """Return the format of a file, by `name` or detected. Raises CatalogueError."""
    if name is not None:
        return FORMATS[name]
    for known in FORMATS.values():
        if known.has(path, kind):
            if known.name == "movielens-csv" and not movielens_csv.is_movielens(path):
                continue
            if known.name == "movietweetings" and not movietweetings.is_movietweetings(path, kind):
                continue
            return known
    message = "The format of %(path)s is not known by its name. Name it with --format: %(formats)s."
    raise CatalogueError(message % {"path": path, "formats": ", ".join(FORMATS)})


def source_of(path: Path, known: Format) -> str:
    """Return the id space of a file's movie ids: of its format, or the name of the file or its folder."""
    if known.source:
        return known.source
    name = _own_name(path)
    if _MOVIELENS_SET.match(name):
        name = MOVIELENS
    # A file called imdb.csv has ids of its own all the same.
    return (f"{name}-file" if name.casefold() in SHARED_SOURCES else name)[:LONGEST_NAME]


def _own_name(path: Path) -> str:
    """Return the name of a data set: "shop" for shop.csv, and for shop/movies.csv, shop/ratings.csv."""
    stem = plain_name(path).rpartition(".")[0] or plain_name(path)
    return (path.resolve().parent.name or stem) if stem.casefold() in _PART_NAMES else stem


def visitors_of(path: Path, known: Format, source: str) -> str:
    """Return the prefix of a file's users. MovieLens data sets share movie ids but not users, so the data
    set's own name is taken where the file or its folder tells it."""
    if known.visitors:
        return known.visitors
    stem = plain_name(path).rpartition(".")[0]
    for name in (stem, path.resolve().parent.name):
        if source == MOVIELENS and _MOVIELENS_SET.match(name):
            return name.lower()
    return source


def open_file(path: Path, known: Format, encoding: str | None = None) -> AbstractContextManager[OpenFile]:
    """Open a file for `read`. Raises CatalogueError."""
    if known.name == "parquet":
        from movie.catalogue.importing.parquet import ParquetFile

        return ParquetFile(path)
    return TextFile(path, encoding=encoding, fallback=known.fallback)


def read(file: OpenFile, known: Format, kind: str, columns: Mapping[str, str] | None = None) -> Table:
    """Return the table of movies, ratings or interactions in a file.

    Raises CatalogueError when it is not of the format.
    """
    module = import_module(f"movie.catalogue.importing.{known.module}")
    if known.named_columns:
        return module.table(file, kind, columns)
    if columns:
        message = "The format %(format)s has fixed columns; --columns is for tables with a header line."
        raise CatalogueError(message % {"format": known.name})
    return getattr(module, "movies" if kind == "movies" else "ratings")(file)
