"""The training feed: what visitors did, as parquet that `manage.py train --data` reads.

    FEED_DIR/parts/*.parquet        what consumers wrote, one file a batch
    FEED_DIR/events.parquet         all of them, each event once, what was forgotten left out
    FEED_DIR/interactions.parquet   user, item, rating, timestamp: what models train on

Consumers only add parts, so a batch that is read twice is two parts with the same events. Compacting
makes one of them, under a lock: any number of consumers may share the folder.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from movie.event_stream.handlers import Handler
from movie.event_stream.messages import Forgotten, Joined, Message, Recorded
from predictors.history import History, Interaction
from predictors.training import FROM_FILE, FROM_SITE

if TYPE_CHECKING:
    import polars as pl


ID_SPACE = "reelgraph.id_space"  # in the metadata of the files: the films are this site's

Row = dict[str, Any]


class TrainingFeed(Handler):
    group = "training-feed"

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or settings.FEED_DIR
        self.parts = self.folder / "parts"

    def handle(self, messages: Sequence[Message]) -> None:
        import polars as pl

        if not messages:
            return
        self.parts.mkdir(parents=True, exist_ok=True)
        frame = pl.DataFrame([_row(message) for message in messages], schema=_schema())
        _written(frame, self.parts / f"{uuid.uuid4().hex}.parquet")

    def tidy(self) -> None:
        self.compact()

    def compact(self) -> int:
        """Take the parts in; returns how many interactions models may train on, 0 when nothing is new."""
        import polars as pl

        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            parts = sorted(self.parts.glob("*.parquet"))
            if not parts:
                return 0
            whole = self.folder / "events.parquet"
            files = [*([whole] if whole.exists() else []), *parts]
            events = pl.concat([pl.read_parquet(file) for file in files])
            events = _followed(events.unique("event_id", keep="first").sort("recorded_at", "event_id"))
            training = _training_rows(events)
            _written(training, self.folder / "interactions.parquet")
            _written(events, whole)
            for part in parts:  # a part that is left by a crash is taken in again, to no effect
                part.unlink()
        return len(training)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def id_space_of(path: Path) -> str:
    """What the ids of a data file mean: FROM_SITE for a training feed, else FROM_FILE."""
    import polars as pl

    if path.suffix != ".parquet" or not path.is_file():
        return FROM_FILE
    try:
        return pl.read_parquet_metadata(path).get(ID_SPACE, FROM_FILE)
    except pl.exceptions.PolarsError:
        return FROM_FILE  # whoever reads the file says what is wrong with it


def _schema() -> dict[str, Any]:
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
    }


def _row(message: Message) -> Row:
    row: Row = dict.fromkeys(_schema())
    row |= {"event_id": message.event_id, "visitor": message.visitor, "recorded_at": message.recorded_at}
    match message:
        case Recorded(interaction=each):
            row |= {"type": "interaction", "kind": each.kind, "movie_id": each.movie_id, "at": each.at}
            row |= {"value": each.value, "surface": each.surface}
            row |= {"recommendation_id": each.recommendation_id}
        case Forgotten():
            row |= {"type": "forget", "movie_id": message.movie_id}
        case Joined():
            row |= {"type": "merge", "into": message.into}
    return row


def _followed(events: pl.DataFrame) -> pl.DataFrame:
    """With every deletion and joining done, in the order in which they were asked for.

    The changes stay in the table: what they cover may arrive after them.
    """
    import polars as pl

    changes = events.filter(pl.col("type") != "interaction")
    rows = events.filter(pl.col("type") == "interaction")
    for change in changes.iter_rows(named=True):
        covered = (pl.col("visitor") == change["visitor"]) & (pl.col("recorded_at") <= change["recorded_at"])
        if change["type"] == "merge":
            visitor = pl.when(covered).then(pl.lit(change["into"])).otherwise(pl.col("visitor"))
            rows = rows.with_columns(visitor.alias("visitor"))
        else:
            if change["movie_id"] is not None:
                covered &= pl.col("movie_id") == change["movie_id"]
            rows = rows.filter(~covered)
    return pl.concat([rows, changes]).sort("recorded_at", "event_id")


def _training_rows(events: pl.DataFrame) -> pl.DataFrame:
    """Each film that a visitor likes, as `History.liked` says, with the stars where there are any."""
    import polars as pl

    rows: dict[str, list[Any]] = {"user": [], "item": [], "rating": [], "timestamp": []}
    interactions = events.filter(pl.col("type") == "interaction").sort("visitor", "at", "event_id")
    for (visitor,), group in interactions.group_by(["visitor"], maintain_order=True):
        history = History(_interaction(row) for row in group.iter_rows(named=True))
        touched = {event.movie_id: event.at for event in history if event.kind != "impression"}
        for film in history.liked:
            rows["user"].append(visitor)
            rows["item"].append(film)
            rows["rating"].append(history.ratings.get(film))
            rows["timestamp"].append(int(touched[film].timestamp()))
    schema = {"user": pl.String, "item": pl.Int64, "rating": pl.Float64, "timestamp": pl.Int64}
    return pl.DataFrame(rows, schema=schema)


def _interaction(row: Row) -> Interaction:
    at: datetime = row["at"].astimezone(UTC)
    return Interaction(row["event_id"], row["visitor"], row["kind"], row["movie_id"], at, row["value"])


def _written(frame: pl.DataFrame, path: Path) -> None:
    """Whole or not at all, and on the disk before anybody is told."""
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with unfinished.open("wb") as file:
        frame.write_parquet(file, compression="zstd", metadata={ID_SPACE: FROM_SITE})
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
