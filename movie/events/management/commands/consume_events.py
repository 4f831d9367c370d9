"""manage.py consume_events: process the stream as a member of a consumer group."""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from movie.core.migrations import require_migrations
from movie.core.shutdown import GracefulShutdown
from movie.events.stream import get_event_stream
from movie.events.stream.consumer import Consumer
from movie.events.stream.handlers import get_handler

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Consume the stream as a member of a group. As many may run as the topic has partitions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--group", required=True, choices=tuple(settings.EVENT_HANDLERS))
        parser.add_argument(
            "--member",
            default="",
            metavar="NAME",
            help="a name of its own: restarted under it, a consumer has its partitions back at once",
        )
        parser.add_argument("--metrics-port", type=int, help="answer Prometheus on this port")

    def handle(self, **options: Any) -> None:
        require_migrations()
        stream = get_event_stream()
        if not stream.uses_outbox:
            raise CommandError(
                "There is no stream to consume: without KAFKA_BOOTSTRAP_SERVERS the site counts by itself."
            )
        consumer = Consumer(get_handler(options["group"]), stream, options["member"])
        metrics_server = import_string(settings.METRICS_SERVER)
        ready = consumer.membership.why_not_ready
        with GracefulShutdown() as shutdown, metrics_server(options["metrics_port"], ready):
            log.info("Consuming as a member of %s", options["group"])
            consumer.run(shutdown)
