"""Read Parquet files with named columns in slices by Polars (imported only here)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from movie.catalogue.importing.columns import meanings
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.rows import Record, Table

if TYPE_CHECKING:
    import polars

SLICE = 50_000  # rows held at a time


class ParquetFile:
    """Reads a Parquet file's columns and rows, and says how far it has come."""

    def __init__(self, path: Path) -> None:
        try:
            import polars
        except ImportError as error:
            message = "%(path)s is a Parquet file; reading it needs the package polars (pip install polars)."
            raise CatalogueError(message % {"path": path}) from error
        self.path = path
        self.done = 0.0
        try:
            self._frame: polars.LazyFrame = polars.scan_parquet(path, glob=False)
            self.columns = self._frame.collect_schema().names()
            self._height = int(self._frame.select(polars.len()).collect().item())
        except (polars.exceptions.PolarsError, OSError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> CatalogueError:
        message = "%(path)s cannot be read as a Parquet file: %(why)s"
        return CatalogueError(message % {"path": self.path, "why": str(error).partition("\n")[0]})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._frame

    def records(self, columns: Sequence[str]) -> Iterator[Record]:
        """Yield rows of these columns as text; a missing value is ""."""
        import polars

        for start in range(0, self._height, SLICE):
            try:
                rows = self._frame.select(columns).slice(start, SLICE).collect().rows()
            except (polars.exceptions.PolarsError, OSError) as error:
                raise self._damaged(error) from error
            for number, row in enumerate(rows, start + 1):
                cells = [_text(value) for value in row]
                yield Record(number, ",".join(cells), cells)
            self.done = min(1.0, (start + SLICE) / self._height)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime() | date():
            return value.isoformat()
        case list():
            return "|".join(_text(part) for part in value)
        case bytes():
            return value.decode("utf-8", errors="replace")
        case _:
            return str(value)


def table(file: ParquetFile, kind: str, chosen: Mapping[str, str] | None = None) -> Table:
    """Return the table of a file. Raises CatalogueError for a file of other columns."""
    found = meanings(file.path, file.columns, kind, chosen)
    used = [(name, meaning) for name, meaning in zip(file.columns, found, strict=True) if meaning]
    names = tuple(name for name, _meaning in used)
    return Table(tuple(meaning for _name, meaning in used), file.records(names), names=names)
