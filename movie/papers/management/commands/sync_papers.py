"""manage.py sync_papers: store the reviews of papers from their files in the database."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from movie.papers.sync import Checked, Report, check_files, sync


class Command(BaseCommand):
    help = "Bring the reviews of papers from their files into the database; files are never written."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="*", type=Path, help="with --check: only these files")
        parser.add_argument("--check", action="store_true", help="only say what is wrong, and change nothing")
        parser.add_argument(
            "--overwrite",
            action="store_true",
            help="take the file also where a review was edited in the admin",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.PAPERS_DIR.is_dir():
            raise CommandError(f"PAPERS_DIR {settings.PAPERS_DIR} is no folder")
        if options["check"]:
            self._check(options["files"])
            return
        if options["files"]:
            raise CommandError("files can be named with --check only; without it the whole folder is taken")
        report = sync(overwrite=options["overwrite"])
        if options["verbosity"] > 0:
            self._say(report)
        self._refuse(report.refused, "left as they were")

    def _say(self, report: Report) -> None:
        for heading, slugs in (
            ("added", report.added),
            ("changed", report.changed),
            ("kept, because it was edited on the site (--overwrite takes the file)", report.kept),
            ("made a draft, because its file is gone", report.withdrawn),
        ):
            for slug in slugs:
                self.stdout.write(f"{slug}: {heading}")
        self.stdout.write(f"{len(report.unchanged)} unchanged")

    def _check(self, paths: list[Path]) -> None:
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise CommandError(f"{missing[0]} is no file")
        checked = check_files(paths)
        for each in checked:
            if not each.problems and each.rendered is not None:
                done = each.rendered
                size = f"{done.words} words, {done.formulas} formulas, {done.minutes} minutes"
                self.stdout.write(f"{each.path}: sound ({size}, {len(done.code_links)} links to code)")
        self._refuse([each for each in checked if each.problems], "not sound")

    def _refuse(self, refused: Iterable[Checked], state: str) -> None:
        """Print each problem as file:line and end with a status that says so."""
        files = list(refused)
        for each in files:
            for problem in each.problems:
                self.stderr.write(f"{each.path}:{problem.line}: {problem.message}")
        if files:
            problems = sum(len(each.problems) for each in files)
            raise CommandError(f"{problems} problems in {len(files)} files, which are {state}")
