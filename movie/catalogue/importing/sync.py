"""Follow a file that is all a source has: hide the movies of the source that it does not hold.

A movie is hidden by an end of its window, so that `is_visible` stays what an administrator decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.utils import timezone

from movie.catalogue.importing.errors import CatalogueError
from movie.catalogue.importing.reports import RejectReport
from movie.catalogue.importing.rows import MovieRow, RejectedRow
from movie.catalogue.models import ExternalId, Movie
from movie.core.batches import write_in_batches
from movie.core.database import retry_on_deadlock

MAX_HIDDEN = 0.1  # share of a source's movies that one file may hide, unless more is allowed


@dataclass(slots=True)
class FileContent:
    """Holds the ids of a file's rows, those of refused rows among them, and why rows are refused."""

    ids: set[str] = field(default_factory=set)
    n_usable: int = 0
    n_without_id: int = 0
    report: RejectReport = field(default_factory=RejectReport)


def read_content(rows: Iterable[MovieRow | RejectedRow], path: Path) -> FileContent:
    """Read a whole file without writing anything."""
    found = FileContent()
    for row in rows:
        if row.id:
            found.ids.add(row.id)
        if isinstance(row, RejectedRow):
            found.report.add(path, row)
            found.n_without_id += not row.id
        else:
            found.n_usable += 1
    return found


def movies_to_hide(source: str, content: FileContent, max_hidden: float) -> list[int]:
    """Return the shown movies of a source that a file does not hold.

    Raises CatalogueError where they are more than a share of `max_hidden`, and where rows of the file cannot
    be told, so that their movies would be hidden too.
    """
    if content.n_without_id:
        raise CatalogueError(
            f"{content.n_without_id:,} rows of the file have no id that can be read, so nobody can tell "
            "what is missing. Nothing was written; correct the file, or import it without --sync."
        )
    ids = ExternalId.objects.filter(source=source).order_by("movie", "pk").values_list("movie_id", "value")
    held: dict[int, bool] = {}
    for movie, value in ids.iterator():
        held[movie] = held.get(movie, False) or value in content.ids
    shown = set(Movie.objects.visible().filter(external_ids__source=source).values_list("pk", flat=True))
    missing = sorted(pk for pk in shown if not held[pk])
    if len(missing) > max_hidden * len(shown):
        raise CatalogueError(
            f"{len(missing):,} of the {len(shown):,} films of “{source}” are not in the file and would be "
            f"hidden, more than {max_hidden:.0%}. Nothing was written. Is it the whole file? "
            "--max-hidden allows more."
        )
    return missing


def hide_movies(movies: Sequence[int]) -> int:
    """End the window of these movies now, in small batches; return how many were hidden."""

    @retry_on_deadlock
    def write(some: list[int]) -> int:
        now = timezone.now()
        return Movie.objects.visible().filter(pk__in=some).update(available_until=now, updated=now)

    return sum(write_in_batches(movies, write))
