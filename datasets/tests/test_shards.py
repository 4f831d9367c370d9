"""A user is in the same shard in every program, and shards hold what the file holds."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.readers.dataset import DatasetError, read_dataset, read_interactions
from datasets.readers.shard_writer import STATE, canonical_sha256, write_shards
from datasets.shards import SHARDS, Spool, shard_numbers, shard_of

ROLES = ("user", "item", "rating", "timestamp")
ORDER = ["user", "timestamp", "item", "rating"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=9) | st.text("abc:-019", max_size=80)))
def test_numbers_of_shards_are_those_of_crc32(users):
    numbers = shard_numbers(pl.Series(users, dtype=pl.String)).tolist()
    assert numbers == [zlib.crc32(user.encode()) % 64 for user in users] == [shard_of(user) for user in users]


def test_a_spool_gives_back_what_came_by_shard_and_in_order(monkeypatch):
    monkeypatch.setattr("datasets.shards.ROWS_IN_MEMORY", 50)
    rows = pl.DataFrame({"user": [f"u{n % 30}" for n in range(400)], "n": range(400)})
    with Spool() as spool:
        for start in range(0, 400, 37):
            spool.add(rows[start : start + 37])
        frames = list(spool.frames())
        assert pl.concat(spool.frames()).sort("n").equals(rows), "as often as it is asked"
    assert len(frames) == SHARDS
    for shard, frame in enumerate(frames):
        assert {shard_of(user) for user in frame["user"]} <= {shard}
        assert frame["n"].is_sorted()


def made_up(n: int) -> pl.DataFrame:
    chance = np.random.default_rng(3)
    return pl.DataFrame(
        {
            "user": pl.Series(chance.integers(0, 300, n)).cast(pl.String) + "@example.org",
            "item": pl.Series(chance.integers(0, 90, n)).cast(pl.String),
            "rating": np.where(chance.random(n) < 0.1, None, chance.integers(1, 11, n) / 2).astype(
                np.float32
            ),
            "timestamp": pl.Series(1_500_000_000 + chance.permutation(n)),
        },
        schema_overrides={"rating": pl.Float32},
    ).with_columns(pl.col("rating").fill_nan(None))


def contents(folder: Path, by: list[str] = ORDER) -> dict[str, pl.DataFrame]:
    """Return the rows of each shard, in one order."""
    return {
        shard.name: pl.read_parquet(shard / "*.parquet", hive_partitioning=False).sort(by)
        for shard in folder.glob("shard=*")
    }


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_shards_are_read_as_their_file_is(tmp_path, suffix):
    rows = made_up(3_000)
    file = tmp_path / f"rows.{suffix}"
    rows.write_csv(file) if suffix == "csv" else rows.write_parquet(file)
    assert write_shards(file, tmp_path / "shards") == 3_000
    assert read_interactions(tmp_path / "shards").fingerprint() == read_interactions(file).fingerprint()
    assert read_dataset(tmp_path / "shards").train is None
    for name, shard in contents(tmp_path / "shards").items():
        assert {f"shard={shard_of(user):02}" for user in shard["user"]} == {name}
    with pytest.raises(DatasetError, match="it exists"):
        write_shards(file, tmp_path / "shards")


@pytest.mark.parametrize(
    ("unit", "time"),
    [("s", "1704103200"), ("s", "1704103200.25"), ("ms", "1704103200250"), ("ns", "1704103200250000999")],
)
def test_shards_have_times_in_microseconds(tmp_path, unit, time):
    (tmp_path / "rows.csv").write_text(f"user,item,timestamp\n1,2,{time}\n", encoding="utf-8")
    write_shards(tmp_path / "rows.csv", tmp_path / "shards", columns={"unit": unit})
    (shard,) = contents(tmp_path / "shards", by=["user"]).values()
    assert shard["timestamp"].dt.epoch("us").item() == 1704103200_000000 + (250000 if "25" in time else 0)


def test_a_file_with_an_error_leaves_no_shards(tmp_path):
    (tmp_path / "rows.csv").write_text("user,item,rating\n1,2,3\n1,3,good\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 3: a rating of 'good'"):
        write_shards(tmp_path / "rows.csv", tmp_path / "shards")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_a_second_run_is_refused_while_the_first_one_writes(tmp_path):
    file = tmp_path / "rows.parquet"
    made_up(300).write_parquet(file)
    refused = []

    def other_run(done: float, text: str) -> None:
        with pytest.raises(DatasetError, match="another process writes it") as found:
            write_shards(file, tmp_path / "shards")
        refused.append(found)

    assert write_shards(file, tmp_path / "shards", progress=other_run) == 300
    assert refused and len(read_interactions(tmp_path / "shards")) == 300
    assert {path.name for path in tmp_path.iterdir()} == {"rows.parquet", "shards"}


@pytest.mark.parametrize(
    ("moment", "reason", "left"),
    [
        ("finished before", "it exists", {"shards"}),
        ("finished after", "another process writes it", {"shards"}),
        ("begun anew", "another process writes it", {".shards.unfinished"}),
    ],
)
def test_a_run_that_another_one_overtakes_is_refused(tmp_path, monkeypatch, moment, reason, left):
    """Another process finishes before or after this one makes the folder, or deletes it and begins anew."""
    file, shards = tmp_path / "rows.parquet", tmp_path / "shards"
    made_up(300).write_parquet(file)
    unfinished, mkdir, flock = tmp_path / ".shards.unfinished", Path.mkdir, fcntl.flock

    def make_folder(path: Path, *args, **options) -> None:
        if path == unfinished and moment == "finished before":
            mkdir(shards)
        mkdir(path, *args, **options)
        if path == unfinished and moment == "finished after":
            unfinished.rename(shards)

    def lock(*args) -> None:
        if moment == "begun anew":
            unfinished.rename(tmp_path / "deleted")
            mkdir(unfinished)
        flock(*args)

    monkeypatch.setattr(Path, "mkdir", make_folder)
    monkeypatch.setattr(fcntl, "flock", lock)
    with pytest.raises(DatasetError, match=reason):
        write_shards(file, shards)
    assert {path.name for path in tmp_path.iterdir()} - {"rows.parquet", "deleted"} == left


def appended_to(told: list[tuple[float, str]]) -> Callable[[float, str], None]:
    return lambda done, text: told.append((done, text))


def test_progress_goes_from_reading_to_the_last_shard(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.readers.source.BLOCK", 8_000)
    for suffix in ("csv", "parquet"):
        file = tmp_path / f"rows.{suffix}"
        told: list[tuple[float, str]] = []
        made_up(3_000).write_csv(file) if suffix == "csv" else made_up(3_000).write_parquet(file)
        write_shards(file, tmp_path / suffix, progress=appended_to(told))
        shares = [done for done, text in told]
        assert shares == sorted(shares) and 0 < shares[0] < 1 and shares[-1] == 1.0
        assert told[-1][1] == "3,000 rows written"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_interrupted_run_goes_on_after_the_segments_that_are_done(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("datasets.readers.shard_writer.ROWS_IN_SEGMENT", 1_000)
    monkeypatch.setattr("datasets.readers.source.BLOCK", 9_000)
    monkeypatch.setattr("datasets.readers.parquet.ROWS_AT_ONCE", 300)
    file, rows, shards = tmp_path / f"rows.{suffix}", made_up(3_500), tmp_path / "shards"
    rows.write_csv(file) if suffix == "csv" else rows.write_parquet(file)
    steps: list[str] = []
    write_shards(file, tmp_path / "at once", progress=lambda done, text: steps.append(text))
    n_steps = len(steps)
    assert len(list((tmp_path / "at once").glob("shard=00/*"))) > 2, "a file of each segment"

    def interrupt(done: float, text: str) -> None:
        steps.append(text)
        if len(steps) == 2 * n_steps // 3:
            raise InterruptedError("enough")

    steps.clear()
    with pytest.raises(InterruptedError, match="enough"):
        write_shards(file, shards, progress=interrupt)
    assert not shards.exists()
    steps.clear()
    assert write_shards(file, shards, progress=lambda done, text: steps.append(text)) == 3_500
    assert int(steps[0].split()[0].replace(",", "")) > 1_000, "what was done is not done again"
    assert canonical_sha256(shards) == canonical_sha256(tmp_path / "at once")
    assert read_interactions(shards).fingerprint() == read_interactions(file).fingerprint()


KILLED = """
import os, signal, sys
from pathlib import Path
from datasets.readers import shard_writer
shard_writer.ROWS_IN_SEGMENT = 1_000
sys.modules["datasets.readers.parquet"].ROWS_AT_ONCE = 300
steps = []
def watch(done, text):
    steps.append(text)
    if len(steps) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
