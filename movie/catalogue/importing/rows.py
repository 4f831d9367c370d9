"""The row types that every format is read into, and the checks of their cells.

A format reads a file into a `Table`: the meaning of its columns, and records. `movie_rows` and
`rating_rows` check the records and yield a row to save or a `RejectedRow` with its line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol, TypeVar

from movie.catalogue.importing.cells import (
    LONGEST_NAME,
    SECONDS,
    TimeFormat,
    imdb_id,
    is_missing,
    movie_id,
    parse_names,
    parse_number,
    parse_runtime,
    parse_year,
    tmdb_id,
    without_fraction,
)
from movie.catalogue.importing.errors import CatalogueError, RejectReason, RowError
from movie.catalogue.titles import clean, parse_title, search_key
from movie.core.spreadsheets import restore

Row = TypeVar("Row", bound="Read")
_IMDB_SHAPE = re.compile(r"tt\d{6,10}")
LONGEST_TITLE = LONGEST_PERSON = 255
LONG_NAMES = dict.fromkeys(("directors", "writers", "cast"), RejectReason.PERSON) | {"tags": RejectReason.TAG}
FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
PROBED_ROWS = 1_000  # rows of a file that tell its unit of time


class Record(NamedTuple):
    """Holds a line as read: its cells in the order of the table's columns, or the problem.

    `line` counts from 1; in Parquet files, which have no lines, it is the row.
    """

    line: int
    raw: str
    cells: list[str] | None
    problem: RejectReason | None = None


@dataclass(frozen=True)
class Table:
    """Holds records. `columns` gives each cell's meaning (`id`, `title`, `user`, ...) or "".

    `delimiter` parts cells and `names` are the columns as the file calls them, to say how it is read.
    `list_separator` was stated for all cells with several names; without it each has its usual one.
    """

    columns: tuple[str, ...]
    records: Iterator[Record]
    separator: str = "|"  # between the names in a genre cell
    delimiter: str = ""
    names: tuple[str, ...] = ()
    list_separator: str = ""


class Read(Protocol):
    """Anything that was read from a line and holds it."""

    @property
    def raw(self) -> str: ...


class RejectedRow(NamedTuple):
    line: int
    reason: RejectReason
    raw: str
    detail: str = ""  # names the films that a conflict is between
    id: str = ""  # of the row, where it can be read


@dataclass(frozen=True, slots=True)
class MovieRow:
    """Holds a movie as a catalogue file states it. Empty text and None mean that the file says nothing."""

    line: int
    raw: str
    id: str
    title: str
    sort_title: str
    year: int | None = None
    alternatives: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    synopsis: str = ""
    runtime: int | None = None
    poster_path: str = ""
    imdb: str = ""
    tmdb: str = ""
    directors: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    cast: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    visible: bool | None = None
    available_from: datetime | None = None
    available_until: datetime | None = None
    notes: tuple[RejectReason, ...] = ()  # fields that were stated, could not be read and are empty

    @property
    def is_placeholder(self) -> bool:
        """Return whether the row stands for no film, as MovieLens 100K's number 267."""
        return search_key(self.title) == "unknown" and self.year is None


