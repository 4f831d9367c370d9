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
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from evaluation.trainer import FROM_FILE, FROM_SITE
from movie.events.stream.handlers import Handler
from movie.events.stream.messages import GuestMerged, HistoryForgotten, InteractionRecorded, Message
from predictors.history import History, Interaction

if TYPE_CHECKING:
    import polars as pl


PARTS, EVENTS, INTERACTIONS = "parts", "events.parquet", "interactions.parquet"
OWNER = "owner"  # whose an event is by now; `visitor` is whose it was when it was recorded
ID_SPACE = "reelgraph.id_space"  # in the metadata of the files: the films are this site's

Row = dict[str, Any]


class TrainingFeed(Handler):
    group = "training-feed"

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or settings.FEED_DIR
        self.parts = self.folder / PARTS

    def handle(self, messages: Sequence[Message]) -> None:
        import polars as pl

        if not messages:
            return
        self.parts.mkdir(parents=True, exist_ok=True)
        frame = pl.DataFrame([_row(message) for message in messages], schema=_schema())
        _write_parquet(frame, self.parts / f"{uuid.uuid4().hex}.parquet")

    def maintenance(self) -> None:
        self.compact()

    def compact(self) -> int:
        """Take the parts in; returns how many interactions models may train on, 0 when nothing is new.

        What models train on is made anew for those of whom something came in, not for everybody.
        """
        import polars as pl

        self.folder.mkdir(parents=True, exist_ok=True)
        whole, training_file = self.folder / EVENTS, self.folder / INTERACTIONS
        with self._lock():
            parts = sorted(self.parts.glob("*.parquet"))
            if not parts:
                return 0
            # Files of earlier versions have fewer columns.
            came = pl.concat([pl.read_parquet(part) for part in parts], how="diagonal")
            known = pl.read_parquet(whole) if whole.exists() else pl.DataFrame(schema=_schema(OWNER))
            new = came.with_columns(pl.lit(None, pl.String).alias(OWNER))
            both = pl.concat([pl.DataFrame(schema=_schema(OWNER)), known, new], how="diagonal")
            events, changed = _apply_changes(both.unique("event_id", keep="first", maintain_order=True))
            if not training_file.exists():
                changed = events[OWNER].drop_nulls().unique().to_list()
            training = _training_rows(events, changed)
            if training_file.exists():
                others = pl.read_parquet(training_file).filter(~pl.col("user").is_in(changed))
                training = pl.concat([others, training]).sort("user", maintain_order=True)
            _write_parquet(training, training_file)
            _write_parquet(events, whole)
            for part in parts:  # a part that is left by a crash is taken in again, to no effect
                part.unlink()
        return len(training)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def feed_file(path: Path) -> Path:
    """Return the training file of a training feed or of its folder; any other `path` unchanged.

    Takes in what consumers wrote since the feed was compacted last.
    """
    folder = path.parent if path.name == INTERACTIONS else path
    written = [folder / EVENTS, *sorted((folder / PARTS).glob("*.parquet"))[:1]]
    if not any(id_space_of(file) == FROM_SITE for file in written):
        return path
    TrainingFeed(folder).compact()
    return folder / INTERACTIONS


def id_space_of(path: Path) -> str:
    """Return the id space of a data file: FROM_SITE for a training feed, else FROM_FILE."""
    import polars as pl

    if path.suffix != ".parquet" or not path.is_file():
        return FROM_FILE
    try:
        return pl.read_parquet_metadata(path).get(ID_SPACE, FROM_FILE)
    except pl.exceptions.PolarsError:
        return FROM_FILE  # whoever reads the file says what is wrong with it


def _schema(*more: str) -> dict[str, Any]:
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
        **dict.fromkeys(more, pl.String),
    }


