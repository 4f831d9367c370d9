"""The one validator: who is asked what, and what a perfect answer is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from predictors.models.popular import PopularPredictor
from predictors.tests.small_world import from_rows, interactions
from predictors.validation import Validator, hold_out_last, latest_positions


def test_users_with_training_rows_are_shown_them_in_order_each_item_once():
    train = from_rows([0, 0, 0, 1], [5, 7, 5, 3])
    validation = from_rows([0, 0, 1], [9, 7, 3])
    (query,) = Validator.from_rows(train, validation).queries  # user 1's only target was shown
    validator = Validator.from_rows(train, validation)
    assert query.liked.tolist() == [7, 5]
    assert [each.tolist() for each in validator.targets] == [[9]]


def test_queries_say_how_long_before_the_first_target_each_item_was():
    train = from_rows([0, 0, 0, 1], [5, 7, 5, 3], at=[10, 30, 70, 10])
    validation = from_rows([0, 1, 1], [9, 7, 8], at=[100, 15, 20])
    validator = Validator.from_rows(train, validation)
    ages = {tuple(query.liked.tolist()): query.ages.tolist() for query in validator.queries}
    assert ages == {(7, 5): [70, 30], (3,): [5]}
    assert sorted(query.ages.tolist() for query in validator.latest(1).queries) == [[5], [30]]
    timeless = Validator.from_rows(replace(train, has_time=False), validation)
    assert all(query.ages is None for query in timeless.queries)


def test_users_without_training_rows_are_shown_the_first_half_of_their_own():
    train = from_rows([0, 2], [1, 2])
    validation = from_rows([1, 1, 1, 1, 2], [5, 6, 7, 8, 4])
    validator = Validator.from_rows(train, validation)
    shown = [tuple(query.liked.tolist()) for query in validator.queries]
    targets = [wanted.tolist() for wanted in validator.targets]
    assert dict(zip(shown, targets, strict=True)) == {(5, 6): [7, 8], (2,): [4]}


def test_a_model_that_reads_no_order_is_shown_rows_at_random():
    train = from_rows([0, 2], [1, 2])
    validation = from_rows([1] * 40, range(40))
    (query,) = Validator.from_rows(train, validation, in_order=False).queries
    (targets,) = Validator.from_rows(train, validation, in_order=False).targets
    assert sorted([*query.liked, *targets]) == list(range(40))
    assert 25 < len(query.liked) < 39
    assert targets.min() < query.liked.max(), "the shown rows are not the first ones"


def test_nobody_to_ask_is_no_validator():
    train = from_rows([0, 0], [1, 2])
    assert Validator.from_rows(train, None) is None
    assert Validator.from_rows(train, train.select(np.zeros(2, dtype=bool))) is None
    assert Validator.from_rows(train, train) is None


def test_an_oracle_reaches_one_and_seen_items_cannot_help():
    train, validation = hold_out_last(interactions(), max_users=50, seed=3)
    validator = Validator.from_rows(train, validation)
    assert len(validator) == 50
    answers = {
        query.liked.tobytes(): wanted
        for query, wanted in zip(validator.queries, validator.targets, strict=True)
    }

    def oracle(queries):
        scores = np.zeros((len(queries), train.n_items), dtype=np.float32)
        for row, query in zip(scores, queries, strict=True):
            row[query.liked] = 9.0
            row[answers[query.liked.tobytes()]] = 1.0
        return scores

    assert validator.measure(oracle) == {"NDCG@10": 1.0, "HR@10": 1.0}
    assert validator.measure(lambda queries: -oracle(queries))["HR@10"] == 0.0


def test_a_predictor_and_its_scores_are_measured_alike_and_fewer_users_are_some_of_the_same():
    train, validation = hold_out_last(interactions(), max_users=50, seed=3)
    popular = PopularPredictor.fit(train)
    validator = Validator.from_rows(train, validation, seed=2)
    assert validator.measure(popular) == validator.measure(popular.score)
    few = Validator.from_rows(train, validation, max_users=7, seed=2)
    assert [q.liked.tolist() for q in few.queries] == [q.liked.tolist() for q in validator.queries[:7]]


def test_the_last_row_is_held_out():
    rows = from_rows([0, 0, 0, 1, 1], [1, 2, 3, 4, 5])
    train, held_out = hold_out_last(rows, max_users=10, seed=0)
    assert held_out.items.tolist() == [3], "user 1 has too few rows"
    assert train.items.tolist() == [1, 2, 4, 5]
    assert latest_positions(np.array([4, 2, 4, 3])).tolist() == [1, 2, 3]
