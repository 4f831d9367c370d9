"""manage.py partition_marks: partition the marks of processed events by day; drop the days that are over."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from movie.events.mark_partitions import PartitionsUnsupported, partition_marks


class Command(BaseCommand):
    help = (
        "Partition what consumer groups remember of processed events by day, add days to come and drop those "
        "that are over. Run it daily once it was run; for MySQL, MariaDB and PostgreSQL."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            partition_marks(self.stdout.write)
        except PartitionsUnsupported as error:
            raise CommandError(str(error)) from error
