"""What one click changes is counted film by film."""

from __future__ import annotations

import numpy as np

from benchmarks.clicks import lists_of, replaced_by_a_click
from datasets.interactions import Interactions
from datasets.splits.protocols import split_interactions
from predictors.id_map import IdMap
from predictors.models.popular import PopularPredictor
from predictors.query import Query


def test_popularity_replaces_the_film_that_was_clicked_on_and_no_other() -> None:
    # Three films, then one that is on the list, or one that is far from it.
    histories = [[0, 1, 2, 5]] * 5 + [[0, 1, 2, 25]] * 5
    users = np.repeat(np.arange(10), 4)
    rows = Interactions.from_columns(
        users,
        np.concatenate(histories),
        at=np.arange(40),
        user_ids=np.arange(10),
        item_ids=np.arange(30),
    )
    split = split_interactions("session", rows, seed=1, n=["3"], held_out=4)
    predictor = PopularPredictor(-np.arange(30, dtype=np.float32), IdMap(list(range(30))))
    expected = [int(targets[0] == 5) for targets in map(split.cases[0].targets.__getitem__, range(4))]
    assert set(expected) == {0, 1}
    assert replaced_by_a_click(predictor, split, 3).tolist() == expected


def test_lists_leave_out_what_was_seen() -> None:
    predictor = PopularPredictor(-np.arange(30, dtype=np.float32), IdMap(list(range(30))))
    lists = lists_of(predictor, [Query.from_indices([]), Query.from_indices([0, 4])])
    assert lists[0].tolist() == list(range(10))
    assert lists[1].tolist() == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11]
