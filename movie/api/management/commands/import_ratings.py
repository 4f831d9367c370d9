"""Import ratings: manage.py import_ratings PATH."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from movie.api.management.clients import client_named
from movie.catalogue.importing import cli
from movie.catalogue.importing.columns import RATING_COLUMNS
from movie.catalogue.importing.errors import RejectReason
from movie.catalogue.importing.reports import ImportResult, RejectReport
from movie.core.progress import ProgressBar
from movie.events.client_import import import_interactions
from movie.events.rating_import import import_ratings


class Command(BaseCommand):
    help = (
        "Import ratings of MovieLens, MovieTweetings, RecBole, CSV, TSV, JSON Lines or Parquet, or .gz, .xz."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", metavar="PATH", type=Path, help="a file, or a folder of a data set")
        cli.add_file_options(parser)
        parser.add_argument(
            "--visitors", metavar="NAME", help="users become visitors NAME:<user>; the data set by default"
        )
        parser.add_argument(
            "--client",
            metavar="NAME",
            help="users become those of this API client, who go on through the API",
        )
        cli.add_scale_options(parser)

    def handle(self, **options: Any) -> None:
        if options["client"] and options["visitors"]:
            raise CommandError("Give either --client or --visitors: users become the one or the other.")
        with cli.handle_interrupts(), RejectReport(options["report"]) as report:
            with ProgressBar(enabled=not options["no_progress"]) as progress:
                shared = cli.import_options(options, RATING_COLUMNS)
                shared |= {"report": report, "progress": progress, "announce": self.stdout.write}
                outcome = self._import(options, shared)
            self.stdout.write(cli.summary_line(outcome, "ratings", dry_run=options["dry_run"]))
            cli.write_lines(self.stdout, (*outcome.notices, *cli.rejected_lines(report)))
            if report.reasons[str(RejectReason.STARS.label)]:
                self.stdout.write(
                    "Ratings on another scale can be mapped onto stars with --scale, such as --scale 1-10."
                )
            cli.finish(outcome)

    def _import(self, options: dict[str, Any], shared: dict[str, Any]) -> ImportResult:
        if options["client"]:
            client = client_named(options["client"])
            return import_interactions(options["path"], client, kind="rating", table_kind="ratings", **shared)
        return import_ratings(options["path"], visitors=options["visitors"], **shared)
