"""Synthetic ratings whose best possible prediction is known: people in taste groups, items in genres.

The model, with g the group of person u, c the genre of item i, and every letter drawn from the seed:

    level       z_ui = mu + b_i + t * (h_g + p_u)'q_i        stars, before anything is rounded
    group       h_g on the unit sphere of D dimensions, groups as far apart as a search finds them
    person      p_u ~ Normal(0, personal ** 2), zero by default: who shares a group shares a taste
    item        q_i = v_c + Normal(0, own ** 2), v_c as h_g;  b_i ~ Normal(0, spread ** 2)
    rating      r_ui = z_ui + e to the nearest half star, within 0.5 to 5;  e ~ Logistic(0, s)

So the chance of at least r stars is the proportional-odds model (McCullagh, JRSS B 1980; used for
ratings by Koren and Sill, "OrdRec", RecSys 2011), which has a closed form:

    P(r_ui >= r) = 1 / (1 + exp((r - 0.25 - z_ui) / s)),      r = 1, 1.5, ..., 5
    m_ui = E[r_ui]   = 0.5 + 0.5 * sum over r of P(r_ui >= r)
    E[r_ui ** 2]     = 0.25 + sum over r of (r ** 2 - (r - 0.5) ** 2) P(r_ui >= r)

m_ui is the best prediction under squared error. The floor of a set of ratings is the mean of
Var(r_ui) = E[r_ui ** 2] - m_ui ** 2 over its rows: the error of a model that knows every parameter.

The items that a person rates depend on taste too, as in life, but never on the error e:

    chance of being rated next  ~  exp(Normal(0, popularity ** 2) + selectivity * t * (h_g + p_u)'q_i)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# The genres and how the ids of their items begin.
GENRES = (
    ("Drama", "DRAM"),
    ("Comedy", "COMD"),
    ("Action", "ACTN"),
    ("Romance", "ROMN"),
    ("Horror", "HORR"),
    ("Western", "WEST"),
    ("Documentary", "DOCU"),
    ("Animation", "ANIM"),
    ("Crime", "CRIM"),
    ("Musical", "MUSI"),
    ("Thriller", "THRI"),
    ("War", "WARF"),
)
FIRST_USER, FIRST_ITEM, MAX_GAP = 10_001, 1_001, 9
LOWEST, HIGHEST, STEP = 0.5, 5.0, 0.5
FROM_ONE_STAR_UP = np.arange(LOWEST + STEP, HIGHEST + STEP, STEP)
EARLIEST, A_YEAR = 1_577_836_800, 366 * 86_400  # the year 2020, seconds since 1970
MAX_SECONDS_BETWEEN = 86_400
MIN_PER_USER = 10  # unless there are too few ratings for that
TRIES = 400  # random arrangements of which the most spread out one is taken


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """Configures a world.

    users, items, ratings  how many of each
    groups       taste groups
    genres       the first so many of GENRES
    dimensions   D of taste
    taste        t, stars
    mean         mu, stars
    spread       of b_i, stars
    own          of an item within its genre
    personal     of a person within their group
    noise        standard deviation of e, stars: s = noise * sqrt(3) / pi
    popularity   of items, and
    selectivity  of people, in what they rate
    activity     standard deviation of the logarithm of how much a person rates
    seed         equal options give equal worlds
    """

    users: int = 1_000
    items: int = 120
    ratings: int = 50_000
    groups: int = 5
    genres: int = 8
    dimensions: int = 3
    taste: float = 1.1
    mean: float = 3.3
    spread: float = 0.35
    own: float = 0.1
    personal: float = 0.0
    noise: float = 0.7
    popularity: float = 0.8
    selectivity: float = 1.0
    activity: float = 0.4
    seed: int = 1

    def check(self) -> None:
        """Raise ValueError on an impossible option, naming it."""
        if min(self.users, self.items, self.groups, self.dimensions) < 1 or self.seed < 0:
            raise ValueError("users, items, groups and dimensions must be 1 or more, seed 0 or more")
        if not 1 <= self.genres <= min(len(GENRES), self.items):
            raise ValueError(f"genres must be from 1 to {len(GENRES)}, and no more than items")
        if self.groups > self.users:
            raise ValueError("there cannot be more groups than users")
        if not max(self.users, 2) <= self.ratings <= self.users * self.items:
            raise ValueError(
                f"ratings must be from {max(self.users, 2):,} (one of every user) "
                f"to {self.users * self.items:,} (every film by every user)"
            )
        if self.noise <= 0:
            raise ValueError("noise must be above 0")
        if min(self.spread, self.own, self.personal, self.popularity, self.activity) < 0:
            raise ValueError("spread, own, personal, popularity and activity must be 0 or more")


@dataclass(frozen=True)
class World:
    """Holds all that was drawn. Rows are sorted by (user, time); no pair of user and item occurs twice.

    user_ids, item_ids  (n_users,), (n_items,) str: U10001..., DRAM1001..., with gaps
    group_of            (n_users,) int64
    genre_of            (n_items,) int64, indices into GENRES
    levels              (n_users, n_items) float64, z_ui
    users, items        (N,) int64 indices
    stars               (N,) float64, 0.5 to 5 in halves
    at                  (N,) int64, seconds since 1970
    """

    options: WorldOptions
    user_ids: np.ndarray
    item_ids: np.ndarray
    group_of: np.ndarray
    genre_of: np.ndarray
    levels: np.ndarray
    users: np.ndarray
    items: np.ndarray
    stars: np.ndarray
    at: np.ndarray

    def expected(self, users: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return m_ui and Var(r_ui) of pairs of indices, float64, in stars and stars squared."""
        return moments(self.levels[users, items], self.options.noise)

    def floor(self, rows: np.ndarray | slice = slice(None)) -> float:
        """Return the least mean squared error to expect on these rows, whatever a model knows."""
        return float(self.expected(self.users[rows], self.items[rows])[1].mean())

    def genre_names(self) -> list[str]:
        """Return the genre of each item."""
        return [GENRES[genre][0] for genre in self.genre_of]

    def rows(self) -> Iterator[tuple[str, str, float, int]]:
        """Yield user id, item id, stars and seconds since 1970."""
        columns = (self.user_ids[self.users], self.item_ids[self.items], self.stars, self.at)
        yield from zip(*(column.tolist() for column in columns), strict=True)