def _row(message: Message) -> Row:
    row: Row = dict.fromkeys(_schema())
    row |= {"event_id": message.event_id, "visitor": message.visitor, "recorded_at": message.recorded_at}
    match message:
        case InteractionRecorded(interaction=each):
            row |= {"type": "interaction", "kind": each.kind, "movie_id": each.movie_id, "at": each.at}
            row |= {"value": each.value, "surface": each.surface}
            row |= {"recommendation_id": each.recommendation_id, "watched_on": each.watched_on}
        case HistoryForgotten():
            row |= {"type": "forget", "movie_id": message.movie_id}
        case GuestMerged():
            row |= {"type": "merge", "into": message.into}
    return row


def _apply_changes(events: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Apply every deletion and merge; return the events and the owners whose rows changed.

    Changes are followed in the order in which they were asked for, in whatever order they arrived: a row
    keeps the visitor that it was recorded for, and OWNER says whose it is by now. The changes stay in the
    table: what they cover may arrive after them.
    """
    import polars as pl

    is_interaction = pl.col("type") == "interaction"
    rows, changes = events.filter(is_interaction), events.filter(~is_interaction)
    by_visitor: dict[str, list[Row]] = {}
    for change in changes.sort("recorded_at", "event_id").iter_rows(named=True):
        by_visitor.setdefault(change["visitor"], []).append(change)
    affected = pl.col("visitor").is_in(list(by_visitor))
    followed = rows.filter(affected)
    facts = followed.select("visitor", "movie_id", "recorded_at").iter_rows()
    found = [_owner_after(visitor, movie, recorded_at, by_visitor) for visitor, movie, recorded_at in facts]
    owners = pl.Series("now", found, dtype=pl.String)
    now = pl.concat(
        [
            rows.filter(~affected).with_columns(now=pl.col("visitor")),
            followed.with_columns(owners),
        ]
    )
    new = now.filter(~pl.col(OWNER).eq_missing(pl.col("now")))
    touched = pl.concat([new[OWNER], new["now"]]).drop_nulls().unique().to_list()
    rows = now.filter(pl.col("now").is_not_null()).with_columns(pl.col("now").alias(OWNER)).drop("now")
    return pl.concat([rows, changes]).sort("recorded_at", "event_id"), touched


def _owner_after(
    visitor: str, movie_id: int, recorded_at: datetime, changes: Mapping[str, Sequence[Row]]
) -> str | None:
    """Return the owner of a row after all changes; None when it was deleted."""
    owner, followed = visitor, (recorded_at, "")
    while True:
        for change in changes.get(owner, ()):
            asked = (change["recorded_at"], change["event_id"])
            if asked > followed and change["movie_id"] in (None, movie_id):
                break
        else:
            return owner
        if change["type"] == "forget":
            return None
        owner, followed = change["into"], asked


def _training_rows(events: pl.DataFrame, owners: Collection[str]) -> pl.DataFrame:
    """Return each movie that these visitors like, by `History.liked`, with the stars where there are any."""
    import polars as pl

    rows: dict[str, list[Any]] = {"user": [], "item": [], "rating": [], "timestamp": []}
    theirs = events.filter((pl.col("type") == "interaction") & pl.col(OWNER).is_in(list(owners)))
    for (owner,), group in theirs.sort(OWNER, "at", "event_id").group_by([OWNER], maintain_order=True):
        history = History(_interaction(row) for row in group.iter_rows(named=True))
        touched = {event.movie_id: event.at for event in history if event.kind != "impression"}
        for movie in history.liked:
            rows["user"].append(owner)
            rows["item"].append(movie)
            rows["rating"].append(history.ratings.get(movie))
            rows["timestamp"].append(int(touched[movie].timestamp()))
    schema = {"user": pl.String, "item": pl.Int64, "rating": pl.Float64, "timestamp": pl.Int64}
    return pl.DataFrame(rows, schema=schema)


def _interaction(row: Row) -> Interaction:
    at: datetime = row["at"].astimezone(UTC)
    named = {"value": row["value"], "watched_on": row["watched_on"]}
    return Interaction(row["event_id"], row["visitor"], row["kind"], row["movie_id"], at, **named)


def _write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a file whole or not at all, and return once it is on the disk."""
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
