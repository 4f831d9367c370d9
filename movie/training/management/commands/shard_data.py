"""manage.py shard_data: write the interactions of a file as shards, which `train --data` reads."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED
from movie.training.runs import Interrupted, StopTraining


class Command(BaseCommand):
    help = (
        "Write the interactions of a file as 64 shards by user, as datasets/spark_shards.py does with Spark; "
        "train --data FOLDER reads them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--data", type=Path, required=True, metavar="PATH", help="a data file or the folder that holds it"
        )
        add("--to", type=Path, required=True, metavar="FOLDER", help="a folder that is not there yet")
        add("--format", help="by default the name and the first lines decide")
        add("--quiet", action="store_true", help="without progress")
        add("--columns", nargs="+", default=[], metavar="ROLE=NAME", help="user=uid item=sku ...")

    def handle(self, *args: Any, **options: Any) -> None:
        from datasets.readers.dataset import DatasetError, named_columns
        from datasets.readers.shard_writer import write_shards

        try:
            with StopTraining() as stop, ProgressBar(enabled=not options["quiet"]) as bar:

                def watch(done: float, text: str) -> None:
                    bar(done, text, "shards")
                    stop.check()

                count = write_shards(
                    options["data"],
                    options["to"],
                    columns=named_columns(options["columns"]) or None,
                    format=options["format"],
                    say=self.stderr.write,
                    progress=watch,
                )
        except Interrupted:
            raise CommandError(
                "Interrupted. The same command goes on after the last segment that was finished, if one was.",
                returncode=INTERRUPTED,
            ) from None
        except (DatasetError, ValueError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename or options['to']}: {error.strerror or error}") from error
        self.stdout.write(f"{options['to']}: {count} interactions.")
