"""Training data of this site: liked movies as arrays, and the knowledge graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.models import QuerySet

from evaluation.trainer import FROM_SITE
from movie.catalogue.models import Movie, Rating
from movie.events.archive import ArchiveUnavailable
from movie.events.history import iter_histories
from movie.events.stream import get_event_stream
from movie.training.training_feed import TrainingFeed, feed_file, id_space_of
from movie.visitors.visitor import acting
from predictors.history import LIKED_FROM
from predictors.plugins import predictor_class

if TYPE_CHECKING:
    from datasets.interactions import Interactions

CHUNK = 20_000  # rows in memory as Python objects
Rows = tuple[Sequence[str], Sequence[int], Sequence[float], Sequence[Any]]  # visitors, films, stars, times


def interactions_from_site(*, dislikes: bool = False) -> Interactions:
    """Return every liked movie of every visitor, with the movies' primary keys as item ids.

    Liked is what `History.liked` says: rated three stars or better, or clicked or put on the watchlist
    and not disliked. With `dislikes` every rating is there as well, however low. People of data sets, who
    have ratings only, are read as plain rows; visitors who can act are read through `History`.
    `values` holds the stars, nan where there are none; `at` is in seconds, and films that were liked
    within one second keep their order. `read_at` is the time before the first query.
    """
    from datasets.interactions import Interactions

    began = datetime.now(UTC)  # a film that comes while the rows are read may be missing
    users: dict[str, int] = {}
    item_indices: dict[int, int] = {}
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for visitors, movies, stars, times in chain(_data_set_ratings(dislikes), _visitor_ratings(dislikes)):
        columns[0].append(np.array([users.setdefault(visitor, len(users)) for visitor in visitors], np.int32))
        columns[1].append(
            np.array([item_indices.setdefault(movie, len(item_indices)) for movie in movies], np.int32)
        )
        columns[2].append(np.array(stars, dtype=np.float32))
        columns[3].append(np.array(times, dtype="datetime64[us]").astype(np.int64))
    if not users:
        nothing = np.empty(0, dtype=np.int64)
        return Interactions.from_columns(nothing, nothing, user_ids=nothing, item_ids=nothing)
    user_column, item_column, values, microseconds = (np.concatenate(parts) for parts in columns)
    item_column, item_ids = _by_id(item_column, item_indices)
    by_time = np.argsort(microseconds, kind="stable")
    interactions = Interactions.from_columns(
        user_column[by_time],
        item_column[by_time],
        values[by_time],
        microseconds[by_time] // 1_000_000,
        user_ids=np.array(list(users), dtype=object),
        item_ids=item_ids,
    )
    return replace(interactions, read_at=began)


class DataUnusable(Exception):
    """There is no training data; the message says why and what to do."""


def load_training_data(feed: Path | None = None, *, dislikes: bool = False) -> Interactions:
    """Return the interactions of the site, or of a training feed. Raises DataUnusable.

    The feed adds nothing to what the site has: it is for machines that cannot ask the site, and has no
    ratings of imported data sets.
    """
    if feed is None:
        try:
            interactions = interactions_from_site(dislikes=dislikes)
        except ArchiveUnavailable as error:
            said = (
                "The archive of old clicks cannot be read, so some of what visitors like is missing: %(why)s"
            )
            raise DataUnusable(said % {"why": error}) from error
        if not len(interactions):
            raise DataUnusable(
                "Nobody has liked a film yet. Import ratings first; see: manage.py import_ratings --help"
            )
        return interactions
    from datasets.readers.dataset import DatasetError, read_interactions

    path = feed_file(feed)
    if id_space_of(path) != FROM_SITE:
        raise DataUnusable(
            f"{feed} is no training feed of a site, so what is trained on it cannot serve pages."
        )
    try:
        return read_interactions(path)
    except DatasetError as error:
        raise DataUnusable(str(error)) from error


def graph_option(name: str) -> dict[str, str]:
    """Return the option `graph` for a model that uses the site's knowledge graph, which is built if there
    is none.
    """
    if not predictor_class(name).wants_knowledge_graph:
        return {}
    from datasets.knowledge_graph.storage import META

    folder = Path(settings.KNOWLEDGE_GRAPH_DIR)
    if not (folder / META).exists() and Movie.objects.exists():
        call_command("build_knowledge_graph", no_progress=True, stdout=StringIO())
    return {"graph": str(folder)} if (folder / META).exists() else {}


def _data_set_ratings(dislikes: bool) -> Iterator[Rows]:
    """Yield ratings of people of data sets, in chunks.

    Read past the ORM, whose time conversion takes most of the time: the times stay what the
    database driver makes of them, UTC text (SQLite) or UTC datetimes, naive (MySQL) or with a zone
    (PostgreSQL), which is taken off, as NumPy knows none.
    """
    has_zone = connection.vendor == "postgresql"
    ratings = (
        Rating.objects.filter(value__gte=0 if dislikes else LIKED_FROM)
        .exclude(acting())
        .order_by("pk")
        .values_list("visitor", "movie_id", "value", "rated_at")
    )
    for rows in _chunks(ratings):
        visitors, movies, stars, times = zip(*rows, strict=True)
        yield (
            list(visitors),
            list(movies),
            list(stars),
            [at.replace(tzinfo=None) if has_zone else at for at in times],
        )


def _chunks(rows: QuerySet) -> Iterator[list[tuple[Any, ...]]]:
    sql, parameters = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        while chunk := cursor.fetchmany(CHUNK):
            yield chunk


def _visitor_ratings(dislikes: bool) -> Iterator[Rows]:
    """Yield liked movies and, if wanted, rated ones of each visitor who can act.

    From the training feed where it knows everything: it takes no query a visitor. Without a broker neither
    new events nor deletions reach the feed, so it is not read.
    """
    feed = TrainingFeed()
    if feed.is_filled and get_event_stream().uses_outbox:
        feed.compact()
        yield from feed.visitor_ratings(list(Movie.objects.values_list("pk", flat=True)), dislikes)
        return
    for visitor, history in iter_histories():
        touched = {event.movie_id: event.at for event in history if event.kind != "impression"}
        movies = [*history.liked]
        if dislikes:
            movies += [movie for movie in history.ratings if movie not in history.strength]
        yield (
            [visitor] * len(movies),
            [int(movie) for movie in movies],
            [history.ratings.get(movie, float("nan")) for movie in movies],
            [touched[movie].astimezone(UTC).replace(tzinfo=None) for movie in movies],
        )


def _by_id(item_column: np.ndarray, item_indices: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Number the films by ascending primary key, so that equal data gives equal arrays."""
    item_ids = np.array(list(item_indices), dtype=np.int64)
    order = np.argsort(item_ids)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[item_column], item_ids[order]
