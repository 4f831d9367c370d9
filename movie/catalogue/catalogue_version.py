"""The version of the catalogue, by which processes see that they have to read the movies again."""

from __future__ import annotations

from django.db import models, transaction
from django.db.models import F

from movie.core.database import retry_on_deadlock


class CatalogueVersionQuerySet(models.QuerySet["CatalogueVersion"]):
    def current(self) -> int:
        """Return a number that grows whenever movies have changed."""
        return self.order_by("-number").values_list("number", flat=True).first() or 0

    def raise_on_commit(self) -> None:
        """Raise the version, once, when the changes of this transaction can be read.

        After the commit, so that writers of the catalogue do not wait for one another at the one row. The
        first callback of a transaction raises it for all of them: an import saves thousands of movies in one.
        """
        of_connection = vars(transaction.get_connection())

        def raise_once() -> None:
            if of_connection.pop("has_changed_movies", False):
                self._raise()

        of_connection["has_changed_movies"] = True
        transaction.on_commit(raise_once, robust=True)

    @retry_on_deadlock
    def _raise(self) -> None:
        first = self.filter(pk=1)
        if not first.update(number=F("number") + 1):
            # Two that find no row both count: neither gives the new row its number.
            CatalogueVersion.objects.bulk_create([CatalogueVersion(pk=1)], ignore_conflicts=True)
            first.update(number=F("number") + 1)


class CatalogueVersion(models.Model):
    """Counts the changes of movies: a process sees by one number whether it has to read them again."""

    number = models.PositiveBigIntegerField(default=0)

    objects = CatalogueVersionQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.number)
