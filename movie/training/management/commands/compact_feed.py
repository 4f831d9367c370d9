"""manage.py compact_feed: take what consumers wrote into the training feed, each event once."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from movie.events.archive import ArchiveUnavailable
from movie.training.training_feed import TrainingFeed


class Command(BaseCommand):
    help = (
        "Take what consumers wrote into the training feed: each event once, deletions and merges applied. "
        "retrain and train do the same before they read it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--feed", type=Path, metavar="FOLDER", help="by default FEED_DIR")
        parser.add_argument(
            "--fill",
            action="store_true",
            help="put in what the site knew before the stream too; where there is a broker, "
            "--from-site then reads the feed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        feed = TrainingFeed(options["feed"])
        try:
            if options["fill"]:
                self.stdout.write(f"{feed.fill()} events of the site were put in.")
            feed.compact()
        except ArchiveUnavailable as error:
            raise CommandError(f"The archive of old clicks cannot be read: {error}") from error
        except OSError as error:
            raise CommandError(f"{error.filename or feed.folder}: {error.strerror or error}") from error
        counts = feed.manifest.get("shards", {}).values()
        events, interactions = (sum(each[name] for each in counts) for name in ("events", "interactions"))
        self.stdout.write(f"{feed.folder}: {events} events, {interactions} films liked or rated.")
