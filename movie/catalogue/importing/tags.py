"""Import the tags of a MovieLens data set: how often people put a word on a movie."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from django.db import connection, transaction

from movie.catalogue.importing import movielens_csv
from movie.catalogue.importing.cells import LONGEST_NAME
from movie.catalogue.importing.errors import RejectReason
from movie.catalogue.importing.reading import TextFile
from movie.catalogue.importing.reports import ImportResult, ProgressCallback, RejectReport, ignore_progress
from movie.catalogue.importing.rows import RejectedRow
from movie.catalogue.models import ExternalId, MovieTag
from movie.catalogue.titles import search_key
from movie.core.batches import write_in_batches
from movie.core.database import retry_on_deadlock


def import_tags(
    path: Path,
    source: str,
    *,
    dry_run: bool = False,
    report: RejectReport | None = None,
    pauses: bool = True,
    progress: ProgressCallback = ignore_progress,
) -> ImportResult:
    """Import a tags.csv; rows are counted into one tag a movie and word. Counts replace earlier ones, so
    a second import changes nothing. Raises CatalogueError for a file that cannot be used.
    """
    report = report if report is not None else RejectReport()
    movies = dict(ExternalId.objects.filter(source=source).values_list("value", "movie_id"))
    counts: dict[int, Counter[str]] = {}
    with TextFile(path) as file:
        for line, raw, cells, problem in movielens_csv.tags(file):
            reason = problem
            if cells is not None:
                movie, name = movies.get(cells[1].strip()), search_key(cells[2])
                if movie is None:
                    reason = RejectReason.UNKNOWN_MOVIE
                elif not name or len(name) > LONGEST_NAME:
                    reason = RejectReason.TAG
                else:
                    counts.setdefault(movie, Counter())[name] += 1
            if reason is not None:
                report.add(path, RejectedRow(line, reason, raw))
    outcome = ImportResult(rejected=report.reasons)

    @retry_on_deadlock
    def write(some: list[int]) -> tuple[int, int, int]:
        with transaction.atomic():
            written = _write({movie: counts[movie] for movie in some})
            if dry_run:
                transaction.set_rollback(True)
        return written

    for written in write_in_batches(sorted(counts), write, pauses=pauses):
        outcome.add(*written)
        progress(outcome.accepted / sum(map(len, counts.values())), "tags")
    return outcome


def _write(counts: dict[int, Counter[str]]) -> tuple[int, int, int]:
    """Write the counts of movies; return how many are stated, and how many of these are new and changed."""
    there = MovieTag.objects.filter(movie__in=counts).values_list("movie_id", "name", "count")
    before = {(movie, name): count for movie, name, count in there}
    stated = {(movie, name): n for movie, names in counts.items() for name, n in names.items()}
    stale = {key: n for key, n in stated.items() if before.get(key) != n}
    MovieTag.objects.bulk_create(
        [MovieTag(movie_id=movie, name=name, count=n) for (movie, name), n in stale.items()],
        batch_size=5000,
        update_conflicts=True,
        unique_fields=["movie", "name"]
        if connection.features.supports_update_conflicts_with_target
        else None,
        update_fields=["count"],
    )
    changed = sum(key in before for key in stale)
    return len(stated), len(stale) - changed, changed
