"""manage.py relay_events: deliver what was recorded to DynamoDB and Kafka."""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from movie.core.migrations import require_migrations
from movie.core.shutdown import GracefulShutdown
from movie.events.stream import EventStreamUnavailable, get_event_stream
from movie.events.stream.backlog import backlog
from movie.events.stream.relay import BATCH, Relay

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Deliver recorded events to the archive and the stream. Run as many as you like."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--batch", type=int, default=BATCH, help="rows that are claimed at once")
        parser.add_argument("--metrics-port", type=int, help="answer Prometheus on this port")
        parser.add_argument("--once", action="store_true", help="deliver what is there now, then end")
        parser.add_argument("--status", action="store_true", help="only say what waits, and for how long")

    def handle(self, **options: Any) -> None:
        require_migrations()
        if options["status"]:
            self._say_status()
            return
        if not 1 <= options["batch"] <= 10_000:
            raise CommandError("--batch: expected a number from 1 to 10,000")
        relay = Relay(batch=options["batch"])
        if not relay.sinks:
            raise CommandError(
                "There is nowhere to deliver to: set DYNAMODB_TABLE or KAFKA_BOOTSTRAP_SERVERS first."
            )
        metrics_server = import_string(settings.METRICS_SERVER)
        with GracefulShutdown() as shutdown, metrics_server(options["metrics_port"]):
            if options["once"]:
                self._deliver_once(relay, shutdown)
                return
            log.info("Delivering to: %s", ", ".join(sink.name for sink in relay.sinks))
            relay.run(shutdown)

    def _deliver_once(self, relay: Relay, shutdown: GracefulShutdown) -> None:
        while relay.step() and not shutdown.requested():
            pass
        relay.stream.close()
        if failed := [sink.name for sink in relay.sinks if sink.backoff.failures]:
            raise CommandError("{names} took no deliveries.".format(names=", ".join(failed)))

    def _say_status(self) -> None:
        for name, waiting in backlog().items():
            self.stdout.write(
                "{sink}: {count} rows wait, the oldest for {age:.1f} s".format(
                    sink=name, count=f"{waiting.rows:,}", age=waiting.oldest_seconds
                )
            )
        try:
            warnings = get_event_stream().warnings()
        except EventStreamUnavailable as error:
            warnings = [f"stream: {error}"]
        for line in warnings:
            self.stdout.write(self.style.WARNING(line))
