"""What 2,000 new events cost a consumer of the training feed, whatever the feed knows.

    python -m benchmarks.training_feed [--quick]

The baseline is a feed in one file that is written anew whenever something came. Each side works in a process
of its own; the memory is the peak of that process. --quick has a tenth of the events. Exits with 1 when what
has to be flat grows.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._command import argument_parser, parse_options, print_ratio, run

if TYPE_CHECKING:
    import polars as pl

NEW, BATCH, FILMS, EVENTS_A_VISITOR = 2_000, 500, 10_000, 20
SIDES = ("add", "one file", "compact")


def main() -> int:
    """Print a line for each size and side; exit with 1 when what must be flat grows."""
    parser = argument_parser(__doc__)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parse_options(parser)
    if options.side:
        print(json.dumps(_measure(options.side, options.folder)))
        return 0
    sizes = [n // 10 if options.quick else n for n in (100_000, 1_000_000, 2_000_000)]
    print(f"{'known':>10}{'':>12}{'CPU-s':>8}{'peak MB':>9}   ratio to one file")
    added, ratios = [], {}
    for size in sizes:
        with TemporaryDirectory() as folder:
            _make(Path(folder), size)
            figures = {side: _in_process(side, folder) for side in ("one file", "add", "compact")}
        for side, (seconds, megabytes) in figures.items():
            ratio = seconds / figures["one file"][0]
            print(f"{size:>10}{side:>12}{seconds:>8.2f}{megabytes:>9.0f}   {ratio:.2f}")
        added.append(figures["add"][0])
        ratios[size] = figures["add"][0] / figures["one file"][0]
    for size, ratio in ratios.items():
        print_ratio(f"training_feed: add to {size:,} events", ratio, "one file, written anew")
    return int(added[-1] > 2 * added[0] + 0.2)


def _in_process(side: str, folder: str) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.training_feed", "--side", side, "--folder", folder]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, megabytes = json.loads(said)
    return seconds, megabytes


def _make(folder: Path, size: int) -> None:
    """Make a compacted feed of `size` events, and the same in one file."""
    from movie.training.feed_compaction import compact
    from movie.training.feed_shards import PARTS, write_parquet

    frame = _frame(size, datetime(2026, 1, 1, tzinfo=UTC), seed=1)
    write_parquet(frame, folder / PARTS / "0.parquet")
    compact(folder)
    write_parquet(frame, folder / "whole" / "events.parquet")


def _frame(size: int, start: datetime, seed: int) -> pl.DataFrame:
    """Return clicks of visitors, 20 each, on films of a long-tailed catalogue."""
    import polars as pl

    from movie.training.feed_shards import event_schema

    chance = np.random.default_rng(seed)
    n_visitors = max(size // EVENTS_A_VISITOR, 1)
    columns = {
        "event_id": [f"{seed}-{n}" for n in range(size)],
        "type": ["interaction"] * size,
        "visitor": [f"guest:{n}" for n in chance.integers(0, n_visitors, size)],
        "kind": ["click"] * size,
        "movie_id": (FILMS * chance.random(size) ** 3).astype(np.int64),
        "surface": ["home"] * size,
        "recommendation_id": [""] * size,
    }
    times = [start + timedelta(seconds=n) for n in range(size)]
    empty = pl.DataFrame(schema=event_schema())
    return pl.concat(
        [empty, pl.DataFrame(columns | {"at": times, "recorded_at": times})], how="diagonal_relaxed"
    )


def _measure(side: str, folder: Path) -> tuple[float, float]:
    """Return the CPU-seconds of one side with 2,000 new events, and the peak memory in MB."""
    import polars as pl

    from movie.training.feed_compaction import compact
    from movie.training.feed_shards import PARTS, append_parts, write_parquet

    frame = _frame(NEW, datetime(2026, 6, 1, tzinfo=UTC), seed=2)
    batches = [frame[start : start + BATCH] for start in range(0, NEW, BATCH)]
    whole = folder / "whole" / "events.parquet"
    began = time.process_time()
    if side == "one file":
        known = pl.concat([pl.read_parquet(whole), frame]).unique(
            "event_id", keep="first", maintain_order=True
        )
        write_parquet(known.sort("recorded_at", "event_id"), folder / "whole" / "written.parquet")
    elif side == "add":
        for number, batch in enumerate(batches):
            write_parquet(batch, folder / PARTS / f"{number}.parquet")
        append_parts(folder)
    else:
        compact(folder)
    seconds = time.process_time() - began
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return seconds, int(peak[1]) / 1024 if peak else float("nan")


if __name__ == "__main__":
    run(main)
