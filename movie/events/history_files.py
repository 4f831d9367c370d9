"""Write a visitor's history as a CSV file, and read such files and other sites' exports."""

from __future__ import annotations

import codecs
import io
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware
from django.utils.translation import gettext as _

from movie.catalogue.importing.cells import TimeFormat, imdb_id, parse_number, parse_year, without_fraction
from movie.catalogue.importing.errors import RejectReason, RowError
from movie.catalogue.importing.reading import read_columns, split_quoted
from movie.catalogue.importing.rows import PROBED_ROWS
from movie.catalogue.models import ExternalId, Movie
from movie.catalogue.titles import search_key
from movie.core.spreadsheets import neutralize, restore
from movie.events.recording import InvalidInteraction, validate
from predictors.history import History, Interaction

COLUMNS = (
    "at",
    "kind",
    "movie_id",
    "title",
    "year",
    "imdb",
    "value",
    "surface",
    "recommendation_id",
    "event_id",
)
NEEDED = ("at", "kind", "value")
MOST_ROWS = 10_000
EVENT_NAMESPACE = uuid.UUID("5c7bb9f2-6a52-5d3b-9a0e-3f5d86a0c1de")  # of rows without an event id


@dataclass(slots=True)
class RejectedRow:
    line: int
    reason: str


@dataclass(slots=True)
class ParsedHistory:
    interactions: list[Interaction] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)


def history_rows(history: History) -> Iterator[list[str]]:
    """Yield the header and one line for each interaction, oldest first."""
    movies = Movie.objects.in_bulk({event.movie_id for event in history})
    imdb = dict(ExternalId.objects.filter(source="imdb", movie__in=movies).values_list("movie_id", "value"))
    yield list(COLUMNS)
    for event in history:
        movie = movies.get(event.movie_id)
        if movie is None:
            continue
        yield [
            event.at.astimezone(UTC).isoformat(),
            event.kind,
            str(movie.pk),
            neutralize(movie.title),
            str(movie.year or ""),
            imdb.get(movie.pk, ""),
            "" if event.value is None else f"{event.value:g}",
            neutralize(event.surface),
            neutralize(event.recommendation_id),
            event.event_id if _is_uuid(event.event_id) else "",
        ]


def decode_history_file(content: bytes) -> str:
    """Return the text of a file in UTF-8 or, as spreadsheets save it, UTF-16. Raises UnicodeDecodeError."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def parse_history_file(text: str, visitor: str) -> ParsedHistory:
    """Parse a history into interactions of `visitor`, and list every row that cannot be used and why.

    Reads the site's own export, also as a spreadsheet saves it, and the ratings that Letterboxd and IMDb
    export. A movie is found by its IMDb id, else by `movie_id` when the title agrees, else by title and
    year, so that a file from another site works too. Reading a file again gives the same event ids, so
    importing it again changes nothing.
    """
    found = ParsedHistory()
    lines = ((n, line.rstrip("\r\n")) for n, line in enumerate(io.StringIO(text, newline=""), 1))
    columns, delimiter, _line = read_columns(next(lines, (1, ""))[1], lines)
    names = [name.strip("\ufeff \t").casefold() for name in columns]
    convert = _converter(names)
    if convert is None:
        missing = ", ".join(name for name in NEEDED if name not in names)
        found.rejected.append(RejectedRow(1, _("These columns are missing: %(names)s.") % {"names": missing}))
        return found
    rows: list[tuple[int, dict[str, str]]] = []
    for record in split_quoted(lines, delimiter, len(names)):
        if record.cells is None:
            reason = record.problem or RejectReason.BROKEN
            found.rejected.append(RejectedRow(record.line, _(reason.label)))
            continue
        if len(rows) == MOST_ROWS:
            reason_text = _("A file may have %(n)d rows; this and later rows are left out.")
            found.rejected.append(RejectedRow(record.line, reason_text % {"n": MOST_ROWS}))
            break
        row = convert(dict(zip(names, map(str.strip, record.cells), strict=True)))
        if any(row.values()):
            rows.append((record.line, _normalized(row)))
    times = TimeFormat.detect(row["at"] for _line, row in rows[:PROBED_ROWS])
    movies = _Movies([row for _line, row in rows])
    for line, row in rows:
        try:
            found.interactions.append(_interaction(row, visitor, movies, times))
        except InvalidInteraction as refused:
            found.rejected.append(RejectedRow(line, f"{refused.field}: {refused}"))
    found.rejected.sort(key=lambda rejected: rejected.line)
    return found


Row = dict[str, str]


def _converter(names: list[str]) -> Callable[[Row], Row] | None:
    """Return a function from a row of a file with these columns to the site's own; None for no known file."""
    has = frozenset(names).issuperset
    if has(NEEDED):
        return lambda row: {name: row.get(name, "") for name in COLUMNS}
    if has(("const", "your rating", "date rated")):
        return _from_imdb
    if has(("date", "name", "year", "rating")):
        return _from_letterboxd
    return None


