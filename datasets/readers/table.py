"""A file as a table: columns by role, chosen by their names or by their position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from datasets.readers.source import Source

ROLES = ("user", "item", "rating", "timestamp")
COLUMN_NAMES = {
    "user": ("user", "userid", "user_id", "uid", "visitor", "visitor_id", "customer_id", "session_id"),
    "item": ("item", "itemid", "item_id", "iid", "movie", "movieid", "movie_id", "product_id"),
    "rating": ("rating", "ratings", "value", "stars", "score"),
    "timestamp": ("timestamp", "time", "unix_timestamp", "rated_at", "created_at", "at", "date", "datetime"),
}


@dataclass(frozen=True)
class Table:
    """Holds the columns of a file, or of some rows of it, by role.

    frame  columns among ROLES, user and item always
    lines  (n,) the line number of each row, for messages; None where a format has no lines
    """

    source: Source
    format: str
    frame: pl.DataFrame
    lines: np.ndarray | None = None


def looks_like_header(names: list[str]) -> bool:
    """Tell whether one of these fields is a usual name of the user or the item column."""
    known = {name for role in ("user", "item") for name in COLUMN_NAMES[role]}
    return any(name.split(":")[0].strip().lower() in known for name in names)


def table_by_names(
    source: Source, format: str, frame: pl.DataFrame, columns: Mapping[str, str] | None, *, lines: np.ndarray
) -> Table:
    """Choose the columns of rows, which begin on `lines` (n,), as `columns_by_role` does."""
    chosen = columns_by_role(source, frame.columns, columns, header_line=1)
    named = frame.select(pl.col(name).alias(role) for role, name in chosen.items())
    return table_of(source, format, named, lines)


def columns_by_role(
    source: Source, names: Sequence[str], columns: Mapping[str, str] | None, *, header_line: int | None = None
) -> dict[str, str]:
    """Return the column of each role: the one that the caller names, or one with a usual name.

    Raises DatasetError where there is none for the user or the item, or none of a stated name.
    """
    plain = {name: name.split(":")[0].strip().lower() for name in names}
    chosen: dict[str, str] = {}
    for role in ROLES:
        if columns and role in columns:
            matches = [name for name in names if columns[role] in (name, name.split(":")[0])]
            if not matches:
                raise source.error(
                    f"no column {columns[role]!r}", expected="one of " + ", ".join(names), line=header_line
                )
        else:
            matches = sorted(
                (name for name in names if plain[name] in COLUMN_NAMES[role]),
                key=lambda name: COLUMN_NAMES[role].index(plain[name]),
            )
        if matches:
            chosen[role] = matches[0]
        elif role in ("user", "item"):
            raise source.error(
                f"no {role} column among {', '.join(names)}",
                expected=f"a column called {' or '.join(COLUMN_NAMES[role][:3])}, "
                f"or its name given as {role}=NAME",
                line=header_line,
            )
    return chosen


def table_by_position(
    source: Source, format: str, frame: pl.DataFrame, columns: Mapping[str, str] | None, *, lines: np.ndarray
) -> Table:
    """Take user, item, rating and timestamp in this order, or where `columns` counts them from 1."""
    if frame.width < 2:
        raise source.error("one column", expected="user, item and, if any, rating and timestamp", line=1)
    if columns:
        return table_of(source, format, _columns_at(source, frame, columns), lines)
    if format == "csv" and frame.width > len(ROLES):
        raise source.error(
            f"{frame.width} columns and no header that names user and item",
            expected="a header, or the names given as user=NAME and item=NAME",
            line=1,
        )
    names = ROLES[: min(frame.width, len(ROLES))]
    named = frame.select(pl.nth(index).alias(role) for index, role in enumerate(names))
    return table_of(source, format, named, lines)


def are_positions(columns: Mapping[str, str] | None) -> bool:
    """Tell whether columns are given by their number, as in a file without a header."""
    return columns is not None and len(columns) > 0 and all(name.isdecimal() for name in columns.values())


def _columns_at(source: Source, frame: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    """Select columns by their number, from 1; user is 1 and item is 2 unless stated."""
    stated = {"user": "1", "item": "2"} | dict(columns)
    for role, number in stated.items():
        if not 1 <= int(number) <= frame.width:
            raise source.error(
                f"no column {number} for the {role}", expected=f"a number from 1 to {frame.width}", line=1
            )
    return frame.select(pl.nth(int(number) - 1).alias(role) for role, number in stated.items())


def table_of(source: Source, format: str, frame: pl.DataFrame, lines: np.ndarray | None = None) -> Table:
    """Return the rows that have any value; `lines` (n,) are the lines of all rows, None without lines."""
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
    if not blank.any():
        return Table(source, format, frame, lines)
    return Table(source, format, frame.filter(~pl.Series(blank)), None if lines is None else lines[~blank])


def refuse_first(
    table: Table, wrong: np.ndarray, problem: str, *, expected: str, shown: pl.Series | None = None
) -> None:
    """Raise DatasetError for the first row where `wrong` (n,) bool holds."""
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    line = int(table.lines[row]) if table.lines is not None else None
    value = "nothing" if shown is None or shown[row] is None else repr(shown[row])
    raise table.source.error(problem.format(value), expected=expected, line=line)
