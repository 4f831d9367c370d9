"""Made-up worlds: the same from the same seed, sound ids, groups that differ, a floor that is right."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.synthetic import GENRES, World, WorldOptions, make_world, moments, trivial_errors

SMALL = WorldOptions(users=120, items=40, ratings=2_400, groups=3, genres=4)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def same(one: World, other: World) -> bool:
    names = ("user_ids", "item_ids", "group_of", "genre_of", "levels", "users", "items", "stars", "at")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in names)


def test_the_default_is_what_it_says(world):
    assert len(world.stars) == 50_000
    assert len(world.user_ids) == len(np.unique(world.users)) == 1_000
    assert set(world.group_of) == set(range(5))


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_seed_is_a_world(seed):
    options = replace(SMALL, seed=seed)
    assert same(make_world(options), make_world(options))
    assert not same(make_world(options), make_world(replace(options, seed=seed + 1)))


@settings(max_examples=25, deadline=None)
@given(
    users=st.integers(1, 40),
    items=st.integers(1, 30),
    groups=st.integers(1, 6),
    genres=st.integers(1, len(GENRES)),
    share=st.floats(0, 1),
    seed=st.integers(0, 1_000),
)
def test_any_world_that_is_possible_is_a_sound_one(*, users, items, groups, genres, share, seed):
    least, most = max(users, 2), users * items
    options = WorldOptions(
        users=users,
        items=items,
        ratings=least + round(share * max(most - least, 0)),
        groups=groups,
        genres=genres,
        seed=seed,
    )
    if groups > users or genres > items or most < least:
        with pytest.raises(ValueError, match=r"groups|genres|ratings"):
            make_world(options)
        return
    made = make_world(options)
    assert len(made.stars) == options.ratings
    pairs = made.users * items + made.items
    assert len(np.unique(pairs)) == len(pairs)
    assert set(made.stars * 2) <= set(range(1, 11))
    assert set(made.users) == set(range(users))
    assert set(made.group_of) == set(range(groups))
    later = np.diff(made.at)[np.diff(made.users) == 0]
    assert (later > 0).all()


def test_ids_are_words_with_gaps_and_a_genre_in_front(world):
    users, items = world.user_ids.tolist(), world.item_ids.tolist()
    assert len(set(users)) == len(users) and len(set(items)) == len(items)
    assert all(re.fullmatch(r"U[1-9]\d{4}", user) for user in users)
    prefixes = [GENRES[genre][1] for genre in world.genre_of]
    assert all(
        re.fullmatch(rf"{prefix}[1-9]\d{{3}}", item) for prefix, item in zip(prefixes, items, strict=True)
    )
    numbers = np.array([int(user[1:]) for user in users])
    assert numbers[0] == 10_001 and numbers[-1] - numbers[0] > 2 * len(users)


def test_the_floor_is_what_drawing_again_and_again_gives():
    """Mean and variance of a hundred thousand draws at each of some levels, near the ends too."""
    rng = np.random.default_rng(0)
    levels, noise, draws = np.array([-1.0, 0.4, 1.3, 2.75, 4.0, 4.9, 6.5]), 0.7, 100_000
    drawn = levels + rng.logistic(0, noise * np.sqrt(3) / np.pi, (draws, len(levels)))
    halves = np.arange(0.5, 5.5, 0.5)
    stars = halves[np.abs(drawn[:, :, None] - halves).argmin(axis=2)]
    mean, variance = moments(levels, noise)
    np.testing.assert_allclose(mean, stars.mean(axis=0), atol=4 * 0.7 / np.sqrt(draws))
    np.testing.assert_allclose(variance, stars.var(axis=0), rtol=0.03, atol=1e-3)


def test_the_ratings_of_a_world_miss_their_expectation_by_the_floor(world):
    mean, variance = world.expected(world.users, world.items)
    errors = (world.stars - mean) ** 2
    assert world.floor() == pytest.approx(variance.mean())
    standard_error = errors.std() / np.sqrt(len(errors))
    assert errors.mean() == pytest.approx(world.floor(), abs=4 * standard_error)
    assert (world.stars - mean).mean() == pytest.approx(0, abs=4 * np.sqrt(world.floor() / len(errors)))


def test_what_is_rated_depends_on_taste_but_not_on_the_error(world):
    """Else the expectation of a rating that exists would not be that of the model."""
    mean, _variance = world.expected(world.users, world.items)
    everything, _ = moments(world.levels, world.options.noise)
    assert mean.mean() > everything.mean() + 0.1
    off = world.stars - mean
    for liked in (mean > np.median(mean), mean <= np.median(mean)):
        assert off[liked].mean() == pytest.approx(0, abs=0.02)


def test_taste_is_worth_learning(world):
    errors = trivial_errors(world)
    assert errors["truth"] < 0.65 * min(errors[name] for name in errors if name != "truth")


def test_groups_can_be_told_apart_by_half_of_the_ratings(world):
    """Each person is put where half of their ratings are likeliest; the groups are known from the others'."""
    half = np.arange(len(world.stars)) % 2 == 0
    n_groups, n_items = world.options.groups, world.options.items
    cell = world.group_of[world.users] * n_items + world.items
    sums = np.bincount(cell[half], world.stars[half], n_groups * n_items)
    counts = np.bincount(cell[half], minlength=n_groups * n_items)
    profiles = ((sums + 3.3) / (counts + 1)).reshape(n_groups, n_items)
    off = (world.stars[~half] - profiles[:, world.items[~half]]) ** 2
    distance = np.array([np.bincount(world.users[~half], row, len(world.user_ids)) for row in off])
    assert (distance.argmin(axis=0) == world.group_of).mean() > 0.95


def test_people_who_stray_from_their_group_differ_within_it():
    straying = make_world(replace(SMALL, personal=0.5))
    first = straying.levels[straying.group_of == 0]
    assert first.std(axis=0).mean() > 0.2
    together = make_world(SMALL)
    assert np.ptp(together.levels[together.group_of == 0], axis=0).max() < 1e-9


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"users": 0}, "users"),
        ({"ratings": 5_000}, "4,800"),
        ({"ratings": 20}, "120"),
        ({"groups": 121}, "groups"),
        ({"genres": 13}, "12"),
        ({"noise": 0.0}, "noise"),
        ({"personal": -1.0}, "personal"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_is_refused_by_name(wrong, word):
    with pytest.raises(ValueError, match=word):
        make_world(replace(SMALL, **wrong))