def _from_letterboxd(row: Row) -> Row:
    stated = {"at": row["date"], "title": row["name"], "year": row["year"], "value": row["rating"] or "-"}
    return dict.fromkeys(COLUMNS, "") | {"kind": "rating"} | stated if any(row.values()) else {}


def _from_imdb(row: Row) -> Row:
    """IMDb rates from 1 to 10."""
    try:
        value = f"{parse_number(row['your rating']) / 2:g}"
    except ValueError:
        value = row["your rating"] or "-"
    stated = {"at": row["date rated"], "title": row.get("title", ""), "year": row.get("year", "")}
    stated |= {"imdb": row["const"], "value": value}
    return dict.fromkeys(COLUMNS, "") | {"kind": "rating"} | stated if any(row.values()) else {}


def _normalized(row: Row) -> Row:
    """Undo what spreadsheets do to cells: an apostrophe before a formula, 1995.0 for 1995."""
    cells = {name: restore(text) for name, text in row.items()}
    cells["movie_id"] = without_fraction(cells["movie_id"])
    cells["year"] = str(parse_year(cells["year"]) or "")
    try:
        cells["imdb"] = imdb_id(cells["imdb"])
    except RowError:
        cells["imdb"] = ""
    return cells


class _Movies:
    """Finds the movies that the rows of a file name, in few queries."""

    def __init__(self, rows: list[dict[str, str]]) -> None:
        imdb = {row["imdb"] for row in rows}
        ids = {int(row["movie_id"]) for row in rows if _is_id(row["movie_id"])}
        keys = {search_key(row["title"]) for row in rows}
        self.by_imdb = dict(
            ExternalId.objects.filter(source="imdb", value__in=imdb).values_list("value", "movie_id")
        )
        self.title_of = dict(Movie.objects.filter(pk__in=ids).values_list("pk", "title"))
        self.by_title: dict[tuple[str, str], set[int]] = {}
        for pk, key, year in Movie.objects.filter(titles__search_key__in=keys).values_list(
            "pk", "titles__search_key", "year"
        ):
            self.by_title.setdefault((key, str(year or "")), set()).add(pk)

    def find(self, row: dict[str, str]) -> int:
        """Return the movie of a row. Raises InvalidInteraction."""
        key = search_key(row["title"])
        if row["imdb"] in self.by_imdb:
            return self.by_imdb[row["imdb"]]
        if _is_id(row["movie_id"]):
            title = self.title_of.get(int(row["movie_id"]))
            if title is not None and key in ("", search_key(title)):
                return int(row["movie_id"])
        same = self.by_title.get((key, row["year"]), set())
        if len(same) == 1:
            return next(iter(same))
        name = row["title"] or row["imdb"] or row["movie_id"]
        if same:
            raise InvalidInteraction("title", _("More than one film is called %(name)r.") % {"name": name})
        raise InvalidInteraction("movie_id", _("No film of this site is %(name)r.") % {"name": name})


def _interaction(row: Row, visitor: str, movies: _Movies, times: TimeFormat) -> Interaction:
    at, value = _time(row["at"], times), _number(row["value"])
    interaction = Interaction(
        event_id=row["event_id"].lower() or _made_id(row),
        visitor=visitor,
        kind=row["kind"],
        movie_id=movies.find(row),
        at=at,
        value=value,
        surface=row["surface"],
        recommendation_id=row["recommendation_id"],
    )
    validate(interaction)
    return interaction


def _time(text: str, times: TimeFormat) -> datetime:
    try:
        at = parse_datetime(text)
        if at is None and not times.is_assumed:  # nobody can tell which of 02/03 is the month
            at = datetime.fromtimestamp(times.seconds(text), UTC)
    except (ValueError, RowError):  # also where the form is right and the date is not: 30 February
        at = None
    if at is None:
        raise InvalidInteraction("at", _("%(text)r is not a date and time.") % {"text": text})
    at = at if is_aware(at) else at.replace(tzinfo=UTC)
    if at > datetime.now(UTC):
        raise InvalidInteraction("at", _("%(text)s is in the future.") % {"text": text})
    return at


def _number(text: str) -> float | None:
    try:
        return parse_number(text) if text else None
    except ValueError:
        raise InvalidInteraction("value", _("%(text)r is not a number.") % {"text": text}) from None


def _made_id(row: dict[str, str]) -> str:
    """Return an event id that is always the same for the same row."""
    return str(uuid.uuid5(EVENT_NAMESPACE, "\n".join(row[name] for name in COLUMNS)))


def _is_uuid(text: str) -> bool:
    try:
        return bool(uuid.UUID(text))
    except ValueError:
        return False


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
