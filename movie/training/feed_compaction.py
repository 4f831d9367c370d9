"""Compact the training feed: keep each event once, apply deletions and merges, write the training rows.

Only shards with new files are written anew. An event lies in the shard of its owner; a deletion or a merge
stays in the shard of its visitor, since events that it covers may arrive after it. New files are deleted
last, so a compaction that was killed is done again, to the same effect.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.shards import HASH, SHARDS, shard_numbers, shard_of
from evaluation.trainer import FROM_SITE
from movie.training.feed_shards import (
    COMPACTED,
    INTERACTIONS,
    MANIFEST,
    OWNER,
    Row,
    append_parts,
    append_rows,
    event_schema,
    new_files,
    read_events,
    shard_folder,
    visitors_file,
    write_parquet,
)
from predictors.durable_files import whole_file
from predictors.history import History, Interaction

if TYPE_CHECKING:
    import polars as pl

Changes = dict[str, list[Row]]  # deletions and merges by visitor, in the order in which they were asked for


def compact(folder: Path) -> int:
    """Take the new files into the shards; return how many interactions models may train on.

    Returns 0 where every shard is up to date. Only one process may do it at a time. Memory holds one shard,
    and all deletions and merges.
    """
    append_parts(folder)
    _drop_other_counting(folder)
    came = {shard: files for shard in range(SHARDS) if (files := new_files(folder, shard))}
    waiting = {*came, *(shard for shard in range(SHARDS) if _lacks_visitors(folder, shard))}
    if not waiting:
        return 0
    changes = _read_changes(event_files(folder))
    if came:
        new_changes = _read_changes(file for files in came.values() for file in files)
        # The events that a late change covers may have moved on with the merges that were known.
        waiting |= {shard_of(each) for each in _chains(changes, new_changes["visitor"])}
    shards: dict[str, Any] = read_manifest(folder).get("shards", {})
    taken: set[Path] = set()
    while waiting:
        shard = min(waiting)
        files = new_files(folder, shard)
        moved_to, shards[f"{shard:02}"] = _compact_shard(folder, shard, files, changes)
        waiting = (waiting - {shard}) | moved_to
        taken.update(files)
    n_interactions = _write_interactions(folder)
    write_manifest(folder, shards=shards)
    for file in taken:
        file.unlink()
    return n_interactions


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the content of a feed's manifest; an empty one where the feed was never compacted."""
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return content


def write_manifest(folder: Path, **content: Any) -> None:
    """Write `content` into the manifest; what it does not name stays, but for what this version says."""
    shards = content.get("shards", {}).values()
    manifest = {
        **read_manifest(folder),
        "schema": 1,
        "id_space": FROM_SITE,
        "hash": HASH,
        "n_shards": SHARDS,
        "columns": {name: str(kind) for name, kind in event_schema(OWNER).items()},
        "counting": asdict(History.counting),
        **({"watermark": max(each["watermark"] for each in shards)} if shards else {}),
        **content,
    }
    with whole_file(folder / MANIFEST) as file:
        file.write(json.dumps(manifest, indent=1, sort_keys=True).encode())


def event_files(folder: Path, shards: Iterable[int] = range(SHARDS)) -> list[Path]:
    """Return every file of events in shards."""
    return [file for shard in shards for file in sorted(shard_folder(folder, shard).glob("*.parquet"))]


def _lacks_visitors(folder: Path, shard: int) -> bool:
    """Return whether a shard has events and no file of visitors, as after a restore."""
    return bool(event_files(folder, [shard])) and not visitors_file(folder, shard).exists()


def _drop_other_counting(folder: Path) -> None:
    """Delete the files of visitors that other settings of EVENT_COUNTING made; they are made anew."""
    if read_manifest(folder).get("counting") != asdict(History.counting):
        for shard in range(SHARDS):
            visitors_file(folder, shard).unlink(missing_ok=True)


def _compact_shard(
    folder: Path, shard: int, files: Sequence[Path], changes: pl.DataFrame
) -> tuple[set[int], dict[str, Any]]:
    """Write a shard anew with `files` taken in; return the shards that got rows of it, and its counts."""
    import polars as pl

    compacted = shard_folder(folder, shard) / COMPACTED
    known = read_events([compacted] if compacted.exists() else [], OWNER)
    both = pl.concat([known, read_events(files, OWNER)])
    # An event that was recorded again after a deletion has its id of before: the latest record counts.
    both = both.sort("recorded_at", descending=True, maintain_order=True)
    both = both.unique("event_id", keep="first", maintain_order=True)
    is_interaction = pl.col("type") == "interaction"
    rows, changed = _follow(both.filter(is_interaction), changes)
    here = pl.Series(shard_numbers(rows[OWNER]) == shard, dtype=pl.Boolean)
    moved_to = append_rows(folder, rows.filter(~here), by=OWNER)
    rows = rows.filter(here)
    trained = visitors_file(folder, shard)
    if trained.exists():
        others = pl.read_parquet(trained).filter(~pl.col("user").is_in(changed))
        visitors = pl.concat([others, _visitor_rows(rows, changed)]).sort("user", maintain_order=True)
    else:
        visitors = _visitor_rows(rows, rows[OWNER].unique())
    write_parquet(visitors, trained)
    events = pl.concat([rows, both.filter(~is_interaction)]).sort("recorded_at", "event_id")
    write_parquet(events, compacted)
    watermark = str(both["recorded_at"].max() or "")
    return moved_to, {"events": len(events), "interactions": len(visitors), "watermark": watermark}


