"""One data file: its bytes, its hashes and the error that names it."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

COMPRESSED: dict[str, Callable[[Path], IO[bytes]]] = {".gz": gzip.open, ".xz": lzma.open}  # type: ignore[dict-item]
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
MOST_TIMES = (
    100  # larger than its file content gets by unpacking; tables of text shrink to a fifth or tenth ...
)
SMALL = 64 * 1024**2  # bytes that any file may unpack to
LONGEST_LINE = 100_000  # bytes, of a table
_SNIFFED_LINES = 200


class DatasetError(Exception):
    """Reports a data file that cannot be read: where, what was found and what was expected."""

    def __init__(self, path: Path, problem: str, *, expected: str, line: int | None = None) -> None:
        self.path, self.line, self.expected = path, line, expected
        where = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{where}: {problem}; expected {expected}")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """Names a file that was read, with the hash of the file and that of its unpacked content."""

    name: str
    sha256: str
    content_sha256: str


class Source:
    """Holds the unpacked bytes of one file. Raises DatasetError when the file cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = read_content(path)
        with path.open("rb") as file:
            self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def name(self) -> str:
        return plain_name(self.path)

    @cached_property
    def text(self) -> bytes:
        """Return the content as UTF-8; UTF-16 and latin-1 files, as MovieLens has them, are converted."""
        if self.content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return self.content.decode("utf-16", errors="replace").encode("utf-8")
        content = self.content.removeprefix(b"\xef\xbb\xbf")
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            return content.decode("latin-1").encode("utf-8")
        return content

    def check_lines(self, longest: int = LONGEST_LINE) -> None:
        """Raise DatasetError for a line of more bytes: what parsers make of one is many times as large."""
        text, start = self.text, 0
        while start + longest < len(text):
            end = text.rfind(b"\n", start, start + longest + 1)
            if end < 0:
                line = text.count(b"\n", 0, start) + 1
                raise self.error("a line without an end", expected=f"at most {longest:,} bytes", line=line)
            start = end + 1

    def first_lines(self) -> list[str]:
        """Return the first lines that are not blank, as many as it takes to tell a format."""
        head = self.text[: 1 << 20].decode("utf-8", errors="replace").splitlines()
        return [line for line in head[:_SNIFFED_LINES] if line.strip()]

    def error(self, problem: str, *, expected: str, line: int | None = None) -> DatasetError:
        return DatasetError(self.path, problem, expected=expected, line=line)

    def describe(self) -> SourceFile:
        return SourceFile(self.path.name, self._sha256, hashlib.sha256(self.content).hexdigest())


def read_content(path: Path) -> bytes:
    """Return the unpacked bytes of a file. Raises DatasetError, also for one that unpacks to far too much."""
    unpack = COMPRESSED.get(path.suffix)
    try:
        if unpack is None:
            return path.read_bytes()
        most = max(SMALL, MOST_TIMES * path.stat().st_size)
        with unpack(path) as file:
            content = file.read(most + 1)
    except DAMAGED as error:
        raise DatasetError(path, f"damaged: {error}", expected=f"a whole {path.suffix} file") from error
    except OSError as error:
        raise DatasetError(path, error.strerror or str(error), expected="a readable file") from error
    if len(content) > most:
        raise DatasetError(path, f"more than {most:,} bytes unpacked", expected="text that was packed once")
    return content


def plain_name(path: Path) -> str:
    """Return the name of a file without the suffix of its compression."""
    return path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED else path.name
