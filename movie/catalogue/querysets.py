"""Query words that several tables of the catalogue share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models


class NamedQuerySet(models.QuerySet[Any]):
    def named(self, names: Iterable[str]) -> dict[str, Any]:
        """Return objects by name, and create those that are missing."""
        wanted = list(dict.fromkeys(names))
        self.bulk_create([self.model(name=name) for name in wanted], ignore_conflicts=True)
        return {found.name: found for found in self.filter(name__in=wanted)}
