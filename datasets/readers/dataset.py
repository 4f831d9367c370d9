"""Interaction files of the field, read into `Interactions`.

Taken directly, each also as .gz or .xz, or as the folder that holds it:

    movielens    ratings.csv, `user::item::rating::time` (.dat), u.data (tab, no header)
    recbole      atomic `.inter` files with a typed header (`user_id:token`)
    ncf          `.rating` (user, item, rating, time); a folder with .train.rating and .test.rating
    sequence     `user item` lines in time order, as the SASRec literature uses
    adjacency    `user item item ...` lines; a folder with train.txt and test.txt (LightGCN, NGCF)
    table        any CSV, TSV or parquet with named columns and ids of any kind
    shards       a folder with shard=NN/*.parquet, as `write_shards` and Spark write it

Ids become ints when all of them are canonical ints ("7", not "007"); else they stay strings. The unit of a
numeric time is the one that the caller states, else the one in which most of the first times lie before 2100.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import polars as pl

from datasets.interactions import Interactions
from datasets.readers.assembly import assemble, checked_rows
from datasets.readers.columns import UNITS, probable_unit, unit_votes
from datasets.readers.delimited import read_delimited
from datasets.readers.item_lines import read_item_lines
from datasets.readers.parquet import read_parquet
from datasets.readers.source import DatasetError, Source, SourceFile, plain_name
from datasets.readers.table import ROLES, Table, looks_like_header
from datasets.shards import Spool

SHARD_PREFIX = "shard="  # of folders that hold the files of a shard
UNIT = "unit"  # beside the roles in `columns`: one of UNITS
Reader = Callable[[Source, str, Mapping[str, str] | None], Iterator[Table]]
READERS: dict[str, Reader] = {
    "csv": read_delimited,
    "tsv": read_delimited,
    "parquet": read_parquet,
    "dat": read_delimited,
    "u.data": read_delimited,
    "recbole": read_delimited,
    "ncf": read_delimited,
    "sequence": read_item_lines,
    "adjacency": read_item_lines,
}
FORMATS = tuple(READERS)
_SUFFIX_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".dat": "dat",
    ".data": "u.data",
    ".base": "u.data",
    ".test": "u.data",
    ".inter": "recbole",
    ".rating": "ncf",
}
_NO_DATA_STEMS = ("readme", "license", "licence", "copying", "changelog")


@dataclass(frozen=True)
class Dataset:
    """Holds interactions with the files they come from.

    interactions  all rows
    train, test   the two parts where the data comes with a given split, in the same id spaces; else None
    """

    interactions: Interactions
    train: Interactions | None
    test: Interactions | None
    format: str
    files: tuple[SourceFile, ...]
    notices: tuple[str, ...] = ()  # what was found out about the files and not stated

    @property
    def has_time(self) -> bool:
        """True if `at` holds times; otherwise it is the order of the rows alone."""
        return self.interactions.has_time

    @property
    def sort(self) -> str:
        """Name the order of the rows of a user."""
        return "timestamp, ties in file order" if self.has_time else "file order"

    @property
    def sha256(self) -> str:
        """sha256 of the file, or of the lines `name sha256` where there are several."""
        return _combined_hash([(file.name, file.sha256) for file in self.files])

    @property
    def content_sha256(self) -> str:
        """As `sha256`, of the unpacked contents: equal for `x.txt` and `x.txt.xz`."""
        return _combined_hash([(file.name, file.content_sha256) for file in self.files])


def read_interactions(
    path: Path | str,
    *,
    columns: Mapping[str, str] | None = None,
    format: str | None = None,
    say: Callable[[str], object] = lambda notice: None,
) -> Interactions:
    """Read all interactions of a file or folder, sorted by (user, time, file order).

    `columns` names the columns of a table by role: user, item and, if any, rating and timestamp; in a file
    without a header by their number, from 1. Its entry `unit` is the unit of a numeric time: one of UNITS.
    `format` is one of FORMATS; by default the name and the first lines decide. `say` is told what was found
    out and not stated, such as a unit other than seconds.
    Raises DatasetError.
    """
    began = datetime.now(UTC)
    dataset = read_dataset(path, columns=columns, format=format)
    for notice in dataset.notices:
        say(notice)
    return replace(dataset.interactions, read_at=began)


def read_dataset(
    path: Path | str, *, columns: Mapping[str, str] | None = None, format: str | None = None
) -> Dataset:
    """Read interactions with the given split, the hashes of the files and the format found.

    Takes and raises the same as `read_interactions`.
    """
    opened = open_files(Path(path), columns, format)
    with Spool() as spool:
        for rows in opened.rows():
            spool.add(rows)
        interactions, parts = assemble(spool, opened.roles, opened.unit)
    has_split = len(parts) > 0
    return Dataset(
        interactions=interactions,
        train=interactions.select(parts == 0) if has_split else None,
        test=interactions.select(parts == 1) if has_split else None,
        format=opened.format,
        files=tuple(source.describe() for source in opened.sources),
        notices=opened.notices,
    )


@dataclass(frozen=True)
class OpenedFiles:
    """Files whose first rows are known: their roles, and the unit of their times."""

    path: Path
    sources: list[Source]
    tables: list[Iterator[Table]]  # of each file, to be read once
    roles: set[str]
    unit: str
    format: str
    notices: tuple[str, ...]

    def rows(self, skip: int = 0) -> Iterator[pl.DataFrame]:
        """Yield the rows for a spool, without the first `skip`.

        Raises DatasetError, also where a file has no rows.
        """
        is_sharded = self.sources[0].path.parent.name.startswith(SHARD_PREFIX)
        files = [chain.from_iterable(self.tables)] if is_sharded else self.tables
        arrived = 0
        for part, tables in enumerate(files):
            before = arrived
            for table in tables:
                begins, arrived = arrived, arrived + table.frame.height
                if arrived > skip:
                    rows = checked_rows(
                        table, self.roles, self.unit, begins, part if len(files) > 1 else None
                    )
                    yield rows[max(skip - begins, 0) :]
            if arrived == before:
                raise _without_rows(self.path)

    @property
    def share_read(self) -> float:
        """Share of the bytes of all files that were read, 0 to 1."""
        read = sum(source.size * source.share_read for source in self.sources)
        return read / sum(source.size for source in self.sources)


def open_files(path: Path, columns: Mapping[str, str] | None, format: str | None) -> OpenedFiles:
    if format is not None and format not in FORMATS:
        raise DatasetError(path, f"unknown format {format!r}", expected="one of " + ", ".join(FORMATS))
    stated = dict(columns or {})
    unit = stated.pop(UNIT, None)
    if unit is not None and unit not in UNITS:
        raise DatasetError(path, f"unknown unit {unit!r}", expected="one of " + ", ".join(UNITS))
    if wrong := set(stated) - set(ROLES):
        raise DatasetError(
            path, f"no role is called {', '.join(sorted(wrong))}", expected="roles " + ", ".join(ROLES)
        )
    sources: list[Source] = []
    formats: list[str] = []
    files: list[Iterator[Table]] = []
    roles, votes = set(ROLES), Counter[str]()
    for source in map(Source, _files_of(path)):
        of_file = format or _format_of(source)
        tables = READERS[of_file](source, of_file, stated or None)
        first = next(tables, None)
        if first is None:  # a parquet file without rows
            continue
        roles &= set(first.frame.columns)
        votes += unit_votes(first)
        # Only the first file's head is kept until its turn: 64 shards have one each.
        files.append(READERS[of_file](source, of_file, stated or None) if files else chain([first], tables))
        sources.append(source)
        formats.append(of_file)
    if not sources:
        raise _without_rows(path)
    notices = []
    found = unit or probable_unit(votes)
    if unit is None and found != "s":
        names = {"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
        notices.append(
            f"{path}: the times are read as {names[found]} since 1970, as most of the first ones are; "
            "--columns unit=s, ms, us or ns says another unit."
        )
    return OpenedFiles(
        path,
        sources,
        files,
        roles,
        found,
        formats[0],
        tuple(notices),
    )


def _files_of(path: Path) -> tuple[Path, ...]:
    """Return the file, or what a folder holds: one file, a (train, test) pair, or shards."""
    if path.is_file():
        return (path,)
    if not path.exists():
        raise DatasetError(
            path, "there is no such file or folder", expected="an interaction file or its folder"
        )
    if shards := sorted(path.glob(f"{SHARD_PREFIX}*/*.parquet")):
        return tuple(shards)
    by_name = {plain_name(file): file for file in sorted(path.iterdir()) if file.is_file()}
    for training in ("train.txt", "training.txt"):
        if training in by_name and "test.txt" in by_name:
            return by_name[training], by_name["test.txt"]
    for name, file in by_name.items():
        if name.endswith(".train.rating") and (test := name.replace(".train.", ".test.")) in by_name:
            return file, by_name[test]
    for known in (f"{path.name}.inter", "ratings.csv", "ratings.dat", "u.data"):
        if known in by_name:
            return (by_name[known],)
    candidates = {
        name: file
        for name, file in by_name.items()
        if Path(name).suffix in {*_SUFFIX_FORMATS, ".txt"} and not name.lower().startswith(_NO_DATA_STEMS)
    }
    if len(candidates) > 1:  # the one that is named like the folder: ml-1m-sasrec/ml-1m.txt
        candidates = {n: f for n, f in candidates.items() if path.name.startswith(Path(n).stem)} or candidates
    if len(candidates) != 1:
        found = ", ".join(sorted(candidates)) or "nothing readable"
        raise DatasetError(
            path,
            f"the folder holds {found}",
            expected="train.txt and test.txt, an .inter, ratings.csv, ratings.dat, u.data, or one data file; "
            "name the file itself",
        )
    return tuple(candidates.values())


def _without_rows(path: Path) -> DatasetError:
    return DatasetError(path, "no interactions in it", expected="at least one row")


def _format_of(source: Source) -> str:
    if source.is_blank:
        raise source.error("the file is empty", expected="interactions")
    return _SUFFIX_FORMATS.get(Path(source.name).suffix) or _sniff(source)


def _sniff(source: Source) -> str:
    """Tell the kinds of .txt apart by their first lines."""
    lines = source.first_lines()
    if any(mark in lines[0] for mark in ",;|") or looks_like_header(lines[0].split("\t")):
        return "csv"
    widths = {len(line.split()) for line in lines}
    if widths == {2}:
        return "sequence"
    if len(widths) == 1 and widths <= {3, 4} and "\t" in lines[0]:
        return "tsv"
    return "adjacency"


def _combined_hash(named: list[tuple[str, str]]) -> str:
    if len(named) == 1:
        return named[0][1]
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in named).encode()).hexdigest()


def named_columns(pairs: Iterable[str]) -> dict[str, str]:
    """Parse `["user=uid", "unit=ms"]` into {"user": "uid", "unit": "ms"}. Raises ValueError."""
    named = {}
    for pair in pairs:
        role, equals, name = pair.partition("=")
        if not equals or not name or role not in (*ROLES, UNIT):
            raise ValueError(f"{pair!r} is no column; expected ROLE=NAME with a role of {', '.join(ROLES)}")
        named[role] = name
    return named
