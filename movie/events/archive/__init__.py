"""The archive of old clicks. The setting CLICK_ARCHIVE chooses the backend."""

from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from movie.events.archive.base import ArchiveUnavailable, ClickArchive

__all__ = ["ArchiveUnavailable", "ClickArchive", "get_archive"]


@cache
def get_archive() -> ClickArchive:
    """Return the archive of the settings, built on first use and shared by all threads."""
    setting: dict[str, Any] = settings.CLICK_ARCHIVE
    archive: ClickArchive = import_string(setting["BACKEND"])(**setting.get("OPTIONS", {}))
    return archive
