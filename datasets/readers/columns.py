"""Columns of tables as arrays: ids as codes, ratings as float32, times as seconds since 1970."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import polars as pl

from datasets.readers.table import Table, refuse_first

# Units of a numeric timestamp, by how many of them make a second. Dates need no unit.
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DECIMAL_COMMA = r"^\s*(-?\d+),(\d+)\s*$"
_LARGEST_RATING = 1e8  # play counts stay below; a time in seconds since 1973 does not
_PROBED_ROWS = 1_000  # rows of each table that tell the unit
_YEAR_2100 = 4_102_444_800  # seconds
_LATEST_SECOND = 253_402_300_799  # the last second of the year 9999, the end of datetime


def ids_column(table: Table, role: str) -> pl.Series:
    """Return the ids as strings. Raises DatasetError on a row without one."""
    ids = table.frame[role]
    empty = ids.is_null() | (ids == "") if ids.dtype == pl.String else ids.is_null()
    refuse_first(table, empty.to_numpy(), f"no {role}", expected=f"an id of the {role}")
    return ids.cast(pl.String) if ids.dtype.is_integer() else ids.cast(pl.String).str.strip_chars()


def sorted_ids(names: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) int32 the index of each distinct id, and the sorted ids: int64, or str objects."""
    numbers = names.cast(pl.Int64, strict=False)
    is_canonical = numbers.null_count() == 0 and bool((numbers.cast(pl.String) == names).all())
    ids = numbers if is_canonical else names
    order = ids.arg_sort().to_numpy()
    index = np.empty(len(order), np.int32)
    index[order] = np.arange(len(order), dtype=np.int32)
    in_order = ids.sort()
    return index, in_order.to_numpy() if is_canonical else np.array(in_order.to_list(), dtype=object)


def ratings_column(table: Table) -> np.ndarray:
    """Return (n,) float32, of "4.5" and of "4,5"; nan where the field is empty."""
    column = table.frame["rating"]
    numbers = column if column.dtype.is_float() else column.cast(pl.Float64, strict=False)
    if column.dtype == pl.String and numbers.null_count() > column.null_count():
        numbers = column.str.replace(_DECIMAL_COMMA, "$1.$2").cast(pl.Float64, strict=False)
    given = column.is_not_null() & (column != "") if column.dtype == pl.String else column.is_not_null()
    wrong = given & (numbers.is_null() | numbers.is_infinite().fill_null(False))
    refuse_first(table, wrong.to_numpy(), "a rating of {}", expected="a number", shown=column)
    refuse_first(
        table,
        (numbers.abs() > _LARGEST_RATING).fill_null(False).to_numpy(),
        "a rating of {}",
        expected="a rating; where the third of three columns is a time, say so with timestamp=3",
        shown=column,
    )
    return numbers.fill_null(float("nan")).to_numpy().astype(np.float32)


def times_column(table: Table, unit: str) -> np.ndarray:
    """Return (n,) ticks since 1970, float64 or int64, of which UNITS[unit] make a second.

    A date is converted exactly and needs no unit. Raises DatasetError on a field that is no time, and on
    a time after the year 9999, which was written in a finer unit than the stated one.
    """
    column = table.frame["timestamp"]
    numbers = column
    if column.dtype.is_temporal():
        numbers = _ticks_of_dates(column.cast(pl.Datetime("us")), unit)
    elif not column.dtype.is_numeric():
        numbers = column.cast(pl.Int64, strict=False)
        if numbers.null_count():
            numbers = column.cast(pl.Float64, strict=False)
        if numbers.null_count() == len(numbers):
            try:
                moments = column.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
            except pl.exceptions.PolarsError:  # no date format fits
                moments = pl.Series([None] * len(column), dtype=pl.Datetime("us"))
            numbers = _ticks_of_dates(moments, unit)
    refuse = partial(refuse_first, table, problem="a time of {}", shown=column)
    refuse(
        (numbers.is_null() | numbers.cast(pl.Float64).is_nan()).to_numpy(),
        expected="seconds since 1970 or an ISO 8601 date",
    )
    refuse(
        (numbers.cast(pl.Float64).abs() > _LATEST_SECOND * UNITS[unit]).to_numpy(),
        expected=f"a time before the year 10000; state the unit if it is not {unit}: unit=ms, us or ns",
    )
    return numbers.to_numpy()


def unit_votes(table: Table) -> Counter[str]:
    """Count the units in which the first times of a table lie before the year 2100.

    A time in a finer unit is a thousand times as large, so times since April 1970 fit one unit alone.
    """
    votes: Counter[str] = Counter()
    if "timestamp" in table.frame.columns and not table.frame["timestamp"].dtype.is_temporal():
        column = table.frame["timestamp"].head(_PROBED_ROWS)
        for ticks in column.cast(pl.Float64, strict=False).drop_nulls().to_list():
            votes.update([name for name, size in UNITS.items() if 0 <= ticks < _YEAR_2100 * size][:1])
    return votes


def probable_unit(votes: Counter[str]) -> str:
    """Return the unit with most votes; the coarsest of equal ones, and seconds where none votes."""
    return max(UNITS, key=lambda name: votes[name])


def _ticks_of_dates(moments: pl.Series, unit: str) -> pl.Series:
    return moments.dt.epoch("us") / (1_000_000 / UNITS[unit])
