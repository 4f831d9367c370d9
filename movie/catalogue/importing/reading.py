"""Read files as lines and records: compression, encodings, delimiters and damage.

Everything here streams. A file that is damaged raises CatalogueError with its name.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import lzma
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from movie.catalogue.importing.errors import CatalogueError, RejectReason
from movie.catalogue.importing.rows import Record


def _gunzip(raw: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb"))


COMPRESSIONS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {".gz": _gunzip, ".xz": lzma.LZMAFile}
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
PROBE_BYTES = 1 << 20  # enough to meet the first accented letter of a movie list
DELIMITERS = ("\t", ",", ";", "|")
_STATED_DELIMITER = re.compile(r'"?sep=(?P<delimiter>[\t,;|])"?', re.IGNORECASE)
LONGEST_LINE = 1_000_000  # characters; a longer line is refused without being held in memory
SHOWN_OF_LONG_LINE = 200
SHORTEST_UTF16 = 8  # characters without a byte order mark that tell UTF-16
LONGEST_QUOTED_LINES = 5_000  # a quotation mark still open after so many lines is a slip
ROWS_IN_QUOTES = 20  # and so is one before so many lines in a row that look like rows of the file


def plain_name(path: Path) -> str:
    """Return the file's name without a compression suffix: ratings.dat.xz -> ratings.dat."""
    return path.stem if path.suffix.lower() in COMPRESSIONS else path.name


class TextFile:
    """Reads the lines of a text file, compressed or not, and says how far it has come.

    `encoding` None means: UTF-8 if the beginning is UTF-8, else `fallback` if there is one.
    """

    def __init__(self, path: Path, *, encoding: str | None = None, fallback: str | None = None) -> None:
        self.path = path
        try:
            self._raw = path.open("rb")
        except OSError as error:
            message = "%(path)s cannot be opened: %(why)s"
            raise CatalogueError(message % {"path": path, "why": error.strerror or error}) from error
        self._size = path.stat().st_size
        try:
            self.encoding = encoding or self._guess(fallback)
            self._raw.seek(0)
            self._text = io.TextIOWrapper(self._content(), self.encoding, newline="\n")
        except LookupError as error:
            self._raw.close()
            message = "“%(encoding)s” is not a known encoding; utf-8 and latin-1 are examples."
            raise CatalogueError(message % {"encoding": encoding}) from error
        except CatalogueError:
            self._raw.close()
            raise

    def _content(self) -> IO[bytes]:
        opener = COMPRESSIONS.get(self.path.suffix.lower())
        return opener(self._raw) if opener else self._raw

    def _guess(self, fallback: str | None) -> str:
        try:
            beginning = self._content().read(PROBE_BYTES)
        except DAMAGED as error:
            raise self._damaged(error) from error
        if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "utf-16"
        if utf16 := utf16_without_mark(beginning):
            return utf16
        if b"\0" in beginning:
            message = "%(path)s is not a text file. Text, .gz, .xz and .parquet files can be read."
            raise CatalogueError(message % {"path": self.path})
        try:
            # A character that the end of the probe cuts in two is no error, unless the file ends there.
            codecs.getincrementaldecoder("utf-8")().decode(beginning, final=len(beginning) < PROBE_BYTES)
        except UnicodeDecodeError as error:
            if fallback:
                return fallback
            raise self._not_text("utf-8") from error
        return "utf-8-sig"

    def _not_text(self, encoding: str) -> CatalogueError:
        message = "%(path)s is not %(encoding)s text. Name its encoding, such as --encoding latin-1."
        return CatalogueError(
            message % {"path": self.path, "encoding": encoding.removesuffix("-sig").upper()}
        )

    def _damaged(self, error: Exception) -> CatalogueError:
        message = "%(path)s is damaged or was not copied completely: %(why)s"
        return CatalogueError(message % {"path": self.path, "why": error})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._text.close()
        self._raw.close()

    @property
    def done(self) -> float:
        """Return the share of the file that has been read, 0 to 1."""
        return min(1.0, self._raw.tell() / self._size) if self._size and not self._raw.closed else 1.0

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield line numbers from 1, and lines without their ends.

        Of a line longer than LONGEST_LINE one character more than that comes, and the rest is skipped.
        """
        longest = LONGEST_LINE + 2  # with its end
        try:
            for number in itertools.count(1):
                line = self._text.readline(longest)
                if not line:
                    return
                if len(line) == longest and not line.endswith("\n"):
                    while (rest := self._text.readline(longest)) and not rest.endswith("\n"):
                        pass
                yield number, line.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise self._not_text(self.encoding) from error
        except DAMAGED as error:
            raise self._damaged(error) from error


def utf16_without_mark(beginning: bytes) -> str:
    """Return the encoding of text whose every second byte is zero, as Latin letters in UTF-16; else ""."""
    half = len(beginning) // 2
    for encoding, zeros in (("utf-16-le", beginning[1::2]), ("utf-16-be", beginning[::2])):
        if half >= SHORTEST_UTF16 and zeros.count(0) > 0.9 * half and beginning.count(0) < 1.1 * half:
            return encoding
    return ""


def header(path: Path, lines: Iterator[tuple[int, str]]) -> str:
    """Return the first line. Raises CatalogueError when the file is empty or the line endless."""
    for _number, line in lines:
        if len(line) > LONGEST_LINE:
            raise CatalogueError(f"The first line of {path} is longer than {LONGEST_LINE:,} characters.")
        return line
    raise CatalogueError(f"{path} is empty.")


def read_columns(first: str, lines: Iterator[tuple[int, str]]) -> tuple[list[str], str, str]:
    """Return the names in the header of a CSV file, the delimiter, and the header's own line.

    A line such as "sep=;", as spreadsheets read it, may stand before the header.
    """
    stated = _STATED_DELIMITER.fullmatch(first.strip("\ufeff \r\n"))
    if stated:
        first = next((line for _number, line in lines), "")
    delimiter = stated["delimiter"] if stated else max(DELIMITERS, key=first.count)  # the first of equals
    # The header itself may be quoted; every split is by the rule of the rows.
    record = next(split_quoted([(1, first)], delimiter, first.count(delimiter) + 1), None)
    return (record.cells if record and record.cells else [first]), delimiter, first


def split_plain(lines: Iterable[tuple[int, str]], separator: str, width: int) -> Iterator[Record]:
    """Yield records of a format without quotation: one line each, `width` cells."""
    for number, line in lines:
        cells = line.split(separator) if len(line) <= LONGEST_LINE else []
        if len(cells) == width:
            yield Record(number, line, cells)
        elif line.strip():
            yield broken(number, line)


def broken(number: int, line: str) -> Record:
    """Return the record of a line that is no row: too long, or of another number of columns."""
    if len(line) > LONGEST_LINE:
        return Record(number, f"{line[:SHOWN_OF_LONG_LINE]}...", None, RejectReason.LONG_LINE)
    return Record(number, line, None, RejectReason.BROKEN)


class _Returnable:
    """Iterates over lines that can be given back to be read again."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self._lines = iter(lines)
        self._returned: deque[tuple[int, str]] = deque()

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self

    def __next__(self) -> tuple[int, str]:
        return self._returned.popleft() if self._returned else next(self._lines)

    def give_back(self, lines: Sequence[tuple[int, str]]) -> None:
        self._returned.extendleft(reversed(lines))


