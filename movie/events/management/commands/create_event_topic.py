"""manage.py create_event_topic: create the topic of interactions in Kafka."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from movie.events.stream import EventStreamUnavailable
from movie.events.stream.kafka import KafkaEventStream
from movie.events.stream.kafka_topic import PARTITIONS, TopicAdmin, TopicSpec

DIFFERS = 3  # exit status while the topic is not what it should be


class Command(BaseCommand):
    help = "Make the Kafka topic of interactions, or compare the one that is there and say what differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--partitions", type=int, default=PARTITIONS)
        parser.add_argument("--replication", type=int, help="copies; 3 by default, or one for each broker")
        parser.add_argument("--retention-hours", type=int, default=settings.KAFKA_RETENTION_HOURS)
        parser.add_argument("--alter", action="store_true", help="change what differs and can be changed")

    def handle(self, **options: Any) -> None:
        stream_options: Any = settings.EVENT_STREAM["OPTIONS"]
        if "topic" not in stream_options:
            raise CommandError("There is no broker: set KAFKA_BOOTSTRAP_SERVERS first.")
        for name in ("partitions", "replication", "retention_hours"):
            if options[name] is not None and options[name] < 1:
                raise CommandError("--{option}: expected 1 or more".format(option=name.replace("_", "-")))
        stream = KafkaEventStream(**stream_options)
        spec = TopicSpec(options["partitions"], options["replication"], options["retention_hours"])
        try:
            with stream.admin() as admin:
                self._make_or_compare(admin, stream.topic, spec, alter=options["alter"])
        except EventStreamUnavailable as error:
            raise CommandError(str(error)) from error

    def _make_or_compare(self, admin: TopicAdmin, name: str, spec: TopicSpec, *, alter: bool) -> None:
        topic = admin.describe()
        if topic is None:
            admin.create(spec)
            self.stdout.write(f"The topic {name} is made.")
            return
        self.stdout.write(f"The topic {name} is there.")
        if topic.settings is None:
            self.stdout.write("Its settings were not compared: grant DescribeConfigs on it for that.")
        differences = admin.compare(topic, spec)
        if alter and differences:
            admin.alter(differences)
            changed = [each for each in differences if not each.advice]
            for each in changed:
                self.stdout.write(f"  {each.name}: {each.found} is {each.wanted} now")
            differences = [each for each in differences if each.advice]
        for each in differences:
            self.stdout.write(f"  {each}; {each.advice or 'change it with --alter'}")
        if differences:
            raise CommandError(f"{len(differences)} differences remain.", returncode=DIFFERS)
