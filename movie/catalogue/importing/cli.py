"""What the catalogue's commands share: their options, their end on a signal, what they say."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from django.core.management.base import CommandError

from movie.catalogue.importing.formats import FORMATS
from movie.catalogue.importing.reports import Outcome, RejectReport
from movie.catalogue.importing.rows import CatalogueError

INTERRUPTED = 130  # what shells give for Ctrl+C


def add_common_options(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="check everything, change nothing")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write every refused row with its line and reason (CSV)",
    )
    parser.add_argument("--no-progress", action="store_true", help="show no progress bar")


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
def ending_cleanly() -> Iterator[None]:
    """SIGTERM ends the work as Ctrl+C does; a file that cannot be used becomes a CommandError."""

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


def summary(outcome: Outcome, what: str, *, dry_run: bool) -> str:
    """One line about what an import did."""
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


def refusals(report: RejectReport) -> Iterator[str]:
    """Lines about what was refused, the most frequent reason first."""
    total = report.reasons.total()
    if not total:
        return
    yield "{total} rows were refused:".format(total=f"{total:,}")
    for reason, count in report.reasons.most_common():
        yield f"  {count:>9,}  {reason}"
    if report.path is not None:
        yield f"Each is in {report.path}."
    else:
        yield "Name a file with --report to see each of them."


def interruption() -> str:
    return "Interrupted. What was finished is kept; the same command goes on from there."