def make_world(options: WorldOptions | None = None) -> World:
    """Draw a world. Equal options give equal arrays. Raises ValueError on impossible options."""
    chosen = options or WorldOptions()
    chosen.check()
    rng = np.random.default_rng(chosen.seed)
    group_vectors = _spread_vectors(rng, chosen.groups, chosen.dimensions)
    genre_vectors = _spread_vectors(rng, chosen.genres, chosen.dimensions)
    group_of = _random_groups(rng, chosen.users, chosen.groups)
    genre_of = rng.permutation(np.arange(chosen.items) % chosen.genres)
    people = group_vectors[group_of] + chosen.personal * rng.standard_normal(
        (chosen.users, chosen.dimensions)
    )
    films = genre_vectors[genre_of] + chosen.own * rng.standard_normal((chosen.items, chosen.dimensions))
    liking = chosen.taste * people @ films.T  # (n_users, n_items) stars
    levels = chosen.mean + chosen.spread * rng.standard_normal(chosen.items) + liking
    users, items = _rated_pairs(rng, chosen, liking)
    noise = rng.logistic(0, _logistic_scale(chosen.noise), len(users))
    return World(
        options=chosen,
        user_ids=np.array([f"U{number}" for number in _with_gaps(rng, FIRST_USER, chosen.users)]),
        item_ids=_item_ids(rng, genre_of),
        group_of=group_of,
        genre_of=genre_of,
        levels=levels,
        users=users,
        items=items,
        stars=np.clip(np.floor((levels[users, items] + noise) / STEP + 0.5) * STEP, LOWEST, HIGHEST),
        at=_times(rng, users, chosen.users),
    )


