"""A visitor's taste in figures: what they rated, beside the ratings of everybody else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from django.core.cache import cache
from django.db.models import Count
from django.urls import reverse

from movie.catalogue.browse import BrowseFilters
from movie.catalogue.formatting import decade
from movie.catalogue.models import HALF_STARS, Movie, Rating
from movie.catalogue.translations import load_local_titles
from predictors.history import History

EVERYBODY_KEY, EVERYBODY_SECONDS = "everybodys-stars", 3600  # counted over all ratings, so not on every page
MIN_OTHERS = 5  # ratings by others from which on their mean says something
MIN_OF_DIRECTOR = 2
GROUPS_SHOWN, DIFFERENCES_SHOWN = 10, 8
SCALE = 100.0  # width of the longest bar


@dataclass(frozen=True, slots=True)
class StarRow:
    """How often the visitor gave a number of stars, and everybody. Shares are 0 to 1, widths 0 to SCALE."""

    value: float
    count: int
    share: float
    everybody: float
    width: float
    everybody_width: float


@dataclass(frozen=True, slots=True)
class TasteGroup:
    """The films of one director, genre or decade that the visitor rated.

    `parameter` and `value` are the filter of My history that lists them; `others` is the mean of everybody
    else over the same films, None where few others rated them.
    """

    name: str
    address: str
    parameter: str
    value: int
    count: int
    mean: float
    others: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    movie: Movie
    stars: float
    others: float

    @property
    def gap(self) -> float:
        return self.stars - self.others


@dataclass(frozen=True, slots=True)
class Taste:
    n_films: int
    mean: float
    everybody_mean: float | None
    rows: list[StarRow]
    directors: list[TasteGroup]
    genres: list[TasteGroup]
    decades: list[TasteGroup]
    differences: list[Difference]


def taste_of(history: History) -> Taste | None:
    """Return a visitor's taste; None without a rating.

    Takes four queries, one more once an hour, and one where titles are in another language than English.
    """
    stars: dict[int, float] = {int(pk): value for pk, value in history.ratings.items()}
    if not stars:
        return None
    films = Movie.objects.visible().for_cards().defer("synopsis").in_bulk(stars)
    others = {
        pk: mean for pk, film in films.items() if (mean := _mean_of_others(film, stars[pk])) is not None
    }
    directors: dict[tuple[int, str], list[int]] = defaultdict(list)
    genres: dict[tuple[int, str], list[int]] = defaultdict(list)
    decades: dict[int, list[int]] = defaultdict(list)
    for pk, film in films.items():
        for credit in film.director_credits:
            directors[credit.person_id, credit.person.name].append(pk)
        for genre in film.genres.all():
            genres[genre.pk, genre.name].append(pk)
        if film.year:
            decades[film.year // 10 * 10].append(pk)

    def group(name: str, address: str, parameter: str, value: int, ids: list[int]) -> TasteGroup:
        known = [others[pk] for pk in ids if pk in others]
        mean = fmean(stars[pk] for pk in ids)
        return TasteGroup(name, address, parameter, value, len(ids), mean, fmean(known) if known else None)

    everybody = everybodys_counts()
    total = sum(everybody)
    return Taste(
        n_films=len(stars),
        mean=fmean(stars.values()),
        everybody_mean=_weighted_mean(everybody) if total else None,
        rows=_star_rows(stars, everybody),
        directors=_most_first(
            group(name, reverse("pages:person", args=[pk]), "director", pk, ids)
            for (pk, name), ids in directors.items()
            if len(ids) >= MIN_OF_DIRECTOR
        ),
        genres=_most_first(
            group(name, reverse("pages:genre", args=[pk]), "genre", pk, ids)
            for (pk, name), ids in genres.items()
        ),
        decades=[
            group(decade(each), BrowseFilters(decade=each).url(), "decade", each, decades[each])
            for each in sorted(decades)
        ],
        differences=_differences(films, stars, others),
    )


def everybodys_counts() -> list[int]:
    """Return how many ratings of the whole site have each number of stars, counted once an hour."""
    counts: list[int] | None = cache.get(EVERYBODY_KEY)
    if counts is None:
        found = dict(Rating.objects.order_by().values_list("value").annotate(count=Count("pk")))
        counts = [found.get(value, 0) for value in HALF_STARS]
        cache.set(EVERYBODY_KEY, counts, EVERYBODY_SECONDS)
    return counts


def _weighted_mean(counts: list[int]) -> float:
    return sum(value * count for value, count in zip(HALF_STARS, counts, strict=True)) / sum(counts)


def _star_rows(stars: Mapping[int, float], everybody: list[int]) -> list[StarRow]:
    """Return one row for each number of stars, the highest first."""
    own, total = Counter(stars.values()), sum(everybody)
    shares = [
        (value, own[value], own[value] / len(stars), count / total if total else 0.0)
        for value, count in zip(HALF_STARS, everybody, strict=True)
    ]
    longest = max(max(share, theirs) for _value, _count, share, theirs in shares)
    return [
        StarRow(*row, round(SCALE * row[2] / longest, 1), round(SCALE * row[3] / longest, 1))
        for row in reversed(shares)
    ]


def _mean_of_others(film: Movie, stars: float) -> float | None:
    """Return the mean of all ratings of a film but one."""
    count = film.rating_count - 1
    return (film.rating_sum - stars) / count if count >= MIN_OTHERS else None


def _most_first(groups: Iterable[TasteGroup]) -> list[TasteGroup]:
    return sorted(groups, key=lambda each: (-each.count, -each.mean, each.name))[:GROUPS_SHOWN]


def _differences(
    films: Mapping[int, Movie], stars: Mapping[int, float], others: Mapping[int, float]
) -> list[Difference]:
    """Return the films on which the visitor and everybody else differ most, by at least a star."""
    found = [Difference(films[pk], stars[pk], mean) for pk, mean in others.items()]
    apart = [each for each in found if abs(each.gap) >= 1.0]
    apart = sorted(apart, key=lambda each: (-abs(each.gap), each.movie.pk))[:DIFFERENCES_SHOWN]
    load_local_titles(each.movie for each in apart)
    return apart
