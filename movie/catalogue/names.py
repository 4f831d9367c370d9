"""Genres, countries, languages and people: what movies have by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.db import Error, models, transaction
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from movie.catalogue.movie_counts import COUNTED_AT_ONCE, write_movie_counts
from movie.catalogue.suffixes import Searchable, SearchableQuerySet
from movie.core.fields import ExactCharField


class NamedQuerySet(models.QuerySet[Any]):
    def named(self, names: Iterable[str]) -> dict[str, Any]:
        """Return objects by name, and create those that are missing."""
        wanted = list(dict.fromkeys(names))
        self.bulk_create([self.model(name=name) for name in wanted], ignore_conflicts=True)
        return {found.name: found for found in self.filter(name__in=wanted)}


class Genre(models.Model):
    name = ExactCharField(_("name"), max_length=64, unique=True)
    objects = NamedQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        verbose_name = _("genre")
        verbose_name_plural = _("genres")

    def __str__(self) -> str:
        return self.name


class Country(models.Model):
    name = ExactCharField(_("name"), max_length=128, unique=True)
    objects = NamedQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        verbose_name = _("country")
        verbose_name_plural = _("countries")

    def __str__(self) -> str:
        return self.name


class Language(models.Model):
    name = ExactCharField(_("name"), max_length=128, unique=True)
    objects = NamedQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        verbose_name = _("language")
        verbose_name_plural = _("languages")

    def __str__(self) -> str:
        return self.name


class PersonQuerySet(SearchableQuerySet):
    """Counts the movies of people. A credit that is deleted stays counted until `refresh_movie_counts`."""

    def refresh_movie_counts(self, ids: Iterable[int]) -> None:
        """Count the movies of these people anew.

        Lowering may miss a credit that is committed meanwhile; raising, which comes after it, sees that one.
        """
        wanted = list(ids)
        write_movie_counts(self.all(), wanted, "gt")
        write_movie_counts(self.all(), wanted, "lt")

    def raise_movie_counts_on_commit(self, ids: Iterable[int]) -> None:
        """Count the movies of these people, once, when the credits of this transaction can be read.

        After the commit: with MariaDB two transactions that credit a person share the lock of the row, and
        would wait for one another; with PostgreSQL neither would count the credits of the other.
        Where the count of some fails, the others are counted nevertheless. The next transaction of this
        connection that writes credits counts those that failed, too. A process that ends before leaves a
        number too small until somebody credits the person again or runs `index_searches`: suggestions and
        searches may rank the person too low until then, no more.
        """
        of_connection = vars(transaction.get_connection())
        uncounted = of_connection.pop("people_not_counted", ())
        of_connection.setdefault("people_to_count", set()).update(ids, uncounted)

        def count_once() -> None:
            wanted = sorted(of_connection.pop("people_to_count", ()))
            if not wanted:  # another credit of the transaction had them counted
                return
            uncounted = of_connection["people_not_counted"] = set(wanted)
            errors: list[Error] = []
            for start in range(0, len(wanted), COUNTED_AT_ONCE):
                some = wanted[start : start + COUNTED_AT_ONCE]
                try:
                    write_movie_counts(self.all(), some, "lt")
                    uncounted.difference_update(some)
                except Error as error:
                    errors.append(error)
            if errors:
                raise errors[0]

        transaction.on_commit(count_once, robust=True)

    refresh_movie_counts.alters_data = True  # type: ignore[attr-defined] # no template may call it
    raise_movie_counts_on_commit.alters_data = True  # type: ignore[attr-defined]


class Person(Searchable):
    SEARCHED = "name"
    name = models.CharField(_("name"), max_length=255)
    # Movies of which the person has a credit, visible or not. Searches use it as an upper bound.
    movie_count = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    objects = PersonQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        verbose_name = _("person")
        verbose_name_plural = _("people")

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the person, but not the number of movies, which may have been counted since it was read."""
        if not self._state.adding:
            kwargs.setdefault("update_fields", ("name", "search_key"))
        super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        return reverse("pages:person", args=[self.pk])


class CreditQuerySet(models.QuerySet[Any]):
    """Has the movies of people counted when credits are written."""

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Create as Django does, and count the movies of the people."""
        created: list[Any] = super().bulk_create(objs, *args, **kwargs)
        Person.objects.raise_movie_counts_on_commit(credit.person_id for credit in created)
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined] # no template may call it

    def update(self, **values: Any) -> int:
        """Update as Django does, and count the movies of the people who have the credits then."""
        if values.keys().isdisjoint(("person", "person_id", "movie", "movie_id")):
            return super().update(**values)
        with transaction.atomic():
            changed = self.model.objects.filter(pk__in=list(self.values_list("pk", flat=True)))
            count = super().update(**values)
            Person.objects.raise_movie_counts_on_commit(changed.values_list("person", flat=True))
        return count

    update.alters_data = True  # type: ignore[attr-defined]
