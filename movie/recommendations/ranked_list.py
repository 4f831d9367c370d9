"""Ranked lists: the object, its rankings in the cache, and the movies of its cards."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import islice, starmap
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.cache import cache
from django.db import DEFAULT_DB_ALIAS
from django.db.models import BigIntegerField, DateTimeField
from django.db.models.base import ModelState
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext, ngettext

from movie.catalogue.availability import available_now
from movie.catalogue.models import Movie
from movie.catalogue.translations import load_local_titles
from movie.core.compiled import CompiledQuery, Parameter
from movie.core.ids import new_event_id
from movie.experiments.assignment import Arm
from movie.recommendations.explanations.wording import because
from movie.telemetry.counters import instruments
from movie.training.model_info import MODEL_INFO, MOST_RATED, fallback_text
from predictors.history import History, MovieId, Reason, Recommendation

CACHE_SECONDS = 600
SHOWN_FIELDS = (  # of a movie on a card or on its own page; the others are read when they are asked for
    "id", "title", "year", "runtime", "synopsis", "poster_path", "photograph", "trailer_url",
    "rating_count", "rating_sum", "rating_average", "withheld_weight", "withheld_stars", "updated",
)  # fmt: skip


@dataclass(slots=True)
class RankedMovie:
    movie: Movie
    rank: int
    score: float
    reason: str = ""


@dataclass(slots=True)
class RankedList:
    """A ranking, and which model made it.

    requested        the model that was to answer first
    fallback         why it did not (a key of FALLBACK_REASONS); empty where that need not be said
    recommendations  best first; may be longer than `k`, so that movies hidden since leave no gap
    unknown          movies of the history that the model does not know
    arm              of an experiment, which decided the model
    start            so many movies of the ranking come before this list
    n_filled         so many of its movies the model does not know; they follow by their ratings
    moved_by         names of the rules that moved a movie
    entries          the movies of `recommendations` that may be seen, k at most; filled by `load_movies`
    """

    model: str
    version: str = ""
    requested: str = ""
    fallback: str = ""
    recommendations: Sequence[Recommendation] = ()
    k: int = 20
    history: History = History.EMPTY
    unknown: Sequence[MovieId] = ()
    seed_movie_id: MovieId | None = None  # the movie that a row of similar movies is about
    new_films: Container[MovieId] = ()  # movies that came after the model was trained, ranked by content
    familiarity: float | None = None  # where the dial of the model stood; None for a model without one
    arm: Arm | None = None
    start: int = 0
    n_filled: int = 0
    moved_by: Mapping[MovieId, Sequence[str]] = field(default_factory=dict)
    recommendation_id: str = field(default_factory=new_event_id)
    entries: list[RankedMovie] = field(default_factory=list)

    @property
    def in_experiment(self) -> bool:
        return self.arm is not None

    @property
    def films(self) -> list[int]:
        """Return the ids of the movies that are shown: the entries once they are loaded."""
        if self.entries:
            return [entry.movie.pk for entry in self.entries]
        return [int(found.movie_id) for found in self.recommendations[: self.k]]

    @property
    def why(self) -> str:
        """Return the query of a "Why?" link of this list; empty where nobody's taste is behind it."""
        if not self.history.liked or self.model == MOST_RATED:
            return ""
        seed = {} if self.seed_movie_id is None else {"like": self.seed_movie_id}
        dial = {"familiarity": f"{self.familiarity:g}"} if self.familiarity else {}
        return urlencode({"model": self.model} | seed | dial)

    @property
    def model_label(self) -> str:
        return str(MODEL_INFO[self.model].label)

    @property
    def answered_by(self) -> str:
        """Return "Answered by For you, trained today.", without the day for a model that is only counted."""
        names = {"model": self.model_label}
        day = trained_on(self.version)
        if day is None:
            return gettext("Answered by %(model)s.") % names
        match (timezone.localdate() - day).days:
            case 0:
                return gettext("Answered by %(model)s, trained today.") % names
            case 1:
                return gettext("Answered by %(model)s, trained yesterday.") % names
        said = names | {"date": date_format(day, "DATE_FORMAT")}
        return gettext("Answered by %(model)s, trained on %(date)s.") % said

    @property
    def summary(self) -> str:
        return str(MODEL_INFO[self.model].summary)

    @property
    def fallback_text(self) -> str:
        return fallback_text(self.requested, self.fallback)


def trained_on(version: str) -> date | None:
    """Return the day on which a version was made, by its name; None for a name without a time."""
    made = trained_at(version)
    return timezone.localdate(made) if made else None


