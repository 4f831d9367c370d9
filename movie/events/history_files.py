"""Write a visitor's history as a CSV file: in the site's own form, and in the one that Letterboxd imports."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC

from movie.catalogue.models import ExternalId, Movie
from movie.core.spreadsheets import neutralize
from movie.events.history_rows import COLUMNS
from predictors.history import History, MovieId, Watch

EXTERNAL_IDS = "external_ids"  # the column that names a film everywhere: imdb:tt0113277|shop:sku-7
LETTERBOXD_COLUMNS = ("imdbID", "Title", "Year", "Rating", "WatchedDate", "Rewatch")


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
            event.watched_on.isoformat() if event.watched_on else "",
            "" if event.progress is None else f"{event.progress:g}",
            "" if event.weight is None else f"{event.weight:g}",
            neutralize("|".join(f"{source}:{value}" for source, value in ids[movie.pk].items())),
        ]


def letterboxd_rows(history: History) -> Iterator[list[str]]:
    """Yield the header and the films with stars or a watch, as Letterboxd's importer reads them.

    A film has one line, or one for each day in the diary, with the stars on the last. When a film was rated
    is no day of watching: such a line names none.
    """
    movies, ids = _films(history)
    yield list(LETTERBOXD_COLUMNS)
    for movie_id in dict.fromkeys([*history.ratings, *history.watches]):
        movie = movies.get(int(movie_id))
        if movie is None:
            continue
        film = [ids[movie.pk].get("imdb", ""), neutralize(movie.title), str(movie.year or "")]
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
