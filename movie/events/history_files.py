"""Write a visitor's history as a CSV file: in the site's own form, and in the one that Letterboxd imports."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC

from movie.catalogue.models import ExternalId, Movie
from movie.core.spreadsheets import neutralize
from movie.events.history_formats import COLUMNS
from predictors.history import History

LETTERBOXD_COLUMNS = ("imdbID", "Title", "Year", "Rating")


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
        ]


def letterboxd_rows(history: History) -> Iterator[list[str]]:
    """Yield the header and one line for each film with stars, as Letterboxd's importer reads it.

    It names no days of watching, which would make entries of a diary: the site knows when a film was rated.
    """
    movies, imdb = _films(history)
    yield list(LETTERBOXD_COLUMNS)
    for movie_id, stars in history.ratings.items():
        if movie := movies.get(int(movie_id)):
            name, year = neutralize(movie.title), str(movie.year or "")
            yield [imdb.get(movie.pk, ""), name, year, f"{stars:g}"]


def _films(history: History) -> tuple[dict[int, Movie], dict[int, str]]:
    movies = Movie.objects.in_bulk({event.movie_id for event in history})
    imdb = dict(ExternalId.objects.filter(source="imdb", movie__in=movies).values_list("movie_id", "value"))
    return movies, imdb


def _is_uuid(text: str) -> bool:
    try:
        return bool(uuid.UUID(text))
    except ValueError:
        return False
