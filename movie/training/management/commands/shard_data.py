"""manage.py shard_data: write the interactions of a file as shards, which `train --data` reads."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError


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
        add("--columns", nargs="+", default=[], metavar="ROLE=NAME", help="user=uid item=sku ...")

    def handle(self, *args: Any, **options: Any) -> None:
        from datasets.readers.dataset import DatasetError, named_columns, write_shards

        try:
            count = write_shards(
                options["data"],
                options["to"],
                columns=named_columns(options["columns"]) or None,
                format=options["format"],
                say=self.stderr.write,
            )
        except (DatasetError, ValueError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename or options['to']}: {error.strerror or error}") from error
        self.stdout.write(f"{options['to']}: {count} interactions.")
