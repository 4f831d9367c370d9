"""Import ratings: manage.py import_ratings PATH."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from movie.catalogue.importing import cli
from movie.catalogue.importing.columns import RATING_COLUMNS, parse_choice
from movie.catalogue.importing.errors import RejectReason
from movie.catalogue.importing.reports import RejectReport
from movie.catalogue.importing.rows import Scale
from movie.events.rating_import import import_ratings


class Command(BaseCommand):
    help = "Import ratings from MovieLens, RecBole, CSV, TSV or Parquet files, .gz and .xz included."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", metavar="PATH", type=Path, help="a file, or a folder of a data set")
        cli.add_file_options(parser)
        parser.add_argument(
            "--visitors", metavar="NAME", help="users become visitors NAME:<user>; the data set by default"
        )
        parser.add_argument(
            "--scale", metavar="LOW-HIGH", help="the file's scale when it is not stars, such as 1-10"
        )
        parser.add_argument(
            "--day-first",
            action="store_true",
            default=None,
            help="read 02/03/2021 as 2 March; found out from the file by default, else 3 February",
        )

    def handle(self, **options: Any) -> None:
        with cli.handle_interrupts(), RejectReport(options["report"]) as report:
            with cli.common_arguments(options, report) as common:
                outcome = import_ratings(
                    options["path"],
                    source=options["source"],
                    visitors=options["visitors"],
                    format_name=options["format"],
                    columns=parse_choice(options["columns"], RATING_COLUMNS),
                    encoding=options["encoding"],
                    scale=Scale.parse(options["scale"]) if options["scale"] else None,
                    day_first=options["day_first"],
                    **common,
                )
            self.stdout.write(cli.summary_line(outcome, "ratings", dry_run=options["dry_run"]))
            cli.write_lines(self.stdout, (*outcome.notices, *cli.rejected_lines(report)))
            if report.reasons[str(RejectReason.STARS.label)]:
                self.stdout.write(
                    "Ratings on another scale can be mapped onto stars with --scale, such as --scale 1-10."
                )
            cli.finish(outcome)
