"""Interaction files of the field, read into `Interactions`.

Taken directly, each also as .gz or .xz, or as the folder that holds it:

    movielens    ratings.csv, `user::item::rating::time` (.dat), u.data (tab, no header)
    recbole      atomic `.inter` files with a typed header (`user_id:token`)
    ncf          `.rating` (user, item, rating, time); a folder with .train.rating and .test.rating
    sequence     `user item` lines in time order, as the SASRec literature uses
    adjacency    `user item item ...` lines; a folder with train.txt and test.txt (LightGCN, NGCF)
    table        any CSV, TSV or parquet with named columns and ids of any kind

Ids become ints when all of them are canonical ints ("7", not "007"); else they stay strings.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import lzma
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from datasets.interactions import Interactions

COMPRESSED = {".gz": gzip.decompress, ".xz": lzma.decompress}
FORMATS = ("csv", "tsv", "parquet", "dat", "u.data", "recbole", "ncf", "sequence", "adjacency")
ROLES = ("user", "item", "rating", "timestamp")
NAMES = {
    "user": ("user", "userid", "user_id", "uid", "visitor", "visitor_id", "customer_id", "session_id"),
    "item": ("item", "itemid", "item_id", "iid", "movie", "movieid", "movie_id", "product_id"),
    "rating": ("rating", "ratings", "value", "stars", "score"),
    "timestamp": ("timestamp", "time", "unix_timestamp", "rated_at", "created_at", "at", "date", "datetime"),
}
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
_SNIFFED_LINES = 200
_EARLIEST_TIME = 1e8  # 1973: a third column that never falls below is a time, not a rating
# Seconds since 1970 stay below 1e11 until the year 5138; larger numbers count in finer units.
_FINER_UNITS = ((1e17, 1_000_000_000), (1e14, 1_000_000), (1e11, 1_000))


class DatasetError(Exception):
    """A data file cannot be read. Says where, what was found and what was expected."""

    def __init__(self, path: Path, problem: str, *, expected: str, line: int | None = None) -> None:
        self.path, self.line, self.expected = path, line, expected
        place = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{place}: {problem}; expected {expected}")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was read. `sha256` is of the file as it lies there, `content_sha256` unpacked."""

    name: str
    sha256: str
    content_sha256: str


@dataclass(frozen=True)
class Dataset:
    """Interactions with where they come from.

    interactions  all rows
    train, test   the two parts where the data comes with a given split, in the same id spaces; else None
    has_time      False where `at` is only the order of the rows
    """

    interactions: Interactions
    train: Interactions | None
    test: Interactions | None
    format: str
    files: tuple[SourceFile, ...]
    has_time: bool

    @property
    def sort(self) -> str:
        """How the rows of a user are ordered."""
        return "timestamp, ties in file order" if self.has_time else "file order"

    @property
    def sha256(self) -> str:
        """Of the file; of the lines `name sha256` where there are several."""
        return _one_hash([(file.name, file.sha256) for file in self.files])

    @property
    def content_sha256(self) -> str:
        """As `sha256`, of the unpacked contents: equal for `x.txt` and `x.txt.xz`."""
        return _one_hash([(file.name, file.content_sha256) for file in self.files])


def read_interactions(
    path: Path | str, *, columns: Mapping[str, str] | None = None, format: str | None = None
) -> Interactions:
    """All interactions of a file or folder, sorted by (user, time, file order).

    `columns` names the columns of a table by role: user, item and, if any, rating and timestamp.
    `format` is one of FORMATS; by default the name and the first lines decide.
    Raises DatasetError.
    """
    return read_dataset(path, columns=columns, format=format).interactions


def read_dataset(
    path: Path | str, *, columns: Mapping[str, str] | None = None, format: str | None = None
) -> Dataset:
    """As `read_interactions`, with the given split, the hashes of the files and the format found."""
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise DatasetError(path, f"unknown format {format!r}", expected="one of " + ", ".join(FORMATS))
    if wrong := set(columns or {}) - set(ROLES):
        raise DatasetError(
            path, f"no role is called {', '.join(sorted(wrong))}", expected="roles " + ", ".join(ROLES)
        )
    paths = _files_of(path)
    tables = []
    sources = []
    for file in paths:
        source = _Source(file)
        tables.append(_read_table(source, columns, format))
        sources.append(source.described())
    return _assemble(path, tables, tuple(sources))


# -- which files ---------------------------------------------------------------------------------


def _files_of(path: Path) -> tuple[Path, ...]:
    """The file, or what a folder holds: one file, or a (train, test) pair."""
    if path.is_file():
        return (path,)
    if not path.exists():
        raise DatasetError(
            path, "there is no such file or folder", expected="an interaction file or its folder"
        )
    by_name = {_plain_name(file): file for file in sorted(path.iterdir()) if file.is_file()}
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


