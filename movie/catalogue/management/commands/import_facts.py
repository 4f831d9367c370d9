"""Import facts about movies of the catalogue: manage.py import_facts."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from movie.catalogue.importing import cli
from movie.catalogue.importing.fact_table import import_facts
from movie.catalogue.importing.reports import RejectReport


class Command(BaseCommand):
    help = "Complete films from a table of facts by IMDb id: people in order, titles, running times."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, metavar="PATH", help="the table, with a header")
        parser.add_argument("--source", default="", help="whose facts these are, where no column src says it")
        parser.add_argument(
            "--licence",
            action="append",
            required=True,
            metavar="SOURCE=TEXT",
            help="the licence of a source, as the page about the data shows it; one for each",
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="replace what films say already; else only fill gaps"
        )
        cli.add_common_options(parser)

    def handle(self, **options: Any) -> None:
        licences = dict(each.partition("=")[::2] for each in options["licence"])
        if not all(licences.values()):
            raise CommandError('--licence: expected SOURCE=TEXT, such as wikidata="CC0 1.0"')
        with cli.handle_interrupts(), RejectReport(options["report"]) as report:
            with cli.common_arguments(options, report) as common:
                outcome = import_facts(
                    options["path"],
                    licences=licences,
                    source=options["source"],
                    overwrite=options["overwrite"],
                    **common,
                )
            self.stdout.write(cli.summary_line(outcome, "films", dry_run=options["dry_run"]))
            cli.write_lines(self.stdout, cli.rejected_lines(report))
            cli.raise_if_interrupted(outcome)
