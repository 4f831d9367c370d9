import numpy as np
import pytest

from datasets.negatives import (
    HardNegatives,
    PopularityNegatives,
    Positives,
    UniformNegatives,
    sampler,
)

N_USERS, N_ITEMS = 20, 50


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.integers(0, N_USERS, 400), (N_ITEMS * rng.random(400) ** 2).astype(np.int64)


@pytest.fixture
def validation() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.integers(0, N_USERS, 40), rng.integers(0, N_ITEMS, 40)


def vectors() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return (
        rng.standard_normal((N_USERS, 4)).astype(np.float32),
        rng.standard_normal((N_ITEMS, 4)).astype(np.float32),
    )


@pytest.mark.parametrize("kind", ["uniform", "popularity", "hard"])
def test_a_positive_of_training_or_validation_is_never_drawn(kind, rows, validation):
    positives = Positives(N_USERS, N_ITEMS, rows, validation)
    negatives = sampler(kind, positives, np.bincount(rows[1], minlength=N_ITEMS), hard_share=1.0)
    negatives.refresh(*vectors())
    users = np.repeat(np.arange(N_USERS), 50)
    drawn = negatives.draw(users, 20, np.random.default_rng(4))
    assert drawn.shape == (len(users), 20)
    assert 0 <= drawn.min() <= drawn.max() < N_ITEMS
    met = {*zip(*map(np.ndarray.tolist, rows), strict=True)}
    met |= {*zip(*map(np.ndarray.tolist, validation), strict=True)}
    pairs = zip(np.repeat(users, 20).tolist(), drawn.ravel().tolist(), strict=True)
    assert not met & set(pairs)


def test_who_met_which_of_the_drawn_items(rows, validation):
    positives = Positives(N_USERS, N_ITEMS, rows, validation)
    users, items = np.array([3, 0, 19]), np.array([40, 2, 0, 17, 31])
    met = positives.among(users, items)
    np.testing.assert_array_equal(met, positives.contain(users[:, None], items[None, :]))
    assert 0 < met.sum() < met.size


@pytest.mark.parametrize("kind", ["uniform", "popularity", "hard"])
def test_equal_seeds_draw_equal_negatives(kind, rows):
    positives = Positives(N_USERS, N_ITEMS, rows)
    negatives = sampler(kind, positives, np.bincount(rows[1], minlength=N_ITEMS))
    draws = [negatives.draw(np.arange(N_USERS), 5, np.random.default_rng(7)) for _ in range(2)]
    assert np.array_equal(*draws)


def test_uniform_draws_reach_every_item_alike():
    negatives = UniformNegatives(Positives(1, 10, (np.array([0]), np.array([3]))))
    drawn = negatives.draw(np.zeros(9000, int), 1, np.random.default_rng(1))
    counts = np.bincount(drawn.ravel(), minlength=10)
    assert counts[3] == 0
    assert np.delete(counts, 3).min() > 850


def test_popularity_draws_prefer_popular_items_by_the_exponent():
    popularity = np.array([1.0, 16.0, 81.0, 0.0])
    negatives = PopularityNegatives(Positives(1, 4), popularity, share=1.0, exponent=0.75)
    drawn = negatives.draw(np.zeros(36_000, int), 1, np.random.default_rng(1))
    counts = np.bincount(drawn.ravel(), minlength=4)
    assert np.allclose(counts / 1000, [1, 8, 27, 0], rtol=0.1)


def test_hard_negatives_are_what_the_model_ranks_highest_among_the_unmet(rows):
    positives = Positives(N_USERS, N_ITEMS, rows)
    negatives = HardNegatives(positives, pool=5, share=1.0)
    users, items = vectors()
    negatives.refresh(users, items)
    scores = users @ items.T
    drawn = negatives.draw(np.repeat(np.arange(N_USERS), 200), 1, np.random.default_rng(1))
    for user in range(N_USERS):
        unmet = np.setdiff1d(np.arange(N_ITEMS), positives.items_of(user))
        hardest = unmet[np.argsort(-scores[user, unmet])[:5]]
        assert set(drawn[user * 200 : (user + 1) * 200, 0].tolist()) == set(hardest.tolist())


def test_hard_negatives_follow_the_model_when_they_are_refreshed(rows):
    negatives = HardNegatives(Positives(N_USERS, N_ITEMS, rows), pool=5)
    users, items = vectors()
    negatives.refresh(users, items)
    before = negatives.pool.copy()
    negatives.refresh(users, -items)
    assert (before != negatives.pool).any()


def test_the_schedule_of_refreshes(rows):
    negatives = HardNegatives(Positives(N_USERS, N_ITEMS, rows), first_epoch=3, every=4)
    assert [epoch for epoch in range(16) if negatives.due(epoch)] == [3, 7, 11, 15]


def test_a_user_with_one_film_left_is_given_that_one():
    negatives = UniformNegatives(Positives(1, 500, (np.zeros(499, int), np.arange(499))))
    assert negatives.draw(np.zeros(3, int), 4, np.random.default_rng(1)).tolist() == [[499] * 4] * 3


def test_a_user_who_met_everything_has_no_negatives():
    positives = Positives(2, 3, (np.array([0, 0, 0, 1]), np.array([0, 1, 2, 0])))
    assert positives.have_negatives.tolist() == [False, True]
    with pytest.raises(ValueError, match="full catalogue"):
        UniformNegatives(positives).draw(np.array([0]), 1, np.random.default_rng(1))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="uniform, popularity, hard"):
        sampler("easy", Positives(1, 2), np.ones(2))
