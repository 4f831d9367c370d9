"""Files of separated fields: csv, tsv, `user::item::rating::time` (.dat), u.data, .inter and .rating."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

import polars as pl

from datasets.readers.source import Source
from datasets.readers.table import Table, are_positions, looks_like_header, table_by_names, table_by_position


def read_delimited(source: Source, format: str, columns: Mapping[str, str] | None) -> Table:
    """Read separated fields with or without a header. Raises DatasetError."""
    source.check_lines()
    separator = "," if format == "csv" else "\t"
    text = source.text
    if format == "dat":
        if b"::" not in text[: text.find(b"\n")]:
            raise source.error("no `::` in it", expected="user::item::rating::timestamp", line=1)
        text = text.replace(b"::", b"\t")
    elif format == "csv" and "," not in source.first_lines()[0]:
        separator = next((mark for mark in ";\t|" if mark in source.first_lines()[0]), ",")
    names = [name.strip(' "') for name in source.first_lines()[0].split(separator)]
    by_position = are_positions(columns) and not looks_like_header(names)
    has_header = (bool(columns) and not by_position) or format == "recbole" or looks_like_header(names)
    frame = _fields(source, text, separator, has_header=has_header)
    if has_header:
        return table_by_names(source, format, frame, columns, header_lines=1)
    return table_by_position(source, format, frame, columns)


def _fields(source: Source, text: bytes, separator: str, *, has_header: bool) -> pl.DataFrame:
    """Read all columns as strings, so that ids such as 0113277 keep their zeros; blank lines become nulls."""
    quote = '"' if separator != "\t" else None
    try:
        return pl.read_csv(
            text, separator=separator, has_header=has_header, infer_schema=False, quote_char=quote
        )
    except pl.exceptions.PolarsError as error:
        width = None
        reader = csv.reader(io.StringIO(text.decode()), delimiter=separator, strict=True)
        try:
            for fields in reader:
                width = width or len(fields)
                if len(fields) > width:
                    raise source.error(
                        f"{len(fields)} fields", expected=f"{width} as in line 1", line=reader.line_num
                    ) from error
        except csv.Error as wrong:
            raise source.error(str(wrong), expected="well-formed rows", line=reader.line_num) from error
        raise source.error(str(error).splitlines()[0], expected="rows of equal width") from error