def moments(levels: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of the stars at these levels, in closed form; see the module."""
    mean = np.full(levels.shape, LOWEST)
    square = np.full(levels.shape, LOWEST**2)
    for stars in FROM_ONE_STAR_UP:
        chance = 1 / (1 + np.exp((stars - STEP / 2 - levels) / _logistic_scale(noise)))
        mean += STEP * chance
        square += (stars**2 - (stars - STEP) ** 2) * chance
    return mean, square - mean**2


def trivial_errors(world: World, held_out: np.ndarray | None = None) -> dict[str, float]:
    """Return mean squared errors on the held-out rows, (N,) bool, of predictors trained on the others.

    By default a random fifth is held out. "truth" is m_ui on the same rows: the floor as these rows have
    it, by chance a little off `floor`.
    """
    test = a_fifth(world) if held_out is None else held_out
    users, items, stars = world.users[~test], world.items[~test], world.stars[~test]
    mean = stars.mean()
    by_item = _shrunken_means(items, stars - mean, world.options.items)
    by_user = _shrunken_means(users, stars - mean - by_item[items], world.options.users)
    asked_users, asked_items = world.users[test], world.items[test]
    predictions = {
        "global mean": np.full(test.sum(), mean),
        "film means": mean + by_item[asked_items],
        "user and film means": mean + by_item[asked_items] + by_user[asked_users],
        "truth": world.expected(asked_users, asked_items)[0],
    }
    return {
        name: float(np.mean((world.stars[test] - predicted) ** 2)) for name, predicted in predictions.items()
    }


def a_fifth(world: World) -> np.ndarray:
    """Return (N,) bool, the same rows for equal options; one row at least on either side."""
    held_out = np.random.default_rng(world.options.seed).random(len(world.stars)) < 0.2
    held_out[0], held_out[-1] = True, False
    return held_out


def _shrunken_means(rows: np.ndarray, values: np.ndarray, n_rows: int, ridge: float = 5.0) -> np.ndarray:
    """Return (n_rows,) the sum of each row's values / (their number + ridge)"""
    return np.bincount(rows, values, n_rows) / (np.bincount(rows, minlength=n_rows) + ridge)


def _logistic_scale(deviation: float) -> float:
    """Return s of a logistic distribution, whose standard deviation is s * pi / sqrt(3)."""
    return deviation * np.sqrt(3) / np.pi


def _spread_vectors(rng: np.random.Generator, number: int, dimensions: int) -> np.ndarray:
    """Draw (number, dimensions) unit vectors: of TRIES sets the one whose closest two are furthest apart."""
    best, least = np.empty(0), np.inf
    for _ in range(TRIES):
        vectors = rng.standard_normal((number, dimensions))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        closest = (vectors @ vectors.T - 2 * np.eye(number)).max()
        if closest < least:
            best, least = vectors, closest
    return best


def _random_groups(rng: np.random.Generator, users: int, groups: int) -> np.ndarray:
    """Draw (users,) the group of each: sizes that differ, no group empty, in random order."""
    shares = rng.dirichlet(np.full(groups, 20.0))
    drawn = rng.choice(groups, users - groups, p=shares)
    return rng.permutation(np.concatenate([np.arange(groups), drawn]))


def _rated_pairs(
    rng: np.random.Generator, options: WorldOptions, liking: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw (N,) users ascending and (N,) items: weighted draws without replacement, by Gumbel's trick."""
    weights = options.popularity * rng.standard_normal(options.items) + options.selectivity * liking
    order = np.argsort(-(weights + rng.gumbel(size=liking.shape)), axis=1, kind="stable")
    counts = _activity(rng, options)
    users = np.repeat(np.arange(options.users), counts)
    drawn = np.arange(options.items) < counts[:, None]
    items = order[drawn]
    order_in_time = rng.random(len(items))  # nobody begins with the items that suit them best
    return users, items[np.lexsort((order_in_time, users))]


def _activity(rng: np.random.Generator, options: WorldOptions) -> np.ndarray:
    """Draw (users,) the number of ratings of each, in all exactly `ratings`."""
    n_least = min(MIN_PER_USER, options.ratings // options.users, options.items)
    shares = np.exp(options.activity * rng.standard_normal(options.users))
    counts = np.floor(shares / shares.sum() * options.ratings).astype(np.int64).clip(n_least, options.items)
    while missing := options.ratings - int(counts.sum()):
        step = 1 if missing > 0 else -1
        able = np.flatnonzero(counts < options.items if step > 0 else counts > n_least)
        counts[rng.permutation(able)[: abs(missing)]] += step
    return counts


def _with_gaps(rng: np.random.Generator, first: int, number: int) -> np.ndarray:
    """Draw (number,) ascending ids, each 1 to MAX_GAP above the one before."""
    return first + np.concatenate([[0], np.cumsum(rng.integers(1, MAX_GAP + 1, number - 1))])


def _item_ids(rng: np.random.Generator, genre_of: np.ndarray) -> np.ndarray:
    ids = np.empty(len(genre_of), dtype=object)
    for genre in np.unique(genre_of):
        films = np.flatnonzero(genre_of == genre)
        numbers = _with_gaps(rng, FIRST_ITEM, len(films))
        ids[films] = [f"{GENRES[genre][1]}{number}" for number in numbers]
    return ids.astype(str)


def _times(rng: np.random.Generator, users: np.ndarray, n_users: int) -> np.ndarray:
    """Draw (N,) seconds since 1970, ascending for each user, who begins some day of a year."""
    begins = EARLIEST + rng.integers(0, A_YEAR, n_users)
    steps = rng.integers(1, MAX_SECONDS_BETWEEN, len(users))
    since_start = np.cumsum(steps)
    first = np.searchsorted(users, np.arange(n_users))
    return begins[users] + since_start - since_start[first][users]
