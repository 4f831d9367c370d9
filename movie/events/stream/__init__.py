"""The stream of recorded events. The setting EVENT_STREAM chooses the backend."""

from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from movie.events.stream.base import EventStream, EventStreamUnavailable

__all__ = ["EventStream", "EventStreamUnavailable", "get_event_stream"]


@cache
def get_event_stream() -> EventStream:
    """Return the stream of the settings, built on first use and shared by all threads."""
    setting: dict[str, Any] = settings.EVENT_STREAM
    stream: EventStream = import_string(setting["BACKEND"])(**setting.get("OPTIONS", {}))
    return stream
