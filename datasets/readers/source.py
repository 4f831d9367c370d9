"""One data file: its bytes, its hashes and the error that names it."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import lzma
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

COMPRESSED = {".gz": gzip.decompress, ".xz": lzma.decompress}
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

    def first_lines(self) -> list[str]:
        """Return the first lines that are not blank, as many as it takes to tell a format."""
        head = self.text[: 1 << 20].decode("utf-8", errors="replace").splitlines()
        return [line for line in head[:_SNIFFED_LINES] if line.strip()]

    def error(self, problem: str, *, expected: str, line: int | None = None) -> DatasetError:
        return DatasetError(self.path, problem, expected=expected, line=line)

    def describe(self) -> SourceFile:
        return SourceFile(self.path.name, self._sha256, hashlib.sha256(self.content).hexdigest())


def plain_name(path: Path) -> str:
    """Return the name of a file without the suffix of its compression."""
    return path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED else path.name
