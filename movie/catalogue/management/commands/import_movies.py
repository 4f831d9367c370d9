"""Import movies: manage.py import_movies PATH, or movielens --download NAME."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from movie.catalogue.importing import cli
from movie.catalogue.importing.columns import MOVIE_COLUMNS, parse_choice
from movie.catalogue.importing.download import BASE_URL, NAMES, download
from movie.catalogue.importing.formats import MOVIELENS
from movie.catalogue.importing.movies import import_movies, tags_beside
from movie.catalogue.importing.reports import ProgressCallback, RejectReport
from movie.catalogue.importing.sync import MAX_HIDDEN
from movie.catalogue.importing.tags import import_tags


class Command(BaseCommand):
    help = "Import films of MovieLens, MovieTweetings, RecBole, CSV, TSV, JSON Lines or Parquet, or .gz, .xz."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "path", metavar="PATH", help="a file, a folder of a data set, or “movielens” with --download"
        )
        cli.add_file_options(parser)
        parser.add_argument(
            "--overwrite", action="store_true", help="replace what films say already; else only fill gaps"
        )
        parser.add_argument(
            "--ids-only",
            action="store_true",
            help="recognise films of other data sets by their ids only, not by title and year",
        )
        parser.add_argument(
            "--list-separator",
            metavar="TEXT",
            default="",
            help="what parts the names in a cell, such as genres; a bar, a semicolon or a comma by default",
        )
        parser.add_argument(
            "--sync",
            action="store_true",
            help="the file is all that its source has: hide films of the source that it does not hold",
        )
        parser.add_argument(
            "--max-hidden",
            metavar="SHARE",
            default=f"{MAX_HIDDEN:.0%}",
            help="with --sync: write nothing where it would hide more of the source's films (10%%)",
        )
        parser.add_argument("--download", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
        parser.add_argument(
            "--into", type=Path, metavar="FOLDER", help="where downloads are kept (DATA_DIR/downloads)"
        )
        parser.add_argument("--base-url", default=BASE_URL, help="a mirror of the download site")

    def handle(self, **options: Any) -> None:
        with cli.handle_interrupts(), RejectReport(options["report"]) as report:
            with cli.common_arguments(options, report) as common:
                path = self._path(options, common["progress"])
                outcome = import_movies(
                    path,
                    source=options["source"],
                    format_name=options["format"],
                    columns=parse_choice(options["columns"], MOVIE_COLUMNS),
                    encoding=options["encoding"],
                    list_separator=options["list_separator"],
                    overwrite=options["overwrite"],
                    sync=options["sync"],
                    max_hidden=cli.parse_share(options["max_hidden"]),
                    max_refused=cli.parse_share(options["max_refused"]) if options["max_refused"] else None,
                    announce=self.stdout.write,
                    by_title=not options["ids_only"],
                    **common,
                )
            self.stdout.write(cli.summary_line(outcome, "films", dry_run=options["dry_run"]))
            if options["sync"] and not outcome.interrupted:
                said = "would be hidden" if options["dry_run"] else "hidden"
                self.stdout.write(f"{outcome.hidden:,} films that are not in the file: {said}.")
            if not outcome.interrupted and (tags := tags_beside(path, options["format"])):
                with cli.common_arguments(options, report) as common:
                    tagged = import_tags(tags, options["source"] or MOVIELENS, **common)
                self.stdout.write(cli.summary_line(tagged, "tags", dry_run=options["dry_run"]))
            cli.write_lines(self.stdout, cli.rejected_lines(report))
            if not options["dry_run"]:
                cli.write_lines(self.stdout, cli.twin_lines())
            if options["download"] and not outcome.interrupted:
                self.stdout.write(f"The ratings: manage.py import_ratings {path}")
            cli.finish(outcome)

    def _path(self, options: dict[str, Any], progress: ProgressCallback) -> Path:
        if not options["download"]:
            if options["path"] == MOVIELENS and not Path(MOVIELENS).exists():
                message = "Name a path, or a data set to fetch: import_movies movielens --download NAME."
                raise CommandError(message)
            return Path(options["path"])
        if options["path"] != MOVIELENS:
            raise CommandError("Only “movielens” can be downloaded.")
        into = options["into"] or Path(settings.DATA_DIR) / "downloads"
        return download(options["download"], into, base_url=options["base_url"], progress=progress)
