"""Options, signals and summary lines that the import commands share."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from django.core.management.base import CommandError, OutputWrapper

from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.formats import FORMATS
from movie.catalogue.importing.reports import ImportResult, RejectReport
from movie.catalogue.models import Movie
from movie.catalogue.twins import find_twins
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
        help="which column means what, in a table with a header",
    )
    parser.add_argument(
        "--encoding", help="the text encoding; UTF-8 or what the format usually has by default"
    )
    add_common_options(parser)


@contextmanager
def handle_interrupts() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt and CatalogueError into CommandError."""

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
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


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
