"""Complete movies from TMDB: manage.py import_tmdb."""

from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from movie.catalogue.fact_sources import FACT_LABELS
from movie.catalogue.importing import cli
from movie.catalogue.importing.reports import RejectReport
from movie.catalogue.importing.tmdb import MAX_AGE, import_tmdb
from movie.catalogue.importing.tmdb_client import PER_SECOND, TmdbClient
from movie.catalogue.importing.tmdb_removal import remove_tmdb
from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED


class Command(BaseCommand):
    help = (
        "Complete films that have an IMDb or TMDB id with posters, synopses, billing, running times, titles "
        "and trailers of TMDB. Needs TMDB_API_KEY; a film that was looked up is not asked for again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--limit", type=int, metavar="N", help="look up so many films, the most rated first"
        )
        parser.add_argument(
            "--max-age",
            type=int,
            default=MAX_AGE.days,
            metavar="DAYS",
            help=f"ask again for films that were looked up longer ago, {MAX_AGE.days} by default",
        )
        parser.add_argument(
            "--per-second",
            type=float,
            default=PER_SECOND,
            metavar="N",
            help=f"requests a second at most, {PER_SECOND:g} by default",
        )
        parser.add_argument("--dry-run", action="store_true", help="ask for everything, change nothing")
        parser.add_argument(
            "--remove",
            action="store_true",
            help="take back everything that TMDB gave; ask for nothing, so that no key is needed",
        )
        parser.add_argument(
            "--report",
            type=Path,
            metavar="FILE",
            help="write every film that was not completed, and why (CSV)",
        )
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")

    def handle(self, **options: Any) -> None:
        if options["remove"]:
            self._remove(options)
            return
        if not settings.TMDB_API_KEY:
            raise CommandError(
                "TMDB_API_KEY is not set. A key is free for sites that earn nothing: "
                "https://www.themoviedb.org/settings/api."
            )
        if options["per_second"] <= 0 or options["max_age"] < 0 or (options["limit"] or 0) < 0:
            raise CommandError("--per-second, --max-age and --limit: expected numbers above zero")
        client = TmdbClient(settings.TMDB_API_KEY, settings.TMDB_BASE_URL, per_second=options["per_second"])
        with cli.handle_interrupts(), RejectReport(options["report"]) as report:
            with ProgressBar(enabled=not options["no_progress"]) as progress:
                result = import_tmdb(
                    client,
                    max_age=timedelta(days=options["max_age"]),
                    limit=options["limit"],
                    dry_run=options["dry_run"],
                    report=report,
                    progress=progress,
                )
            self.stdout.write(cli.summary_line(result, "films", dry_run=options["dry_run"]))
            for fact, n_movies in sorted(result.facts.items()):
                self.stdout.write(f"  {n_movies:>9,}  {FACT_LABELS[fact]}")
            for reason, count in (report.reasons + report.notes).most_common():
                self.stdout.write(f"  {count:>9,}  {reason}")
        if result.interrupted:
            raise CommandError(cli.interruption_line(), returncode=INTERRUPTED)
        if result.failed:
            raise CommandError(
                f"{result.failed:,} films could not be looked up; the next run asks for them again."
            )

    def _remove(self, options: dict[str, Any]) -> None:
        try:
            with (
                cli.handle_interrupts(),
                ProgressBar(enabled=not options["no_progress"]) as progress,
            ):
                result = remove_tmdb(dry_run=options["dry_run"], progress=progress)
        except KeyboardInterrupt as stopped:
            raise CommandError(cli.interruption_line(), returncode=INTERRUPTED) from stopped
        would = "would be " if options["dry_run"] else ""
        self.stdout.write(f"{result.movies:,} films that were looked up at TMDB; {would}taken back:")
        for fact, n_movies in sorted(result.facts.items()):
            self.stdout.write(f"  {n_movies:>9,}  {FACT_LABELS[fact]}")
        self.stdout.write(f"  {result.people:>9,}  people who are in no film any more")
        for fact, n_movies in sorted(result.kept.items()):
            self.stdout.write(f"  {n_movies:>9,}  {FACT_LABELS[fact]} stay: somebody changed them since")
