"""Write a visitor's history as a CSV file: in the site's own form, and in the one that Letterboxd imports."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC

from movie.catalogue.models import ExternalId, Movie
from movie.core.spreadsheets import neutralize
from movie.events.history_rows import COLUMNS
from predictors.history import History, MovieId, Watch

LETTERBOXD_COLUMNS = ("imdbID", "Title", "Year", "Rating", "WatchedDate", "Rewatch")


def history_rows(history: History) -> Iterator[list[str]]:
    """Yield the header and one line for each interaction, oldest first."""
    movies, imdb = _films(history)
    yield list(COLUMNS)
    for event in history:
        movie = movies.get(int(event.movie_id))
        if movie is None:
            continue
        yield [
            event.at.astimezone(UTC).isoformat(),
            event.kind,
            str(movie.pk),
            neutralize(movie.title),
            str(movie.year or ""),
            imdb.get(movie.pk, ""),
            "" if event.value is None else f"{event.value:g}",
            neutralize(event.surface),
            neutralize(event.recommendation_id),
            event.event_id if _is_uuid(event.event_id) else "",
            event.watched_on.isoformat() if event.watched_on else "",
        ]


def letterboxd_rows(history: History) -> Iterator[list[str]]:
    """Yield the header and the films with stars or a watch, as Letterboxd's importer reads them.

    A film has one line, or one for each day in the diary, with the stars on the last. When a film was rated
    is no day of watching: such a line names none.
    """
    movies, imdb = _films(history)
    yield list(LETTERBOXD_COLUMNS)
    for movie_id in dict.fromkeys([*history.ratings, *history.watches]):
        movie = movies.get(int(movie_id))
        if movie is None:
            continue
        film = [imdb.get(movie.pk, ""), neutralize(movie.title), str(movie.year or "")]
        stars = history.ratings.get(movie_id)
        *earlier, last = diary_of(history, movie_id) or (Watch(None),)
        for watch in earlier:
            if watch.day:
                yield [*film, "", *_letterboxd_day(watch)]
        yield [*film, "" if stars is None else f"{stars:g}", *_letterboxd_day(last)]


def diary_of(history: History, movie_id: MovieId) -> tuple[Watch, ...]:
    """Return the entries of a movie, earliest first; each after the first is one of watching it again."""
    watches = history.watches.get(movie_id, ())
    return tuple(Watch(each.day, each.is_again or n > 0) for n, each in enumerate(watches))


def _letterboxd_day(watch: Watch) -> list[str]:
    return [watch.day.isoformat(), "true" if watch.is_again else "false"] if watch.day else ["", ""]


def _films(history: History) -> tuple[dict[int, Movie], dict[int, str]]:
    movies = Movie.objects.in_bulk({event.movie_id for event in history})
    imdb = dict(ExternalId.objects.filter(source="imdb", movie__in=movies).values_list("movie_id", "value"))
    return movies, imdb


def _is_uuid(text: str) -> bool:
    try:
        return bool(uuid.UUID(text))
    except ValueError:
        return False
