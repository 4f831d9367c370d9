"""Measures how 25 million interactions are read: into arrays that models train on, and into shards.

    python -m benchmarks.reading [--quick] [--format csv]

The rows are made up: a million people, 60,000 items of a long-tailed catalogue, in the order of time. The
baseline reads all rows at once, numbers the ids and sorts, as a short program with polars and NumPy
does. Each side works in a process of its own; its memory is the peak of that process, of which the packages
take what `nothing` has. --quick has a million rows.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks._command import argument_parser, parse_options, print_ratio, run

BLOCK, PEOPLE, ITEMS = 1_000_000, 1_000_000, 60_000
SIDES = ("nothing", "at once", "arrays", "shards")


def main() -> int:
    """Print a line for each side."""
    parser = argument_parser(__doc__)
    parser.add_argument("--rows", type=int, default=25_000_000)
    parser.add_argument("--format", choices=("csv", "parquet"), default="parquet")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parse_options(parser, rows=1_000_000)
    if options.side:
        print(json.dumps(_measure(options.side, options.file)))
        return 0
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"interactions.{options.format}"
        _make(file, options.rows)
        print(f"{options.rows:,} rows, {file.stat().st_size / 1e6:.0f} MB of {options.format}")
        print(f"{'':>10}{'CPU-s':>8}{'peak MB':>9}{'bytes/row':>11}")
        figures = {side: _in_process(side, file) for side in SIDES}
    packages = figures["nothing"][1]
    for side, (seconds, megabytes) in figures.items():
        each = (megabytes - packages) * 2**20 / options.rows
        print(f"{side:>10}{seconds:>8.2f}{megabytes:>9.0f}{each:>11.0f}")
    for side in ("arrays", "shards"):
        of_time, of_memory = (
            mine / base for mine, base in zip(figures[side], figures["at once"], strict=True)
        )
        print_ratio(f"reading: CPU of {side}", of_time, "all rows at once")
        print_ratio(f"reading: memory of {side}", of_memory, "all rows at once")
    return 0


def _in_process(side: str, file: Path) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.reading", "--side", side, "--file", str(file)]
    seconds, megabytes = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True).stdout
    )
    return seconds, megabytes


def _make(file: Path, rows: int) -> None:
    """Write `rows` interactions, made up a block at a time."""
    import polars as pl

    def block(start: int) -> pl.DataFrame:
        chance, n = np.random.default_rng(start), min(BLOCK, rows - start)
        return pl.DataFrame(
            {
                "user": (PEOPLE * chance.random(n) ** 2).astype(np.int64),
                "item": (ITEMS * chance.random(n) ** 3).astype(np.int64),
                "rating": (chance.integers(1, 11, n) / 2).astype(np.float32),
                "timestamp": 1_500_000_000 + start + np.arange(n),
            }
        ).with_columns(user=pl.format("guest:{}", "user"))

    if file.suffix == ".csv":
        with file.open("wb") as out:
            for start in range(0, rows, BLOCK):
                block(start).write_csv(out, include_header=start == 0)
        return
    parts = []
    for start in range(0, rows, BLOCK):
        parts.append(file.with_name(f"part-{start:012}.parquet"))
        block(start).write_parquet(parts[-1])
    pl.scan_parquet(parts).sink_parquet(file, row_group_size=250_000)
    for part in parts:
        part.unlink()


def _measure(side: str, file: Path) -> tuple[float, float]:
    """Return the CPU-seconds of one side, and the peak memory of this process in MB."""
    from datasets.readers.dataset import read_interactions
    from datasets.readers.shard_writer import write_shards

    began = time.process_time()
    if side == "arrays":
        read_interactions(file)
    elif side == "shards":
        write_shards(file, file.with_name("shards"))
    elif side == "at once":
        _at_once(file)
    seconds = time.process_time() - began
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return seconds, int(peak[1]) / 1024 if peak else float("nan")


def _at_once(file: Path) -> None:
    import polars as pl

    from datasets.interactions import Interactions

    rows = pl.read_csv(file, infer_schema=False) if file.suffix == ".csv" else pl.read_parquet(file)
    coded = {}
    for role in ("user", "item"):
        names = rows[role].unique().sort()
        index = pl.DataFrame({role: names, "index": np.arange(len(names), dtype=np.int32)})
        codes = rows.select(role).join(index, on=role, how="left", maintain_order="left")["index"]
        coded[role] = codes.to_numpy(), np.array(names.to_list(), dtype=object)
    (users, user_ids), (items, item_ids) = coded["user"], coded["item"]
    values, at = rows["rating"].cast(pl.Float32).to_numpy(), rows["timestamp"].cast(pl.Int64).to_numpy()
    Interactions.from_columns(users, items, values, at, user_ids=user_ids, item_ids=item_ids)


if __name__ == "__main__":
    run(main)
