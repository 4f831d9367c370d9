"""Text of a user and items per line: `user item` (sequence) or `user item item ...` (adjacency)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from datasets.readers.source import Source
from datasets.readers.table import Table

LONGEST_LIST = 16_000_000  # bytes: all items of one user on one line


def read_item_lines(source: Source, format: str, columns: Mapping[str, str] | None) -> Iterator[Table]:
    """Read fields separated by blanks, in the order of the file, block by block. Raises DatasetError."""
    for block, first in source.blocks(LONGEST_LIST):
        lines = pl.DataFrame({"text": block.decode().splitlines()}).with_row_index("line", offset=first)
        fields = (
            lines.with_columns(pl.col("text").str.replace_all(r"\s+", " ").str.strip_chars(" "))
            .filter(pl.col("text") != "")
            .with_columns(pl.col("text").str.split(" "))
        )
        if format == "sequence":
            wrong = fields.filter(pl.col("text").list.len() != 2)
            if wrong.height:
                line, found = wrong.row(0)
                raise source.error(f"{len(found)} fields", expected="`user item`", line=line)
        rows = (
            fields.select("line", user=pl.col("text").list.first(), item=pl.col("text").list.slice(1))
            .filter(pl.col("item").list.len() > 0)  # LightGCN's files list users without items too
            .explode("item")
        )
        yield Table(source, format, rows.select("user", "item"), rows["line"].to_numpy())
