"""Genres, countries, languages and people: what movies have by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

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


class Person(Searchable):
    SEARCHED = "name"
    name = models.CharField(_("name"), max_length=255)
    # Movies of which the person has a credit, visible or not: `CreditQuerySet` counts them. Searches rely on
    # it that there are not more.
    movie_count = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    objects = SearchableQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        verbose_name = _("person")
        verbose_name_plural = _("people")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("pages:person", args=[self.pk])
