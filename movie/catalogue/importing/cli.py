"""Options, signals and summary lines that the import commands share."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from django.core.management.base import CommandError, OutputWrapper
from django.db import DatabaseError, OperationalError, ProgrammingError

from movie.catalogue.importing.columns import parse_choice
from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.formats import FORMATS
from movie.catalogue.importing.reports import ImportResult, RejectReport
from movie.catalogue.importing.rows import Scale
from movie.catalogue.models import Movie
from movie.catalogue.twins import find_twins
from movie.core.migrations import missing_migrations_line
from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED

TWINS_SHOWN = 20


class Interruptible(Protocol):
    """Is the result of an import."""

    interrupted: bool


def add_common_options(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="check everything, change nothing")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write every refused row with its line and reason (CSV)",
    )
    parser.add_argument("--no-progress", action="store_true", help="show no progress bar")
    parser.add_argument(
        "--no-pauses",
        action="store_true",
        help="work without the pauses in which visitors write: for a site that nobody uses meanwhile",
    )


def add_file_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--source", metavar="NAME", help="the id space of the film ids; found out from the file by default"
    )
    parser.add_argument("--format", choices=sorted(FORMATS), help="the file's format, when its name hides it")
    parser.add_argument(
        "--columns",
        metavar="id=NAME,...",
        default="",
        help="which column means what; numbers from 1 for a table without a header",
    )
    parser.add_argument(
        "--encoding", help="the text encoding; UTF-8 or what the format usually has by default"
    )
    parser.add_argument(
        "--max-refused",
        metavar="SHARE",
        help="check all rows first and write nothing where more of them would be refused, such as 1%%",
    )
    add_common_options(parser)


def add_scale_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--scale",
        metavar="LOW-HIGH",
        help="the file's scale, such as 1-10; found on the first rows by default",
    )
    parser.add_argument(
        "--day-first",
        action="store_true",
        default=None,
        help="read 02/03/2021 as 2 March; found out from the file by default, else 3 February",
    )


def import_options(options: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the options of a command that imports ratings or interactions, as its function takes them.

    `columns` are the columns that the table may have. Raises CatalogueError and CommandError.
    """
    return {
        "source": options["source"],
        "format_name": options["format"],
        "columns": parse_choice(options["columns"], columns),
        "encoding": options["encoding"],
        "scale": Scale.parse(options["scale"]) if options["scale"] else None,
        "day_first": options["day_first"],
        "dry_run": options["dry_run"],
        "pauses": not options["no_pauses"],
        "max_refused": parse_share(options["max_refused"]) if options["max_refused"] else None,
    }


@contextmanager
def handle_interrupts() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt and CatalogueError into CommandError.

    An error of a database that was not migrated becomes one sentence.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread, where no signal arrives
        before = None
    try:
        yield
    except CatalogueError as error:
        raise CommandError(str(error)) from error
    except (OperationalError, ProgrammingError) as error:
        if line := _not_migrated():
            raise CommandError(line) from error
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _not_migrated() -> str:
    """Return one sentence about a database without the tables of this code, "" for any other database."""
    try:
        line = missing_migrations_line()
    except DatabaseError:
        return ""
    return f"The database has not the tables of this version: {line}." if line else ""


def parse_share(text: str) -> float:
    """Return 0.01 for "1%" and for "0.01". Raises CommandError for no share from 0 to 1."""
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if rest or not 0 <= share <= 1:
        raise CommandError(f"“{text}” should be a share such as 1% or 0.01.")
    return share


@contextmanager
def common_arguments(options: Mapping[str, Any], report: RejectReport) -> Iterator[dict[str, Any]]:
    """Yield the arguments that every import takes, from the common options; show its progress meanwhile."""
    with ProgressBar(enabled=not options["no_progress"]) as progress:
        yield {
            "dry_run": options["dry_run"],
            "report": report,
            "pauses": not options["no_pauses"],
            "progress": progress,
        }


def summary_line(outcome: ImportResult, what: str, *, dry_run: bool) -> str:
    """Describe the result of an import in one line."""
    if not outcome.added and not outcome.changed:
        text = "%(accepted)s %(what)s read, nothing to change."
    elif dry_run:
        text = "%(accepted)s %(what)s read: %(added)s would be added, %(changed)s changed."
    else:
        text = "%(accepted)s %(what)s read: %(added)s added, %(changed)s changed, %(unchanged)s unchanged."
    return text % {
        "what": what,
        "accepted": f"{outcome.accepted:,}",
        "added": f"{outcome.added:,}",
        "changed": f"{outcome.changed:,}",
        "unchanged": f"{outcome.unchanged:,}",
    }


def rejected_lines(report: RejectReport) -> Iterator[str]:
    """Yield lines about refused rows and fields left empty, the most frequent reason first."""
    if total := report.reasons.total():
        yield f"{total:,} rows were refused:"
        for reason, count in report.reasons.most_common():
            yield f"  {count:>9,}  {reason}"
        for detail in report.details:
            yield f"             {detail}"
    if report.notes:
        yield f"{report.notes.total():,} fields could not be read and are empty:"
        for reason, count in report.notes.most_common():
            yield f"  {count:>9,}  {reason}"
    if total or report.notes:
        is_written = report.path is not None
        yield f"Each is in {report.path}." if is_written else "Name a file with --report to see each of them."


def write_lines(out: OutputWrapper, lines: Iterable[str]) -> None:
    for line in lines:
        out.write(line)


def raise_if_interrupted(outcome: Interruptible) -> None:
    """Raise CommandError after an interruption."""
    if outcome.interrupted:
        raise CommandError(interruption_line(), returncode=INTERRUPTED)


def finish(outcome: ImportResult) -> None:
    """Raise CommandError after an interruption, and when nothing or less than half could be used."""
    raise_if_interrupted(outcome)
    if not outcome.read:
        raise CommandError("The file has no row: is this the file you meant?")
    if outcome.is_mostly_rejected:
        rejected, read = outcome.rejected.total(), outcome.read
        raise CommandError(f"{rejected:,} of {read:,} rows were refused: is this the file you meant?")


def interruption_line() -> str:
    return "Interrupted. What was finished is kept; the same command goes on from there."


def twin_lines() -> Iterator[str]:
    """Yield what is to be said of movies that the catalogue holds twice; nothing where there are none."""
    groups = find_twins()
    if not groups:
        return
    yield (
        f"{len(groups):,} films are in the catalogue more than once, by title and year; the admin lists "
        "and merges them (Films, filter “Twins”):"
    )
    movies = Movie.objects.in_bulk([pk for group in groups[:TWINS_SHOWN] for pk in group])
    for group in groups[:TWINS_SHOWN]:
        yield f"  {movies[group[0]]}: {', '.join(map(str, group))}"
