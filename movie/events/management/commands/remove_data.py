"""Remove what a source brought: manage.py remove_data --source NAME."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from movie.catalogue.importing import cli
from movie.catalogue.models import ExternalId
from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED
from movie.events.data_removal import plan_removal, remove_data


class Command(BaseCommand):
    help = "Remove the films, ids and ratings that a source brought."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--source", metavar="NAME", required=True, help="the id space of its films")
        parser.add_argument(
            "--visitors",
            metavar="NAME",
            action="append",
            default=[],
            help="the prefix of its people, where it is not the source's name; may be given several times",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed")
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")

    def handle(self, **options: Any) -> None:
        source = options["source"]
        with cli.handle_interrupts():
            plan = plan_removal(source, options["visitors"])
            if not plan.ids and not plan.ratings:
                known = ExternalId.objects.order_by("source").values_list("source", flat=True).distinct()
                there = ", ".join(known) or "-"
                raise CommandError(f"Nothing is here of “{source}”. There are ids of: {there}.")
            would = "would be " if options["dry_run"] else ""
            n_kept = plan.n_kept
            if not options["dry_run"]:
                self._remove(plan, options)
            self.stdout.write(f"{len(plan.ratings):,} ratings of its people {would}removed.")
            self.stdout.write(f"{len(plan.to_delete):,} films {would}deleted: nobody else has them.")
            self.stdout.write(f"{len(plan.to_hide):,} films {would}hidden: visitors here rated or met them.")
            self.stdout.write(f"{n_kept:,} films stay: other sources name them too.")

    def _remove(self, plan: Any, options: dict[str, Any]) -> None:
        try:
            with ProgressBar(enabled=not options["no_progress"]) as progress:
                remove_data(plan, progress)
        except KeyboardInterrupt as stopped:
            raise CommandError(cli.interruption_line(), returncode=INTERRUPTED) from stopped