@lru_cache(maxsize=64)  # once a request, and strptime takes 20 us
def trained_at(version: str) -> datetime | None:
    """Return when a version was made, by its name; None for a name without a time."""
    try:
        return datetime.strptime(version[:22], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
    except ValueError:
        return None


def cache_key(kind: str, *parts: object) -> str:
    """Return the key of something that follows from these parts and the models of this site."""
    digest = hashlib.blake2b(repr((str(settings.MODEL_DIR), *parts)).encode(), digest_size=16)
    return f"{kind}:{digest.hexdigest()}"


def cached_ranking(
    versions: Sequence[str],
    history: History,
    k: int,
    exclude: Iterable[MovieId],
    compute: Callable[[], Sequence[Recommendation]],
) -> Sequence[Recommendation]:
    """Return the ranking that `compute` makes, from the cache if it was made before.

    The key holds everything that a ranking follows from: the model and its version (`versions` begins with
    the model's name), the visible movies, and every interaction of the history. So an interaction, a deletion
    or a new version leads to another key at once, in every process, and nothing has to be invalidated.
    """
    key = cache_key("list", *versions, k, sorted(map(str, exclude)), history.digest)
    found = cache.get(key)
    instruments().lookups.labels(versions[0], "miss" if found is None else "hit").inc()
    if found is None:
        started = time.perf_counter()
        ranking = compute()
        instruments().ranking_seconds.labels(versions[0]).observe(time.perf_counter() - started)
        cache.set(key, [_as_plain(each) for each in ranking], CACHE_SECONDS)
        return ranking
    return [
        Recommendation(movie_id, score, tuple(starmap(Reason, reasons))) for movie_id, score, reasons in found
    ]


def _as_plain(found: Recommendation) -> tuple:
    reasons = [(each.kind, each.movie_id, each.weight, each.detail) for each in found.reasons]
    return found.movie_id, found.score, reasons


def load_movies(*lists: RankedList, more: Iterable[int] = ()) -> dict[int, Movie]:
    """Fill the entries of all these lists and return the visible movies by id, `more` among them.

    One query; a second one only where movies were hidden or deleted after they were ranked, to close the
    gaps with those that are ranked next; one more for the titles in another language than English.
    """
    wanted: set[MovieId] = set(more)
    for ranked in lists:
        wanted |= _named_in(ranked.recommendations[: ranked.k])
    movies: dict[MovieId, Movie] = _visible_movies(wanted)
    if len(movies) < len(wanted):
        spare = [
            _named_in(ranked.recommendations[ranked.k :]) for ranked in lists if _has_gap(ranked, movies)
        ]
        movies |= _visible_movies(set().union(*spare) - wanted)
    load_local_titles(movies.values())
    for ranked in lists:
        shown = (found for found in ranked.recommendations if found.movie_id in movies)
        ranked.entries = [
            RankedMovie(
                movies[found.movie_id],
                rank,
                found.score,
                _sentence(found, ranked.history, movies, is_new=found.movie_id in ranked.new_films),
            )
            for rank, found in enumerate(islice(shown, ranked.k), start=1)
        ]
    return movies  # type: ignore[return-value] # the ids of the catalogue are numbers


def _visible_movies(ids: Iterable[MovieId]) -> dict[MovieId, Movie]:
    rows = _visible_by_id.rows(movie=list(ids), now=timezone.now())
    return {row[0]: _shown_movie(row) for row in rows}


def _shown_movie(row: Sequence[Any]) -> Movie:
    """Return a movie with SHOWN_FIELDS, in a fifth of the time of `Movie.from_db`: a page shows dozens."""
    movie = Movie.__new__(Movie)
    movie.__dict__.update(zip(SHOWN_FIELDS, row, strict=True), _state=ModelState())
    movie._state.db, movie._state.adding = DEFAULT_DB_ALIAS, False
    return movie


_visible_by_id = CompiledQuery(
    lambda some: (
        Movie.objects.filter(
            available_now(now=Parameter("now", DateTimeField())), pk__in=some("movie", BigIntegerField())
        )
        .order_by()
        .values_list(*SHOWN_FIELDS)
    )
)


def _named_in(recommendations: Iterable[Recommendation]) -> set[MovieId]:
    """Yield the ids of the recommended movies and of the movies that their reasons name."""
    ids: set[MovieId] = set()
    for found in recommendations:
        ids.add(found.movie_id)
        for reason in found.reasons:
            if reason.movie_id is not None:
                ids.add(reason.movie_id)
    return ids


def _has_gap(ranked: RankedList, movies: Container[MovieId]) -> bool:
    return any(found.movie_id not in movies for found in ranked.recommendations[: ranked.k])


def _sentence(
    found: Recommendation, history: History, movies: dict[MovieId, Movie], *, is_new: bool = False
) -> str:
    """Return the reason for a movie in one line: the strongest influence, else the mean of its ratings."""
    for reason in found.reasons:
        source = None if reason.movie_id is None else movies.get(reason.movie_id)
        if source is not None:
            said = because(source.display_title, source.pk, history).text
            return gettext("New here. %(reason)s") % {"reason": said} if is_new else said
    if is_new:
        return gettext("New here")
    return mean_sentence(movies[found.movie_id])


def mean_sentence(movie: Movie) -> str:
    """Return "4.1 from 512 ratings", or nothing for a movie that nobody rated whose rating counts."""
    if movie.rating_average is None:
        return ""
    return ngettext(
        "%(mean)s from %(count)s rating", "%(mean)s from %(count)s ratings", movie.rating_count
    ) % {
        "mean": number_format(round(movie.rating_average, 1), 1),
        "count": number_format(movie.rating_count, force_grouping=True),
    }
