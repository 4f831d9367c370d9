"""Find the films that the rows of a file name, and make a visitor's interactions of them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware
from django.utils.translation import gettext as _

from movie.catalogue.importing.cells import TimeFormat, imdb_id, parse_number, parse_year, without_fraction
from movie.catalogue.importing.errors import RowError
from movie.catalogue.importing.rows import PROBED_ROWS
from movie.catalogue.models import ExternalId, Movie
from movie.catalogue.titles import parse_title, search_key
from movie.core.spreadsheets import restore
from movie.events.history import IMPORTED
from movie.events.history_formats import HistoryFile, RejectedRow, read_history_file
from movie.events.history_rows import COLUMNS, OTHER_IDS, Row
from movie.events.recording import InvalidInteraction, validate
from predictors.history import Interaction

EVENT_NAMESPACE = uuid.UUID("5c7bb9f2-6a52-5d3b-9a0e-3f5d86a0c1de")  # of rows without an event id
AHEAD = timedelta(days=1)  # a day that has begun elsewhere
AT_ONCE = 500  # values in one query: databases bound the size of a statement
MOST_CANDIDATES = 8
TICK = timedelta(microseconds=1)

Picks = Mapping[str, int]


@dataclass(slots=True)
class Ambiguous:
    """Holds a film of a file that several films of the site may be. `key` names it in a form."""

    key: str
    title: str
    year: str
    candidates: list[int]
    rows: int = 0


@dataclass(slots=True)
class ParsedHistory:
    """Holds what a file says about a visitor, and what of it cannot be used."""

    source: str = ""
    interactions: list[Interaction] = field(default_factory=list)
    ambiguous: dict[str, Ambiguous] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)


def parse_history_file(
    content: bytes, visitor: str, *, name: str = "", picks: Picks | None = None, now: datetime | None = None
) -> ParsedHistory:
    """Parse a file into interactions of `visitor`, and list every row that cannot be used and why.

    `picks` says which film an ambiguous one is; rows without a time happened just before `now`. Reading a
    file again gives the same event ids, so importing it again changes nothing. Raises UnknownFile and
    UnicodeDecodeError.
    """
    read = read_history_file(content, name)
    for row in read.rows:
        _normalize(row.cells)
    found = ParsedHistory(read.source, rejected=read.rejected)
    times = TimeFormat.detect(row.cells["at"] for row in read.rows[:PROBED_ROWS])
    films = _Films([row.cells for row in read.rows], picks or {})
    clock = _Clock(read, times, now or datetime.now(UTC))
    for position, row in enumerate(read.rows):
        try:
            movie_id = films.find(row.cells)
            if isinstance(movie_id, Ambiguous):
                found.ambiguous.setdefault(movie_id.key, movie_id).rows += 1
                continue
            at = clock.time(row.cells["at"], position)
            interaction = _interaction(row.cells, visitor, movie_id, at, read.source)
            if day := row.cells["watched_on"]:
                interaction = interaction._replace(watched_on=clock.read(day).date())
            validate(interaction)
            found.interactions.append(interaction)
        except InvalidInteraction as refused:
            # That a film is not here is a sentence for anybody; other fields are named as the file does.
            reason = str(refused) if refused.field == "movie_id" else f"{refused.field}: {refused}"
            found.rejected.append(RejectedRow(row.line, reason, row.kind))
    found.rejected.sort(key=lambda rejected: (rejected.file, rejected.line))
    return found


def _normalize(cells: Row) -> None:
    """Undo what spreadsheets do to cells: an apostrophe before a formula, 1995.0 for 1995."""
    for name in (*COLUMNS, *OTHER_IDS):
        cells[name] = restore(cells.get(name, ""))
    for name in ("movie_id", *OTHER_IDS):
        cells[name] = without_fraction(cells[name])
    cells["year"] = str(parse_year(cells["year"]) or "")
    try:
        cells["imdb"] = imdb_id(cells["imdb"])
    except RowError:
        cells["imdb"] = ""


class _Films:
    """Finds the films that the rows of a file name, in few queries."""

    def __init__(self, rows: Sequence[Row], picks: Picks) -> None:
        self.picks = picks
        self.by_id: dict[tuple[str, str], int] = {}
        for source in ("imdb", *OTHER_IDS):
            for some in _chunks(row[source] for row in rows):
                known = ExternalId.objects.filter(source=source, value__in=some)
                self.by_id |= {(source, value): pk for value, pk in known.values_list("value", "movie_id")}
        self.title_of: dict[int, str] = {}
        for some in _chunks(row["movie_id"] for row in rows if _is_id(row["movie_id"])):
            self.title_of |= dict(Movie.objects.filter(pk__in=map(int, some)).values_list("pk", "title"))
        self.by_title: dict[str, dict[int, int | None]] = {}
        keys = {key for row in rows for key in _title_keys(row["title"])}
        for some in _chunks(keys):
            named = Movie.objects.visible().filter(titles__search_key__in=some)
            for pk, key, year in named.values_list("pk", "titles__search_key", "year"):
                self.by_title.setdefault(key, {})[pk] = year

    def find(self, row: Row) -> int | Ambiguous:
        """Return the film of a row, or those that it may be. Raises InvalidInteraction."""
        for source in ("imdb", *OTHER_IDS):
            if known := self.by_id.get((source, row[source])):
                return known
        if _is_id(row["movie_id"]):
            title = self.title_of.get(int(row["movie_id"]))
            if title is not None and search_key(row["title"]) in ("", search_key(title)):
                return int(row["movie_id"])
        candidates = self._called(row)
        if not candidates:
            message = _("This site has no film “%(name)s”.") % {"name": _name(row)}
            raise InvalidInteraction("movie_id", message)
        if len(candidates) == 1:
            return candidates[0]
        key = hashlib.sha256(f"{search_key(row['title'])}\n{row['year']}".encode()).hexdigest()[:16]
        picked = self.picks.get(key)
        if picked in candidates:
            return picked
        return Ambiguous(key, row["title"], row["year"], candidates[:MOST_CANDIDATES])

    def _called(self, row: Row) -> list[int]:
        """Return the films of this title and year; else those a year off, or where one names no year."""
        films: dict[int, int | None] = {}
        for key in _title_keys(row["title"]):
            films |= self.by_title.get(key, {})
        if not row["year"]:
            return sorted(films)
        year = int(row["year"])
        same = sorted(pk for pk, other in films.items() if other == year)
        near = (pk for pk, other in films.items() if other is None or abs(other - year) == 1)
        return same or sorted(near)


def _name(row: Row) -> str:
    """Return the title and the year that a row names, else the first of its ids."""
    if row["title"]:
        return f"{row['title']} ({row['year']})" if row["year"] else row["title"]
    return next((row[each] for each in ("imdb", *OTHER_IDS, "movie_id") if row[each]), "")


def _title_keys(title: str) -> list[str]:
    """Return the keys of a title as it stands, and as film lists write it: "Usual Suspects, The (1995)"."""
    if not title:
        return []
    parsed = parse_title(title)
    keys = (search_key(each)[:255] for each in (title, parsed.title, *parsed.alternatives))
    return [key for key in dict.fromkeys(keys) if key]


@dataclass(slots=True)
class _Clock:
    """Reads the times of a file."""

    file: HistoryFile
    times: TimeFormat
    now: datetime

    def time(self, text: str, position: int) -> datetime:
        """Return the time of a row; of one without any just before now, in the order of the file."""
        if not text and self.file.source != "reelgraph":
            return self.now - TICK * (len(self.file.rows) - position)
        return min(self.read(text), self.now)

    def read(self, text: str) -> datetime:
        """Return the time that a cell names. Raises InvalidInteraction."""
        try:
            at = parse_datetime(text)
            if at is None and not self.times.is_assumed:  # nobody can tell which of 02/03 is the month
                at = datetime.fromtimestamp(self.times.seconds(text), UTC)
        except (ValueError, RowError):  # also where the form is right and the date is not: 30 February
            at = None
        if at is None:
            raise InvalidInteraction("at", _("%(text)r is not a date and time.") % {"text": text})
        at = at if is_aware(at) else at.replace(tzinfo=UTC)
        if at > self.now + AHEAD:
            raise InvalidInteraction("at", _("%(text)s is in the future.") % {"text": text})
        return at


def _interaction(row: Row, visitor: str, movie_id: int, at: datetime, source: str) -> Interaction:
    return Interaction(
        event_id=row["event_id"].lower() or _made_id(row),
        visitor=visitor,
        kind=row["kind"],
        movie_id=movie_id,
        at=at,
        value=_number(row["value"]),
        progress=_number(row["progress"], "progress"),
        weight=_number(row["weight"], "weight"),
        surface=row["surface"] if source == "reelgraph" else IMPORTED,
        recommendation_id=row["recommendation_id"],
    )


def _number(text: str, field: str = "value") -> float | None:
    try:
        return parse_number(text) if text else None
    except ValueError:
        raise InvalidInteraction(field, _("%(text)r is not a number.") % {"text": text}) from None


def _made_id(row: Row) -> str:
    """Return an event id that is always the same for the same row."""
    # Rows without these keep the ids that they had before there were any.
    later = (*OTHER_IDS, "watched_on", "progress", "weight")
    names = (*(name for name in COLUMNS if name not in later), *(name for name in later if row[name]))
    return str(uuid.uuid5(EVENT_NAMESPACE, "\n".join(row[name] for name in names)))


def _chunks(values: Iterable[str]) -> Iterable[list[str]]:
    known = sorted({value for value in values if value})
    return (known[start : start + AT_ONCE] for start in range(0, len(known), AT_ONCE))


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
