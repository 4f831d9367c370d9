"""Results of an import: counts, refused rows with their reasons, progress."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TextIO

from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.rows import RejectedRow
from movie.core.spreadsheets import neutralize

DETAILS_SHOWN = 5


@dataclass
class ImportResult:
    """Counts of one import. `accepted` = `added` + `changed` + `unchanged`."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    notices: list[str] = field(default_factory=list)  # assumptions that were made about the file
    interrupted: bool = False
    hidden: int = 0  # movies that a complete file does not hold

    @property
    def accepted(self) -> int:
        return self.added + self.changed + self.unchanged

    @property
    def is_mostly_rejected(self) -> bool:
        """Return whether nothing, or less than half of the rows, could be used."""
        return self.rejected.total() > self.accepted

    def add(self, accepted: int, added: int, changed: int) -> None:
        """Count a batch."""
        self.added += added
        self.changed += changed
        self.unchanged += accepted - added - changed

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
        self.notes: Counter[str] = Counter()  # fields left empty in rows that were taken in
        self.details: list[str] = []  # of the first rows that have one
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

    def add(self, file: Path, rejected: RejectedRow) -> None:
        reason = str(rejected.reason.label)
        self.reasons[reason] += 1
        if rejected.detail:
            if len(self.details) < DETAILS_SHOWN:
                self.details.append(f"line {rejected.line}: {rejected.detail}")
            reason = f"{reason}: {rejected.detail}"
        self._write(file, rejected.line, reason, rejected.raw)

    def note(self, file: Path | str, line: int | str, reason: str, raw: str) -> None:
        """Count something that was refused and is no row of a file."""
        self.reasons[reason] += 1
        self._write(file, line, reason, raw)

    def add_note(self, file: Path | str, line: int, reason: str, raw: str) -> None:
        """Count a field that was left empty in a row that was taken in."""
        self.notes[reason] += 1
        self._write(file, line, f"taken in, but {reason}", raw)

    def _write(self, file: Path | str, line: int | str, reason: str, raw: str) -> None:
        if self._file is not None:
            self._writer.writerow([neutralize(str(file)), line, neutralize(reason), neutralize(raw)])


def require_few_refused(n_usable: int, report: RejectReport, max_refused: float) -> None:
    """Raise CatalogueError, naming the reasons, where more than this share of the rows is refused."""
    n_refused = report.reasons.total()
    if n_refused > max_refused * (n_usable + n_refused):
        reasons = "; ".join(f"{count:,} because {reason}" for reason, count in report.reasons.most_common(5))
        raise CatalogueError(
            f"{n_refused:,} of {n_usable + n_refused:,} rows would be refused, more than {max_refused:.3g} "
            f"of them ({reasons}). Nothing was written."
        )


ProgressCallback = Callable[[float, str], None]  # share done, 0 to 1, and what is being done


def ignore_progress(done: float, text: str) -> None:
    """Show nothing."""