def _plain_name(path: Path) -> str:
    return path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED else path.name


class _Source:
    """One file's bytes, unpacked, and its hashes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise DatasetError(path, error.strerror or str(error), expected="a readable file") from error
        unpack = COMPRESSED.get(path.suffix)
        try:
            self.content = unpack(raw) if unpack else raw
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise DatasetError(path, f"damaged: {error}", expected=f"a whole {path.suffix} file") from error
        self._sha256 = hashlib.sha256(raw).hexdigest()

    @property
    def name(self) -> str:
        return _plain_name(self.path)

    @cached_property
    def text(self) -> bytes:
        """The content as UTF-8; latin-1 files, as MovieLens has them, are converted."""
        content = self.content.removeprefix(b"\xef\xbb\xbf")
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            return content.decode("latin-1").encode("utf-8")
        return content

    def first_lines(self) -> list[str]:
        head = self.text[: 1 << 20].decode("utf-8", errors="replace").splitlines()
        return [line for line in head[:_SNIFFED_LINES] if line.strip()]

    def error(self, problem: str, *, expected: str, line: int | None = None) -> DatasetError:
        return DatasetError(self.path, problem, expected=expected, line=line)

    def described(self) -> SourceFile:
        return SourceFile(self.path.name, self._sha256, hashlib.sha256(self.content).hexdigest())


def _one_hash(named: list[tuple[str, str]]) -> str:
    if len(named) == 1:
        return named[0][1]
    return hashlib.sha256("".join(f"{name} {digest}\n" for name, digest in named).encode()).hexdigest()


# -- one file ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """Columns by role; `lines` holds the line number of each row, for messages."""

    source: _Source
    format: str
    frame: pl.DataFrame
    lines: np.ndarray | None = None


def _read_table(source: _Source, columns: Mapping[str, str] | None, format: str | None) -> _Table:
    if not source.content.strip():
        raise source.error("the file is empty", expected="interactions")
    format = format or _SUFFIX_FORMATS.get(Path(source.name).suffix) or _sniff(source)
    if format == "parquet":
        return _named_columns(source, format, _read_parquet(source), columns, header_lines=0)
    if format in ("sequence", "adjacency"):
        return _read_lines(source, format)
    separator = {"csv": ",", "dat": "\t"}.get(format, "\t")
    text = source.text
    if format == "dat":
        if b"::" not in text[: text.find(b"\n")]:
            raise source.error("no `::` in it", expected="user::item::rating::timestamp", line=1)
        text = text.replace(b"::", b"\t")
    elif format == "csv" and "," not in source.first_lines()[0]:
        separator = next((mark for mark in ";\t|" if mark in source.first_lines()[0]), ",")
    names = [name.strip(' "') for name in source.first_lines()[0].split(separator)]
    has_header = bool(columns) or format == "recbole" or _looks_like_header(names)
    frame = _read_delimited(source, text, separator, has_header=has_header)
    if has_header:
        return _named_columns(source, format, frame, columns, header_lines=1)
    return _positional_columns(source, format, frame)


def _sniff(source: _Source) -> str:
    """Tell the kinds of .txt apart by their first lines."""
    lines = source.first_lines()
    if any(mark in lines[0] for mark in ",;|") or _looks_like_header(lines[0].split("\t")):
        return "csv"
    widths = {len(line.split()) for line in lines}
    if widths == {2}:
        return "sequence"
    if len(widths) == 1 and widths <= {3, 4} and "\t" in lines[0]:
        return "tsv"
    return "adjacency"


def _looks_like_header(names: list[str]) -> bool:
    known = {name for role in ("user", "item") for name in NAMES[role]}
    return any(name.split(":")[0].strip().lower() in known for name in names)


def _read_parquet(source: _Source) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(source.content))
    except pl.exceptions.PolarsError as error:
        raise source.error(f"not readable: {error}", expected="a parquet file") from error


def _read_delimited(source: _Source, text: bytes, separator: str, *, has_header: bool) -> pl.DataFrame:
    """All columns as strings, so that ids such as 0113277 keep their zeros. Blank lines stay as null rows."""
    quote = '"' if separator != "\t" else None
    try:
        return pl.read_csv(
            text, separator=separator, has_header=has_header, infer_schema=False, quote_char=quote
        )
    except pl.exceptions.PolarsError as error:
        width = None
        reader = csv.reader(io.StringIO(text.decode()), delimiter=separator, strict=True)
        try:
            for fields in reader:
                width = width or len(fields)
                if len(fields) > width:
                    raise source.error(
                        f"{len(fields)} fields", expected=f"{width} as in line 1", line=reader.line_num
                    ) from error
        except csv.Error as wrong:
            raise source.error(str(wrong), expected="well-formed rows", line=reader.line_num) from error
        raise source.error(str(error).splitlines()[0], expected="rows of equal width") from error


def _named_columns(
    source: _Source,
    format: str,
    frame: pl.DataFrame,
    columns: Mapping[str, str] | None,
    *,
    header_lines: int,
) -> _Table:
    """Choose the columns by the caller's names, or by the names that are usual for each role."""
    plain = {name: name.split(":")[0].strip().lower() for name in frame.columns}
    chosen: dict[str, pl.Series] = {}
    for role in ROLES:
        if columns and role in columns:
            matches = [name for name in frame.columns if columns[role] in (name, name.split(":")[0])]
            if not matches:
                raise source.error(
                    f"no column {columns[role]!r}",
                    expected="one of " + ", ".join(frame.columns),
                    line=header_lines or None,
                )
        else:
            matches = sorted(
                (name for name in frame.columns if plain[name] in NAMES[role]),
                key=lambda name: NAMES[role].index(plain[name]),
            )
        if matches:
            chosen[role] = frame[matches[0]].alias(role)
        elif role in ("user", "item"):
            raise source.error(
                f"no {role} column among {', '.join(frame.columns)}",
                expected=f"a column called {' or '.join(NAMES[role][:3])}, or its name given as {role}=NAME",
                line=header_lines or None,
            )
    return _without_blank_lines(source, format, pl.DataFrame(list(chosen.values())), header_lines)


