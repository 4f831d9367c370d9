"""Import what a client's users did: manage.py import_interactions PATH --client NAME."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from movie.api.management.clients import client_named
from movie.catalogue.importing import cli
from movie.catalogue.importing.columns import INTERACTION_COLUMNS
from movie.catalogue.importing.interaction_rows import KINDS
from movie.catalogue.importing.reports import RejectReport
from movie.core.progress import ProgressBar
from movie.events.client_import import import_interactions


class Command(BaseCommand):
    help = "Import what the users of an API client did: clicks, ratings, dismissals, watchlists, diaries."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", metavar="PATH", type=Path, help="a file, or a folder of a data set")
        cli.add_file_options(parser)
        parser.add_argument(
            "--client", metavar="NAME", required=True, help="the API client whose users these are"
        )
        parser.add_argument(
            "--kind",
            choices=KINDS,
            default="click",
            help="the kind of rows without a column kind (click)",
        )
        cli.add_scale_options(parser)

    def handle(self, **options: Any) -> None:
        with cli.handle_interrupts(), RejectReport(options["report"]) as report:
            client = client_named(options["client"])
            with ProgressBar(enabled=not options["no_progress"]) as progress:
                shared = cli.import_options(options, INTERACTION_COLUMNS)
                shared |= {"report": report, "progress": progress, "announce": self.stdout.write}
                outcome = import_interactions(options["path"], client, kind=options["kind"], **shared)
            self.stdout.write(cli.summary_line(outcome, "interactions", dry_run=options["dry_run"]))
            for line in (*outcome.notices, *cli.rejected_lines(report)):
                self.stdout.write(line)
            cli.finish(outcome)
