"""The protocols hold out what they say, and nothing leaks."""

import numpy as np
import pytest

from datasets.interactions import Interactions
from datasets.splits.cases import SplitError
from datasets.splits.protocols import at_least, latest_of_each_pair, split_interactions


def random_interactions(seed: int = 0, n_users: int = 60, n_items: int = 80) -> Interactions:
    rng = np.random.default_rng(seed)
    rows = [
        (user, item)
        for user in range(n_users)
        for item in rng.choice(n_items, size=rng.integers(1, 45), replace=False)
    ]
    users, items = np.array(rows).T
    return Interactions.from_columns(
        users,
        items,
        rng.integers(1, 6, len(rows)),
        rng.permutation(len(rows)) + 1_000_000,
        user_ids=np.arange(n_users),
        item_ids=np.arange(n_items),
    )


def rows_of(interactions: Interactions) -> set[tuple[int, int]]:
    return set(zip(interactions.users.tolist(), interactions.items.tolist(), strict=True))


def targets_of(cases) -> set[tuple[int, int]]:
    return {(int(user), int(item)) for row, user in enumerate(cases.users) for item in cases.targets[row]}


PROTOCOLS = ("leave-one-out", "random-split", "guest", "session", "temporal", "cold-item")


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_target_is_ever_trained_on_given_or_masked(protocol, part):
    data = random_interactions()
    split = split_interactions(protocol, data, seed=3, part=part)
    hidden = split.train if part == "validation" else None
    for cases in split.cases:
        targets = targets_of(cases)
        assert targets
        assert targets <= rows_of(data)
        assert not targets & rows_of(split.train)
        if hidden is None:
            assert not targets & rows_of(split.validation)
        for row in range(len(cases)):
            assert not set(cases.targets[row].tolist()) & set(cases.seen[row].tolist())
            assert set(cases.history[row].tolist()) <= set(cases.seen[row].tolist())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tuning_on_validation_never_touches_test_rows(protocol):
    data = random_interactions()
    test = split_interactions(protocol, data, seed=3)
    tuning = split_interactions(protocol, data, seed=3, part="validation")
    assert rows_of(test.train) == rows_of(tuning.train)
    secret = set().union(*(targets_of(cases) for cases in test.cases))
    for cases in tuning.cases:
        given = {(int(u), int(i)) for row, u in enumerate(cases.users) for i in cases.seen[row]}
        assert not secret & (given | targets_of(cases))


def test_leave_one_out_takes_the_last_two_of_each_user():
    data = random_interactions()
    split = split_interactions("leave-one-out", data)
    (cases,) = split.cases
    asked = dict(zip(cases.users.tolist(), range(len(cases)), strict=True))
    for user in range(data.n_users):
        items = data.items_of(user)
        if len(items) < 3:
            assert user not in asked
            np.testing.assert_array_equal(split.train.items_of(user), items)
            continue
        np.testing.assert_array_equal(split.train.items_of(user), items[:-2])
        np.testing.assert_array_equal(split.validation.items_of(user), items[-2:-1])
        np.testing.assert_array_equal(cases.history[asked[user]], items[:-1])
        np.testing.assert_array_equal(cases.targets[asked[user]], items[-1:])


def recbole_counts(total: int) -> list[int]:
    """RecBole 1.2.1, `Dataset._calcu_split_ids` with [0.8, 0.1, 0.1], as its authors describe it."""
    ratios = [0.8, 0.1, 0.1]
    counts = [int(ratio * total) for ratio in ratios]
    counts[0] = total - sum(counts[1:])
    for part in range(1, len(ratios)):
        if counts[0] <= 1:
            break
        if 0 < ratios[-part] * total < 1:
            counts[-part] += 1
            counts[0] -= 1
    return counts


def test_random_split_has_the_counts_of_recbole():
    data = random_interactions()
    split = split_interactions("random-split", data, seed=1)
    (cases,) = split.cases
    n_targets = dict(zip(cases.users.tolist(), cases.targets.lengths.tolist(), strict=True))
    for user in range(data.n_users):
        total = len(data.items_of(user))
        found = [
            len(split.train.items_of(user)),
            len(split.validation.items_of(user)),
            n_targets.get(user, 0),
        ]
        assert found == recbole_counts(total), total
    again = split_interactions("random-split", data, seed=1)
    other = split_interactions("random-split", data, seed=2)
    assert rows_of(again.train) == rows_of(split.train) != rows_of(other.train)


