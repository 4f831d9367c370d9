"""The closed form against ridge regression written out, and what it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.readers.dataset import read_interactions
from datasets.splits.protocols import split_interactions
from evaluation.conditions import evaluate
from predictors.errors import ArtifactError, TrainingError
from predictors.id_map import IdMap
from predictors.models import normal_equations
from predictors.models.linear_sequence import LinearSequencePredictor
from predictors.models.neighbours import NeighboursPredictor
from predictors.query import Query
from predictors.run import Run
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, N_FILMS, from_rows, interactions, rated, told

ML_100K = Path(__file__).resolve().parents[4] / "shared" / "data" / "ml-100k" / "u.data"
RIDGE = 3.0


def regression(
    histories: list[np.ndarray], rates: tuple[float, ...], n: int, smoothing: float
) -> tuple[np.ndarray, np.ndarray]:
    """F and Y of the module's docstring, row by row in float64."""
    features, targets = [], []
    for history in histories:
        decayed = np.zeros((len(rates), n))
        for place in range(len(history) - 1):
            decayed *= np.array(rates)[:, None]
            decayed[:, history[place]] += 1
            features.append(np.append(decayed.ravel(), 1.0))
            following = np.zeros(n)
            for later, film in enumerate(history[place + 1 :]):
                following[film] += (1 - smoothing) * smoothing**later
            targets.append(following)
    return np.array(features), np.array(targets)


