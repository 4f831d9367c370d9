"""One data file: its bytes, its hashes and the error that names it."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

COMPRESSED: dict[str, Callable[[Path], IO[bytes]]] = {".gz": gzip.open, ".xz": lzma.open}  # type: ignore[dict-item]
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
MOST_TIMES = (
    100  # larger than its file content gets by unpacking; tables of text shrink to a fifth or tenth ...
)
SMALL = 64 * 1024**2  # bytes that any file may unpack to
BLOCK = 8 * 1024**2  # bytes in memory at once
LONGEST_LINE = 100_000  # bytes, of a table
LONGEST_QUOTED = 1024**2  # bytes of a row whose quotes span lines
_SNIFFED_LINES = 200
_HEAD = 1 << 20  # bytes that they are in


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
    """Reads the unpacked bytes of one file, block by block. Raises DatasetError where it cannot be read.

    size        unpacked bytes
    share_read  of the content that readers yielded, 0 to 1
    """

    def __init__(self, path: Path) -> None:
        """Read the file once, for its hashes and its encoding."""
        self.path = path
        self.size, self.share_read = 0, 0.0
        content = hashlib.sha256()
        decoder = codecs.getincrementaldecoder("utf-8")()
        self.is_blank, self._encoding, self._head = True, "utf-8", b""
        for block in unpacked(self.path):
            if not self._head and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                self._encoding = "utf-16"
            self._head += block[: _HEAD - len(self._head)]
            content.update(block)
            self.size += len(block)
            self.is_blank = self.is_blank and not block.strip()
            if self._encoding == "utf-8" and not _decodes(decoder, block):
                self._encoding = "latin-1"
        if self._encoding == "utf-8" and not _decodes(decoder, b"", final=True):
            self._encoding = "latin-1"
        self._content_sha256 = self._sha256 = content.hexdigest()
        if path.suffix in COMPRESSED:
            with path.open("rb") as file:
                self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def name(self) -> str:
        return plain_name(self.path)

    def blocks(self, longest: int = LONGEST_LINE, *, quoted: bool = False) -> Iterator[tuple[bytes, int]]:
        """Yield whole lines as UTF-8, BLOCK bytes or so at once, and the number of the first of them.

        UTF-16 and latin-1 files, as MovieLens has them, are converted. A field in quotes may span lines where
        lines are `quoted`. Raises DatasetError for a line of more bytes than `longest`: what parsers make of
        one is many times as large. Raises it too for a quote that does not end in LONGEST_QUOTED bytes.
        """
        rest, line = b"", 1
        for more in self._text():
            text = rest + more
            end = _end_of_lines(text, quoted=quoted)
            block, rest = text[:end], text[end:]
            self._check_lines(block, line, longest)
            if block:
                yield block, line
            line += block.count(b"\n")
            if len(rest) > (LONGEST_QUOTED if quoted else longest):
                self._check_lines(rest, line, longest)
                raise self._unclosed_quote(line)
        self._check_lines(rest, line, longest)
        if quoted and rest.count(b'"') % 2:
            raise self._unclosed_quote(line)
        if rest:
            yield rest, line

    def first_lines(self) -> list[str]:
        """Return the first lines that are not blank, as many as it takes to tell a format."""
        encoding = "utf-8-sig" if self._encoding == "utf-8" else self._encoding
        head = self._head.decode(encoding, errors="replace").splitlines()
        return [line for line in head[:_SNIFFED_LINES] if line.strip()]

    def error(self, problem: str, *, expected: str, line: int | None = None) -> DatasetError:
        return DatasetError(self.path, problem, expected=expected, line=line)

    def describe(self) -> SourceFile:
        return SourceFile(self.path.name, self._sha256, self._content_sha256)

    def _text(self) -> Iterator[bytes]:
        """Yield the content as UTF-8 without a byte order mark."""
        blocks = self._followed(unpacked(self.path))
        if self._encoding != "utf-8":
            decoder = codecs.getincrementaldecoder(self._encoding)(errors="replace")
            for block in blocks:
                yield decoder.decode(block).encode()
            yield decoder.decode(b"", final=True).encode()
            return
        yield next(blocks, b"").removeprefix(codecs.BOM_UTF8)
        yield from blocks

    def _followed(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the blocks and keep `share_read`."""
        n_read = 0
        for block in blocks:
            n_read += len(block)
            self.share_read = n_read / self.size
            yield block

    def _unclosed_quote(self, line: int) -> DatasetError:
        return self.error(
            "a quote without an end", expected=f"a second one within {LONGEST_QUOTED:,} bytes", line=line
        )

    def _check_lines(self, text: bytes, line: int, longest: int) -> None:
        start = 0
        while start + longest < len(text):
            end = text.rfind(b"\n", start, start + longest + 1)
            if end < 0:
                line += text.count(b"\n", 0, start)
                raise self.error("a line without an end", expected=f"at most {longest:,} bytes", line=line)
            start = end + 1


def unpacked(path: Path) -> Iterator[bytes]:
    """Yield the unpacked bytes of a file, at most BLOCK at once.

    Raises DatasetError, also for a file that unpacks to far too much.
    """
    most = max(SMALL, MOST_TIMES * path.stat().st_size) if path.suffix in COMPRESSED else None
    size = 0
    try:
        with COMPRESSED.get(path.suffix, _plain)(path) as file:
            while block := file.read(BLOCK):
                size += len(block)
                if most is not None and size > most:
                    raise DatasetError(
                        path, f"more than {most:,} bytes unpacked", expected="text that was packed once"
                    )
                yield block
    except DAMAGED as error:
        raise DatasetError(path, f"damaged: {error}", expected=f"a whole {path.suffix} file") from error
    except OSError as error:
        raise DatasetError(path, error.strerror or str(error), expected="a readable file") from error


def read_content(path: Path) -> bytes:
    """Return the unpacked bytes of a file. Raises DatasetError."""
    return b"".join(unpacked(path))


def plain_name(path: Path) -> str:
    """Return the name of a file without the suffix of its compression."""
    return path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED else path.name


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb", buffering=0)


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _end_of_lines(text: bytes, *, quoted: bool) -> int:
    """Return the length of the whole lines at the start of `text`: those that end outside of quotes."""
    end = text.rfind(b"\n") + 1
    n_quotes = text.count(b'"', 0, end) if quoted else 0
    while n_quotes % 2:
        before = text.rfind(b"\n", 0, text.rfind(b'"', 0, end)) + 1
        n_quotes -= text.count(b'"', before, end)
        end = before
    return end
