"""The stream of everything visitors did. Which one is used is a setting: EVENT_STREAM."""

from collections.abc import Hashable
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from movie.events.stream.base import EventStream, EventStreamUnavailable

__all__ = ["EventStream", "EventStreamUnavailable", "get_event_stream"]


def get_event_stream() -> EventStream:
    """The stream named in settings, made on first use and shared by all threads."""
    setting: dict[str, Any] = settings.EVENT_STREAM
    return _made(setting["BACKEND"], tuple(sorted(setting.get("OPTIONS", {}).items())))


@cache
def _made(backend: str, options: tuple[tuple[str, Hashable], ...]) -> EventStream:
    return import_string(backend)(**dict(options))