def _read_changes(files: Iterable[Path]) -> pl.DataFrame:
    """Return every deletion and merge, each once, in the order in which they were asked for."""
    import polars as pl

    columns = ["event_id", "type", "visitor", "into", "movie_id", "recorded_at"]
    scans = [
        pl.scan_parquet(file, hive_partitioning=False).select(columns).filter(pl.col("type") != "interaction")
        for file in files
    ]
    found: pl.DataFrame = pl.concat(scans).collect()
    return found.unique("event_id").sort("recorded_at", "event_id")


def _chains(changes: pl.DataFrame, visitors: Iterable[str]) -> Changes:
    """Return the changes of these visitors, and of all into whom they were merged, however often."""
    import polars as pl

    found: Changes = {}
    wanted = set(visitors)
    while wanted:
        found |= {visitor: [] for visitor in wanted}
        for row in changes.filter(pl.col("visitor").is_in(list(wanted))).iter_rows(named=True):
            found[row["visitor"]].append(row)
        wanted = {row["into"] for visitor in wanted for row in found[visitor] if row["into"]} - found.keys()
    return found


def _follow(rows: pl.DataFrame, changes: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Apply changes to rows of events; return what is left, and the owners who gained or lost rows.

    A row keeps the visitor that it was recorded for, and OWNER says whose it is by now.
    """
    import polars as pl

    has_changes = pl.col("visitor").is_in(changes["visitor"].unique().to_list())
    followed, others = rows.filter(has_changes), rows.filter(~has_changes)
    chains = _chains(changes, followed["visitor"].unique())
    facts = followed.select("visitor", "movie_id", "recorded_at").iter_rows()
    owners = [_owner_after(visitor, movie, recorded_at, chains) for visitor, movie, recorded_at in facts]
    now = pl.concat(
        [
            others.with_columns(now=pl.col("visitor")),
            followed.with_columns(now=pl.Series(owners, dtype=pl.String)),
        ]
    )
    new = now.filter(~pl.col(OWNER).eq_missing(pl.col("now")))
    changed = pl.concat([new[OWNER], new["now"]]).drop_nulls().unique().to_list()
    left = now.filter(pl.col("now").is_not_null())
    return left.with_columns(pl.col("now").alias(OWNER)).drop("now"), changed


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


def _visitor_rows(events: pl.DataFrame, owners: Collection[str]) -> pl.DataFrame:
    """Return each movie that these visitors like, by `History.liked`, or rated, with the stars they gave."""
    import polars as pl

    rows: list[tuple[Any, ...]] = []
    theirs = events.filter(pl.col(OWNER).is_in(list(owners))).sort(OWNER, "at", "event_id")
    for (owner,), group in theirs.group_by([OWNER], maintain_order=True):
        history = History(_interaction(row) for row in group.iter_rows(named=True))
        touched = {event.movie_id: event.at for event in history if event.kind != "impression"}
        low = [movie for movie in history.ratings if movie not in history.strength]
        for movie in (*history.liked, *low):
            rows.append((owner, movie, history.ratings.get(movie), touched[movie], movie not in low))
    schema: dict[str, Any] = {"user": pl.String, "item": pl.Int64, "rating": pl.Float64}
    schema |= {"at": pl.Datetime("us", "UTC"), "is_liked": pl.Boolean}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _interaction(row: Row) -> Interaction:
    at: datetime = row["at"].astimezone(UTC)
    named = {name: row[name] for name in ("value", "watched_on", "progress", "weight")}
    return Interaction(row["event_id"], row["visitor"], row["kind"], row["movie_id"], at, **named)


def _write_interactions(folder: Path) -> int:
    """Write what models train on, of every shard; return how many rows."""
    import polars as pl

    files = [file for shard in range(SHARDS) if (file := visitors_file(folder, shard)).exists()]
    liked = pl.concat([pl.scan_parquet(file) for file in files]).filter("is_liked")
    seconds = pl.col("at").dt.epoch("s").alias("timestamp")
    write_parquet(liked.select("user", "item", "rating", seconds), folder / INTERACTIONS)
    count: int = pl.scan_parquet(folder / INTERACTIONS).select(pl.len()).collect().item()
    return count
