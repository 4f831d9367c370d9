"""manage.py create_event_topic: the topic on Kafka."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from movie.events.stream import EventStreamUnavailable, get_event_stream
from movie.events.stream.kafka import KafkaEventStream

PARTITIONS = 12  # as many consumers of a group can share the work
RETENTION_HOURS = 14 * 24  # for so long a group may be away


class Command(BaseCommand):
    help = "Make the Kafka topic of interactions. May be run again; a topic that is there stays as it is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--partitions", type=int, default=PARTITIONS)
        parser.add_argument("--replication", type=int, default=1, help="copies; 3 on a cluster")
        parser.add_argument("--retention-hours", type=int, default=RETENTION_HOURS)

    def handle(self, **options: Any) -> None:
        stream = get_event_stream()
        if not isinstance(stream, KafkaEventStream):
            raise CommandError("There is no broker: set KAFKA_BOOTSTRAP_SERVERS first.")
        numbers = {name: options[name] for name in ("partitions", "replication", "retention_hours")}
        if wrong := [name for name, value in numbers.items() if value < 1]:
            raise CommandError("--{option}: expected 1 or more".format(option=wrong[0].replace("_", "-")))
        try:
            made = stream.create_topic(**numbers)
        except EventStreamUnavailable as error:
            raise CommandError(str(error)) from error
        sentence = "The topic %(name)s is made." if made else "The topic %(name)s was there."
        self.stdout.write(sentence % {"name": settings.KAFKA_TOPIC})
