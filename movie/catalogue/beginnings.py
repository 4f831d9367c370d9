"""Titles and names with a word that begins with a text, the first in the alphabet: what the index of suffixes
finds for searches and suggestions."""

from __future__ import annotations

from functools import cache

from django.db.models import CharField, DateTimeField, Q
from django.utils import timezone

from movie.catalogue.availability import available_now
from movie.catalogue.popular import COLUMNS_OF_NAMES, COLUMNS_OF_TITLES, KnownName, KnownTitle
from movie.catalogue.suffixes import NameSuffix, TitleSuffix, bounds
from movie.core.compiled import CompiledQuery, Parameter


def titles_beginning_with(start: str, limit: int) -> list[KnownTitle]:
    """Return titles of movies that visitors may see now, once for each of their suffixes."""
    first, last = bounds(start)
    return [KnownTitle._make(row) for row in _titles(limit).rows(start=first, end=last, now=timezone.now())]


def names_beginning_with(start: str, limit: int) -> list[KnownName]:
    """Return names of people, once for each of their suffixes."""
    first, last = bounds(start)
    return [KnownName(*row) for row in _names(limit).rows(start=first, end=last)]


@cache
def _titles(limit: int) -> CompiledQuery:
    return CompiledQuery(
        lambda some: (
            TitleSuffix.objects.filter(_within, available_now("owner__movie__", _now))
            .order_by("text")
            .values_list(*(f"owner__{column}" for column in COLUMNS_OF_TITLES))[:limit]
        ),
        in_order=True,
    )


@cache
def _names(limit: int) -> CompiledQuery:
    return CompiledQuery(
        lambda some: (
            NameSuffix.objects.filter(_within)
            .order_by("text")
            .values_list(*(f"owner__{column}" for column in COLUMNS_OF_NAMES))[:limit]
        ),
        in_order=True,
    )


_within = Q(text__gte=Parameter("start", CharField()), text__lt=Parameter("end", CharField()))
_now = Parameter("now", DateTimeField())