def test_guests_are_unknown_to_the_model_and_given_more_each_time():
    data = random_interactions()
    split = split_interactions("guest", data, seed=5, n=("1", "3", "80%"), held_out=12)
    trained = set(split.train.users.tolist())
    validating = set(split.validation.users.tolist())
    one, three, most = split.cases
    assert [cases.label for cases in split.cases] == ["n=1", "n=3", "n=80%"]
    assert len(validating) == 12
    assert not trained & validating
    for cases in split.cases:
        assert not set(cases.users.tolist()) & (trained | validating)
    assert set(three.users.tolist()) <= set(one.users.tolist())
    for row, user in enumerate(three.users):
        assert len(three.history[row]) == 3
        assert set(one.history[np.searchsorted(one.users, user)]) <= set(three.history[row])
        everything = np.concatenate([three.history[row], three.targets[row]])
        assert sorted(everything) == sorted(data.items_of(user))
        order = data.items_of(user).tolist()
        positions = [order.index(item) for item in three.history[row]]
        assert positions == sorted(positions), "the given films are in time order"
    for row, user in enumerate(most.users):
        total = len(data.items_of(user))
        assert 1 <= len(most.history[row]) == min(max(round(0.8 * total), 1), total - 1)


def test_guests_in_time_order_are_given_their_first_films():
    data = random_interactions()
    split = split_interactions("guest", data, seed=5, n=("3",), order="time", held_out=12)
    (cases,) = split.cases
    for row, user in enumerate(cases.users):
        np.testing.assert_array_equal(cases.history[row], data.items_of(user)[:3])


def test_guest_holds_out_a_thousand_of_movielens_1m_and_a_tenth_elsewhere():
    users = np.repeat(np.arange(6040), 2)
    big = Interactions.from_columns(
        users, np.tile([0, 1], 6040), user_ids=np.arange(6040), item_ids=np.arange(2)
    )
    assert len(split_interactions("guest", big, n=("1",)).cases[0]) == 1000
    assert split_interactions("guest", random_interactions(), n=("1",)).description.startswith("6 test")


def test_a_session_is_given_the_last_rows_before_the_last_one():
    data = random_interactions()
    split = split_interactions("session", data, seed=5, n=("1", "5", "all"), held_out=12)
    trained, validating = set(split.train.users.tolist()), set(split.validation.users.tolist())
    assert len(validating) == 12
    assert not trained & validating
    assert [cases.label for cases in split.cases] == ["n=1", "n=5", "n=all"]
    assert len(split.cases[2]) == 12, "everyone has something before the last row"
    for cases, number in zip(split.cases, (1, 5, None), strict=True):
        for row, user in enumerate(cases.users):
            assert user not in trained | validating
            items = data.items_of(user)
            np.testing.assert_array_equal(cases.targets[row], items[-1:])
            np.testing.assert_array_equal(
                cases.history[row], items[:-1] if number is None else items[-number - 1 : -1]
            )
            np.testing.assert_array_equal(np.sort(cases.seen[row]), np.sort(cases.history[row]))
    same = split_interactions("guest", data, seed=5, n=("1",), held_out=12)
    assert rows_of(same.train) == rows_of(split.train), "both hold out the same users"


def test_cold_items_are_never_trained_on_and_alone_are_ranked():
    data = random_interactions()
    split = split_interactions("cold-item", data, seed=2)
    (cases,) = split.cases
    assert split.candidates.sum() == data.n_items // 10
    assert not split.candidates[split.train.items].any()
    assert not split.candidates[split.validation.items].any()
    assert split.candidates[cases.targets.values].all()
    tuning = split_interactions("cold-item", data, seed=2, part="validation")
    assert not (tuning.candidates & split.candidates).any()
    assert set(split.validation.items.tolist()) == set(np.flatnonzero(tuning.candidates).tolist())


def test_cases_carry_the_stars_of_their_histories():
    data = random_interactions()
    stars = {
        (int(user), int(item)): float(value)
        for user, item, value in zip(data.users, data.items, data.values, strict=True)
    }
    for protocol in PROTOCOLS:
        for cases in split_interactions(protocol, data, seed=1, limit_users=20).cases:
            for row, user in enumerate(cases.users):
                expected = [stars[int(user), int(item)] for item in cases.history[row]]
                assert cases.stars_of(row).tolist() == expected


def test_cases_carry_how_long_before_the_first_target_each_row_of_a_history_was():
    data = random_interactions()
    at = {
        (int(user), int(item)): int(when)
        for user, item, when in zip(data.users, data.items, data.at, strict=True)
    }
    for protocol in ("leave-one-out", "session", "temporal"):
        for cases in split_interactions(protocol, data, seed=1, limit_users=20).cases:
            for row, user in enumerate(cases.users.tolist()):
                asked = min(at[user, item] for item in cases.targets[row].tolist())
                expected = [asked - at[user, item] for item in cases.history[row].tolist()]
                assert cases.ages_of(row).tolist() == expected
                assert min(expected, default=1) > 0


