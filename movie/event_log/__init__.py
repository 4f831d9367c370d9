"""The log of everything visitors did. Which one is used is a setting: EVENT_LOG."""

from collections.abc import Hashable
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from movie.event_log.base import EventLog

__all__ = ["EventLog", "get_event_log"]


def get_event_log() -> EventLog:
    """The log named in settings, made on first use and shared by all threads."""
    setting: dict[str, Any] = settings.EVENT_LOG
    return _made(setting["BACKEND"], tuple(sorted(setting.get("OPTIONS", {}).items())))


@cache
def _made(backend: str, options: tuple[tuple[str, Hashable], ...]) -> EventLog:
    return import_string(backend)(**dict(options))
