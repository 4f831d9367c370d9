"""The condition under which visitors see a movie."""

from __future__ import annotations

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
