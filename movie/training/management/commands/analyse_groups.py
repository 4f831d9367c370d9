"""manage.py analyse_groups: find groups of people with similar taste, [--data FILE] [--known FILE] [--plot
FILE].
"""

from __future__ import annotations

import csv
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError

from movie.catalogue.models import Movie
from movie.training.datasets import interactions_from_site
from movie.training.taste_groups import GENRES_NAMED, report_of, save_report

if TYPE_CHECKING:
    from datasets.interactions import Interactions
    from evaluation.taste_groups import Analysis

DEFAULT_GROUPS = 5


class Command(BaseCommand):
    help = "Find groups of people with a like taste, and put how alike they are on the page about them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--groups", type=int, default=DEFAULT_GROUPS, metavar="K", help="how many to look for")
        add("--known", type=Path, metavar="FILE", help="a CSV of user,group: measure these groups instead")
        add("--data", type=Path, metavar="PATH", help="ratings of a file; the page stays as it is")
        add("--plot", type=Path, metavar="FILE", help="draw the cosines: a .png, .svg or .pdf")
        add("--seed", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        from evaluation.taste_groups import TooFewPeople, analyse, draw

        if options["groups"] < 1 or options["seed"] < 0:
            raise CommandError("--groups must be 1 or more, --seed 0 or more")
        ratings = _ratings(options["data"], self.stderr.write)
        known = _read_known(options["known"], ratings) if options["known"] else None
        try:
            analysis = analyse(ratings, n_groups=options["groups"], known=known, seed=options["seed"])
            found = (
                analyse(ratings, n_groups=len(set(known.values())), seed=options["seed"]) if known else None
            )
        except TooFewPeople as few:
            raise CommandError(str(few)) from few
        agreed = _agreement(analysis, found) if found else None
        genres: list[list[str]] = [[] for _group in analysis.groups]
        titles: Mapping[int, str] = {}
        if options["data"] is None:
            genres, titles = _genres(analysis), _titles(analysis)
        for line in _lines(analysis, genres, titles, agreed):
            self.stdout.write(line)
        if options["plot"]:
            labels = [f"Group {group.name}" for group in analysis.groups]
            title = f"{analysis.n_people:,} people in {len(labels)} taste groups"
            try:
                draw(analysis, labels, options["plot"], title=title)
            except (ValueError, OSError) as error:
                raise CommandError(str(error)) from error
        if options["data"] is None:
            report = report_of(
                analysis, genres, known=known is not None, seed=options["seed"], agreement=agreed
            )
            save_report(report)
            self.stdout.write("The page /compare/groups/ shows this from now on.")


def _ratings(path: Path | None, say: Callable[[str], object]) -> Interactions:
    from datasets.readers.dataset import DatasetError, read_interactions

    if path is None:
        return interactions_from_site(dislikes=True)
    try:
        return read_interactions(path, say=say)
    except DatasetError as error:
        raise CommandError(str(error)) from error


def _read_known(path: Path, ratings: Interactions) -> dict[str, str]:
    """Read the known groups: user id -> group. On a site visitors are called `data set:user`; the file may
    leave the first out.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            missing = {"user", "group"} - set(rows.fieldnames or ())
            if missing:
                raise CommandError(
                    "{file} has no column {name}".format(file=path, name=" or ".join(sorted(missing)))
                )
            stated = {row["user"]: row["group"] for row in rows}
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: {error}") from error
    known = {}
    for user in map(str, ratings.user_ids):
        name = stated.get(user) or stated.get(user.partition(":")[2])
        if name:
            known[user] = name
    if not known:
        raise CommandError(f"{path} names nobody who has rated a film")
    return known


def _agreement(known: Analysis, found: Analysis) -> float:
    from evaluation.taste_groups import agreement

    places = [np.full(known.measured.n_users, -1) for _division in range(2)]
    for division, place in zip((known, found), places, strict=True):
        for number, group in enumerate(division.groups):
            place[group.users] = number
    both = (places[0] >= 0) & (places[1] >= 0)
    return agreement(places[0][both], places[1][both])


def _genres(analysis: Analysis) -> list[list[str]]:
    """Return the genres that each group prefers."""
    from evaluation.taste_groups import preferred

    place = {int(pk): item for item, pk in enumerate(analysis.measured.item_ids)}
    names: dict[int, list[str]] = {}
    for pk, name in Movie.genres.through.objects.values_list("movie_id", "genre__name"):
        if pk in place:
            names.setdefault(place[pk], []).append(name)
    return preferred(analysis, names, GENRES_NAMED)


def _titles(analysis: Analysis) -> dict[int, str]:
    wanted = {int(analysis.measured.item_ids[film.item]) for group in analysis.groups for film in group.films}
    return {film.pk: str(film) for film in Movie.objects.filter(pk__in=wanted).only("title", "year")}


def _lines(
    analysis: Analysis, genres: Sequence[Sequence[str]], titles: Mapping[int, str], agreed: float | None
) -> list[str]:
    names = [group.name for group in analysis.groups]
    lines = [
        f"{analysis.n_people:,} people, {len(analysis.measured):,} ratings to measure on",
        "",
        "cosine    " + "".join(f"{name:>8}" for name in names),
    ]
    for name, row in zip(names, analysis.cosines, strict=True):
        lines.append(f"{name:<10}" + "".join(f"{value:>8.3f}" for value in row))
    lines += ["", f"within a group {analysis.within:.3f}, between groups {analysis.between:.3f}"]
    if agreed is not None:
        lines.append(
            f"groups found in the ratings alone agree with the known ones: {agreed:.3f} (1 = the same)"
        )
    for group, named in zip(analysis.groups, genres, strict=True):
        lines.append("")
        lines.append(
            f"group {group.name}: {len(group.users):,} people" + (f", {', '.join(named)}" if named else "")
        )
        for film in group.films:
            shown = analysis.measured.item_ids[film.item]
            title = titles.get(int(shown), "") if titles else str(shown)
            lines.append(f"  {film.lift:>5.2f}x  {film.likes:>4} of {film.raters:<4}  {title}")
    return lines
