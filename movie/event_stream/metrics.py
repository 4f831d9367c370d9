"""What to watch about the outbox, the relays and the consumers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count, Min
from django.utils import timezone

from movie.metrics.exporter import metrics_server
from movie.stream_models import TO_ARCHIVE, TO_STREAM, DeadLetter, Event

if TYPE_CHECKING:
    from prometheus_client import Metric

    from movie.event_stream.consumer import Consumer
    from movie.event_stream.relay import Relay

__all__ = ["Waiting", "backlog", "consumer_metrics", "metrics_server", "outbox_metrics", "relay_metrics"]

SINKS = {"archive": TO_ARCHIVE, "stream": TO_STREAM}


@dataclass(frozen=True, slots=True)
class Waiting:
    rows: int
    oldest_seconds: float


def backlog() -> dict[str, Waiting]:
    """What is recorded and not delivered yet, for each sink."""
    now = timezone.now()
    found = {}
    for name, bit in SINKS.items():
        rows = Event.objects.undelivered(bit).aggregate(n=Count("pk"), oldest=Min("recorded_at"))
        age = (now - rows["oldest"]).total_seconds() if rows["oldest"] else 0.0
        found[name] = Waiting(rows["n"], max(0.0, age))
    return found


def outbox_metrics(waiting: dict[str, Waiting], dead_letters: dict[str, int]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    rows = GaugeMetricFamily("reelgraph_outbox_rows", "Rows that wait for delivery", labels=["sink"])
    oldest = GaugeMetricFamily(
        "reelgraph_outbox_oldest_seconds", "Age of the oldest row that waits", labels=["sink"]
    )
    for sink, values in waiting.items():
        rows.add_metric([sink], values.rows)
        oldest.add_metric([sink], values.oldest_seconds)
    dead = GaugeMetricFamily(
        "reelgraph_dead_letters", "Messages that a group could not use, not replayed yet", labels=["group"]
    )
    for group, number in dead_letters.items():
        dead.add_metric([group], number)
    yield from (rows, oldest, dead)


def dead_letters() -> dict[str, int]:
    """How many there are of each group that has a consumer."""
    found = DeadLetter.objects.order_by().values_list("group").annotate(Count("pk"))
    return dict.fromkeys(settings.EVENT_HANDLERS, 0) | dict(found)


def relay_metrics(relay: Relay) -> Iterator[Metric]:
    """The lag is left out while the database is away."""
    from prometheus_client.core import CounterMetricFamily

    try:
        yield from outbox_metrics(backlog(), dead_letters())
    except DatabaseError:
        pass
    finally:
        connection.close()  # of the thread that answers
    delivered = CounterMetricFamily(
        "reelgraph_relay_delivered", "Rows delivered by this process", labels=["sink"]
    )
    failures = CounterMetricFamily("reelgraph_relay_failures", "Deliveries that failed", labels=["sink"])
    for name, sink in (("archive", relay.to_archive), ("stream", relay.to_stream)):
        delivered.add_metric([name], sink.delivered)
        failures.add_metric([name], sink.failures)
    yield from (delivered, failures)
    yield CounterMetricFamily(
        "reelgraph_relay_pruned", "Delivered rows that were deleted", value=float(relay.pruned)
    )


def consumer_metrics(consumer: Consumer) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    group = consumer.handler.group
    for name, text, value in (
        ("reelgraph_consumer_handled", "Messages that had their effect", consumer.handled),
        ("reelgraph_consumer_dead", "Messages that cannot be used", consumer.dead),
    ):
        family = CounterMetricFamily(name, text, labels=["group"])
        family.add_metric([group], value)
        yield family
