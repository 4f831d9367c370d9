"""The row types that every format is read into, and why a row is refused.

A format reads a file into a `Table`: the meaning of its columns, and records. `movie_rows` and
`rating_rows` check the records; what comes out is a row to save or a `Rejected` with its line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from django.db.models import TextChoices
from django.utils.translation import gettext_noop

from movie.catalogue.titles import EARLIEST_YEAR, LATEST_YEAR, clean, parse_title, search_key

LONGEST_TITLE = 255
LONGEST_ID = 128
LONGEST_NAME = 64
LONGEST_RUNTIME = 1500  # minutes; the longest films in catalogues run about a day
LATEST_TIME = 4_102_444_800  # 2100-01-01; beyond it a time is in milliseconds or wrong


class CatalogueError(Exception):
    """A file cannot be read as what it should be; the message names it and what was expected."""


class Reason(TextChoices):
    """Why a single row is refused while the rest goes on."""

    BROKEN = "broken", "wrong number of columns"
    QUOTES = "quotes", "a quotation mark is not closed"
    NO_ID = "no_id", "the id is empty"
    LONG_ID = "long_id", "the id is longer than 128 characters"
    NO_TITLE = "no_title", "the title is empty"
    LONG_TITLE = "long_title", "the title is longer than 255 characters"
    LONG_NAME = "long_name", "a genre is longer than 64 characters"
    YEAR = "year", "the year is not a number from 1870 to 2100"
    RUNTIME = "runtime", "the running time is not a number of minutes"
    IMDB = "imdb", gettext_noop("the IMDb id is not of the form tt0113277")
    TMDB = "tmdb", "the TMDB id is not a number"
    DUPLICATE = "duplicate", "the id was already on an earlier line"
    NO_VISITOR = "no_visitor", "the user is empty"
    LONG_VISITOR = "long_visitor", "the user id is too long"
    UNKNOWN_FILM = "unknown_film", "no film of the catalogue has this id"
    RATING = "rating", "the rating is not a number"
    STARS = "stars", "the rating is not a half-star value from 0.5 to 5"
    SCALE = "scale", "the rating is outside the scale given"
    TIME = "time", gettext_noop("the time is neither seconds since 1970 nor an ISO date")
    TAG = "tag", "the tag is empty or longer than 64 characters"


class Record(NamedTuple):
    """A line as read: its cells in the order of the table's columns, or why it has none.

    `line` counts from 1; in Parquet files, which have no lines, it is the row.
    """

    line: int
    raw: str
    cells: list[str] | None
    problem: Reason | None = None


@dataclass(frozen=True)
class Table:
    """`columns` names each cell's meaning (`id`, `title`, `user`, ...); "" where there is none."""

    columns: tuple[str, ...]
    records: Iterator[Record]
    separator: str = "|"  # between the names in a genre cell


class Rejected(NamedTuple):
    line: int
    reason: Reason
    raw: str


@dataclass(frozen=True, slots=True)
class MovieRow:
    """A film as a catalogue file states it. Empty text and None mean that the file says nothing."""

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

    @property
    def is_unknown(self) -> bool:
        """A placeholder of the data set, such as MovieLens 100K's film 267, not a film to show."""
        return search_key(self.title) == "unknown"


# One rating: line, raw line, user, film (ids of the file), stars, seconds since 1970 UTC or None where
# the file states none. A plain tuple: a million of named ones cost half a second more.
RatingRow = tuple[int, str, str, str, float, float | None]


class Refusal(Exception):
    """Ends the building of one row; caught where rows are built."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


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
        """Raises Refusal when outside the scale."""
        if not self.low <= value <= self.high:
            raise Refusal(Reason.SCALE)
        if self.high == 5 and self.low in (0.5, 1):
            return math.floor(value * 2 + 0.5) / 2  # already stars
        share = (value - self.low) / (self.high - self.low)
        return math.floor((0.5 + 4.5 * share) * 2 + 0.5) / 2


def imdb_id(text: str) -> str:
    """ "0113277", "113277" and "tt0113277" are the same film; "" stays "". Raises Refusal."""
    digits = text.strip().removeprefix("tt")
    if not digits:
        return ""
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10:
        raise Refusal(Reason.IMDB)
    return f"tt{int(digits):07d}"


def tmdb_id(text: str) -> str:
    """A number as text, "" for none. Raises Refusal."""
    digits = text.strip().removesuffix(".0")  # pandas writes whole numbers so when some are missing
    if digits and not (digits.isascii() and digits.isdigit() and len(digits) < 12):
        raise Refusal(Reason.TMDB)
    return digits


def film_id(text: str) -> str:
    """An id of any kind, white space trimmed. Raises Refusal."""
    value = clean(text)
    if not value:
        raise Refusal(Reason.NO_ID)
    if len(value) > LONGEST_ID:
        raise Refusal(Reason.LONG_ID)
    return value


def seconds_of(text: str) -> float:
    """Seconds since 1970 (whole or not) or an ISO date, UTC where it names no zone. Raises Refusal."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise Refusal(Reason.TIME) from None
        try:
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (OverflowError, ValueError):
            raise Refusal(Reason.TIME) from None
    if not 0 <= seconds < LATEST_TIME:  # also refuses "nan" and "inf"
        raise Refusal(Reason.TIME)
    return seconds


