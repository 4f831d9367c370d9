"""The training feed: what visitors did, as Parquet that `manage.py train --data` reads.

Consumers only add: a batch that is read twice is there twice, and counts once when the feed is compacted.
Any number of them may share the folder; feed_shards.py says what lies where.
"""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from evaluation.trainer import FROM_FILE, FROM_SITE
from movie.events.archive import get_archive
from movie.events.models import FIELDS, Event, HistoryChange
from movie.events.stream.handlers import Handler
from movie.events.stream.messages import InteractionRecorded, Message
from movie.events.stream.relay import message_of
from movie.training.feed_compaction import compact, event_files, read_manifest, write_manifest
from movie.training.feed_shards import (
    ID_SPACE,
    INTERACTIONS,
    MANIFEST,
    OWNER,
    VISITORS,
    append_parts,
    parts_in,
    read_events,
    write_part,
)
from predictors.history import Interaction

if TYPE_CHECKING:
    import polars as pl

PARTS_WAITING = 200  # once so many parts wait, a consumer puts them into shards
ROWS_AT_ONCE = 20_000
FILLED_AT = "filled_at"  # in the manifest: when the events from before the stream were put in


class TrainingFeed(Handler):
    group = "training-feed"

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or settings.FEED_DIR

    def handle(self, messages: Sequence[Message]) -> None:
        if messages:
            write_part(self.folder, messages)

    def maintenance(self) -> None:
        """Put waiting parts into shards, once they are many and unless another process is at it.

        The work grows with the new events, never with the known ones.
        """
        if len(parts_in(self.folder)) >= PARTS_WAITING:
            with self._lock(wait=False) as locked:
                if locked:
                    append_parts(self.folder)

    def compact(self) -> int:
        """Take the new files into the shards; return how many interactions models may train on.

        Returns 0 where every shard is up to date.
        """
        with self._lock():
            return compact(self.folder)

    def fill(self) -> int:
        """Put in every event that the site has, also from before there was a stream; return how many.

        Each counts once, however often this is called. Raises ArchiveUnavailable.
        """
        started, count = datetime.now(UTC), 0
        recorded = _everything_recorded()
        while messages := list(islice(recorded, ROWS_AT_ONCE)):
            self.handle(messages)
            count += len(messages)
        with self._lock():
            compact(self.folder)
            write_manifest(self.folder, **{FILLED_AT: started.isoformat()})
        return count

    @property
    def is_filled(self) -> bool:
        """Return whether the feed has the events from before the stream, too."""
        return FILLED_AT in self.manifest

    @property
    def manifest(self) -> dict[str, Any]:
        """Return the content of the manifest: rows a shard, columns, watermark."""
        return read_manifest(self.folder)

    def events(self) -> pl.DataFrame:
        """Return the events, deletions and merges that are in shards; OWNER names who has each event now."""
        return read_events(event_files(self.folder), OWNER)

    def visitor_ratings(self, movies: Collection[int], dislikes: bool) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Yield, shard by shard, visitors, films, stars (nan where there are none) and times (UTC).

        Of those of `movies` that the visitor likes; with `dislikes` also of those that were rated lower.
        """
        import polars as pl

        for file in sorted((self.folder / VISITORS).glob("*.parquet")):
            rows = pl.read_parquet(file, hive_partitioning=False)
            rows = rows.filter(pl.col("item").is_in(movies), pl.lit(dislikes) | pl.col("is_liked"))
            stars = rows["rating"].fill_null(float("nan"))
            yield rows["user"].to_list(), rows["item"].to_list(), stars.to_list(), rows["at"].to_numpy()

    @contextmanager
    def _lock(self, *, wait: bool = True) -> Iterator[bool]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def feed_file(path: Path) -> Path:
    """Return the training file of a training feed or of its folder; any other `path` unchanged.

    Takes in what consumers wrote since the feed was compacted last.
    """
    folder = path.parent if path.name == INTERACTIONS else path
    if not ((folder / MANIFEST).exists() or any(id_space_of(part) == FROM_SITE for part in parts_in(folder))):
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


def _everything_recorded() -> Iterator[Message]:
    """Yield what the database and the archive have, and the changes that they may not have followed yet."""
    for row in Event.objects.order_by().values_list("recorded_at", *FIELDS).iterator(ROWS_AT_ONCE):
        yield InteractionRecorded(Interaction(*row[1:]), row[0])
    for archived in get_archive().read():
        yield InteractionRecorded(archived.interaction, archived.recorded_at)
    yield from map(message_of, HistoryChange.objects.order_by("pk"))
