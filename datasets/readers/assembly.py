"""From tables to `Interactions`, shard by shard: memory holds the result and one shard."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import polars as pl

from datasets.interactions import Interactions
from datasets.readers.columns import UNITS, ids_column, ratings_column, sorted_ids, times_column
from datasets.readers.table import Table
from datasets.shards import Spool


def checked_rows(
    table: Table, roles: Collection[str], unit: str, arrived: int, part: int | None
) -> pl.DataFrame:
    """Return the rows of a table for a spool. Raises DatasetError.

    Columns are user, item, ticks (of which UNITS[unit] make a second; without times the order of arrival, in
    which `arrived` rows came before), value where ratings are among the roles, and part (which file) where
    there are several files.
    """
    rows = pl.DataFrame({"user": ids_column(table, "user"), "item": ids_column(table, "item")})
    ticks = np.arange(arrived, arrived + rows.height)
    if "timestamp" in roles:
        ticks = times_column(table, unit)
    rows = rows.with_columns(ticks=ticks)
    if "rating" in roles:
        rows = rows.with_columns(value=ratings_column(table))
    if part is not None:
        rows = rows.with_columns(part=pl.lit(part, pl.UInt8))
    return rows


def assemble(spool: Spool, roles: Collection[str], unit: str) -> tuple[Interactions, np.ndarray]:
    """Return the rows of `checked_rows` that are in a spool, and (N,) uint8 the part of each.

    Rows are in the order of users, their times and arrival.
    """
    counts, found = [], []
    for rows in spool.frames():
        counts.append(rows.group_by("user").len())  # a user is in one shard
        found.append(rows.select(pl.col("item").unique()))
    users, names = pl.concat(counts), pl.concat(found)
    user_index, user_ids = sorted_ids(users["user"])
    n_rows = np.zeros(len(users), np.int64)
    n_rows[user_index] = users["len"].to_numpy()
    indptr = np.concatenate([[0], np.cumsum(n_rows)])
    distinct = names["item"].unique()
    item_index, item_ids = sorted_ids(distinct)
    known_users = _by_shard(users.select("user", index=pl.Series(user_index)), counts)
    known_items = _by_shard(_joined(names, pl.DataFrame({"item": distinct, "index": item_index})), found)

    n = int(indptr[-1])
    items, values, at = np.empty(n, np.int32), np.full(n, np.nan, np.float32), np.empty(n, np.int64)
    parts = np.zeros(n if "part" in rows.columns else 0, np.uint8)
    for rows, its_users, its_items in zip(spool.frames(), known_users, known_items, strict=True):
        index = _joined(rows.select("user"), its_users)["index"].to_numpy()
        ticks = rows["ticks"].to_numpy()
        order = np.lexsort((ticks, index))  # stable: equal times keep the order of arrival
        index, ticks = index[order], ticks[order]
        begins = np.flatnonzero(np.diff(index, prepend=-1))  # the first row of each user in this shard
        target = np.arange(len(index)) + np.repeat(
            indptr[index[begins]] - begins, np.diff(begins, append=len(index))
        )
        items[target] = _joined(rows.select("item"), its_items)["index"].to_numpy()[order]
        at[target] = (ticks // UNITS[unit] if "timestamp" in roles else ticks).astype(np.int64)
        if "rating" in roles:
            values[target] = rows["value"].to_numpy()[order]
        if len(parts):
            parts[target] = rows["part"].to_numpy()[order]
    users_column = np.repeat(np.arange(len(user_ids), dtype=np.int32), n_rows)
    return Interactions(users_column, items, values, at, user_ids, item_ids, "timestamp" in roles), parts


def _joined(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return the rows in their order with the index of each id; `known` has the id and its index."""
    return rows.join(known, on=known.columns[0], how="left", maintain_order="left")


def _by_shard(known: pl.DataFrame, shards: Sequence[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield as many of the rows as each shard has."""
    first = 0
    for shard in shards:
        yield known[first : first + shard.height]
        first += shard.height


def shard_columns(rows: pl.DataFrame, roles: Collection[str], unit: str) -> pl.DataFrame:
    """Return rows of a spool with the columns and types that shards have on the disk."""
    columns = [pl.col("user"), pl.col("item")]
    if "rating" in roles:
        columns.append(pl.col("value").fill_nan(None).alias("rating"))
    if "timestamp" in roles:
        finer, coarser = max(UNITS[unit] // 1_000_000, 1), max(1_000_000 // UNITS[unit], 1)
        microseconds = (
            (pl.col("ticks") // finer * coarser) if finer > 1 else (pl.col("ticks") * coarser).round()
        )
        columns.append(microseconds.cast(pl.Int64).cast(pl.Datetime("us", "UTC")).alias("timestamp"))
    return rows.select(columns)
