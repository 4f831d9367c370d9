"""A ranked list, and the movies of its cards."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import urlencode

from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

from movie.catalogue.formatting import stars
from movie.catalogue.models import Movie
from movie.core.ids import new_event_id
from movie.training.model_info import MODEL_INFO, MOST_RATED, fallback_text
from predictors.history import History, MovieId, Recommendation


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
    in_experiment: bool = False
    recommendation_id: str = field(default_factory=new_event_id)
    entries: list[RankedMovie] = field(default_factory=list)

    @property
    def films(self) -> list[int]:
        """The ids of the movies that are shown: the entries once they are loaded."""
        if self.entries:
            return [entry.movie.pk for entry in self.entries]
        return [int(found.movie_id) for found in self.recommendations[: self.k]]

    @property
    def why(self) -> str:
        """The query of a "Why?" link of this list; empty where nobody's taste is behind it."""
        if not self.history.liked or self.model == MOST_RATED:
            return ""
        seed = {} if self.seed_movie_id is None else {"like": self.seed_movie_id}
        return urlencode({"model": self.model} | seed)

    @property
    def model_label(self) -> str:
        return str(MODEL_INFO[self.model].label)

    @property
    def summary(self) -> str:
        return str(MODEL_INFO[self.model].summary)

    @property
    def fallback_text(self) -> str:
        return fallback_text(self.requested, self.fallback)


def load_movies(*lists: RankedList, more: Iterable[int] = ()) -> dict[int, Movie]:
    """Fill the entries of all these lists and return the visible movies by id, `more` among them.

    One query; a second one only where movies were hidden or deleted after they were ranked, to close the
    gaps with those that are ranked next.
    """
    wanted: set[MovieId] = set(more)
    for ranked in lists:
        wanted |= _named_in(ranked.recommendations[: ranked.k])
    movies = _visible(wanted)
    if len(movies) < len(wanted):
        spare = [
            _named_in(ranked.recommendations[ranked.k :]) for ranked in lists if _has_gap(ranked, movies)
        ]
        movies |= _visible(set().union(*spare) - wanted)
    for ranked in lists:
        shown = (found for found in ranked.recommendations if found.movie_id in movies)
        ranked.entries = [
            RankedMovie(movies[found.movie_id], rank, found.score, _sentence(found, ranked.history, movies))
            for rank, found in enumerate(islice(shown, ranked.k), start=1)
        ]
    return movies  # type: ignore[return-value] # the ids of the catalogue are numbers


def _named_in(recommendations: Iterable[Recommendation]) -> set[MovieId]:
    """The movies that are recommended, and those that the reasons point to."""
    ids: set[MovieId] = set()
    for found in recommendations:
        ids.add(found.movie_id)
        for reason in found.reasons:
            if reason.movie_id is not None:
                ids.add(reason.movie_id)
    return ids


def _has_gap(ranked: RankedList, movies: Container[MovieId]) -> bool:
    return any(found.movie_id not in movies for found in ranked.recommendations[: ranked.k])


def _visible(ids: Iterable[MovieId]) -> dict[MovieId, Movie]:
    return Movie.objects.visible().defer("synopsis").in_bulk(ids)


def _sentence(found: Recommendation, history: History, movies: dict[MovieId, Movie]) -> str:
    """Say in one true line why this movie is here."""
    for reason in found.reasons:
        source = None if reason.movie_id is None else movies.get(reason.movie_id)
        if source is None:
            continue
        if reason.kind == "liked_together":
            return gettext("People who liked %(title)s liked this too") % {"title": source.title}
        rating = history.ratings.get(source.pk)
        if rating is not None:
            return gettext("Because you rated %(title)s %(stars)s") % {
                "title": source.title,
                "stars": stars(rating),
            }
        if source.pk in history.watchlist:
            return gettext("Because %(title)s is on your watchlist") % {"title": source.title}
        return gettext("Because you looked at %(title)s") % {"title": source.title}
    return mean_sentence(movies[found.movie_id])


def mean_sentence(movie: Movie) -> str:
    """Return "4.1 from 512 ratings", or nothing for a movie nobody rated."""
    if not movie.rating_count:
        return ""
    return ngettext(
        "%(mean)s from %(count)s rating", "%(mean)s from %(count)s ratings", movie.rating_count
    ) % {
        "mean": number_format(round(movie.rating_average or 0.0, 1), 1),
        "count": number_format(movie.rating_count, force_grouping=True),
    }