# One rating: line, raw line, user, movie (ids of the file), stars, seconds since 1970 UTC or None where
# the file states none. A plain tuple: a million of named ones cost half a second more.
RatingRow = tuple[int, str, str, str, float, float | None]


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps ratings from `low`..`high` linearly onto half a star to five, to the nearest half."""

    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> Scale:
        """Read "1-10". Raises CatalogueError."""
        low, dash, high = text.strip().partition("-")
        try:
            scale = cls(float(low), float(high))
        except ValueError:
            dash = ""
        if not dash or not scale.low < scale.high or not math.isfinite(scale.high - scale.low):
            message = "The scale “%(scale)s” should be two numbers, the lower first, such as 1-10."
            raise CatalogueError(message % {"scale": text})
        return scale

    def stars(self, value: float) -> float:
        """Return the stars of a value. Raises RowError when it is outside the scale."""
        if not self.low <= value <= self.high:
            raise RowError(RejectReason.SCALE)
        if self.high == 5 and self.low in (0.5, 1):
            return math.floor(value * 2 + 0.5) / 2  # already stars
        share = (value - self.low) / (self.high - self.low)
        return math.floor((0.5 + 4.5 * share) * 2 + 0.5) / 2


def _movie_row(record: Record, cells: Mapping[str, str], table: Table) -> MovieRow:
    notes: list[RejectReason] = []
    cells = {meaning: restore(text) for meaning, text in cells.items()}  # as the site's own exports have them
    parsed = parse_title(cells["title"])
    if not parsed.title:
        raise RowError(RejectReason.NO_TITLE)
    original = clean(cells.get("original_title", ""))
    alternatives = (*parsed.alternatives, original) if original else parsed.alternatives
    if max(map(len, (parsed.title, parsed.sort_title, *alternatives))) > LONGEST_TITLE:
        raise RowError(RejectReason.LONG_TITLE)

    def number(name: str, parse: Callable[[str], int | None], reason: RejectReason) -> int | None:
        text = cells.get(name, "")
        value = parse(text) if text.strip() else None
        if value is None and text.strip() and text.strip().casefold() not in ("nan", "\\n"):
            notes.append(reason)
        return value

    def names(name: str, longest: int = LONGEST_NAME) -> tuple[str, ...]:
        usual = table.separator if name == "genres" else "|"
        found = parse_names(cells.get(name, ""), table.list_separator or usual)
        kept = tuple(each for each in found if len(each) <= longest)
        if len(kept) < len(found):
            notes.append(LONG_NAMES.get(name, RejectReason.LONG_NAME))
        return kept

    begins, ends = (_moment(cells.get(f"available_{name}", "")) for name in ("from", "until"))
    if begins and ends and ends <= begins:
        raise RowError(RejectReason.WINDOW)

    identifier = movie_id(cells["id"])
    return MovieRow(
        line=record.line,
        raw=record.raw,
        id=identifier,
        title=parsed.title,
        sort_title=parsed.sort_title,
        year=number("year", parse_year, RejectReason.YEAR)
        or parsed.year
        or parse_year(cells.get("release_date", "")),
        alternatives=alternatives,
        genres=names("genres"),
        countries=names("countries"),
        languages=names("languages"),
        synopsis=cells.get("synopsis", "").replace("\0", "").strip(),
        runtime=number("runtime", parse_runtime, RejectReason.RUNTIME),
        poster_path=clean(cells.get("poster_path", ""))[:255],
        imdb=imdb_id(cells.get("imdb") or (identifier if _IMDB_SHAPE.fullmatch(identifier) else "")),
        tmdb=tmdb_id(cells.get("tmdb", "")),
        directors=names("directors", LONGEST_PERSON),
        writers=names("writers", LONGEST_PERSON),
        cast=names("cast", LONGEST_PERSON),
        tags=tuple(dict.fromkeys(filter(None, map(search_key, names("tags"))))),
        visible=_flag(cells.get("visible", "")),
        available_from=begins,
        available_until=ends,
        notes=tuple(notes),
    )


def _flag(text: str) -> bool | None:
    """Return what a cell says, None where it says nothing. Raises RowError."""
    if is_missing(text):
        return None
    if text.strip().casefold() not in FLAGS:
        raise RowError(RejectReason.VISIBLE)
    return FLAGS[text.strip().casefold()]


def _moment(text: str) -> datetime | None:
    """Return the time in a cell, UTC where it names no zone; None where it says nothing. Raises RowError."""
    if is_missing(text):
        return None
    try:
        return datetime.fromtimestamp(SECONDS.seconds(text), UTC)
    except RowError:
        raise RowError(RejectReason.WINDOW) from None


def movie_rows(table: Table) -> Iterator[MovieRow | RejectedRow]:
    """Yield a row or a rejection for every record. An id counts once: later lines are duplicates."""
    seen: set[str] = set()
    for record in table.records:
        if record.cells is None:
            yield RejectedRow(record.line, record.problem or RejectReason.BROKEN, record.raw)
            continue
        cells = dict(zip(table.columns, record.cells, strict=True))
        try:
            row = _movie_row(record, cells, table)
            if row.id in seen:
                raise RowError(RejectReason.DUPLICATE)
        except RowError as row_error:
            yield RejectedRow(record.line, row_error.reason, record.raw, id=_readable_id(cells))
            continue
        seen.add(row.id)
        yield row


def _readable_id(cells: Mapping[str, str]) -> str:
    try:
        return movie_id(restore(cells["id"]))
    except RowError:
        return ""


def rating_rows(
    table: Table, scale: Scale | None = None, times: TimeFormat = SECONDS
) -> Iterator[RatingRow | RejectedRow]:
    """Yield a row or a rejection for every record. This loop sees every line of large files."""
    user_at, movie_at, value_at = (table.columns.index(name) for name in ("user", "movie", "rating"))
    time_at = table.columns.index("time") if "time" in table.columns else None
    for line, raw, cells, problem in table.records:
        if cells is None:
            yield RejectedRow(line, problem or RejectReason.BROKEN, raw)
            continue
        user, movie = cells[user_at].strip(), cells[movie_at].strip()
        if "." in movie or "." in user:
            user, movie = without_fraction(user), without_fraction(movie)
        try:
            value = parse_number(cells[value_at])
        except ValueError:
            yield RejectedRow(line, RejectReason.RATING, raw)
            continue
        try:
            if not user or "\0" in user:
                raise RowError(RejectReason.NO_VISITOR)
            if not movie:
                raise RowError(RejectReason.NO_ID)
            if scale is not None:
                value = scale.stars(value)
            elif not 0.5 <= value <= 5 or value * 2 % 1:
                raise RowError(RejectReason.STARS)
            seconds = None if time_at is None else times.seconds(cells[time_at])
        except RowError as row_error:
            yield RejectedRow(line, row_error.reason, raw)
            continue
        yield line, raw, user, movie, value, seconds
