"""The stream of recorded events. The setting EVENT_STREAM chooses the backend."""

from django.conf import settings

from movie.core.backends import get_backend
from movie.events.stream.base import EventStream, EventStreamUnavailable

__all__ = ["EventStream", "EventStreamUnavailable", "get_event_stream"]


def get_event_stream() -> EventStream:
    """Return the stream of the settings."""
    stream: EventStream = get_backend(settings.EVENT_STREAM)
    return stream