def _positional_columns(source: _Source, format: str, frame: pl.DataFrame) -> _Table:
    """user, item, rating, timestamp in this order; with three columns, a third of large numbers is time."""
    if frame.width < 2:
        raise source.error("one column", expected="user, item and, if any, rating and timestamp", line=1)
    if format == "csv" and frame.width > len(ROLES):
        raise source.error(
            f"{frame.width} columns and no header that names user and item",
            expected="a header, or the names given as user=NAME and item=NAME",
            line=1,
        )
    roles = list(ROLES[: min(frame.width, len(ROLES))])
    if frame.width == 3:
        third = frame.to_series(2).cast(pl.Float64, strict=False).min()
        if third is not None and float(str(third)) > _EARLIEST_TIME:
            roles[2] = "timestamp"
    named = frame.select(pl.nth(index).alias(role) for index, role in enumerate(roles))
    return _without_blank_lines(source, format, named, header_lines=0)


def _without_blank_lines(source: _Source, format: str, frame: pl.DataFrame, header_lines: int) -> _Table:
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
    lines = np.flatnonzero(~blank) + 1 + header_lines
    return _Table(source, format, frame.filter(~pl.Series(blank)) if blank.any() else frame, lines)


def _read_lines(source: _Source, format: str) -> _Table:
    """`user item` or `user item item ...`, separated by blanks, in the order of the file."""
    lines = pl.DataFrame({"text": source.text.decode().splitlines()}).with_row_index("line", offset=1)
    fields = (
        lines.with_columns(pl.col("text").str.replace_all(r"\s+", " ").str.strip_chars(" "))
        .filter(pl.col("text") != "")
        .with_columns(pl.col("text").str.split(" "))
    )
    if format == "sequence":
        wrong = fields.filter(pl.col("text").list.len() != 2)
        if wrong.height:
            line, found = wrong.row(0)
            raise source.error(f"{len(found)} fields", expected="`user item`", line=line)
    rows = (
        fields.select("line", user=pl.col("text").list.first(), item=pl.col("text").list.slice(1))
        .filter(pl.col("item").list.len() > 0)  # LightGCN's files list users without items too
        .explode("item")
    )
    return _Table(source, format, rows.select("user", "item"), rows["line"].to_numpy())


# -- arrays --------------------------------------------------------------------------------------