@pytest.mark.parametrize("rates", [(0.3, 0.9, 1.0), (0.0, 0.5), (1.0,)])
@pytest.mark.parametrize("chunk", [10**6, 30])
@pytest.mark.parametrize("smoothing", [0.0, 0.4, 0.9])
def test_the_normal_equations_are_those_of_the_written_out_regression(
    rates: tuple[float, ...], chunk: int, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normal_equations, "NEGLIGIBLE", 1e-9)
    monkeypatch.setattr(normal_equations, "CHUNK_ENTRIES", chunk)
    rng = np.random.default_rng(1)
    n = 9
    histories = sorted((rng.permutation(n)[: rng.integers(2, n)] for _ in range(20)), key=len)
    gram, targets = normal_equations.normal_equations(histories, n, rates, smoothing=smoothing, run=Run())
    features, following = regression(histories, rates, n, smoothing)
    np.testing.assert_allclose(np.tril(gram), np.tril(features.T @ features), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(targets, features.T @ following, rtol=1e-5, atol=1e-5)


def test_scores_are_those_of_the_written_out_regression() -> None:
    data, rates = interactions(), (0.5, 1.0)
    histories = [data.items_of(user) for user in range(data.n_users)]
    features, following = regression(histories, rates, N_FILMS, 0.4)
    ridge = np.append(np.full(2 * N_FILMS, RIDGE), 1.0)
    solution = np.linalg.solve(features.T @ features + np.diag(ridge), features.T @ following)
    predictor = fit_model(
        LinearSequencePredictor,
        data,
        options={"rates": rates, "ridge": (RIDGE, RIDGE), "popularity_exponent": 0.0, "smoothing": 0.4},
    )
    query = Query.from_indices([3, 9, 4])
    decayed = np.zeros((2, N_FILMS))
    decayed[0, [3, 9, 4]] = (0.25, 0.5, 1.0)
    decayed[1, [3, 9, 4]] = 1.0
    expected = np.append(decayed.ravel(), 1.0) @ solution
    # int8 weights: half a step of each of the six rows at most
    bound = float((predictor.scales[:, [3, 9, 4]] * 0.5 * decayed[:, [3, 9, 4]]).sum()) + 1e-3
    assert np.abs(predictor.score([query])[0] - expected).max() < bound


def test_it_learns_what_comes_next() -> None:
    predictor = fit_model(LinearSequencePredictor, interactions(), options={"ridge": (1.0, 1.0, 1.0)})
    for last in (5, 15, 25):
        following = predictor.recommend(rated(*FILM_IDS[last - 3 : last + 1]), 2)
        assert {found.movie_id for found in following} == {FILM_IDS[last + 1], FILM_IDS[last + 2]}


def test_the_order_of_the_history_matters() -> None:
    predictor = fit_model(LinearSequencePredictor, interactions(), options={"ridge": (1.0, 1.0, 1.0)})
    there = predictor.recommend(rated(FILM_IDS[8], FILM_IDS[20]), 1)
    back = predictor.recommend(rated(FILM_IDS[20], FILM_IDS[8]), 1)
    assert (there[0].movie_id, back[0].movie_id) == (FILM_IDS[21], FILM_IDS[9])


def test_the_reason_is_the_film_that_led_here() -> None:
    predictor = fit_model(LinearSequencePredictor, interactions(), options={"ridge": (1.0, 1.0, 1.0)})
    found = predictor.recommend(rated(FILM_IDS[30], FILM_IDS[8]), 1)[0]
    assert found.reasons[0].movie_id == FILM_IDS[8]
    assert found.reasons[0].weight > 0.5


def test_a_seen_film_is_pushed_down_and_one_only_looked_at_is_not() -> None:
    predictor = LinearSequencePredictor.fit(interactions())
    film = FILM_IDS.index(FILM_IDS[8])
    rated_score = predictor.score_history(told(("rating", FILM_IDS[8], 2.5 + 0.5)))[film]
    clicked_score = predictor.score_history(told(("click", FILM_IDS[8], None)))[film]
    assert rated_score < clicked_score


def test_rare_films_are_left_out_where_there_are_too_many() -> None:
    data = interactions()
    predictor = fit_model(LinearSequencePredictor, data, options={"max_items": 10})
    counts = np.bincount(data.items, minlength=N_FILMS)
    films = predictor.items[predictor.inputs]
    assert len(films) == 10
    assert counts[films].min() >= np.delete(counts, films).max()
    rare = int(np.delete(np.arange(N_FILMS), films)[0])
    assert len(predictor.recommend(rated(FILM_IDS[rare]), N_FILMS)) == N_FILMS - 1


def test_a_rare_film_can_come_next_but_says_nothing_of_what_does() -> None:
    """The normal equations of the films with weights are a part of those of all; their targets are all."""
    rng = np.random.default_rng(1)
    n, rates, inputs = 9, (0.3, 1.0), np.array([0, 2, 3, 7])
    histories = sorted((rng.permutation(n)[: rng.integers(2, n)] for _ in range(20)), key=len)
    gram, targets = normal_equations.normal_equations(
        histories, n, rates, smoothing=0.4, run=Run(), inputs=inputs
    )
    features, following = regression(histories, rates, n, 0.4)
    kept = np.concatenate([inputs, n + inputs, [2 * n]])
    np.testing.assert_allclose(
        np.tril(gram), np.tril(features.T @ features)[np.ix_(kept, kept)], rtol=1e-5, atol=1e-2
    )
    np.testing.assert_allclose(targets, (features.T @ following)[kept], rtol=1e-5, atol=1e-2)


def test_targets_are_bounded_too() -> None:
    predictor = fit_model(
        LinearSequencePredictor, interactions(), options={"max_targets": 20, "max_items": 5}
    )
    assert predictor.weights.shape == (3, 5, 20)
    assert np.isfinite(predictor.score_history(rated(*FILM_IDS[:9]))).all()


def test_weights_are_compact() -> None:
    predictor = LinearSequencePredictor.fit(interactions())
    total = sum(array.nbytes for array in predictor.tensors().values())
    assert total < 3 * N_FILMS**2 + 60 * N_FILMS


def test_repeated_films_count_at_their_latest_place() -> None:
    repeated = from_rows([0, 0, 0, 0, 1, 1, 1], [2, 0, 1, 2, 0, 1, 2])
    once = from_rows([0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(
        fit_model(LinearSequencePredictor, repeated, options={"popularity_exponent": 0}).weights,
        fit_model(LinearSequencePredictor, once, options={"popularity_exponent": 0}).weights,
    )


def test_users_with_one_film_teach_nothing() -> None:
    with pytest.raises(TrainingError, match="next film"):
        LinearSequencePredictor.fit(from_rows([0, 1, 2], [0, 1, 2]))


@pytest.mark.parametrize(
    "options",
    [
        {"rates": "0.5,0.9"},
        {"rates": "0.5,1.1,1"},
        {"ridge": "0,1,1"},
        {"max_history": 1},
        {"smoothing": 1},
        {"rates": "fast"},
    ],
)
def test_unusable_options_are_refused(options: dict) -> None:
    with pytest.raises(TrainingError):
        fit_model(LinearSequencePredictor, interactions(), options=options)


def test_tensors_that_do_not_belong_together_are_refused() -> None:
    predictor = LinearSequencePredictor.fit(interactions())
    with pytest.raises(ArtifactError):
        LinearSequencePredictor.restore(predictor.tensors(), IdMap(range(3)), predictor.meta)


@pytest.mark.data
@pytest.mark.skipif(not ML_100K.is_file(), reason=f"{ML_100K} is not there")
def test_on_movielens_the_order_tells_more_than_neighbours_do() -> None:
    split = split_interactions("leave-one-out", read_interactions(ML_100K), part="validation")
    reached = {}
    for kind in (LinearSequencePredictor, NeighboursPredictor):
        reached[kind.name] = evaluate(kind.fit(split.train), split)[0].means()["NDCG@10"]
    assert reached["linear_sequence"] > 0.12
    assert reached["linear_sequence"] > 1.5 * reached["neighbours"]