def split_quoted(lines: Iterable[tuple[int, str]], delimiter: str, width: int) -> Iterator[Record]:
    """Yield records of a CSV file, `width` cells each.

    A cell in quotation marks may run over several lines. A quotation mark that was never meant
    to open one must not swallow the rows behind it: when no sound record comes of it, its
    first line alone is refused and reading goes on at the next.
    """
    source = _Returnable(lines)
    csv.field_size_limit(LONGEST_LINE)
    for number, line in source:
        if '"' in line and len(line) <= LONGEST_LINE:
            yield _quoted(source, number, line, delimiter, width)
            continue
        cells = line.split(delimiter) if len(line) <= LONGEST_LINE else []
        if len(cells) == width:
            yield Record(number, line, cells)
        elif line.strip():
            yield broken(number, line)


def _quoted(source: _Returnable, number: int, line: str, delimiter: str, width: int) -> Record:
    """Return the record that begins with a quoted line, and take further lines if they close it."""
    cells = _cells(line, delimiter)
    if cells is not None:
        return Record(number, line, cells) if len(cells) == width else broken(number, line)
    taken: list[tuple[int, str]] = []
    whole = line
    if line.count('"') % 2:  # else the marks are paired, and more lines cannot mend it
        length, rows_seen = len(line), 0
        for following in itertools.islice(source, LONGEST_QUOTED_LINES):
            taken.append(following)
            text = following[1]
            length += len(text) + 1
            rows_seen = rows_seen + 1 if '"' not in text and text.count(delimiter) == width - 1 else 0
            if length > LONGEST_LINE or rows_seen > ROWS_IN_QUOTES:
                break
            if '"' in text:
                whole = "\n".join([line, *(each for _number, each in taken)])
                if (cells := _cells(whole, delimiter)) is not None:
                    break
    if cells is not None and len(cells) == width:
        return Record(number, whole, cells)
    source.give_back(taken)
    return Record(number, line, None, RejectReason.QUOTES)


def _cells(text: str, delimiter: str) -> list[str] | None:
    """Return the cells of one CSV record; None when a quotation is open or malformed."""
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None
