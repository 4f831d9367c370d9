"""The condition under which visitors see a movie."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Expression, Q
from django.utils import timezone


def available_now(prefix: str = "", now: datetime | Expression | None = None) -> Q:
    """Return the condition of movies that visitors may see now; `prefix` leads to them, as `movie__`.

    A movie is hidden by `is_visible`, before `available_from`, and from `available_until` on.
    """
    now = now or timezone.now()
    begun = Q((f"{prefix}available_from", None)) | Q((f"{prefix}available_from__lte", now))
    lasting = Q((f"{prefix}available_until", None)) | Q((f"{prefix}available_until__gt", now))
    return Q((f"{prefix}is_visible", True)) & begun & lasting
