"""Query words that several tables of the catalogue share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone


def available_now(prefix: str = "") -> Q:
    """Return the condition of movies that visitors may see now; `prefix` leads to them, as `movie__`.

    A movie is hidden by `is_visible`, before `available_from`, and from `available_until` on.
    """
    now = timezone.now()
    begun = Q((f"{prefix}available_from", None)) | Q((f"{prefix}available_from__lte", now))
    lasting = Q((f"{prefix}available_until", None)) | Q((f"{prefix}available_until__gt", now))
    return Q((f"{prefix}is_visible", True)) & begun & lasting


class NamedQuerySet(models.QuerySet[Any]):
    def named(self, names: Iterable[str]) -> dict[str, Any]:
        """Return objects by name, and create those that are missing."""
        wanted = list(dict.fromkeys(names))
        self.bulk_create([self.model(name=name) for name in wanted], ignore_conflicts=True)
        return {found.name: found for found in self.filter(name__in=wanted)}
