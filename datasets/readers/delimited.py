"""Files of separated fields: csv, tsv, `user::item::rating::time` (.dat), u.data, .inter and .rating."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from datasets.readers.source import Source
from datasets.readers.table import Table, are_positions, looks_like_header, table_by_names, table_by_position


def read_delimited(source: Source, format: str, columns: Mapping[str, str] | None) -> Iterator[Table]:
    """Read separated fields with or without a header, block by block. Raises DatasetError."""
    first = source.first_lines()[0]
    separator = "," if format == "csv" else "\t"
    if format == "dat" and "::" not in first:
        raise source.error("no `::` in it", expected="user::item::rating::timestamp", line=1)
    if format == "csv" and "," not in first:
        separator = next((mark for mark in ";\t|" if mark in first), ",")
    names = [name.strip(' "') for name in first.split(separator)]
    by_position = are_positions(columns) and not looks_like_header(names)
    has_header = (bool(columns) and not by_position) or format == "recbole" or looks_like_header(names)
    fields: Sequence[str] | None = None
    for block, line in source.blocks(quoted=separator != "\t"):
        text = block.replace(b"::", b"\t") if format == "dat" else block
        is_headed = has_header and fields is None
        frame = _fields(source, text, separator, line=line, has_header=is_headed, names=fields)
        fields = frame.columns
        lines = _row_lines(text, line, frame.height + is_headed)[is_headed:]
        if has_header:
            yield table_by_names(source, format, frame, columns, lines=lines)
        else:
            yield table_by_position(source, format, frame, columns, lines=lines)


def _fields(
    source: Source,
    text: bytes,
    separator: str,
    *,
    line: int,
    has_header: bool,
    names: Sequence[str] | None,
) -> pl.DataFrame:
    """Read all columns as strings, so that ids such as 0113277 keep their zeros; blank lines become nulls.

    `names` are those of the first block, whose header and width hold for all.
    """
    try:
        return pl.read_csv(
            text,
            separator=separator,
            has_header=has_header,
            infer_schema=False,
            schema=dict.fromkeys(names, pl.String) if names else None,
            missing_columns="insert",  # a short row may be the first one of a block
            quote_char='"' if separator != "\t" else None,
        )
    except pl.exceptions.PolarsError as error:
        width = len(names) if names else None
        reader = csv.reader(io.StringIO(text.decode()), delimiter=separator, strict=True)
        try:
            for fields in reader:
                width = width or len(fields)
                if len(fields) > width:
                    raise source.error(
                        f"{len(fields)} fields",
                        expected=f"{width} as in line 1",
                        line=line - 1 + reader.line_num,
                    ) from error
        except csv.Error as wrong:
            raise source.error(
                str(wrong), expected="well-formed rows", line=line - 1 + reader.line_num
            ) from error
        within = re.escape(separator.encode())
        stray = re.search(rb'[^%b\r\n"]"[^%b\r\n"]' % (within, within), text)
        line += text.count(b"\n", 0, stray.start()) if stray else 0
        raise source.error(
            str(error).splitlines()[0], expected="rows of equal width, quotes around fields alone", line=line
        ) from error


def _row_lines(text: bytes, line: int, n_rows: int) -> np.ndarray:
    """Return (n_rows,) the line on which each row begins; `line` is that of the first."""
    if text.count(b"\n") + (not text.endswith(b"\n")) > n_rows and b'"' in text:
        characters = np.frombuffer(text, np.uint8)
        quotes, ends = np.flatnonzero(characters == ord('"')), np.flatnonzero(characters == ord("\n"))
        is_end_of_row = np.searchsorted(quotes, ends) % 2 == 0
        begins = np.append(0, np.flatnonzero(is_end_of_row) + 1)
        if len(begins) >= n_rows:
            return line + begins[:n_rows]
    return np.arange(line, line + n_rows)
