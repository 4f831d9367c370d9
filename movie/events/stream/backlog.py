"""Numbers of undelivered rows and dead letters."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count, Min
from django.utils import timezone

from movie.events.models import TO_ARCHIVE, TO_STREAM, DeadLetter, Event

SINKS = {"archive": TO_ARCHIVE, "stream": TO_STREAM}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows that wait for delivery to one sink."""

    rows: int
    oldest_seconds: float


def backlog() -> dict[str, Waiting]:
    """Return the rows that are recorded and not delivered yet, by sink."""
    now = timezone.now()
    found = {}
    for name, bit in SINKS.items():
        rows = Event.objects.undelivered(bit).aggregate(n=Count("pk"), oldest=Min("recorded_at"))
        age = (now - rows["oldest"]).total_seconds() if rows["oldest"] else 0.0
        found[name] = Waiting(rows["n"], max(0.0, age))
    return found


def dead_letters() -> dict[str, int]:
    """Return the number of dead letters by consumer group."""
    found = DeadLetter.objects.order_by().values_list("group").annotate(Count("pk"))
    return dict.fromkeys(settings.EVENT_HANDLERS, 0) | dict(found)
