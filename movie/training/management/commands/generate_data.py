"""manage.py generate_data: draw synthetic ratings, --out FOLDER or --to-site."""

from __future__ import annotations

import csv
import json
import tempfile
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from datasets.synthetic import World, WorldOptions, make_world, trivial_errors
from movie.catalogue.importing import cli
from movie.catalogue.importing.movies import import_movies
from movie.catalogue.models import ExternalId, Movie, Rating
from movie.catalogue.removal import delete_movies
from movie.core.progress import ProgressBar
from movie.core.shutdown import INTERRUPTED
from movie.events.models import Event
from movie.events.rating_import import import_ratings

SOURCE = "synthetic"  # the id space of the films, and what visitors begin with
SYNOPSIS = "A made-up film with made-up ratings, from manage.py generate_data. No such film exists."
FORMATS = ("csv", "parquet")
HELP = {
    "users": "people",
    "items": "films",
    "ratings": "ratings",
    "groups": "taste groups",
    "genres": "genres",
    "personal": "how far people stray from their group, stars; 0 = not at all",
    "noise": "standard deviation of a rating around its expectation, before rounding, stars",
    "seed": "equal options and seeds give equal files",
}


class Command(BaseCommand):
    help = "Make up ratings of people in taste groups, and say how well they can be predicted at best."

    def add_arguments(self, parser: ArgumentParser) -> None:
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--out", type=Path, metavar="FOLDER", help="write files there")
        where.add_argument("--to-site", action="store_true", help="load them into the site's database")
        where.add_argument(
            "--remove", action="store_true", help="take made-up films and ratings off the site"
        )
        parser.add_argument("--format", choices=FORMATS, default="csv", help="of the files in FOLDER")
        parser.add_argument(
            "--beside-real-data",
            action="store_true",
            help="with --to-site: although the site holds other films, ratings or clicks",
        )
        parser.add_argument("--dry-run", action="store_true", help="check and count, change nothing")
        parser.add_argument("--no-progress", action="store_true", help="show no progress bar")
        for field in fields(WorldOptions):
            if field.name in HELP:
                parser.add_argument(
                    f"--{field.name}",
                    type=type(field.default),
                    default=field.default,
                    help=f"{HELP[field.name]} ({field.default} by default)",
                )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["remove"]:
            self._remove(dry_run=options["dry_run"])
            return
        if options["to_site"]:
            _refuse_to_mix(beside_real_data=options["beside_real_data"])
        world = _world(options)
        if not options["dry_run"]:
            if options["to_site"]:
                self._to_site(world, progress=not options["no_progress"])
            else:
                self._to_files(world, options["out"], options["format"])
        self._say(world)

    def _to_files(self, world: World, folder: Path, format: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_films(world, folder / "movies.csv")
            write_ratings(world, folder / f"ratings.{format}")
            write_truth(world, folder / "truth")
        except OSError as error:
            raise CommandError(f"{folder}: {error.strerror or error}") from error
        self.stdout.write(f"Made-up films, ratings and, under truth/, what they were drawn from: {folder}")

    def _to_site(self, world: World, *, progress: bool) -> None:
        with (
            tempfile.TemporaryDirectory() as name,
            cli.handle_interrupts(),
            ProgressBar(enabled=progress) as bar,
        ):
            folder = Path(name)
            write_films(world, folder / "movies.csv")
            write_ratings(world, folder / "ratings.csv")
            movies = import_movies(folder / "movies.csv", source=SOURCE, by_title=False, progress=bar)
            ratings = import_ratings(folder / "ratings.csv", source=SOURCE, visitors=SOURCE, progress=bar)
            if movies.interrupted or ratings.interrupted:
                raise CommandError(cli.interruption_line(), returncode=INTERRUPTED)
        write_truth(world, truth_folder())
        self.stdout.write(cli.summary_line(movies, "made-up films", dry_run=False))
        self.stdout.write(cli.summary_line(ratings, "made-up ratings", dry_run=False))

    def _say(self, world: World) -> None:
        for line in report(world):
            self.stdout.write(line)

    def _remove(self, *, dry_run: bool) -> None:
        movies = Movie.objects.filter(external_ids__source=SOURCE)
        real = movies.filter(pk__in=_with_another_id())
        if real.exists():
            raise CommandError(
                f"{real.count()} of the made-up films have an id of another data set by now: "
                "remove those ids first."
            )
        ratings = Rating.objects.filter(movie__in=movies)
        counted = {"films": f"{movies.count():,}", "ratings": f"{ratings.count():,}"}
        if dry_run:
            self.stdout.write("{films} made-up films with {ratings} ratings would go.".format(**counted))
            return
        delete_movies(movies.values_list("pk", flat=True))
        for path in truth_folder().glob("*"):
            path.unlink()
        self.stdout.write("{films} made-up films with {ratings} ratings are gone.".format(**counted))


def _world(options: Mapping[str, Any]) -> World:
    try:
        return make_world(WorldOptions(**{name: options[name] for name in HELP}))
    except ValueError as error:
        raise CommandError(str(error)) from error


def _refuse_to_mix(*, beside_real_data: bool) -> None:
    if ExternalId.objects.filter(source=SOURCE).exists():
        raise CommandError(
            "The site holds made-up films already. Take them off first: manage.py generate_data --remove"
        )
    if beside_real_data:
        return
    if Movie.objects.exists() or Rating.objects.exists() or Event.objects.exists():
        raise CommandError(
            "The site holds films, ratings or clicks, and made-up ratings beside them would change what "
            "every model learns. Use another database, or insist with --beside-real-data."
        )


def _with_another_id() -> Any:
    return ExternalId.objects.exclude(source=SOURCE).values("movie")


def truth_folder() -> Path:
    """Return the folder of the parameters from which the site's synthetic ratings were drawn."""
    return Path(settings.DATA_DIR) / SOURCE


def report(world: World) -> list[str]:
    """Return the noise floor and the errors of predictors without taste, as lines."""
    chosen = world.options
    lines = [
        f"{len(world.stars):,} ratings of {chosen.items:,} films by {chosen.users:,} people in "
        f"{chosen.groups} taste groups, seed {chosen.seed}",
        f"{'on a held-out fifth':<22} {'MSE':>7} {'RMSE':>7}",
    ]
    for name, error in trivial_errors(world).items():
        label = "the true expectation" if name == "truth" else name
        lines.append(f"{label:<22} {error:>7.4f} {error**0.5:>7.4f}")
    floor = world.floor()
    lines.append(f"{'floor, to be expected':<22} {floor:>7.4f} {floor**0.5:>7.4f}   nothing predicts better")
    return lines


# -- files ---------------------------------------------------------------------------------------


def write_films(world: World, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", "title", "genres", "synopsis"])
        for movie, genre in zip(world.item_ids.tolist(), world.genre_names(), strict=True):
            rows.writerow([movie, f"Synthetic {genre} {movie}", genre, SYNOPSIS])


def write_ratings(world: World, path: Path) -> None:
    names = ("user", "item", "rating", "timestamp")
    if path.suffix == ".parquet":
        import polars as pl

        pl.DataFrame(list(world.rows()), schema=list(names), orient="row").write_parquet(path)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(names)
        rows.writerows((user, movie, f"{stars:g}", at) for user, movie, stars, at in world.rows())


def write_truth(world: World, folder: Path) -> None:
    """Write the ground truth: everybody's group, and the true mean and variance of every rating."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "groups.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["user", "group"])
        rows.writerows(zip(world.user_ids.tolist(), (world.group_of + 1).tolist(), strict=True))
    means, variances = world.expected(world.users, world.items)
    with (folder / "expected.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["user", "item", "mean", "variance"])
        for (user, movie, _stars, _at), mean, variance in zip(world.rows(), means, variances, strict=True):
            rows.writerow([user, movie, f"{mean:.6f}", f"{variance:.6f}"])
    facts = {
        "options": asdict(world.options),
        "floor_mse": world.floor(),
        "held_out_fifth_mse": trivial_errors(world),
    }
    (folder / "world.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
