"""manage.py create_event_table: the table in DynamoDB."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from movie.event_log import get_event_log
from movie.event_log.base import EventLogUnavailable
from movie.event_log.dynamodb import DynamoDBEventLog


class Command(BaseCommand):
    help = "Make the DynamoDB table of the event log, billed by request and with TTL. May be run again."

    def handle(self, **options: Any) -> None:
        log = get_event_log()
        if not isinstance(log, DynamoDBEventLog):
            raise CommandError("The event log is in the database: set DYNAMODB_TABLE first.")
        try:
            made, expires = log.table.create(), log.table.expire()
        except EventLogUnavailable as error:
            raise CommandError(str(error)) from error
        sentence = "The table %(name)s is made." if made else "The table %(name)s was there."
        self.stdout.write(sentence % {"name": settings.DYNAMODB_TABLE})
        if not expires:
            self.stdout.write(
                "This server deletes no expired items. They are left out of histories all the same."
            )
