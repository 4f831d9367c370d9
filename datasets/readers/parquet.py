"""Parquet files, whose columns have names and types."""

from __future__ import annotations

import io
from collections.abc import Mapping

import polars as pl

from datasets.readers.source import Source
from datasets.readers.table import Table, table_by_names


def read_parquet(source: Source, format: str, columns: Mapping[str, str] | None) -> Table:
    """Read a parquet file by the names of its columns. Raises DatasetError."""
    try:
        frame = pl.read_parquet(io.BytesIO(source.content))
    except pl.exceptions.PolarsError as error:
        raise source.error(f"not readable: {error}", expected="a parquet file") from error
    return table_by_names(source, format, frame, columns, header_lines=0)
