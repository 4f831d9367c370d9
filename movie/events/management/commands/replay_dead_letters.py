"""manage.py replay_dead_letters: process dead letters once more."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from movie.events.models import DeadLetter
from movie.events.stream.replay import replay


class Command(BaseCommand):
    help = "List the dead letters, or handle them once more after the reason is gone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--group", choices=tuple(settings.EVENT_HANDLERS), help="only of this group")
        parser.add_argument("--dry-run", action="store_true", help="only list them")

    def handle(self, **options: Any) -> None:
        letters = DeadLetter.objects.filter(**({"group": options["group"]} if options["group"] else {}))
        replayed = left = 0
        for letter in letters.iterator():
            self.stdout.write(f"{letter.group}  {letter.position}  {letter.reason}")
            if options["dry_run"] or not replay(letter):
                left += 1
            else:
                replayed += 1
        self.stdout.write(f"{replayed} handled, {left} left.")
