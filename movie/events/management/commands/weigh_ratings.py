"""Settle how much the ratings of guests and members count: manage.py weigh_ratings."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from movie.catalogue.importing import cli
from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED
from movie.events.weighing import settle_weights, warn_of_unusual_movies


class Command(BaseCommand):
    help = "Settle how much the ratings of guests and members count, and name films with unusual ratings."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")

    def handle(self, **options: Any) -> None:
        try:
            with cli.handle_interrupts(), ProgressBar(enabled=not options["no_progress"]) as progress:
                changed = settle_weights(progress)
        except KeyboardInterrupt as interrupt:
            raise CommandError(cli.interruption_line(), returncode=INTERRUPTED) from interrupt
        self.stdout.write(f"{changed:,} ratings have a new weight.")
        for each in warn_of_unusual_movies():
            self.stdout.write(f"Unusual: {each}")
