"""Taste groups: found where there are some, not made out of chance, and measured as a hand would."""

from dataclasses import replace

import numpy as np
import pytest

from datasets.interactions import Interactions
from datasets.synthetic import World, WorldOptions, make_world
from evaluation.taste_groups import TooFewPeople, agreement, analyse, draw, preferred


def as_interactions(world: World) -> Interactions:
    return Interactions.from_columns(
        world.users, world.items, world.stars, world.at, user_ids=world.user_ids, item_ids=world.item_ids
    )


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(WorldOptions(users=300, items=60, ratings=12_000, groups=3, genres=4, seed=2))


@pytest.fixture(scope="module")
def ratings(world) -> Interactions:
    return as_interactions(world)


def true_groups(world: World) -> dict[str, str]:
    return {user: f"G{group}" for user, group in zip(world.user_ids, world.group_of, strict=True)}


def test_groups_are_found_where_there_are_some(world, ratings):
    found = analyse(ratings, n_groups=3)
    found_group = np.full(300, -1)
    for number, group in enumerate(found.groups):
        found_group[group.users] = number
    assert agreement(found_group[found_group >= 0], world.group_of[found_group >= 0]) > 0.8
    assert found.within > 0.8 and found.between < 0.2
    sizes = [len(group.users) for group in found.groups]
    assert sizes == sorted(sizes, reverse=True) and [group.name for group in found.groups] == ["1", "2", "3"]


def test_chance_is_no_group(ratings):
    """Stars shuffled over all rows: k-means still divides people, but no group agrees with itself."""
    shuffled = replace(ratings, values=np.random.default_rng(0).permutation(ratings.values))
    found = analyse(shuffled, n_groups=3)
    assert abs(found.within - found.between) < 0.15
    assert found.within < 0.1


def test_known_groups_agree_with_their_true_tastes(world, ratings):
    known = analyse(ratings, known=true_groups(world))
    assert {group.name: len(group.users) for group in known.groups} == {
        f"G{number}": size for number, size in enumerate(np.bincount(world.group_of))
    }
    assert len(known.measured) == len(ratings)
    levels = np.array([world.levels[group.users].mean(axis=0) for group in known.groups])
    levels -= world.levels.mean(axis=0)
    levels -= levels.mean(axis=1, keepdims=True)
    levels /= np.linalg.norm(levels, axis=1, keepdims=True)
    np.testing.assert_allclose(known.cosines, levels @ levels.T, atol=0.3)
    np.testing.assert_allclose(known.cosines, known.cosines.T)


def test_films_are_those_that_a_group_likes_more_than_others(world, ratings):
    known = analyse(ratings, known=true_groups(world))
    for group in known.groups:
        film = group.films[0]
        mine = np.isin(ratings.users, group.users) & (ratings.items == film.item)
        assert film.raters == mine.sum()
        assert film.likes == (ratings.values[mine] >= 4).sum() >= 5
        assert film.lift > 1.15
        others = world.levels[~np.isin(np.arange(300), group.users), film.item].mean()
        assert world.levels[group.users, film.item].mean() > others
        lifts = [each.lift for each in group.films]
        assert lifts == sorted(lifts, reverse=True)


def test_the_genres_a_group_prefers_are_those_it_rates_high(world, ratings):
    known = analyse(ratings, known=true_groups(world))
    labels = {item: [name] for item, name in enumerate(world.genre_names())}
    for group, named in zip(known.groups, preferred(known, labels, 1), strict=True):
        above = world.levels[group.users].mean(axis=0) - world.levels.mean(axis=0)
        means = {
            name: above[[n == name for n in world.genre_names()]].mean() for name in set(world.genre_names())
        }
        assert named == [max(means, key=means.__getitem__)]


def test_people_who_rated_little_are_in_no_group(ratings):
    few = ratings.select(
        ~((ratings.users < 5) & (np.arange(len(ratings)) - ratings.indptr[ratings.users] >= 9))
    )
    found = analyse(few, n_groups=3)
    assert not set(range(5)) & {int(user) for group in found.groups for user in group.users}
    assert found.n_people == 295


def test_too_few_people_are_refused_in_numbers(ratings):
    with pytest.raises(TooFewPeople, match=r"400 people .* there are 300"):
        analyse(ratings, n_groups=40)
    with pytest.raises(TooFewPeople, match="known"):
        analyse(ratings, known={"nobody": "1"})


def test_agreement_is_one_for_the_same_division_and_nought_by_chance():
    rng = np.random.default_rng(1)
    one = rng.integers(0, 4, 5_000)
    assert agreement(one, (one + 1) % 4) == pytest.approx(1)
    assert agreement(one, rng.integers(0, 4, 5_000)) == pytest.approx(0, abs=0.01)
    # The example of Hubert and Arabie's index in scikit-learn's manual: 0.2424...
    assert agreement(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(8 / 33)


def test_the_plot_names_groups_and_holds_every_cosine(ratings, tmp_path):
    found = analyse(ratings, n_groups=3)
    draw(found, ["Group 1", "Group 2", "Group 3"], tmp_path / "deep" / "groups.svg", title="Tastes")
    picture = (tmp_path / "deep" / "groups.svg").read_text(encoding="utf-8")
    for text in ("Tastes", "Group 3", *(f"{value:.2f}".replace("-", "−") for value in found.cosines[0])):
        assert text in picture or text.replace("−", "-") in picture
    with pytest.raises(ValueError, match="gif"):
        draw(found, ["1", "2", "3"], tmp_path / "groups.gif", title="")
