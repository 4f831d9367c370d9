"""Import a person's history file: manage.py import_history PATH --visitor user:7."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import override

from movie.catalogue.models import Movie
from movie.core.request_limits import HISTORY_BYTES
from movie.events.history_formats import UnknownFile
from movie.events.history_import import (
    ImportBusy,
    finish_import,
    import_slot,
    prepare_import,
    take_back_import,
)
from movie.events.history_matching import ParsedHistory, parse_history_file
from movie.events.models import HistoryImport
from movie.visitors.visitor import can_act

SHOWN = 20


class Command(BaseCommand):
    help = (
        "Import what a film site exports about a person (Letterboxd, IMDb, Trakt, MovieLens, Criticker), or "
        "this site's own export, into a visitor's history."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", metavar="PATH", type=Path, nargs="?", help="the exported file")
        parser.add_argument(
            "--visitor", required=True, metavar="ID", help="whose history it joins, such as user:7"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be imported")
        parser.add_argument("--take-back", metavar="NUMBER", type=int, help="take an import back as one")

    def handle(self, **options: Any) -> None:
        visitor, path = options["visitor"], options["path"]
        if not can_act(visitor):
            raise CommandError(f"{visitor} is no visitor of the site; user:7 and guest:... are.")
        if (path is None) == (options["take_back"] is None):
            raise CommandError("Name either a file or the number of an import to take back.")
        try:
            with override("en"), import_slot(visitor):
                if path is None:
                    self._take_back(visitor, options["take_back"])
                else:
                    self._import(visitor, path, dry_run=options["dry_run"])
        except ImportBusy as busy:
            raise CommandError("Another import is running; try again in a minute.") from busy

    def _import(self, visitor: str, path: Path, *, dry_run: bool) -> None:
        content = _content(path)
        try:
            read = parse_history_file(content, visitor, name=path.name)
        except (UnknownFile, UnicodeDecodeError) as unknown:
            raise CommandError(f"{path}: {unknown}") from unknown
        self._report(read)
        if dry_run:
            self.stdout.write(f"{len(read.interactions):,} interactions would be imported.")
            return
        prepared = prepare_import(visitor, path.name, read.source, content)
        number = prepared.pk
        counts = finish_import(prepared, read.interactions, seconds=float("inf"))
        self.stdout.write(f"{counts.new:,} new, {counts.known:,} known before, {counts.left:,} left.")
        if counts.new:
            self.stdout.write(f"This is import {number}: --take-back {number} takes it back.")

    def _report(self, read: ParsedHistory) -> None:
        for film in list(read.ambiguous.values())[:SHOWN]:
            titles = Movie.objects.in_bulk(film.candidates).values()
            self.stdout.write(f"{film.title} ({film.year}) may be: {'; '.join(map(str, titles))}. Left out.")
        for row in read.rejected[:SHOWN]:
            self.stdout.write(f"{row.file} line {row.line}: {row.reason}".strip())
        if len(read.rejected) > SHOWN:
            self.stdout.write(f"and {len(read.rejected) - SHOWN:,} more lines.")

    def _take_back(self, visitor: str, number: int) -> None:
        done = HistoryImport.objects.filter(visitor=visitor, pk=number).first()
        if done is None:
            raise CommandError(f"{visitor} has no import {number}.")
        self.stdout.write(f"{take_back_import(done):,} interactions are taken back.")


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be opened: {error.strerror}") from error
    if len(content) > HISTORY_BYTES:
        raise CommandError(f"{path} is larger than {HISTORY_BYTES // 1024**2} MB.")
    return content
