"""Index the titles and names that searches do not find yet."""

from typing import Any

from django.core.management.base import BaseCommand

from movie.catalogue.models import MovieTitle, Person
from movie.catalogue.movie_counts import COUNTED_AT_ONCE
from movie.catalogue.suffixes import NameSuffix, TitleSuffix, delete_orphans, write_all_missing
from movie.core.batches import write_in_batches
from movie.core.progress import ProgressBar


class Command(BaseCommand):
    help = "Index titles and names that were written by an older version of the site, and drop what is gone."

    def handle(self, **options: Any) -> None:
        for suffix, owner in ((TitleSuffix, MovieTitle), (NameSuffix, Person)):
            name = owner._meta.verbose_name_plural
            self.stdout.write(f"{name}: {write_all_missing(suffix, owner):,} indexed")
            self.stdout.write(f"{name}: {delete_orphans(suffix, owner):,} entries of deleted ones dropped")
        people = list(Person.objects.order_by("pk").values_list("pk", flat=True))
        batches = write_in_batches(people, Person.objects.refresh_movie_counts, size=COUNTED_AT_ONCE)
        with ProgressBar() as bar:
            for n, _ in enumerate(batches, start=1):
                bar(min(1.0, n * COUNTED_AT_ONCE / len(people)))
        self.stdout.write(f"{Person._meta.verbose_name_plural}: films of {len(people):,} counted")