def _assemble(path: Path, tables: list[_Table], files: tuple[SourceFile, ...]) -> Dataset:
    sizes = [table.frame.height for table in tables]
    if not all(sizes):
        raise DatasetError(path, "no interactions in it", expected="at least one row")
    users, user_ids = _codes(tables, "user")
    items, item_ids = _codes(tables, "item")
    values = _joined(tables, "rating", _ratings)
    ticks = _joined(tables, "timestamp", _times)
    at = np.arange(sum(sizes), dtype=np.int64)
    if ticks is not None:
        unit = next((unit for bound, unit in _FINER_UNITS if np.abs(ticks).max() >= bound), 1)
        at = (ticks // unit).astype(np.int64)

    def part(rows: np.ndarray) -> Interactions:
        if ticks is not None:  # times within one second keep their order
            rows = rows[np.argsort(ticks[rows], kind="stable")]
        return Interactions.from_columns(
            users[rows],
            items[rows],
            None if values is None else values[rows],
            at[rows],
            user_ids=user_ids,
            item_ids=item_ids,
            has_time=ticks is not None,
        )

    everything = np.arange(sum(sizes))
    return Dataset(
        interactions=part(everything),
        train=part(everything[: sizes[0]]) if len(tables) == 2 else None,
        test=part(everything[sizes[0] :]) if len(tables) == 2 else None,
        format=tables[0].format,
        files=files,
        has_time=ticks is not None,
    )


def _joined(tables: list[_Table], role: str, convert: Callable[[_Table], np.ndarray]) -> np.ndarray | None:
    if not all(role in table.frame.columns for table in tables):
        return None
    return np.concatenate([convert(table) for table in tables])


def _codes(tables: list[_Table], role: str) -> tuple[np.ndarray, np.ndarray]:
    """(N,) int32 indices and the sorted ids behind them: int64, or str objects."""
    columns = [table.frame[role] for table in tables]
    for table, column in zip(tables, columns, strict=True):
        empty = column.is_null() | (column == "") if column.dtype == pl.String else column.is_null()
        _refuse_first(table, empty.to_numpy(), f"no {role}", expected=f"an id of the {role}")
    if not all(column.dtype.is_integer() for column in columns):
        columns = [column.cast(pl.String).str.strip_chars() for column in columns]
    ids = pl.concat(columns)
    if ids.dtype == pl.String:
        numbers = ids.cast(pl.Int64, strict=False)
        if numbers.null_count() == 0 and bool((numbers.cast(pl.String) == ids).all()):
            ids = numbers
    if ids.dtype.is_integer():
        unique, codes = np.unique(ids.cast(pl.Int64).to_numpy(), return_inverse=True)
        return codes.astype(np.int32), unique
    names = ids.unique().sort()
    numbered = pl.DataFrame({"id": names, "code": np.arange(len(names), dtype=np.int32)})
    coded = pl.DataFrame({"id": ids}).join(numbered, on="id", how="left", maintain_order="left")
    return coded["code"].to_numpy().astype(np.int32), np.array(names.to_list(), dtype=object)


def _ratings(table: _Table) -> np.ndarray:
    """(n,) float32; nan where the field is empty."""
    column = table.frame["rating"]
    numbers = column.cast(pl.Float64, strict=False)
    given = column.is_not_null() & (column != "") if column.dtype == pl.String else column.is_not_null()
    wrong = given & (numbers.is_null() | numbers.is_infinite().fill_null(False))
    _refuse_first(table, wrong.to_numpy(), "a rating of {}", expected="a number", shown=column)
    return numbers.fill_null(float("nan")).to_numpy().astype(np.float32)


def _times(table: _Table) -> np.ndarray:
    """(n,) float64 or int64 ticks since 1970, in the unit of the file (seconds for dates)."""
    column = table.frame["timestamp"]
    if column.dtype.is_temporal():
        numbers = column.cast(pl.Datetime("us")).dt.epoch("us") / 1e6
    elif column.dtype.is_numeric():
        numbers = column
    else:
        numbers = column.cast(pl.Int64, strict=False)
        if numbers.null_count():
            numbers = column.cast(pl.Float64, strict=False)
        if numbers.null_count() == len(numbers):
            try:
                moments = column.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
            except pl.exceptions.PolarsError:  # no date format fits
                moments = pl.Series([None] * len(column), dtype=pl.Datetime("us"))
            numbers = moments.dt.epoch("us") / 1e6
    _refuse_first(
        table,
        (numbers.is_null() | numbers.cast(pl.Float64).is_nan()).to_numpy(),
        "a time of {}",
        expected="seconds since 1970 or an ISO 8601 date",
        shown=column,
    )
    return numbers.to_numpy()


def _refuse_first(
    table: _Table, wrong: np.ndarray, problem: str, *, expected: str, shown: pl.Series | None = None
) -> None:
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    line = int(table.lines[row]) if table.lines is not None else None
    value = "nothing" if shown is None or shown[row] is None else repr(shown[row])
    raise table.source.error(problem.format(value), expected=expected, line=line)


def named_columns(pairs: Iterable[str]) -> dict[str, str]:
    """`["user=uid", "item=sku"]` -> {"user": "uid", "item": "sku"}. Raises ValueError."""
    named = {}
    for pair in pairs:
        role, equals, name = pair.partition("=")
        if not equals or not name or role not in ROLES:
            raise ValueError(f"{pair!r} is no column; expected ROLE=NAME with a role of {', '.join(ROLES)}")
        named[role] = name
    return named