shard_writer.write_shards(Path(sys.argv[1]), Path(sys.argv[2]), progress=watch)
"""


def test_killed_runs_lose_and_double_nothing(tmp_path):
    file, shards, leftovers = tmp_path / "rows.parquet", tmp_path / "shards", tmp_path / ".shards.unfinished"
    made_up(3_500).write_parquet(file)
    for step in (30, 100, 3, 90):  # in a segment's files, in the next ones, while reading, in the last ones
        command = [sys.executable, "-c", KILLED, str(file), str(shards), str(step)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert not shards.exists() and leftovers.exists()
    assert write_shards(file, shards) == 3_500
    assert {path.name for path in tmp_path.iterdir()} == {"rows.parquet", "shards"}
    assert {path.suffix for path in shards.glob("**/*.*")} == {".parquet"}
    write_shards(file, tmp_path / "at once")
    assert canonical_sha256(shards) == canonical_sha256(tmp_path / "at once")


def test_what_another_file_left_is_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.readers.shard_writer.ROWS_IN_SEGMENT", 1_000)
    monkeypatch.setattr("datasets.readers.parquet.ROWS_AT_ONCE", 300)
    file, shards = tmp_path / "rows.parquet", tmp_path / "shards"

    def interrupt(done: float, text: str) -> None:
        if (tmp_path / ".shards.unfinished" / STATE).exists():
            raise InterruptedError

    made_up(3_000).write_parquet(file)
    with pytest.raises(InterruptedError):
        write_shards(file, shards, progress=interrupt)
    made_up(2_000).write_parquet(file)
    assert write_shards(file, shards) == 2_000
    assert read_interactions(shards).fingerprint() == read_interactions(file).fingerprint()


def test_the_canonical_hash_knows_rows_and_types_and_not_their_writer(tmp_path):
    file, shards = tmp_path / "rows.parquet", tmp_path / "shards"
    made_up(300).write_parquet(file)
    write_shards(file, shards)
    first = canonical_sha256(shards)
    part = sorted(shards.glob("*/*.parquet"))[0]
    rows = pl.read_parquet(part, hive_partitioning=False)
    for same in (rows.reverse(), rows.select(reversed(rows.columns))):
        same.write_parquet(part, compression="snappy")
        assert canonical_sha256(shards) == first
    rows[:1].write_parquet(part)
    rows[1:].write_parquet(part.with_name("more.parquet"))
    assert canonical_sha256(shards) == first, "in several files"
    part.with_name("more.parquet").unlink()
    for other in (
        rows[1:],
        rows.with_columns(rating=pl.lit(9, pl.Float32)),
        rows.cast({"rating": pl.Float64}),
    ):
        other.write_parquet(part)
        assert canonical_sha256(shards) != first


def test_a_shard_without_rows_is_passed_over(tmp_path):
    rows = made_up(300)
    rows.write_parquet(tmp_path / "rows.parquet")
    write_shards(tmp_path / "rows.parquet", tmp_path / "shards")
    files = sorted((tmp_path / "shards").glob("*/*.parquet"))
    empty = pl.read_parquet(files[0], hive_partitioning=False).clear()
    empty.write_parquet(files[0].with_name("a.parquet"))
    empty.write_parquet(files[-1].with_name("z.parquet"))
    assert (
        read_interactions(tmp_path / "shards").fingerprint()
        == read_interactions(tmp_path / "rows.parquet").fingerprint()
    )
    for each in files:
        empty.write_parquet(each)
    with pytest.raises(DatasetError, match="no interactions"):
        read_interactions(tmp_path / "shards")


def test_spark_writes_the_rows_of_the_same_shards(tmp_path):
    """On two workers: the same folders, columns and types, and the same rows in each."""
    sql = pytest.importorskip("pyspark.sql", reason="needs pip install -r requirements-spark.txt and Java 17")
    from datasets.spark_shards import write_shards as write_by_spark

    rows = made_up(2_000)
    rows.write_parquet(tmp_path / "rows.parquet")
    write_shards(tmp_path / "rows.parquet", tmp_path / "ours")
    options = {
        **{"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2", "spark.executor.memory": "512m"},
        **{"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"},
    }
    builder = sql.SparkSession.builder.master("local-cluster[2,1,512]")
    spark = builder.config(map=options).getOrCreate()
    try:
        names = {role: role for role in ROLES}
        write_by_spark(
            spark, spark.read.parquet(str(tmp_path / "rows.parquet")), str(tmp_path / "theirs"), names
        )
        bad = spark.createDataFrame([(" ", "1", 5)], "user string, item string, timestamp long")
        with pytest.raises(Exception, match="a row has no usable user"):
            write_by_spark(spark, bad, str(tmp_path / "bad"), {role: role for role in bad.columns})
    finally:
        spark.stop()
    ours, theirs = contents(tmp_path / "ours"), contents(tmp_path / "theirs")
    assert len(ours) == SHARDS and ours.keys() == theirs.keys()
    for name, shard in ours.items():
        assert theirs[name].schema == shard.schema and theirs[name].equals(shard), name
    assert canonical_sha256(tmp_path / "ours") == canonical_sha256(tmp_path / "theirs")
    fingerprints = {read_interactions(tmp_path / name).fingerprint() for name in ("ours", "theirs")}
    assert fingerprints == {read_interactions(tmp_path / "rows.parquet").fingerprint()}
