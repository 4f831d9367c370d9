"""manage.py create_event_table: create the table of old clicks in DynamoDB."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from movie.events.archive import ArchiveUnavailable
from movie.events.archive.dynamodb import DynamoDBArchive


class Command(BaseCommand):
    help = "Make the DynamoDB table of old clicks, billed by request and with TTL. May be run again."

    def handle(self, **options: Any) -> None:
        archive_options: Any = settings.CLICK_ARCHIVE["OPTIONS"]
        if "table" not in archive_options:
            raise CommandError("No table is configured for old clicks: set DYNAMODB_TABLE first.")
        archive = DynamoDBArchive(**archive_options)
        try:
            made, expires = archive.create(), archive.expire()
        except ArchiveUnavailable as error:
            raise CommandError(str(error)) from error
        sentence = "The table %(name)s is made." if made else "The table %(name)s was there."
        self.stdout.write(sentence % {"name": archive_options["table"]})
        if not expires:
            self.stdout.write(
                "This server deletes no expired items. They are left out of histories all the same."
            )
