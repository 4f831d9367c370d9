"""Index the titles and names that searches do not find yet."""

from typing import Any

from django.core.management.base import BaseCommand

from movie.catalogue.models import Credit, MovieTitle, Person
from movie.catalogue.suffixes import NameSuffix, TitleSuffix, delete_orphans, write_all_missing


class Command(BaseCommand):
    help = "Index titles and names that were written by an older version of the site, and drop what is gone."

    def handle(self, **options: Any) -> None:
        for suffix, owner in ((TitleSuffix, MovieTitle), (NameSuffix, Person)):
            name = owner._meta.verbose_name_plural
            self.stdout.write(f"{name}: {write_all_missing(suffix, owner):,} indexed")
            self.stdout.write(f"{name}: {delete_orphans(suffix, owner):,} entries of deleted ones dropped")
        people = Person.objects.order_by().values_list("pk", flat=True)
        Credit.objects.count_movies(people)
        self.stdout.write(f"{Person._meta.verbose_name_plural}: films of {len(people):,} counted")
