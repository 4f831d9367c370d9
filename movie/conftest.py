"""Fixtures for the tests of every app: empty caches, a small trained site, a database that threads share."""

from __future__ import annotations

import math
import sqlite3
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from django.core.cache import cache
from django.core.management.color import no_style
from django.core.signals import setting_changed
from django.db import connection, connections
from django.dispatch import receiver

from movie.catalogue import facets
from movie.catalogue.models import Genre, Language, Movie, MovieTitle, Rating
from movie.catalogue.popular import popular_names, popular_titles
from movie.catalogue.tests.films import LONG_AGO
from movie.events.archive import get_archive
from movie.events.stream import get_event_stream


@receiver(setting_changed)
def forget_backends(*, setting: str, **kwargs: object) -> None:
    """Build the archive and the stream anew for a test that changes their settings."""
    if setting == "CLICK_ARCHIVE":
        get_archive.cache_clear()
    elif setting == "EVENT_STREAM":
        get_event_stream.cache_clear()


@pytest.fixture(autouse=True)
def nothing_remembered():
    """Give each test empty caches and a catalogue of its own."""
    from movie.recommendations.movie_index import index_holder

    cache.clear()
    index_holder.cache_clear()
    popular_titles.clear()
    popular_names.clear()


@pytest.fixture(autouse=True)
def every_change_is_counted(monkeypatch):
    """Show each change in the numbers of films at once, without a thread, however long counting takes."""
    monkeypatch.setattr(facets, "SLOW_SECONDS", math.inf)
    monkeypatch.setattr(facets, "MAX_SHARE_OF_CHANGES", math.inf)


@pytest.fixture(autouse=True)
def no_minute_ends(monkeypatch):
    """Stop the clock of limits, which count by the minute: one may end within a test."""
    now = time.time()
    monkeypatch.setattr("movie.visitors.throttling.time", SimpleNamespace(time=lambda: now))


@pytest.fixture
def own_connections(transactional_db, tmp_path):
    """Give a test a database that threads can share. SQLite's test database in memory knows no waiting, so
    its tables are copied into a file, as on a real site."""
    if connection.vendor != "sqlite":
        yield
        return
    memory = connections["default"]
    memory.ensure_connection()
    path = tmp_path / "threads.sqlite3"
    with sqlite3.connect(path) as target:
        memory.connection.backup(target)
    name = memory.settings_dict["NAME"]
    del connections["default"]
    connections.settings["default"]["NAME"] = str(path)
    yield
    connections["default"].close()
    connections.settings["default"]["NAME"] = name
    connections["default"] = memory


FILMS, PEOPLE, RATED = 24, 40, 8
TRAINED = ("popular", "neighbours", "mf")


def ratings_of_people() -> list[tuple[int, int, float]]:
    """Return (person, film, stars): the first half prefers odd films, the second even ones."""
    rng = np.random.default_rng(1)
    rows = []
    for person in range(PEOPLE):
        odd = person < PEOPLE // 2
        for film in (rng.permutation(FILMS)[:RATED] + 1).tolist():
            rows.append((person, film, 4.5 if (film % 2 == 1) == odd else 2.0))
    return rows


@pytest.fixture(scope="session")
def api_models(tmp_path_factory) -> Path:
    """Trained once; the films have the same ids in every test."""
    from datasets.interactions import Interactions
    from predictors.plugins import predictor_class
    from predictors.serving.registry import ModelStore

    store = ModelStore(tmp_path_factory.mktemp("models"))
    people, films, stars = (np.array(column) for column in zip(*ratings_of_people(), strict=True))
    item_ids = np.arange(1, FILMS + 1)
    every = Interactions.from_columns(
        people, films - 1, stars, np.arange(len(people)), user_ids=np.arange(PEOPLE), item_ids=item_ids
    )
    liked = every.select(every.values >= 3)
    for name in TRAINED:
        kind = predictor_class(name)
        store.publish(kind.fit(every if kind.learns_from_dislikes else liked), activate=True)
    return store.root


@pytest.fixture
def api_site(db, settings, api_models) -> list[Movie]:
    """Odd films are westerns, even ones horror, every third a comedy too; the later half is Korean."""
    settings.MODEL_DIR = api_models
    settings.DEFAULT_MODELS = ("neighbours", "popular")
    settings.API_ANONYMOUS_RATE_LIMIT = settings.API_RATE_LIMIT = 1_000_000
    cache.clear()
    films = Movie.objects.bulk_create(
        Movie(pk=pk, title=f"Film {pk}", sort_title=f"film {pk}", year=1970 + pk)
        for pk in range(1, FILMS + 1)
    )
    with connection.cursor() as cursor:  # PostgreSQL counts on from the ids that it gave itself
        for statement in connection.ops.sequence_reset_sql(no_style(), [Movie]):
            cursor.execute(statement)
    MovieTitle.objects.bulk_create(
        MovieTitle(movie=film, title=film.title, search_key=film.title.casefold()) for film in films
    )
    genres = Genre.objects.named(["Western", "Horror", "Comedy"])
    languages = Language.objects.named(["English", "Korean"])
    Movie.genres.through.objects.bulk_create(
        Movie.genres.through(movie=film, genre=genres[name])
        for film in films
        for name in ("Western" if film.pk % 2 else "Horror", *(["Comedy"] * (film.pk % 3 == 0)))
    )
    Movie.languages.through.objects.bulk_create(
        Movie.languages.through(
            movie=film, language=languages["English" if film.pk <= FILMS // 2 else "Korean"]
        )
        for film in films
    )
    Rating.objects.bulk_create(
        Rating(
            visitor=f"ml-100k:{person}", movie_id=film, value=stars, rated_at=LONG_AGO + timedelta(minutes=n)
        )
        for n, (person, film, stars) in enumerate(ratings_of_people())
    )
    Movie.objects.refresh_aggregates()
    return films
