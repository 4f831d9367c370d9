"""The archive of old clicks. The setting CLICK_ARCHIVE chooses the backend."""

from django.conf import settings

from movie.core.backends import get_backend
from movie.events.archive.base import ArchiveUnavailable, ClickArchive

__all__ = ["ArchiveUnavailable", "ClickArchive", "get_archive"]


def get_archive() -> ClickArchive:
    """Return the archive of the settings."""
    archive: ClickArchive = get_backend(settings.CLICK_ARCHIVE)
    return archive
