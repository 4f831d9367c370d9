"""Bound the times that can be true of what a visitor did. Every entrance refuses others.

Between them every time zone, every database and seconds since 1970 in any unit can say a time.
"""

from datetime import UTC, datetime

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)


def is_possible(at: datetime) -> bool:
    """Return whether a time with a zone lies from 1970 to 2100."""
    return EARLIEST <= at < LATEST
