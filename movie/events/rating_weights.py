"""Weigh ratings: how much a visitor's stars count in public means and in "Best rated".

    weight = top * (0.1 + 0.9 * min(1, films / 20) * min(1, days / 7))          in whole percent

`top` is 100 for a member and 20 for a guest, `films` the number of films that the visitor has rated, `days`
the time since the first of these ratings, by this server's clock. So a new guest counts 2, a new member 10,
and a member with 20 films counts fully after a week. People of data sets and of API clients count fully: the
operator brought them.

Of one film, the ratings of the first `RATERS_BEHIND_ONE_ADDRESS` visitors of one network in `KEPT` days have
a weight; those after them have none until their visitors count fully. The network is kept as a keyed hash
that differs from film to film, and for `KEPT` days only.

A weight is settled when the rating is written, from a row or two of the visitor; `weighing` corrects it
later.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import CharField, Count, DateTimeField, Min
from django.utils import timezone
from django.utils.crypto import salted_hmac

from movie.catalogue.models import FULL_WEIGHT, Rating
from movie.core.compiled import CompiledQuery, Parameter
from movie.events.models import Event, NetworkOfRating, VisitorStanding
from movie.visitors.networks import UNKNOWN
from movie.visitors.visitor import OF_SITE

logger = logging.getLogger(__name__)

TOP = {"user": FULL_WEIGHT, "guest": 20}
NEW = 0.1  # share of the top that a new visitor has
FILMS = 20  # from which on the number of films adds nothing
DAYS = 7  # from which on the age adds nothing
RATERS_BEHIND_ONE_ADDRESS = 10  # of one film: a class room may share an address
MOST_KEPT = 100  # rows of one film and network: more would tell nothing
KEPT = timedelta(days=30)


class Share(NamedTuple):
    """Holds the share of a rating in the aggregates of its movie, or the difference of two shares."""

    n_ratings: int = 0
    stars: float = 0.0
    withheld_weight: int = 0
    withheld_stars: float = 0.0

    @classmethod
    def of(cls, value: float | None, weight: int) -> Share:
        """Return the share of a rating; that of none, when the value is None."""
        if value is None:
            return cls()
        withheld = FULL_WEIGHT - weight
        return cls(1, value, withheld, withheld * value)

    def plus(self, other: Share) -> Share:
        return Share(
            self.n_ratings + other.n_ratings,
            self.stars + other.stars,
            self.withheld_weight + other.withheld_weight,
            self.withheld_stars + other.withheld_stars,
        )

    def minus(self, other: Share) -> Share:
        return Share(
            self.n_ratings - other.n_ratings,
            self.stars - other.stars,
            self.withheld_weight - other.withheld_weight,
            self.withheld_stars - other.withheld_stars,
        )


def weight_of(visitor: str, films: int, since: datetime, now: datetime) -> int:
    """Return the weight of a visitor's ratings, 2 to 100."""
    top = top_of(visitor)
    if top is None:
        return FULL_WEIGHT
    age = max(0.0, (now - since) / timedelta(days=DAYS))
    return round(top * (NEW + (1 - NEW) * min(1.0, films / FILMS) * min(1.0, age)))


def top_of(visitor: str) -> int | None:
    """Return the most that a visitor of the site can weigh; None for those who count fully from the start."""
    return TOP.get(visitor.partition(":")[0]) if is_of_site(visitor) else None


def is_of_site(visitor: str) -> bool:
    """Return whether this is a guest or a member, and nobody of a data set or of an API client."""
    namespace, colon, _ = visitor.partition(":")
    return bool(colon) and namespace in OF_SITE


