"""Write a visitor's history as a CSV file: in the site's own form, and in the one that Letterboxd imports."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC

from movie.catalogue.models import ExternalId, Movie
from movie.core.spreadsheets import neutralize
from movie.events.history_formats import COLUMNS
from predictors.history import History

EXTERNAL_IDS = "external_ids"  # the column that names a film everywhere: imdb:tt0113277|shop:sku-7
LETTERBOXD_COLUMNS = ("imdbID", "Title", "Year", "Rating")


def history_rows(history: History) -> Iterator[list[str]]:
    """Yield the header and one line for each interaction, oldest first."""
    movies, ids = _films(history)
    yield [*COLUMNS, EXTERNAL_IDS]
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
            ids[movie.pk].get("imdb", ""),
            "" if event.value is None else f"{event.value:g}",
            neutralize(event.surface),
            neutralize(event.recommendation_id),
            event.event_id if _is_uuid(event.event_id) else "",
            neutralize("|".join(f"{source}:{value}" for source, value in ids[movie.pk].items())),
        ]


def letterboxd_rows(history: History) -> Iterator[list[str]]:
    """Yield the header and one line for each film with stars, as Letterboxd's importer reads it.

    It names no days of watching, which would make entries of a diary: the site knows when a film was rated.
    """
    movies, ids = _films(history)
    yield list(LETTERBOXD_COLUMNS)
    for movie_id, stars in history.ratings.items():
        if movie := movies.get(int(movie_id)):
            name, year = neutralize(movie.title), str(movie.year or "")
            yield [ids[movie.pk].get("imdb", ""), name, year, f"{stars:g}"]


def _films(history: History) -> tuple[dict[int, Movie], defaultdict[int, dict[str, str]]]:
    """Return the movies of a history, and their ids elsewhere by source; of several the first."""
    movies = Movie.objects.in_bulk({event.movie_id for event in history})
    ids: defaultdict[int, dict[str, str]] = defaultdict(dict)
    rows = ExternalId.objects.filter(movie__in=movies).order_by("source", "pk")
    for movie, source, value in rows.values_list("movie_id", "source", "value"):
        ids[movie].setdefault(source, value)
    return movies, ids


def _is_uuid(text: str) -> bool:
    try:
        return bool(uuid.UUID(text))
    except ValueError:
        return False
