"""A file of ratings or interactions, opened as a table with what its first rows tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from movie.catalogue.importing import formats
from movie.catalogue.importing.reports import RejectReport, require_few_refused
from movie.catalogue.importing.rows import Scale, Table
from movie.catalogue.importing.sampling import Announce, Findings, file_line, probe, say_nothing

Rows = Callable[[Table, Findings, RejectReport], Iterable[object]]


@dataclass(frozen=True, slots=True)
class TableFile:
    """Opens a file of a known format. `kind` is "ratings" or "interactions"; what is None the file tells.

    With `has_stars` rows of interactions that state no kind are ratings.
    """

    path: Path
    known: formats.Format
    kind: str
    columns: Mapping[str, str] | None = None
    encoding: str | None = None
    scale: Scale | None = None
    day_first: bool | None = None
    has_stars: bool = False

    @contextmanager
    def opened(self, announce: Announce = say_nothing) -> Iterator[tuple[formats.OpenFile, Table, Findings]]:
        """Yield the file, its table and the findings; tell first how it is read. Raises CatalogueError."""
        with formats.open_file(self.path, self.known, self.encoding) as file:
            table = formats.read(file, self.known, self.kind, self.columns)
            table, found = probe(
                table,
                self.path,
                scale=self.scale or self.known.scale,
                day_first=self.day_first,
                are_ratings=self.kind == "ratings" or (self.has_stars and "kind" not in table.columns),
            )
            for line in (file_line(file, self.known, table), *found.lines):
                announce(line)
            yield file, table, found

    def require_few_refused(self, rows: Rows, max_refused: float | None) -> None:
        """Read the whole file where a share is stated. Raises CatalogueError where more is refused.

        `rows` yields what can be used of a table and reports the rest.
        """
        if max_refused is None:
            return
        trial = RejectReport()
        with self.opened() as (_file, table, found):
            n_usable = sum(1 for _row in rows(table, found, trial))
        require_few_refused(n_usable, trial, max_refused)
