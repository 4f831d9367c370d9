"""The archive of old clicks. The setting CLICK_ARCHIVE chooses the backend."""

from collections.abc import Hashable
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from movie.events.archive.base import ArchiveUnavailable, ClickArchive

__all__ = ["ArchiveUnavailable", "ClickArchive", "get_archive"]


def get_archive() -> ClickArchive:
    """Return the archive of the settings, built on first use and shared by all threads."""
    setting: dict[str, Any] = settings.CLICK_ARCHIVE
    return _build(setting["BACKEND"], tuple(sorted(setting.get("OPTIONS", {}).items())))


@cache
def _build(backend: str, options: tuple[tuple[str, Hashable], ...]) -> ClickArchive:
    return import_string(backend)(**dict(options))
