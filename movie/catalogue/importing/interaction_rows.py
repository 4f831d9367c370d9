"""Check the rows of a file of interactions: who did what with which film, and when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from movie.catalogue.importing.cells import (
    SECONDS,
    TimeFormat,
    is_missing,
    parse_number,
    without_fraction,
)
from movie.catalogue.importing.errors import RejectReason, RowError
from movie.catalogue.importing.rows import Record, RejectedRow, Scale, Table
from predictors.history import MOST_WEIGHT

KINDS = ("click", "rating", "dismiss", "watchlist", "watch")  # kinds of events that a file may hold


class InteractionRow(NamedTuple):
    """Holds a row; user and movie are ids of the file, `value` is the stars of a rating.

    `seconds` since 1970, UTC; None where the file states no time. `progress` is the share of a watch that was
    played, 0 to 1, and `weight` that of a click; None where the file states none.
    """

    line: int
    raw: str
    user: str
    movie: str
    kind: str
    value: float | None
    seconds: float | None
    progress: float | None = None
    weight: float | None = None


def interaction_rows(
    table: Table, kind: str, scale: Scale | None = None, times: TimeFormat = SECONDS
) -> Iterator[InteractionRow | RejectedRow]:
    """Yield a row or a rejection for every record. `kind` is that of rows which state none."""
    for record in table.records:
        if record.cells is None:
            yield RejectedRow(record.line, record.problem or RejectReason.BROKEN, record.raw)
            continue
        cells = dict(zip(table.columns, record.cells, strict=True))
        try:
            yield _row(record, cells, kind, scale, times)
        except RowError as row_error:
            yield RejectedRow(record.line, row_error.reason, record.raw)


def _row(
    record: Record, cells: dict[str, str], kind: str, scale: Scale | None, times: TimeFormat
) -> InteractionRow:
    user, movie = cells["user"].strip(), cells["movie"].strip()
    if "." in movie or "." in user:
        user, movie = without_fraction(user), without_fraction(movie)
    if not user or "\0" in user:
        raise RowError(RejectReason.NO_VISITOR)
    if not movie:
        raise RowError(RejectReason.NO_ID)
    own_kind = cells.get("kind", "").strip().casefold() or kind
    if own_kind not in KINDS:
        raise RowError(RejectReason.KIND)
    value = _stars(cells.get("rating", ""), scale) if own_kind == "rating" else None
    seconds = times.seconds(cells["time"]) if "time" in cells else None
    progress = _progress(cells["progress"]) if own_kind == "watch" and "progress" in cells else None
    weight = _weight(cells["weight"]) if own_kind == "click" and "weight" in cells else None
    return InteractionRow(record.line, record.raw, user, movie, own_kind, value, seconds, progress, weight)


def _progress(text: str) -> float | None:
    """Return the share in "0.85" or "85%", None in an empty cell. Raises RowError."""
    if is_missing(text):
        return None
    number, percent, _rest = text.strip().partition("%")
    try:
        share = parse_number(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise RowError(RejectReason.PROGRESS)
    return share


def _weight(text: str) -> float | None:
    """Return the weight of a click, None in an empty cell. Raises RowError."""
    if is_missing(text):
        return None
    try:
        weight = parse_number(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight <= MOST_WEIGHT:
        raise RowError(RejectReason.WEIGHT)
    return weight


def _stars(text: str, scale: Scale | None) -> float:
    try:
        value = parse_number(text)
    except ValueError:
        raise RowError(RejectReason.RATING) from None
    if scale is not None:
        return scale.stars(value)
    if not 0.5 <= value <= 5 or value * 2 % 1:
        raise RowError(RejectReason.STARS)
    return value
