"""What to watch, in the text format of Prometheus."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from django.db import DatabaseError, connection
from django.db.models import Count, Min
from django.utils import timezone

from movie.models import InteractionRecord
from movie.stream_models import TO_LOG, TO_STREAM

if TYPE_CHECKING:
    from movie.event_stream.relay import Relay

SINKS = {"log": TO_LOG, "stream": TO_STREAM}


@dataclass(frozen=True, slots=True)
class Waiting:
    rows: int
    oldest_seconds: float


def backlog() -> dict[str, Waiting]:
    """What is recorded and not delivered yet, for each sink."""
    now = timezone.now()
    found = {}
    for name, bit in SINKS.items():
        rows = InteractionRecord.objects.undelivered(bit).aggregate(n=Count("pk"), oldest=Min("recorded_at"))
        age = (now - rows["oldest"]).total_seconds() if rows["oldest"] else 0.0
        found[name] = Waiting(rows["n"], max(0.0, age))
    return found


def relay_metrics(relay: Relay) -> Iterator[tuple[str, str, float]]:
    """(name, help, value); the lag is left out while the database is away."""
    try:
        waiting = backlog()
    except DatabaseError:
        waiting = {}
    finally:
        connection.close()  # of the thread that answers
    for where, values in waiting.items():
        yield f'reelgraph_outbox_rows{{sink="{where}"}}', "Rows that wait for delivery", values.rows
        yield (
            f'reelgraph_outbox_oldest_seconds{{sink="{where}"}}',
            "Age of the oldest row that waits",
            values.oldest_seconds,
        )
    for name, sink in (("log", relay.to_log), ("stream", relay.to_stream)):
        label = f'{{sink="{name}"}}'
        yield f"reelgraph_relay_delivered_total{label}", "Rows delivered by this process", sink.delivered
        yield f"reelgraph_relay_failures_total{label}", "Deliveries that failed", sink.failures
    yield "reelgraph_relay_pruned_total", "Delivered rows that were deleted", relay.pruned
    yield "process_cpu_seconds_total", "CPU time of this process", time.process_time()


@contextmanager
def metrics_server(
    port: int | None, metrics: Callable[[], Iterator[tuple[str, str, float]]]
) -> Iterator[None]:
    """Answer GET /metrics on this port while the block runs; without a port do nothing."""
    if port is None:
        yield
        return

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = "".join(_lines(metrics())).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Scrapes are not worth a line each."""

    server = ThreadingHTTPServer(("", port), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _lines(metrics: Iterator[tuple[str, str, float]]) -> Iterator[str]:
    described = set()
    for name, text, value in metrics:
        base = name.partition("{")[0]
        if base not in described:
            described.add(base)
            kind = "counter" if base.endswith("_total") else "gauge"
            yield f"# HELP {base} {text}\n# TYPE {base} {kind}\n"
        yield f"{name} {value}\n"
