"""Parquet files, whose columns have names and types."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

import polars as pl

from datasets.readers.source import COMPRESSED, Source, read_content
from datasets.readers.table import Table, columns_by_role, table_of

ROWS_AT_ONCE = 250_000  # as a spool holds: fewer at once took 1 CPU-s more for 25 million


def read_parquet(source: Source, format: str, columns: Mapping[str, str] | None) -> Iterator[Table]:
    """Read the columns that have a role from a parquet file, some rows at once. Raises DatasetError."""
    packed = source.path.suffix in COMPRESSED
    try:
        scan = pl.scan_parquet(
            io.BytesIO(read_content(source.path)) if packed else source.path, hive_partitioning=False
        )
        chosen = columns_by_role(source, scan.collect_schema().names(), columns)
        rows = scan.select(pl.col(name).alias(role) for role, name in chosen.items())
        total, arrived = max(scan.select(pl.len()).collect().item(), 1), 0
        for frame in rows.collect_batches(chunk_size=ROWS_AT_ONCE, maintain_order=True, engine="streaming"):
            arrived += frame.height
            source.share_read = arrived / total
            yield table_of(source, format, frame)
    except pl.exceptions.PolarsError as error:
        raise source.error(f"not readable: {error}", expected="a parquet file") from error
