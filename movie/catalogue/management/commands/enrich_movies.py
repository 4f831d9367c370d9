"""Complete movies with people, countries, languages and running times: manage.py enrich_movies."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from movie.catalogue.importing import cli
from movie.catalogue.importing.enrichment import enrich_movies
from movie.catalogue.importing.reports import RejectReport


class Command(BaseCommand):
    help = "Complete films from the Wikidata film table, found by IMDb id or by title and year."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from",
            dest="table",
            type=Path,
            metavar="PATH",
            help="a movies.db; bokeh-sampledata's by default",
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="replace what films say already; else only fill gaps"
        )
        cli.add_common_options(parser)

    def handle(self, **options: Any) -> None:
        with cli.handle_interrupts(), RejectReport(options["report"]) as report:
            with cli.common_arguments(options, report) as common:
                outcome = enrich_movies(options["table"], overwrite=options["overwrite"], **common)
            if not outcome.changed:
                text = "%(matched)s films found in the table, nothing to change."
            elif options["dry_run"]:
                text = "%(matched)s films found in the table: %(changed)s would be completed."
            else:
                text = (
                    "%(matched)s films found in the table: %(changed)s completed, with %(credits)s credits; "
                    "%(people)s people are new."
                )
            self.stdout.write(
                text
                % {
                    "matched": f"{outcome.matched:,}",
                    "changed": f"{outcome.changed:,}",
                    "credits": f"{outcome.credits:,}",
                    "people": f"{outcome.people:,}",
                }
            )
            for reason, count in report.reasons.most_common():
                self.stdout.write(f"  {count:>9,}  {reason}")
            cli.raise_if_interrupted(outcome)
