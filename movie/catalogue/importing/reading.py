"""Files as lines and records: compression, encodings, delimiters, and what is wrong with them.

Everything here streams. A file that is damaged raises CatalogueError with its name.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import lzma
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from movie.catalogue.importing.rows import CatalogueError, Reason, Record


def _gunzip(raw: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb"))


COMPRESSIONS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {".gz": _gunzip, ".xz": lzma.LZMAFile}
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
PROBE_BYTES = 1 << 20  # enough to meet the first accented letter of a film list
LONGEST_QUOTED_LINES = 200  # a quotation mark still open after so many lines is a slip


def plain_name(path: Path) -> str:
    """The file's name without a compression suffix: ratings.dat.xz -> ratings.dat."""
    return path.stem if path.suffix.lower() in COMPRESSIONS else path.name


class TextFile:
    """The lines of a text file, compressed or not, and how far reading has come.

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
        """How much of the file has been read, 0 to 1."""
        return min(1.0, self._raw.tell() / self._size) if self._size and not self._raw.closed else 1.0

    def lines(self) -> Iterator[tuple[int, str]]:
        """Line numbers from 1, and lines without their ends."""
        try:
            for number, line in enumerate(self._text, 1):
                yield number, line.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise self._not_text(self.encoding) from error
        except DAMAGED as error:
            raise self._damaged(error) from error


def header(path: Path, lines: Iterator[tuple[int, str]]) -> str:
    """The first line. Raises CatalogueError when the file is empty."""
    for _number, line in lines:
        return line
    raise CatalogueError(f"{path} is empty.")


def split_plain(lines: Iterable[tuple[int, str]], separator: str, width: int) -> Iterator[Record]:
    """Records of a format without quotation: one line each, `width` cells."""
    for number, line in lines:
        cells = line.split(separator)
        if len(cells) == width:
            yield Record(number, line, cells)
        elif line.strip():
            yield Record(number, line, None)


class _Returnable:
    """Lines that can be given back to be read again."""

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
    """Records of a CSV file, `width` cells each.

    A cell in quotation marks may run over several lines. A quotation mark that was never meant
    to open one must not swallow the rows behind it: when no sound record comes of it, its
    first line alone is refused and reading goes on at the next.
    """
    source = _Returnable(lines)
    for number, line in source:
        if '"' in line:
            yield _quoted(source, number, line, delimiter, width)
            continue
        cells = line.split(delimiter)
        if len(cells) == width:
            yield Record(number, line, cells)
        elif line.strip():
            yield Record(number, line, None, Reason.BROKEN)


def _quoted(source: _Returnable, number: int, line: str, delimiter: str, width: int) -> Record:
    """The record that begins with a line holding quotation marks, taking further lines if they close it."""
    cells = _cells(line, delimiter)
    if cells is not None:
        return (
            Record(number, line, cells) if len(cells) == width else Record(number, line, None, Reason.BROKEN)
        )
    taken: list[tuple[int, str]] = []
    whole = line
    if line.count('"') % 2:  # else the marks are paired, and more lines cannot mend it
        for following in itertools.islice(source, LONGEST_QUOTED_LINES):
            taken.append(following)
            whole = f"{whole}\n{following[1]}"
            if '"' in following[1] and (cells := _cells(whole, delimiter)) is not None:
                break
    if cells is not None and len(cells) == width:
        return Record(number, whole, cells)
    source.give_back(taken)
    return Record(number, line, None, Reason.QUOTES)


def _cells(text: str, delimiter: str) -> list[str] | None:
    """The cells of one CSV record; None when a quotation is open or malformed."""
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return None
