"""Load the demonstration catalogue: manage.py load_demo_data."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from movie.catalogue.importing import cli
from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED
from movie.operations.demo_data import MOVIELENS_TERMS, load_demo


class Command(BaseCommand):
    help = "Load MovieLens 100K and the people who made its films, from installed packages."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")

    def handle(self, **options: Any) -> None:
        self.stdout.write(str(MOVIELENS_TERMS))
        try:
            with cli.handle_interrupts(), ProgressBar(enabled=not options["no_progress"]) as progress:
                demo = load_demo(progress)
        except KeyboardInterrupt as interrupt:
            raise CommandError(cli.interruption_line(), returncode=INTERRUPTED) from interrupt
        if demo.already or demo.movies is None or demo.ratings is None or demo.enrichment is None:
            self.stdout.write("The films and ratings are there already.")
            return
        self.stdout.write(cli.summary_line(demo.movies, "films", dry_run=False))
        self.stdout.write(
            "{matched} of them completed with who made them.".format(matched=f"{demo.enrichment.matched:,}")
        )
        self.stdout.write(cli.summary_line(demo.ratings, "ratings", dry_run=False))
        cli.write_lines(self.stdout, cli.twin_lines())
