"""A visitor's history as a CSV file, out and in again."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware
from django.utils.translation import gettext as _

from movie.catalogue.models import ExternalId, Movie
from movie.catalogue.titles import search_key
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
MOST_BYTES = 5 * 1024**2
MOST_ROWS = 10_000
EVENT_NAMESPACE = uuid.UUID("5c7bb9f2-6a52-5d3b-9a0e-3f5d86a0c1de")  # of rows without an event id


@dataclass(slots=True)
class Rejected:
    line: int
    reason: str


@dataclass(slots=True)
class ReadHistory:
    interactions: list[Interaction] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def history_rows(history: History) -> Iterator[list[str]]:
    """The header and one line for each interaction, oldest first."""
    films = Movie.objects.in_bulk({event.movie_id for event in history})
    imdb = dict(ExternalId.objects.filter(source="imdb", movie__in=films).values_list("movie_id", "value"))
    yield list(COLUMNS)
    for event in history:
        film = films.get(event.movie_id)
        if film is None:
            continue
        yield [
            event.at.astimezone(UTC).isoformat(),
            event.kind,
            str(film.pk),
            film.title,
            str(film.year or ""),
            imdb.get(film.pk, ""),
            "" if event.value is None else f"{event.value:g}",
            event.surface,
            event.recommendation_id,
            event.event_id if _is_uuid(event.event_id) else "",
        ]


def read_history(text: str, visitor: str) -> ReadHistory:
    """Such a file as interactions of `visitor`, with every row that cannot be used and why.

    A film is found by its IMDb id, else by `movie_id` when the title agrees, else by title and
    year, so that a file from another site works too. Reading a file again gives the same event
    ids, so importing it again changes nothing.
    """
    found = ReadHistory()
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        reason = _("These columns are missing: %(names)s.") % {"names": ", ".join(missing)}
        found.rejected.append(Rejected(1, reason))
        return found
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        for row in reader:
            if len(rows) == MOST_ROWS:
                reason = _("A file may have %(n)d rows; this and later rows are left out.") % {"n": MOST_ROWS}
                found.rejected.append(Rejected(reader.line_num, reason))
                break
            cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
            if any(cells.values()):
                rows.append((reader.line_num, cells))
    except csv.Error as wrong:
        found.rejected.append(Rejected(reader.line_num, _("Not CSV: %(why)s.") % {"why": wrong}))
    films = _Films([row for _line, row in rows])
    for line, row in rows:
        try:
            found.interactions.append(_interaction(row, visitor, films))
        except InvalidInteraction as refused:
            found.rejected.append(Rejected(line, f"{refused.field}: {refused}"))
    found.rejected.sort(key=lambda rejected: rejected.line)
    return found


class _Films:
    """The films that the rows of a file name, looked up together."""

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
        """The film of a row. Raises InvalidInteraction."""
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


def _interaction(row: dict[str, str], visitor: str, films: _Films) -> Interaction:
    at, value = _time(row["at"]), _number(row["value"])
    interaction = Interaction(
        event_id=row["event_id"].lower() or _made_id(row),
        visitor=visitor,
        kind=row["kind"],
        movie_id=films.find(row),
        at=at,
        value=value,
        surface=row["surface"],
        recommendation_id=row["recommendation_id"],
    )
    validate(interaction)
    return interaction


def _time(text: str) -> datetime:
    try:
        at = parse_datetime(text)
    except ValueError:  # the form is right, the date is not: 30 February
        at = None
    if at is None:
        raise InvalidInteraction("at", _("%(text)r is not a date and time.") % {"text": text})
    at = at if is_aware(at) else at.replace(tzinfo=UTC)
    if at > datetime.now(UTC):
        raise InvalidInteraction("at", _("%(text)s is in the future.") % {"text": text})
    return at


def _number(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise InvalidInteraction("value", _("%(text)r is not a number.") % {"text": text}) from None


def _made_id(row: dict[str, str]) -> str:
    """The same row always gets the same id."""
    return str(uuid.uuid5(EVENT_NAMESPACE, "\n".join(row[name] for name in COLUMNS)))


def _is_uuid(text: str) -> bool:
    try:
        return bool(uuid.UUID(text))
    except ValueError:
        return False


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
