"""The tags of a MovieLens data set: how often people put which word on which film."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

from django.db import connection, transaction

from movie.catalogue.importing import movielens_csv
from movie.catalogue.importing.reading import TextFile
from movie.catalogue.importing.reports import Outcome, RejectReport, Watch, unwatched
from movie.catalogue.importing.rows import LONGEST_NAME, Reason, Rejected
from movie.catalogue.models import ExternalId, MovieTag
from movie.catalogue.titles import search_key

BATCH = 500  # films in one transaction


def import_tags(
    path: Path,
    source: str,
    *,
    dry_run: bool = False,
    report: RejectReport | None = None,
    watch: Watch = unwatched,
) -> Outcome:
    """Import a tags.csv; rows are counted into one tag a film and word. Counts replace earlier ones, so
    a second import changes nothing. Raises CatalogueError for a file that cannot be used.
    """
    report = report if report is not None else RejectReport()
    films = dict(ExternalId.objects.filter(source=source).values_list("value", "movie_id"))
    counts: dict[int, Counter[str]] = {}
    with TextFile(path) as file:
        for line, raw, cells, problem in movielens_csv.tags(file):
            reason = problem
            if cells is not None:
                film, name = films.get(cells[1].strip()), search_key(cells[2])
                if film is None:
                    reason = Reason.UNKNOWN_FILM
                elif not name or len(name) > LONGEST_NAME:
                    reason = Reason.TAG
                else:
                    counts.setdefault(film, Counter())[name] += 1
            if reason is not None:
                report.add(path, Rejected(line, reason, raw))
    outcome = Outcome(rejected=report.reasons)
    todo = iter(sorted(counts))
    while some := list(itertools.islice(todo, BATCH)):
        with transaction.atomic():
            _write({film: counts[film] for film in some}, outcome)
            if dry_run:
                transaction.set_rollback(True)
        watch(outcome.accepted / sum(map(len, counts.values())), "tags")
    return outcome


def _write(counts: dict[int, Counter[str]], outcome: Outcome) -> None:
    there = MovieTag.objects.filter(movie__in=counts).values_list("movie_id", "name", "count")
    before = {(film, name): count for film, name, count in there}
    stated = {(film, name): n for film, names in counts.items() for name, n in names.items()}
    stale = {key: n for key, n in stated.items() if before.get(key) != n}
    MovieTag.objects.bulk_create(
        [MovieTag(movie_id=film, name=name, count=n) for (film, name), n in stale.items()],
        batch_size=5000,
        update_conflicts=True,
        unique_fields=["movie", "name"]
        if connection.features.supports_update_conflicts_with_target
        else None,
        update_fields=["count"],
    )
    changed = sum(key in before for key in stale)
    outcome.added += len(stale) - changed
    outcome.changed += changed
    outcome.unchanged += len(stated) - len(stale)
