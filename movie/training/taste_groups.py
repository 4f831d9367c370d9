"""The report on taste groups: written by manage.py analyse_groups, read by the page.

The page does no analysis. The report is one file beside the models, which web and training
processes share; it holds film ids and figures, and no visitor.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from movie.catalogue.models import Movie
from movie.catalogue.translations import load_local_titles

if TYPE_CHECKING:
    from evaluation.taste_groups import Analysis

FORM = 1  # of the file; another number is a report of another version
GENRES_NAMED = 2
SHADES = 5  # of either colour of the heatmap


@dataclass(frozen=True, slots=True)
class GroupFilm:
    """A movie that `likes` of the `raters` in a group liked, `lift` times as often as everybody."""

    movie_id: int
    lift: float
    likes: int
    raters: int


@dataclass(frozen=True, slots=True)
class GroupReport:
    """`genres` are those that the group rates highest above average, perhaps none."""

    name: str
    size: int
    share: float
    genres: tuple[str, ...]
    films: tuple[GroupFilm, ...]


@dataclass(frozen=True, slots=True)
class GroupsReport:
    """cosines of group profiles, the diagonal within a group; `known` when the groups were given.

    people, ratings  that the figures were measured on
    agreement        of found groups with known ones, 1 = the same; None where none are known
    """

    created: datetime
    known: bool
    seed: int
    people: int
    ratings: int
    within: float
    between: float | None
    agreement: float | None
    groups: tuple[GroupReport, ...]
    cosines: tuple[tuple[float, ...], ...]

    @property
    def rows(self) -> list[tuple[GroupReport, tuple[float, ...]]]:
        """Return each group with its cosines."""
        return list(zip(self.groups, self.cosines, strict=True))


def report_of(
    analysis: Analysis, genres: list[list[str]], *, known: bool, seed: int, agreement: float | None
) -> GroupsReport:
    """Return the report of an analysis whose items are the site's movies."""
    ids = analysis.measured.item_ids
    groups = tuple(
        GroupReport(
            name=group.name,
            size=len(group.users),
            share=len(group.users) / analysis.n_people,
            genres=tuple(named),
            films=tuple(
                GroupFilm(int(ids[film.item]), round(film.lift, 3), film.likes, film.raters)
                for film in group.films
            ),
        )
        for group, named in zip(analysis.groups, genres, strict=True)
    )
    between = analysis.between  # nan where there is one group
    return GroupsReport(
        created=timezone.now(),
        known=known,
        seed=seed,
        people=analysis.n_people,
        ratings=len(analysis.measured),
        within=round(analysis.within, 4),
        between=None if math.isnan(between) else round(between, 4),
        agreement=None if agreement is None else round(agreement, 4),
        groups=groups,
        cosines=tuple(tuple(round(float(value), 4) for value in row) for row in analysis.cosines),
    )


# -- the file ------------------------------------------------------------------------------------


def report_path() -> Path:
    return Path(settings.MODEL_DIR) / "taste_groups.json"


def save_report(report: GroupsReport) -> Path:
    """Replace the report in one step: a reader sees the old one or the new one."""
    path = report_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"form": FORM, **asdict(report), "created": report.created.isoformat()}
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=".taste_groups-", delete=False
    ) as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
    return path


def read_report() -> GroupsReport | None:
    """Return the latest report; None where there is none, or none that this version can read."""
    try:
        content = json.loads(report_path().read_text(encoding="utf-8"))
        return _report(content) if content.get("form") == FORM else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _report(content: Mapping[str, Any]) -> GroupsReport:
    created = parse_datetime(content["created"])
    if created is None:
        raise ValueError("created is no time")
    groups = tuple(
        GroupReport(
            each["name"],
            int(each["size"]),
            float(each["share"]),
            tuple(each["genres"]),
            tuple(GroupFilm(**film) for film in each["films"]),
        )
        for each in content["groups"]
    )
    cosines = tuple(tuple(map(float, row)) for row in content["cosines"])
    if {len(groups)} != {len(cosines), *map(len, cosines)}:
        raise ValueError("the cosines are not one for each pair of groups")
    plain = {name: content[name] for name in ("known", "seed", "people", "ratings", "within", "between")}
    return GroupsReport(
        created=created, agreement=content["agreement"], groups=groups, cosines=cosines, **plain
    )


# -- for the page --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShownFilm:
    movie: Movie
    figures: GroupFilm


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """A group with its movies, without hidden and deleted ones."""

    figures: GroupReport
    films: tuple[ShownFilm, ...]


def with_films(report: GroupsReport) -> list[ShownGroup]:
    """Return the groups with their movies, in one query."""
    wanted = {film.movie_id for group in report.groups for film in group.films}
    films = {film.pk: film for film in Movie.objects.visible().filter(pk__in=wanted).defer("synopsis")}
    load_local_titles(films.values())
    return [
        ShownGroup(
            group,
            tuple(ShownFilm(films[film.movie_id], film) for film in group.films if film.movie_id in films),
        )
        for group in report.groups
    ]


@dataclass(frozen=True, slots=True)
class Cell:
    """A square of the heatmap; `shade` names its colour: warm-1 to warm-5, cool-1 to cool-5, or even."""

    x: int
    y: int
    value: float
    shade: str


@dataclass(frozen=True, slots=True)
class Heatmap:
    """The heatmap's sizes and positions in the units of the drawing. `label_x`, `label_y` are where names
    stand.
    """

    width: int
    height: int
    side: int
    cells: tuple[Cell, ...]
    rows: tuple[tuple[str, int], ...]
    columns: tuple[tuple[str, int], ...]


SIDE, GAP, MARGIN = 56, 2, 44


def heatmap_of(report: GroupsReport) -> Heatmap:
    starts = [MARGIN + place * (SIDE + GAP) for place in range(len(report.groups))]
    cells = tuple(
        Cell(x, y, value, shade_of(value))
        for y, row in zip(starts, report.cosines, strict=True)
        for x, value in zip(starts, row, strict=True)
    )
    names = tuple((group.name, start + SIDE // 2) for group, start in zip(report.groups, starts, strict=True))
    size = MARGIN + len(starts) * (SIDE + GAP)
    return Heatmap(size, size, SIDE, cells, names, names)


def shade_of(value: float) -> str:
    """Return the shade of a cosine, in steps of equal width, so that twice the cosine is twice the colour."""
    step = min(SHADES, round(abs(value) * SHADES))
    return f"{'warm' if value > 0 else 'cool'}-{step}" if step else "even"
