"""manage.py api_key: create, list and revoke keys of API clients."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q
from django.utils import timezone
from django.utils.timezone import localtime
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from movie.api.models import PREFIX_LENGTH, SCOPES, ApiClient, ApiKey, create_key


class Command(BaseCommand):
    help = "Create, list and revoke keys of API clients."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        create = actions.add_parser("create", help="a key for a client, which is made if it is new")
        create.add_argument("client", help="its name: a-z, 0-9 and hyphens")
        create.add_argument(
            "--scope", action="append", default=[], choices=tuple(SCOPES), help="may be given several times"
        )
        create.add_argument("--days", type=int, help="the key expires after so many days")
        create.add_argument("--rate-limit", type=int, help="requests a minute of all its keys together")
        create.add_argument("--note", help="whose it is, what it does")
        actions.add_parser("list", help="every key, with what is known of it")
        revoke = actions.add_parser("revoke", help="accept a key, or all of a client, no more")
        revoke.add_argument("which", help="the first letters of a key, as listed, or the name of a client")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['action']}")(options)

    def _create(self, options: dict[str, Any]) -> None:
        days = options["days"]
        if days is not None and days < 1:
            raise CommandError("--days: expected 1 or more")
        client = ApiClient.objects.filter(slug=options["client"]).first() or ApiClient(slug=options["client"])
        for name in ("rate_limit", "note"):
            if options[name] is not None:
                setattr(client, name, options[name])
        try:
            client.full_clean()
        except ValidationError as error:
            field, messages = next(iter(error.message_dict.items()))
            raise CommandError(f"{'client' if field == 'slug' else field}: {messages[0]}") from error
        client.save()
        expires_at = timezone.now() + timedelta(days=days) if days else None
        key, token = create_key(client, options["scope"], expires_at)
        self.stdout.write(
            f"A key of {key.client}; copy it now, it is not stored:",
            self.style.NOTICE,
        )
        self.stdout.write(token)

    def _list(self, options: dict[str, Any]) -> None:
        table = Table(pad_edge=False)
        for heading in ("begins with", "client", "state", "expires", "last used"):
            table.add_column(heading, no_wrap=True)
        table.add_column("may")
        for key in ApiKey.objects.select_related("client"):
            times = (_format_time(key.expires_at), _format_time(key.last_used_at))
            scopes = escape(" ".join(key.scopes))
            style = None if key.state == "usable" else "dim"
            table.add_row(key.prefix, key.client.slug, key.state, *times, scopes, style=style)
        if not table.rows:
            self.stdout.write("There is no key yet. Create one with: manage.py api_key create NAME")
            return
        # Django's line ending would break lines that rich writes in pieces.
        ending, self.stdout.ending = self.stdout.ending, ""
        stream: Any = self.stdout
        Console(file=stream, width=None if stream.isatty() else 200).print(table)
        self.stdout.ending = ending

    def _revoke(self, options: dict[str, Any]) -> None:
        which = options["which"]
        keys = ApiKey.objects.filter(Q(prefix=which[:PREFIX_LENGTH]) | Q(client__slug=which))
        if not keys:
            raise CommandError(
                "There is no key that begins with {which} and no such client.".format(**options)
            )
        n = keys.revoke()
        self.stdout.write(f"{n} key is revoked." if n == 1 else f"{n} keys are revoked.")


def _format_time(moment: datetime | None) -> str:
    return localtime(moment).strftime("%Y-%m-%d %H:%M") if moment else ""
