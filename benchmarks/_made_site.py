"""A site of any size with made-up films, people, ratings and guests, written straight into its tables.

    python -m benchmarks._made_site FILMS RATINGS

fills the site of this environment, which has to be empty, and prints the cookies of guests who ask for its
pages, by the number of films they rated: those of odd ids. Film n is the n-th most popular: it is rated in
proportion to (n + 20) ** -0.9. One person in ten is a guest, whose ratings are interactions too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

RATINGS_A_PERSON = 50
GUEST_LENGTHS = (20, 1_000)  # films that the guests who ask have rated
GUESTS = 32  # of each length: each asks for a page once, so that no list is kept from before
WELL_KNOWN = 1_000  # films on whose ratings the model is fitted
FITTED_ON = 20_000  # ratings
ROWS = 50_000  # written in one statement
N_GENRES, N_COUNTRIES, N_LANGUAGES = 18, 60, 40
SYLLABLES = (
    "ba",
    "cor",
    "del",
    "fa",
    "gan",
    "hil",
    "jo",
    "kar",
    "lu",
    "mi",
    "nor",
    "pe",
    "ra",
    "sol",
    "ta",
    "ver",
)
EARLIER = timedelta(days=365)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("films", type=int)
    parser.add_argument("ratings", type=int)
    options = parser.parse_args()
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    rng = np.random.default_rng(1)
    people, films, stars = draw_ratings(options.films, options.ratings, rng)
    with indexes_made_afterwards():
        write_films(options.films, films, stars, rng)
        write_ratings(people, films, stars, rng)
        write_activity(min(options.films, WELL_KNOWN))
    count_movies_of_people()  # by an index
    publish_model(options.films, people, films, stars)
    analyse()
    print(json.dumps({"cookies": make_guests(options.films)}))


def draw_ratings(n_films: int, n_ratings: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return people, films (from 0) and stars of ratings by person, (n_ratings,) each; each pair once."""
    n_people = max(n_ratings // RATINGS_A_PERSON, 1)
    popularity = (np.arange(n_films) + 20.0) ** -0.9
    bounds = np.cumsum(popularity / popularity.sum())
    keys = np.empty(0, dtype=np.int64)
    while len(keys) < n_ratings:  # pairs that were drawn before are lost
        more = int(1.2 * (n_ratings - len(keys))) + 100
        drawn = np.searchsorted(bounds, rng.random(more)).clip(max=n_films - 1)
        keys = np.unique(np.concatenate([keys, rng.integers(0, n_people, more) * n_films + drawn]))
    keys = np.sort(rng.permutation(keys)[:n_ratings])
    return keys // n_films, keys % n_films, rng.integers(1, 11, n_ratings) / 2


def write_films(n_films: int, films: np.ndarray, stars: np.ndarray, rng: np.random.Generator) -> None:
    """Write films with their aggregates, titles, genres, a country, a language, a director and two leads."""
    from movie.catalogue.models import Country, Credit, Genre, Language, Movie, MovieTitle, Person
    from movie.catalogue.suffixes import NameSuffix, TitleSuffix, suffixes
    from movie.catalogue.titles import search_key

    for model, number in ((Genre, N_GENRES), (Country, N_COUNTRIES), (Language, N_LANGUAGES)):
        model.objects.bulk_create([model(name=f"{model.__name__} {n}") for n in range(number)])
    counts = np.bincount(films, minlength=n_films)
    sums = np.bincount(films, weights=stars, minlength=n_films)
    words = ["".join(parts).title() for parts in itertools.product(SYLLABLES, repeat=3)]
    titles = [" ".join(words[n] for n in row) for row in rng.integers(0, len(words), (n_films, 2)).tolist()]
    n_people = max(n_films // 3, 10)
    names = [" ".join(words[n] for n in row) for row in rng.integers(0, len(words), (n_people, 2)).tolist()]
    insert(Person, ("name", "search_key"), ((name, search_key(name)) for name in names))
    columns = ("id", "title", "sort_title", "year", "runtime", "synopsis", "poster_path", "photograph")
    columns += ("trailer_url", "is_visible", "attributes", "rating_count", "rating_sum", "rating_average")
    columns += ("withheld_weight", "withheld_stars", "created", "updated")
    now = datetime.now(UTC)
    insert(Movie, columns, (
        (n + 1, title, title.lower(), 1950 + n % 75, 90, "", "", "", "", True, "{}", count, total,
         total / count if count else None, 0, 0.0, now, now)
        for n, (title, count, total) in enumerate(zip(titles, counts.tolist(), sums.tolist(), strict=True))
    ))  # fmt: skip
    insert(MovieTitle, ("movie_id", "title", "language", "search_key"), (
        (n, title, "", search_key(title)) for n, title in enumerate(titles, start=1)
    ))  # fmt: skip
    for suffix, owner in ((TitleSuffix, MovieTitle), (NameSuffix, Person)):
        keys = list(owner.objects.order_by("pk").values_list("pk", "search_key"))
        insert(suffix, ("owner_id", "text"), (
            (pk, text) for pk, key in keys for text in sorted(suffixes(key))
        ))  # fmt: skip
    for field, number in (("genres", N_GENRES), ("countries", N_COUNTRIES), ("languages", N_LANGUAGES)):
        ids = list(getattr(Movie, field).rel.model.objects.order_by("pk").values_list("pk", flat=True))
        through = getattr(Movie, field).through
        other = through._meta.get_fields()[-1].attname
        drawn = rng.integers(0, number, n_films).tolist()
        insert(through, ("movie_id", other), ((n, ids[each]) for n, each in enumerate(drawn, start=1)))
    people = list(Person.objects.order_by("pk").values_list("pk", flat=True))
    chosen = rng.integers(0, n_people, (n_films, 3))
    chosen[:, 1] = (chosen[:, 0] + 1) % n_people
    chosen[:, 2] = (chosen[:, 0] + 2) % n_people
    insert(Credit, ("movie_id", "person_id", "role", "order"), (
        (n, people[person], role, order)
        for n, row in enumerate(chosen.tolist(), start=1)
        for order, (person, role) in enumerate(zip(row, ("director", "cast", "cast"), strict=True))
    ))  # fmt: skip


def count_movies_of_people() -> None:
    from movie.catalogue.models import Person

    Person.objects.refresh_movie_counts(Person.objects.values_list("pk", flat=True))


def write_ratings(people: np.ndarray, films: np.ndarray, stars: np.ndarray, rng: np.random.Generator) -> None:
    """Write the ratings; those of every tenth person as interactions of a guest besides."""
    from movie.catalogue.models import Rating

    began = datetime.now(UTC) - EARLIER
    moments = [began + timedelta(hours=hour) for hour in range(24 * EARLIER.days)]
    hours = rng.integers(0, len(moments), len(people))

    def rows(chosen: np.ndarray) -> Iterator[tuple[str, int, float, datetime]]:
        for start in range(0, len(chosen), ROWS):
            some = chosen[start : start + ROWS]
            columns = (
                people[some].tolist(),
                films[some].tolist(),
                stars[some].tolist(),
                hours[some].tolist(),
            )
            for person, film, value, hour in zip(*columns, strict=True):
                yield visitor_of(person), film + 1, value, moments[hour]

    insert(Rating, ("visitor", "movie_id", "value", "rated_at"), rows(np.arange(len(people))))
    write_events(rows(np.flatnonzero(people % 10 == 0)))


def visitor_of(person: int) -> str:
    return f"made-up:{person}" if person % 10 else f"guest:{uuid.UUID(int=person)}"


def write_events(rows: Iterable[tuple[str, int, float, datetime]]) -> None:
    """Write ratings as interactions: visitor, film id, stars, moment."""
    from movie.core.ids import new_event_id
    from movie.events.models import Event

    columns = ("event_id", "visitor", "kind", "movie_id", "value", "at", "surface", "recommendation_id")
    columns += ("recorded_at", "available_at", "pending_sinks", "claimed_by")
    insert(Event, columns, (
        (new_event_id(), visitor, "rating", film, value, at, "home", "", at, at, 0, "")
        for visitor, film, value, at in rows
    ))  # fmt: skip


def write_activity(n_films: int) -> None:
    from movie.events.models import DailyMovieActivity

    today = datetime.now(UTC).date()
    insert(DailyMovieActivity, ("movie_id", "day", "count"), (
        (film, today - timedelta(days=day), 1 + film * 7919 % 99)
        for film in range(1, n_films + 1)
        for day in range(7)
    ))  # fmt: skip


@contextmanager
def indexes_made_afterwards() -> Iterator[None]:
    """Make the indexes of SQLite's tables after the rows, each in its order.

    A crash meanwhile may leave a broken file: no cookies are printed then, and the site is made anew.
    """
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.execute("PRAGMA cache_size = -1000000")
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        found = cursor.fetchall()
        for name, _sql in found:
            cursor.execute(f"DROP INDEX {connection.ops.quote_name(name)}")
        yield
        for _name, sql in found:
            cursor.execute(sql)


def insert(model: Any, columns: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows past the ORM, ROWS in a transaction."""
    from django.db import connection, transaction

    quote = connection.ops.quote_name
    names = [*columns]
    statement = (
        f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, names))}) "  # noqa: S608
        f"VALUES ({', '.join(['%s'] * len(names))})"
    )
    rows = iter(rows)
    while some := list(itertools.islice(rows, ROWS)):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(statement, some)


def publish_model(n_films: int, people: np.ndarray, films: np.ndarray, stars: np.ndarray) -> None:
    """Activate For you and popular, of all films, fitted on some ratings of the best-known ones.

    Films beyond these have rows without weights: what a list costs depends on how many there are and on
    the history, and a fit on all of them would take hours.
    """
    from datasets.interactions import Interactions
    from movie.training.registry import registry
    from predictors.id_map import IdMap
    from predictors.models.for_you.basis import ItemBasis
    from predictors.models.for_you.config import ForYouConfig
    from predictors.models.for_you.model import ForYouPredictor
    from predictors.models.popular import PopularPredictor
    from predictors.training_data import TrainingData

    known = min(n_films, WELL_KNOWN)
    some = np.flatnonzero(films < known)[:FITTED_ON]
    users, user_ids = np.unique(people[some], return_inverse=True)[::-1]

    def data(n_items: int) -> TrainingData:
        order, ids = np.arange(len(some)), np.arange(1, n_items + 1)
        columns = (users, films[some], stars[some], order)
        return TrainingData(Interactions.from_columns(*columns, user_ids=user_ids, item_ids=ids))

    small = ForYouPredictor.fit(data(known), ForYouConfig(tries=100, visitors=100))
    more, basis = n_films - known, small.basis
    wide = ItemBasis(
        np.append(basis.indptr, np.full(more, basis.indptr[-1])),
        basis.indices,
        basis.values,
        np.pad(basis.scales, ((0, more), (0, 0))),
    )
    popular = np.pad(small.popular, (0, more), constant_values=small.popular.min())
    for_you = ForYouPredictor(
        wide, small.mix, popular, small.similar_weights, small.recencies,
        ids=IdMap(range(1, n_films + 1)), config=small.config,
    )  # fmt: skip
    for_you.meta = small.meta
    store = registry().store
    store.publish(for_you, activate=True)
    store.publish(PopularPredictor.fit(data(n_films)), activate=True)


def analyse() -> None:
    """Let the database count what its plans rest on."""
    from benchmarks.queries import analyse

    analyse()


def make_guests(n_films: int) -> dict[int, list[str]]:
    """Make guests with each number of rated films; return their cookies."""
    from django.core.signing import get_cookie_signer

    from movie.catalogue.models import Rating
    from movie.visitors.visitor import GUEST_COOKIE, SALT

    began, signer = datetime.now(UTC) - timedelta(days=2), get_cookie_signer(salt=GUEST_COOKIE + SALT)
    cookies: dict[int, list[str]] = {length: [] for length in GUEST_LENGTHS}
    for length, number in itertools.product(GUEST_LENGTHS, range(GUESTS)):
        visitor = f"guest:{uuid.UUID(int=2**100 + 1_000 * length + number)}"
        films = range(1, 2 * min(length, n_films // 2) + 1, 2)
        rows = [
            (visitor, film, 1 + film * (number + 3) % 9 / 2, began + timedelta(seconds=film))
            for film in films
        ]
        insert(Rating, ("visitor", "movie_id", "value", "rated_at"), rows)
        write_events(rows)
        cookies[length].append(signer.sign(visitor))
    return cookies


if __name__ == "__main__":
    main()
