"""The files of the training feed: rows of events in shards, by a hash of their visitor.

    FEED_DIR/manifest.json                  what is there: columns, hash, rows a shard, watermark
    FEED_DIR/parts/*.parquet                what consumers wrote, one file a batch, not yet in shards
    FEED_DIR/events/shard=NN/*.parquet      events and changes: compacted.parquet, and what came since
    FEED_DIR/visitors/shard=NN.parquet      what each visitor likes or rated, and whether they like it
    FEED_DIR/interactions.parquet           user, item, rating, timestamp: what models train on

Any reader of Parquet reads them. A file is there whole or not at all.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.shards import shard_numbers
from evaluation.trainer import FROM_SITE
from movie.events.stream.messages import GuestMerged, HistoryForgotten, InteractionRecorded, Message
from predictors.durable_files import whole_file

if TYPE_CHECKING:
    import polars as pl


MANIFEST, PARTS, EVENTS, VISITORS = "manifest.json", "parts", "events", "visitors"
INTERACTIONS, COMPACTED = "interactions.parquet", "compacted.parquet"
WHOLE = "events.parquet"  # all events in one file, as earlier versions kept them
OWNER = "owner"  # the visitor who has the event by now; `visitor` had it when it was recorded
ID_SPACE = "reelgraph.id_space"  # in the metadata of the files: the films are this site's
PARTS_AT_ONCE = 500

Row = dict[str, Any]


def shard_folder(folder: Path, shard: int) -> Path:
    """Return where the events of a shard lie."""
    return folder / EVENTS / f"shard={shard:02}"


def visitors_file(folder: Path, shard: int) -> Path:
    """Return the file of the movies that the visitors of a shard like or rated."""
    return folder / VISITORS / f"shard={shard:02}.parquet"


def new_files(folder: Path, shard: int) -> list[Path]:
    """Return the files of a shard that came since it was compacted."""
    return sorted(file for file in shard_folder(folder, shard).glob("*.parquet") if file.name != COMPACTED)


def write_part(folder: Path, messages: Iterable[Message]) -> None:
    """Add a batch of messages as a new file, on the disk once this returns. Raises OSError."""
    import polars as pl

    frame = pl.DataFrame([_row(message) for message in messages], schema=event_schema())
    write_parquet(frame, folder / PARTS / f"{uuid.uuid4().hex}.parquet")


def parts_in(folder: Path) -> list[Path]:
    """Return the files that are not in shards yet."""
    whole = folder / WHOLE
    return [*([whole] if whole.exists() else []), *sorted((folder / PARTS).glob("*.parquet"))]


def append_parts(folder: Path) -> None:
    """Move the parts that consumers wrote into new files of the shards. Only one process may do it at a time.

    A part that is left by a crash is appended again, to no effect: an event counts once.
    """
    parts = parts_in(folder)
    for start in range(0, len(parts), PARTS_AT_ONCE):
        some = parts[start : start + PARTS_AT_ONCE]
        append_rows(folder, read_events(some))
        for part in some:
            part.unlink()


def append_rows(folder: Path, rows: pl.DataFrame, by: str = "visitor") -> set[int]:
    """Write rows of events as new files of the shards of the visitors in column `by`; return these shards."""
    import polars as pl

    rows = rows.select(*event_schema(), _shard=pl.Series(shard_numbers(rows[by])))
    shards = rows.partition_by("_shard", as_dict=True, include_key=False)
    for (shard,), theirs in shards.items():
        write_parquet(theirs, shard_folder(folder, shard) / f"{uuid.uuid4().hex}.parquet")
    return {shard for (shard,) in shards}


def read_events(files: Iterable[Path], *more: str) -> pl.DataFrame:
    """Return the rows of files of events; those of earlier versions have fewer columns."""
    import polars as pl

    schema = event_schema(*more)
    frames = [pl.read_parquet(file, hive_partitioning=False) for file in files]
    return pl.concat([pl.DataFrame(schema=schema), *frames], how="diagonal").select(*schema)


def event_schema(*more: str) -> dict[str, Any]:
    """Return the columns of a file of events with their types."""
    import polars as pl

    moment = pl.Datetime("us", "UTC")
    return {
        "event_id": pl.String,
        "type": pl.String,
        "visitor": pl.String,
        "into": pl.String,
        "kind": pl.String,
        "movie_id": pl.Int64,
        "at": moment,
        "recorded_at": moment,
        "value": pl.Float64,
        "surface": pl.String,
        "recommendation_id": pl.String,
        "watched_on": pl.Date,
        "progress": pl.Float64,
        "weight": pl.Float64,
        **dict.fromkeys(more, pl.String),
    }


def write_parquet(frame: pl.DataFrame | pl.LazyFrame, path: Path) -> None:
    """Write a file whole or not at all, and return once it is on the disk. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        frame.lazy().sink_parquet(file, compression="zstd", metadata={ID_SPACE: FROM_SITE})


def _row(message: Message) -> Row:
    row: Row = dict.fromkeys(event_schema())
    row |= {"event_id": message.event_id, "visitor": message.visitor, "recorded_at": message.recorded_at}
    match message:
        case InteractionRecorded(interaction=each):
            row |= {"type": "interaction", "kind": each.kind, "movie_id": each.movie_id, "at": each.at}
            row |= {"value": each.value, "surface": each.surface}
            row |= {"recommendation_id": each.recommendation_id, "watched_on": each.watched_on}
            row |= {"progress": each.progress, "weight": each.weight}
        case HistoryForgotten():
            row |= {"type": "forget", "movie_id": message.movie_id}
        case GuestMerged():
            row |= {"type": "merge", "into": message.into}
    return row