def _names(text: str, separator: str) -> tuple[str, ...]:
    """The names in a cell; MovieLens writes "(no genres listed)" for none, RecBole nothing."""
    text = clean(text)
    if text in ("(no genres listed)", "unknown", "N/A"):
        return ()
    names = tuple(dict.fromkeys(name for part in text.split(separator) if (name := part.strip())))
    if any(len(name) > LONGEST_NAME for name in names):
        raise Refusal(Reason.LONG_NAME)
    return names


def _whole_number(text: str, low: int, high: int, reason: Reason) -> int | None:
    text = text.strip().removesuffix(".0")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6 and low <= int(text) <= high):
        raise Refusal(reason)
    return int(text)


def _movie_row(record: Record, cells: Mapping[str, str], separator: str) -> MovieRow:
    parsed = parse_title(cells["title"])
    if not parsed.title:
        raise Refusal(Reason.NO_TITLE)
    if max(map(len, (parsed.title, parsed.sort_title, *parsed.alternatives))) > LONGEST_TITLE:
        raise Refusal(Reason.LONG_TITLE)
    year = _whole_number(cells.get("year", ""), EARLIEST_YEAR, LATEST_YEAR, Reason.YEAR)
    return MovieRow(
        line=record.line,
        raw=record.raw,
        id=film_id(cells["id"]),
        title=parsed.title,
        sort_title=parsed.sort_title,
        year=year or parsed.year,
        alternatives=parsed.alternatives,
        genres=_names(cells.get("genres", ""), separator),
        countries=_names(cells.get("countries", ""), "|"),
        languages=_names(cells.get("languages", ""), "|"),
        synopsis=cells.get("synopsis", "").replace("\0", "").strip(),
        runtime=_whole_number(cells.get("runtime", ""), 1, LONGEST_RUNTIME, Reason.RUNTIME),
        poster_path=clean(cells.get("poster_path", ""))[:255],
        imdb=imdb_id(cells.get("imdb", "")),
        tmdb=tmdb_id(cells.get("tmdb", "")),
    )


def movie_rows(table: Table) -> Iterator[MovieRow | Rejected]:
    """A row, or why there is none, for every record. An id counts once: later lines are duplicates."""
    seen: set[str] = set()
    for record in table.records:
        if record.cells is None:
            yield Rejected(record.line, record.problem or Reason.BROKEN, record.raw)
            continue
        cells = dict(zip(table.columns, record.cells, strict=True))
        try:
            row = _movie_row(record, cells, table.separator)
            if row.id in seen:
                raise Refusal(Reason.DUPLICATE)
        except Refusal as refusal:
            yield Rejected(record.line, refusal.reason, record.raw)
            continue
        seen.add(row.id)
        yield row


def rating_rows(table: Table, scale: Scale | None = None) -> Iterator[RatingRow | Rejected]:
    """A row, or why there is none, for every record. This loop sees every line of large files."""
    user_at, film_at, value_at = (table.columns.index(name) for name in ("user", "film", "rating"))
    time_at = table.columns.index("time") if "time" in table.columns else None
    for line, raw, cells, problem in table.records:
        if cells is None:
            yield Rejected(line, problem or Reason.BROKEN, raw)
            continue
        user, film = cells[user_at].strip(), cells[film_at].strip()
        try:
            value = float(cells[value_at])
        except ValueError:
            yield Rejected(line, Reason.RATING, raw)
            continue
        try:
            if not user or "\0" in user:
                raise Refusal(Reason.NO_VISITOR)
            if not film:
                raise Refusal(Reason.NO_ID)
            if scale is not None:
                value = scale.stars(value)
            elif not 0.5 <= value <= 5 or value * 2 % 1:
                raise Refusal(Reason.STARS)
            seconds = None if time_at is None else seconds_of(cells[time_at])
        except Refusal as refusal:
            yield Rejected(line, refusal.reason, raw)
            continue
        yield line, raw, user, film, value, seconds