def test_rows_that_have_only_an_order_give_no_times():
    data = random_interactions()
    timeless = Interactions.from_columns(
        data.users, data.items, user_ids=data.user_ids, item_ids=data.item_ids
    )
    (cases,) = split_interactions("leave-one-out", timeless).cases
    assert cases.ages_of(0) is None


def test_temporal_refuses_rows_that_have_only_an_order():
    rows = Interactions.from_columns([0, 0, 1], [0, 1, 1], user_ids=np.arange(2), item_ids=np.arange(2))
    with pytest.raises(SplitError, match="only an order"):
        split_interactions("temporal", rows)


def test_temporal_cuts_everyone_at_the_same_time():
    data = random_interactions()
    split = split_interactions("temporal", data)
    (cases,) = split.cases
    assert len(split.train) == pytest.approx(0.8 * len(data), abs=1)
    assert split.train.at.max() < split.validation.at.min()
    assert (cases.history.lengths > 0).all()
    cut = split.validation.at.max()
    for row, user in enumerate(cases.users):
        mine = data.at[data.indptr[user] : data.indptr[user + 1]]
        np.testing.assert_array_equal(cases.targets[row], data.items_of(user)[mine > cut])


def test_a_given_split_is_taken_as_it_is():
    ids = {"user_ids": np.arange(3), "item_ids": np.arange(5)}
    train = Interactions.from_columns(np.array([0, 0, 1]), np.array([0, 1, 2]), **ids)
    test = Interactions.from_columns(np.array([0, 0, 1, 2]), np.array([3, 1, 4, 0]), **ids)
    split = split_interactions("given-split", train, given=(train, test))
    (cases,) = split.cases
    assert split.train is train
    assert split.validation is None
    assert [cases.targets[row].tolist() for row in range(2)] == [[3], [4]]  # item 1 was trained on
    assert [cases.history[row].tolist() for row in range(2)] == [[0, 1], [2]]
    assert cases.users.tolist() == [0, 1]
    assert "1 users without training rows" in split.description


def test_to_tune_on_a_given_split_training_rows_are_drawn_and_test_rows_stay_out():
    data = random_interactions()
    train, test = data.select(np.arange(len(data)) % 4 > 0), data.select(np.arange(len(data)) % 4 == 0)
    split = split_interactions("given-split", data, given=(train, test), part="validation", seed=3)
    again = split_interactions("given-split", data, given=(train, test), part="validation", seed=3)
    assert rows_of(split.train) == rows_of(again.train)
    assert rows_of(split.train) < rows_of(train)
    held_out = targets_of(split.cases[0])
    counts = np.bincount([user for user, _ in held_out], minlength=data.n_users)
    for user in range(data.n_users):
        total = len(train.items_of(user))
        assert counts[user] == min(round(0.2 * total), max(total - 1, 0)), "a fifth of each user's rows"
    known = {(user, item) for user, item, *_ in rows_of(train)}
    assert held_out <= known
    assert not held_out & {(user, item) for user, item, *_ in rows_of(split.train)}
    assert split.validation is None


def test_limit_asks_fewer_users_and_trains_on_all():
    data = random_interactions()
    full, limited = (split_interactions("leave-one-out", data, limit_users=n) for n in (None, 7))
    assert len(limited.train) == len(full.train)
    assert len(limited.cases[0]) == 7
    assert targets_of(limited.cases[0]) <= targets_of(full.cases[0])


def test_filters():
    data = random_interactions()
    assert rows_of(at_least(data, 4)) == {
        (u, i)
        for u, i, v in zip(data.users.tolist(), data.items.tolist(), data.values, strict=True)
        if v >= 4
    }
    assert latest_of_each_pair(data) is data
    repeated = Interactions.from_columns(
        np.array([0, 0, 0]), np.array([1, 2, 1]), at=np.array([5, 6, 7]), user_ids=[0], item_ids=[0, 1, 2]
    )
    once = latest_of_each_pair(repeated)
    assert once.items.tolist() == [2, 1]
    assert once.at.tolist() == [6, 7]


def test_what_cannot_be_split_says_why():
    tiny = Interactions.from_columns(np.arange(3), np.arange(3), user_ids=np.arange(3), item_ids=np.arange(3))
    with pytest.raises(SplitError, match="no user to ask"):
        split_interactions("leave-one-out", tiny)
    with pytest.raises(SplitError, match="hold out"):
        split_interactions("guest", tiny)
    with pytest.raises(SplitError, match="split of its own"):
        split_interactions("given-split", tiny)
    with pytest.raises(ValueError, match="no protocol"):
        split_interactions("bootstrap", tiny)
    with pytest.raises(ValueError, match="80%"):
        split_interactions("guest", random_interactions(), n=("half",))
