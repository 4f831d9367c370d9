"""What an import did: counts, the rows it refused and why, and the type of who watches it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TextIO

from movie.catalogue.importing.rows import CatalogueError, Rejected


@dataclass
class Outcome:
    """Counts of one import. `accepted` = `added` + `changed` + `unchanged`."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False

    @property
    def accepted(self) -> int:
        return self.added + self.changed + self.unchanged

    @property
    def read(self) -> int:
        return self.accepted + self.rejected.total()


class RejectReport:
    """Counts refused rows by reason and, given a path, writes each to a CSV file as it comes.

    Columns: file, line, reason, row (the line as it was read).
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.reasons: Counter[str] = Counter()
        self._file: TextIO | None = None

    def __enter__(self) -> RejectReport:
        if self.path is not None:
            try:
                self._file = self.path.open("w", encoding="utf-8", newline="")
            except OSError as error:
                message = "The report %(path)s cannot be written: %(why)s"
                raise CatalogueError(message % {"path": self.path, "why": error.strerror or error}) from error
            self._writer = csv.writer(self._file)
            self._writer.writerow(["file", "line", "reason", "row"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, file: Path, rejected: Rejected) -> None:
        self.note(file, rejected.line, str(rejected.reason.label), rejected.raw)

    def note(self, file: Path | str, line: int | str, reason: str, raw: str) -> None:
        self.reasons[reason] += 1
        if self._file is not None:
            self._writer.writerow([file, line, reason, raw])


Watch = Callable[[float, str], None]  # share done, 0 to 1, and what is being done


def unwatched(done: float, text: str) -> None:
    """Show nothing."""
