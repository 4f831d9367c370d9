"""Scores of several models as one: standardised, weighed, and the weights that find most."""

from collections.abc import Sequence

import numpy as np
import pytest

from predictors import fusion
from predictors.base import Predictor
from predictors.id_map import IdMap
from predictors.query import Query
from predictors.validation import Validator

N_ITEMS, N_USERS = 60, 80


class Fixed(Predictor):
    """Scores by the first item of a history."""

    name = "fixed"

    def __init__(self, table: np.ndarray) -> None:
        super().__init__(IdMap(range(table.shape[1])))
        self.table = table

    @classmethod
    def _fit(cls, data, config, run):
        raise NotImplementedError

    def _score(self, queries: Sequence[Query]) -> np.ndarray:
        return self.table[[query.liked[0] for query in queries]].astype(np.float32)

    def tensors(self):
        return {"table": self.table}

    @classmethod
    def from_artifact(cls, saved):
        return cls(saved.tensors["table"])


@pytest.fixture
def queries() -> list[Query]:
    return [Query.from_indices([user % N_ITEMS, (user + 7) % N_ITEMS]) for user in range(N_USERS)]


@pytest.fixture
def targets(queries) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.choice(np.setdiff1d(np.arange(N_ITEMS), query.seen), 3, replace=False) for query in queries]


def scores_with_noise(queries, targets, noise: float, seed: int) -> np.ndarray:
    """Return a table whose rows know the targets, with noise that only this table has."""
    table = noise * np.random.default_rng(seed).standard_normal((N_ITEMS, N_ITEMS))
    for query, wanted in zip(queries, targets, strict=True):
        table[query.liked[0], wanted] += 1
    return table


def test_scores_have_mean_0_and_deviation_1_over_the_unseen_items(queries):
    scores = 5 + 100 * np.random.default_rng(0).random((N_USERS, N_ITEMS), dtype=np.float32)
    scores[:, :3] = 1e6
    asked = [Query.from_indices([0, 1, 2], seen=[0, 1, 2]) for _ in queries]
    unseen = fusion.standardise(scores, asked)[:, 3:].astype(np.float64)
    assert unseen.mean(axis=1) == pytest.approx(0, abs=1e-4)
    assert unseen.std(axis=1) == pytest.approx(1, abs=1e-4)


def test_a_model_that_says_the_same_of_all_items_adds_nothing(queries):
    flat = fusion.standardise(np.full((N_USERS, N_ITEMS), 3, np.float32), queries)
    assert not flat.any()


def test_a_history_of_every_item_is_scored_all_the_same(queries):
    everything = Query.from_indices(np.arange(N_ITEMS))
    scores = np.arange(N_ITEMS, dtype=np.float32)[None]
    assert np.isfinite(fusion.standardise(scores, [everything])).all()


def test_a_model_of_noise_alone_gets_no_weight_and_two_that_err_apart_share_it(queries, targets):
    good = [Fixed(scores_with_noise(queries, targets, 0.7, seed)) for seed in (1, 2)]
    noise = Fixed(np.random.default_rng(3).standard_normal((N_ITEMS, N_ITEMS)))
    validator = Validator(queries, targets, N_ITEMS)
    weights, figures = fusion.fit_weights([*good, noise], validator)
    assert weights.sum() == pytest.approx(1)
    assert weights[:2].min() > 0.25
    assert weights[2] < 0.2
    alone = max(validator.measure(model)["NDCG@10"] for model in good)
    together = validator.measure(lambda asked: fusion.fused([*good, noise], weights, asked))["NDCG@10"]
    assert together > alone + 0.02
    assert figures[0]["NDCG@100"] >= figures[-1]["NDCG@100"]


def test_tries_measure_what_a_full_ranking_does(monkeypatch, queries, targets):
    """Items that no member ranks high are left out of the tries, and do not matter."""
    monkeypatch.setattr(fusion, "CANDIDATES", 55)
    members = [Fixed(scores_with_noise(queries, targets, 0.7, seed)) for seed in (1, 2)]
    validator = Validator(queries, targets, N_ITEMS)
    _, figures = fusion.fit_weights(members, validator)
    for row in figures:
        weights = np.array(row["weights"])
        measured = validator.measure(
            lambda asked, weights=weights: fusion.fused(members, weights, asked), ("NDCG@100",)
        )
        assert row["NDCG@100"] == pytest.approx(measured["NDCG@100"], abs=2e-5)