def current_weights(n_new: Mapping[str, int]) -> dict[str, int]:
    """Return the weight of what each visitor rates now, with so many films more than the database has.

    Three queries at most, and none for people who count fully from the start. The first call for a visitor
    stores since when there are ratings.
    """
    weights = {visitor: top_of(visitor) or FULL_WEIGHT for visitor in n_new}
    tops = {visitor: weights[visitor] for visitor in n_new if is_of_site(visitor)}
    standings = VisitorStanding.objects.in_bulk(list(tops)) if tops else {}
    growing = [
        visitor
        for visitor, top in tops.items()
        if visitor not in standings or standings[visitor].weight != top
    ]
    if not growing:
        return weights
    now = timezone.now()
    standings |= new_standings([visitor for visitor in growing if visitor not in standings], now)
    films: dict[str, int] = dict(_counts.rows(visitor=growing))  # type: ignore[arg-type]
    for visitor in growing:
        n_films = films.get(visitor, 0) + n_new[visitor]
        weights[visitor] = weight_of(visitor, n_films, standings[visitor].since, now)
    return weights


_counts = CompiledQuery(
    lambda some: (
        Rating.objects.filter(visitor__in=some("visitor", CharField()))
        .order_by()
        .values_list("visitor")
        .annotate(n=Count("pk"))
    )
)


def new_standings(visitors: Sequence[str], now: datetime) -> dict[str, VisitorStanding]:
    """Store since when these visitors have interactions."""
    if not visitors:
        return {}
    events = Event.objects.filter(visitor__in=visitors).order_by().values_list("visitor")
    since = dict(events.annotate(at=Min("recorded_at")))
    made = [VisitorStanding(visitor=visitor, since=since.get(visitor, now)) for visitor in visitors]
    VisitorStanding.objects.bulk_create(made, ignore_conflicts=True)
    return {standing.visitor: standing for standing in made}


# -- the limit for one film and one network ------------------------------------------------------------


def networks_of(network: str, movies: Iterable[int]) -> dict[int, str]:
    """Return a keyed hash of the network for each movie; none for an unknown network."""
    if network in ("", UNKNOWN):
        return {}
    return {
        movie: salted_hmac(
            "movie.events.rating_weights", f"{movie} {network}", algorithm="sha256"
        ).hexdigest()[:24]
        for movie in movies
    }


def limit_network(visitor: str, network: str, movies: Collection[int]) -> set[int]:
    """Keep from which network a visitor rates these movies; return the movies that have enough raters there.

    Must run in the transaction that writes the ratings, with the movies locked.
    """
    hashes = networks_of(network, movies)
    if not hashes:
        return set()
    since = timezone.now() - KEPT
    counts: dict[str, int] = dict(_raters.rows(network=list(hashes.values()), since=since))  # type: ignore[arg-type]
    NetworkOfRating.objects.bulk_create(
        NetworkOfRating(visitor=visitor, movie_id=movie, network=digest)
        for movie, digest in hashes.items()
        if counts.get(digest, 0) < MOST_KEPT
    )
    beyond = {movie for movie, digest in hashes.items() if counts.get(digest, 0) >= RATERS_BEHIND_ONE_ADDRESS}
    for movie in sorted(beyond):
        if counts[hashes[movie]] == RATERS_BEHIND_ONE_ADDRESS:
            logger.warning(
                "film %s: %d new visitors of one network have rated it; further ones count nothing",
                movie,
                RATERS_BEHIND_ONE_ADDRESS,
            )
    return beyond


_raters = CompiledQuery(
    lambda some: (
        NetworkOfRating.objects.filter(
            network__in=some("network", CharField()), created__gt=Parameter("since", DateTimeField())
        )
        .order_by()
        .values_list("network")
        .annotate(n=Count("pk"))
    )
)


def forget_rater(visitor: str) -> None:
    """Delete what is kept about a visitor as a rater, when the whole history goes."""
    VisitorStanding.objects.filter(visitor=visitor).delete()
    NetworkOfRating.objects.filter(visitor=visitor).delete()


def merge_rater(guest: str, user: str) -> None:
    """Give an account the age and the networks of the guest that it was."""
    known = dict(VisitorStanding.objects.filter(visitor__in=(guest, user)).values_list("visitor", "since"))
    if guest in known and (user not in known or known[guest] < known[user]):
        VisitorStanding.objects.update_or_create(visitor=user, defaults={"since": known[guest]})
    own = NetworkOfRating.objects.filter(visitor=user).values_list("movie", flat=True)
    moved = NetworkOfRating.objects.filter(visitor=guest).exclude(movie__in=list(own))
    moved.update(visitor=user)
    forget_rater(guest)
