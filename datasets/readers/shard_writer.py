"""Writes the interactions of a file as shards of users, a segment of the rows at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from datasets.readers.assembly import shard_columns
from datasets.readers.dataset import SHARD_PREFIX, OpenedFiles, open_files
from datasets.readers.source import DatasetError
from datasets.shards import Spool

ROWS_IN_SEGMENT = 32_000_000  # 1.3 GB in the temporary folder, 500,000 rows of a shard in memory
ZSTD_LEVEL = 1  # 1 CPU-s less for 25 million rows than the default of 3, for files a fifth larger
STATE = "state.json"  # in the unfinished folder: which rows of which files are in it


def write_shards(
    path: Path | str,
    folder: Path,
    *,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    say: Callable[[str], object] = lambda notice: None,
    progress: Callable[[float, str], object] = lambda done, text: None,
) -> int:
    """Write the interactions of a file as shards that `read_dataset` reads; return how many there are.

    The folder gets shard=NN/interactions.parquet: user and item (strings), rating (float32) and timestamp
    (UTC, microseconds) where the file has them, in its order. The rows after ROWS_IN_SEGMENT go to
    interactions_00001.parquet, and so on. Takes the same as `read_interactions`; `progress` takes the share
    that is done, 0 to 1, and a text, and may raise to interrupt.

    The folder is there whole or not at all. Until then the segments that are done lie beside it, and a call
    with the same files and options goes on after them, however the one before ended. A file with an error
    leaves nothing. Raises DatasetError, also where the folder exists or another process writes it. Raises
    OSError.
    """
    opened = open_files(Path(path), columns, format)
    for notice in opened.notices:
        say(notice)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    with _locked(folder, unfinished):
        source = {
            "files": [[each.name, each.sha256] for each in (one.describe() for one in opened.sources)],
            "options": [dict(columns or {}), opened.format, opened.unit],
        }
        state = _resumed(unfinished, source)
        try:
            for n_rows in _write_segments(opened, unfinished, state["segments"], state["rows"], progress):
                state |= {"segments": state["segments"] + 1, "rows": n_rows}
                with _durable_file(unfinished / f"{STATE}.new") as file:
                    file.write(json.dumps(state).encode())
                (unfinished / f"{STATE}.new").replace(unfinished / STATE)
        except DatasetError:
            shutil.rmtree(unfinished)
            raise
        unfinished.rename(folder)
        (folder / STATE).unlink()
    return int(state["rows"])


def canonical_sha256(folder: Path) -> str:
    """Return a hash of shards that does not depend on who wrote them.

    Two folders have the same hash if they have the same shards with the same columns, types and rows in each.
    It is the sha256 of a line with the name and the types of a shard, then its rows as CSV, of each shard
    that has rows, sorted by user, timestamp, item and rating, nulls first. Takes the memory of one shard.
    """
    digest = hashlib.sha256()
    for shard in sorted(folder.glob(f"{SHARD_PREFIX}*")):
        rows = pl.read_parquet(shard / "*.parquet", hive_partitioning=False)
        if rows.height:
            order = [role for role in ("user", "timestamp", "item", "rating") if role in rows.columns]
            rows = rows.select(order).sort(order)
            digest.update(f"{shard.name} {dict(rows.schema)}\n{rows.write_csv()}".encode())
    return digest.hexdigest()


@contextmanager
def _locked(folder: Path, unfinished: Path) -> Iterator[None]:
    """Make the unfinished folder and hold it for this process. An error leaves it if a segment is done.

    Raises DatasetError where the folder exists or another process holds the unfinished one.
    """
    exists = DatasetError(folder, "it exists", expected="a folder that is not there yet")
    in_use = DatasetError(folder, "another process writes it", expected="one at a time")
    if folder.exists():
        raise exists
    unfinished.mkdir(parents=True, exist_ok=True)
    try:
        lock = os.open(unfinished, os.O_RDONLY)
    except FileNotFoundError:  # the other process ended just now
        raise in_use from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(os.fstat(lock), unfinished.stat())
        except (BlockingIOError, FileNotFoundError):
            raise in_use from None
        if not is_there:  # the other process deleted it, and a third one made the one that is there
            raise in_use
        try:
            if folder.exists():  # the other process finished after the first look
                raise exists
            yield
        except BaseException:
            if not (unfinished / STATE).exists():
                shutil.rmtree(unfinished, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def _resumed(unfinished: Path, source: dict[str, Any]) -> dict[str, Any]:
    """Return the state of an earlier call for the same source, without what it had begun; else a new one."""
    try:
        state: dict[str, Any] = json.loads((unfinished / STATE).read_bytes())
    except FileNotFoundError:
        state = {}
    if state.get("source") != source:
        state = {"source": source, "segments": 0, "rows": 0}
        (unfinished / STATE).unlink(missing_ok=True)
    kept = {_file_name(segment) for segment in range(state["segments"])}
    for file in unfinished.glob(f"{SHARD_PREFIX}*/*"):
        if file.name not in kept:
            file.unlink()
    return state


def _write_segments(
    opened: OpenedFiles,
    unfinished: Path,
    segment: int,
    n_rows: int,
    progress: Callable[[float, str], object],
) -> Iterator[int]:
    """Write the rows after `n_rows` from segment number `segment`; yield the rows after each segment."""
    rows = opened.rows(skip=n_rows)
    while (first := next(rows, None)) is not None:
        with Spool() as spool:
            in_segment = 0
            for block in chain([first], rows):
                spool.add(block)
                in_segment += block.height
                progress(_done(opened, n_rows, in_segment), f"{n_rows + in_segment:,} rows read")
                if in_segment >= ROWS_IN_SEGMENT:
                    break
            spool.flush()
            for shard, of_shard in enumerate(spool.frames()):
                if of_shard.height:
                    to_write = shard_columns(of_shard, opened.roles, opened.unit)
                    file_path = unfinished / f"{SHARD_PREFIX}{shard:02}" / _file_name(segment)
                    file_path.parent.mkdir(exist_ok=True)
                    with _durable_file(file_path) as file:
                        to_write.write_parquet(file, compression="zstd", compression_level=ZSTD_LEVEL)
                    n_rows += of_shard.height
                    in_segment -= of_shard.height
                    progress(_done(opened, n_rows, in_segment), f"{n_rows:,} rows written")
        segment += 1
        yield n_rows


@contextmanager
def _durable_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is on the disk under its name once the block ends."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _done(opened: OpenedFiles, n_written: int, n_waiting: int) -> float:
    """Share of the work that is done: reading is one half, writing the other."""
    return opened.share_read * (1 + n_written / max(n_written + n_waiting, 1)) / 2


def _file_name(segment: int) -> str:
    """Return the name of the files of a segment; names sort in the order of segments."""
    return f"interactions_{segment:05}.parquet" if segment else "interactions.parquet"
