"""Settle the weights of ratings again, as visitors' histories grow, and find films with unusual ratings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from movie.catalogue.models import FULL_WEIGHT, Movie, Rating
from movie.core.batches import write_in_batches
from movie.core.database import retry_on_deadlock
from movie.events.models import NetworkOfRating, VisitorStanding
from movie.events.rating_weights import KEPT, Share, new_standings, weight_of
from movie.events.ratings import lock_movies, shift_aggregates
from movie.visitors.visitor import OF_SITE

logger = logging.getLogger(__name__)

VISITORS_AT_ONCE = 200
BURST, BURST_DAY = 30, timedelta(days=1)  # ratings by new visitors in a day that make a film unusual
MOST_UNUSUAL = 100

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class UnusualMovie:
    """Holds a movie that many new visitors rated within a day; `burst` is how many."""

    movie: Movie
    burst: int

    def __str__(self) -> str:
        movie = self.movie
        weighed = "-" if movie.rating_average is None else f"{movie.rating_average:.2f}"
        return (
            f"film {movie.pk}, {movie}: {self.burst} ratings by new visitors within a day, "
            f"{movie.rating_count} in all; "
            f"mean {weighed}, without weights {movie.unweighed_average or 0.0:.2f}"
        )


def settle_weights(progress: Progress = lambda done, text: None) -> int:
    """Give the ratings of guests and members the weights that these have now; return how many changed.

    Every transaction is small and followed by a pause as long, so nobody's rating waits. A second call after
    an interruption does the rest. Networks that were kept for long enough are deleted.
    """
    NetworkOfRating.objects.filter(created__lt=timezone.now() - KEPT).delete()
    changed, done = 0, 0
    for visitors in _raters():
        for visitor, weight in _weights(visitors).items():
            changed += _settle(visitor, weight)
        done += len(visitors)
        progress(0.0, f"{done:,} visitors")
    return changed


def _raters() -> Iterator[list[str]]:
    """Yield the guests and members who have ratings, in batches."""
    for namespace in OF_SITE:
        first, end = f"{namespace}:", f"{namespace};"  # the character after the colon
        rows = (
            Rating.objects.filter(visitor__lt=end)
            .order_by("visitor")
            .values_list("visitor", flat=True)
            .distinct()
        )
        while some := list(rows.filter(visitor__gt=first)[:VISITORS_AT_ONCE]):
            yield some
            first = some[-1]


def _weights(visitors: list[str]) -> dict[str, int]:
    """Return the weight of each of these visitors now, and store it in their standings."""
    now = timezone.now()
    films = dict(
        Rating.objects.filter(visitor__in=visitors).order_by().values_list("visitor").annotate(n=Count("pk"))
    )
    standings = VisitorStanding.objects.in_bulk(visitors)
    standings |= new_standings([visitor for visitor in visitors if visitor not in standings], now)
    weights = {
        visitor: weight_of(visitor, films.get(visitor, 0), standings[visitor].since, now)
        for visitor in visitors
    }
    moved = [standing for standing in standings.values() if standing.weight != weights[standing.visitor]]
    for standing in moved:
        standing.weight = weights[standing.visitor]
    VisitorStanding.objects.bulk_update(moved, ["weight"])
    return weights


def _settle(visitor: str, weight: int) -> int:
    """Give a visitor's ratings this weight. Those beyond a network's limit wait until it is the full one."""
    wrong = Rating.objects.filter(visitor=visitor).exclude(weight=weight)
    if weight < FULL_WEIGHT:
        wrong = wrong.exclude(weight=0)
    movies = list(wrong.values_list("movie", flat=True))

    def settle(some: list[int]) -> int:
        return _settle_movies(wrong.filter(movie__in=some), some, weight)

    return sum(write_in_batches(movies, settle))


@retry_on_deadlock
def _settle_movies(ratings: QuerySet[Rating], movies: list[int], weight: int) -> int:
    with transaction.atomic():
        lock_movies(Movie.objects.filter(pk__in=movies))
        shifts: dict[int, Share] = {}
        keys = []
        for pk, movie, value, before in ratings.values_list("pk", "movie_id", "value", "weight"):
            shifts[movie] = Share.of(value, weight).minus(Share.of(value, before))
            keys.append(pk)
        Rating.objects.filter(pk__in=keys).update(weight=weight)
        shift_aggregates(shifts)
    return len(keys)


def unusual_movies() -> list[UnusualMovie]:
    """Return movies that got most of their recent ratings by new visitors within the last day, most first.

    Reads only what is kept about new visitors' ratings of the last days.
    """
    today = Q(created__gt=timezone.now() - BURST_DAY)
    recent = NetworkOfRating.objects.filter(created__gt=timezone.now() - KEPT).order_by().values_list("movie")
    counts = recent.annotate(burst=Count("pk", filter=today), kept=Count("pk")).filter(burst__gte=BURST)
    bursts = {movie: burst for movie, burst, kept in counts if burst * 2 >= kept}
    largest = sorted(bursts, key=lambda movie: -bursts[movie])[:MOST_UNUSUAL]
    movies = Movie.objects.in_bulk(largest)
    return [UnusualMovie(movies[pk], bursts[pk]) for pk in largest if pk in movies]


def warn_of_unusual_movies() -> list[UnusualMovie]:
    """Log each movie with unusual ratings, and return them."""
    found = unusual_movies()
    for each in found:
        logger.warning("unusual ratings: %s", each)
    return found
