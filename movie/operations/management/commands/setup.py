"""manage.py setup: make an empty folder and database a site, or bring one to this version."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from movie.catalogue.models import Movie, Rating
from movie.events.models import Event
from movie.operations.site_setup import (
    QUICK_MODELS,
    bring_in_papers,
    make_administrator,
    make_tables_and_files,
    train_first_models,
)

ADMINISTRATOR = "admin"


class Command(BaseCommand):
    help = (
        "Make the tables, the static files, an administrator and the first models. May run again: it makes "
        "what is missing and changes nothing else."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--administrator", metavar="NAME", default=ADMINISTRATOR, help=f"{ADMINISTRATOR} by default"
        )
        parser.add_argument("--no-models", action="store_true", help="train nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        make_tables_and_files()
        self.stdout.write("The database and the static files are of this version.")
        if problem := bring_in_papers():
            self.stderr.write(self.style.WARNING(problem))
        if password := make_administrator(options["administrator"]):
            self.stdout.write(
                f"Administrator {options['administrator']}, password {password} (shown only now)"
            )
        if not Movie.objects.exists():
            self.stdout.write("There are no films yet. Next: manage.py import_movies FILE --source NAME")
        elif not (Rating.objects.exists() or Event.objects.exists()):
            self.stdout.write("Nobody has rated yet. Next: manage.py import_ratings FILE --source NAME")
        elif not options["no_models"]:
            train_first_models(*QUICK_MODELS)
