import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from predictors.errors import TrainingError
from predictors.models import nearest_items
from predictors.models.ease import EasePredictor
from predictors.models.local_ease import local_weights
from predictors.plugins import predictor_class
from predictors.query import Query
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, N_FILMS, from_rows, interactions, rated, told


@pytest.fixture(scope="module")
def ease() -> EasePredictor:
    return fit_model(EasePredictor, interactions(), options={"ridge": 20.0, "dropout": 0.2})


def test_the_weights_are_the_ridge_regression_of_each_film_on_the_others(ease):
    """Film by film in float64, leaving the film itself out: what the closed form must agree with."""
    met = interactions().csr(np.float64).toarray()
    gram = met.T @ met
    penalty = 20.0 + 0.2 / 0.8 * np.diag(gram)
    for film in range(N_FILMS):
        others = np.delete(np.arange(N_FILMS), film)
        system = gram[np.ix_(others, others)] + np.diag(penalty[others])
        expected = np.linalg.solve(system, gram[others, film])
        np.testing.assert_allclose(ease.weights[others, film], expected, atol=1e-5)
        assert ease.weights[film, film] == 0


def test_a_stronger_like_counts_more(ease):
    weak, strong = ease.score(
        [Query.from_indices([3, 30], [1.0, 0.2]), Query.from_indices([3, 30], [1.0, 1.0])]
    )
    np.testing.assert_allclose(strong - weak, 0.8 * ease.weights[30], atol=1e-6)


def test_what_goes_with_a_disliked_film_loses(ease):
    liked = told(("rating", FILM_IDS[3], 5.0))
    also_disliked = told(("rating", FILM_IDS[3], 5.0), ("rating", FILM_IDS[20], 1.0))
    follows = int(ease.weights[20].argmax())
    assert ease.score_history(also_disliked)[follows] < ease.score_history(liked)[follows]


def test_the_reason_is_the_film_that_added_most(ease):
    history = rated(FILM_IDS[5], FILM_IDS[30])
    for found in ease.recommend(history, 5):
        near_first = abs(FILM_IDS.index(found.movie_id) - 5) < abs(FILM_IDS.index(found.movie_id) - 30)
        assert found.reasons[0].movie_id == (FILM_IDS[5] if near_first else FILM_IDS[30])


def test_a_threshold_keeps_the_large_weights_and_nearly_the_ranking(ease, tmp_path):
    thin = fit_model(
        EasePredictor, interactions(), options={"ridge": 20.0, "dropout": 0.2, "threshold": 0.03}
    )
    kept = thin.weights.toarray()
    np.testing.assert_array_equal(kept, np.where(np.abs(ease.weights) >= 0.03, ease.weights, 0))
    assert thin.weights.nnz < ease.weights.size / 2
    history = rated(*FILM_IDS[3:6])
    top = [found.movie_id for found in thin.recommend(history, 5)]
    assert top[0] == ease.recommend(history, 1)[0].movie_id
    thin.save(tmp_path / "v1")
    loaded = EasePredictor.load(tmp_path / "v1")
    assert loaded.recommend(history, N_FILMS) == thin.recommend(history, N_FILMS)


def test_a_film_that_nobody_met_scores_zero_and_explains_nothing():
    train = from_rows([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 3])
    ease = EasePredictor.fit(train)
    assert ease.score_history(rated(FILM_IDS[0]))[2] == 0
    assert not ease.score_history(rated(FILM_IDS[2])).any()
    assert ease.reasons(Query.from_indices([2]), [0, 1]) == [(), ()]


def test_too_many_films_are_refused_before_any_memory_is_taken():
    with pytest.raises(TrainingError, match=r"48 items .*max_items=40"):
        fit_model(EasePredictor, interactions(), options={"max_items": 40, "neighbours": 0})


@pytest.mark.parametrize("intercept", [False, True])
def test_of_too_many_films_each_is_the_regression_on_its_nearest(intercept):
    options = {"ridge": 20.0, "dropout": 0.2, "popularity_exponent": 0.5, "intercept": intercept}
    local = fit_model(EasePredictor, interactions(), options={**options, "max_items": 40, "neighbours": 6})
    weights = local.item_weights(np.arange(N_FILMS))
    met = interactions().csr(np.float64).toarray()
    together = met.T @ met
    counts = together.diagonal().copy()
    similarity = together / (np.sqrt(np.outer(counts, counts)) + 20.0)
    np.fill_diagonal(similarity, 0)
    gram = together - np.outer(counts, counts) / len(met) * intercept
    for film in range(N_FILMS):
        nearest = np.flatnonzero(weights[:, film])
        farther = np.setdiff1d(np.arange(N_FILMS), nearest)
        assert len(nearest) == 6
        assert similarity[nearest, film].min() >= similarity[farther, film].max() - 1e-6
        system = gram[np.ix_(nearest, nearest)] + np.diag(20.0 + 0.2 / 0.8 * counts[nearest])
        expected = np.linalg.solve(system, gram[nearest, film]) / np.sqrt(counts[film])
        np.testing.assert_allclose(weights[nearest, film], expected, rtol=1e-3, atol=1e-6)


def test_films_on_their_nearest_are_saved_and_rank_nearly_as_all_pairs(ease, tmp_path):
    options = {"ridge": 20.0, "dropout": 0.2, "max_items": 40, "neighbours": 20, "threshold": 0.003}
    local = fit_model(EasePredictor, interactions(), options=options)
    assert np.abs(local.weights.data).min() >= 0.003
    history = rated(*FILM_IDS[3:6])
    best = {found.movie_id for found in ease.recommend(history, 5)}
    assert len(best & {found.movie_id for found in local.recommend(history, 5)}) >= 4
    local.save(tmp_path / "v1")
    assert EasePredictor.load(tmp_path / "v1").recommend(history, 9) == local.recommend(history, 9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ridge": 0},
        {"dropout": 1},
        {"threshold": -1},
        {"dislike_weight": -1},
        {"popularity_exponent": -1},
        {"neighbours": -1},
    ],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(TrainingError, match=next(iter(wrong))):
        fit_model(EasePredictor, interactions(), options=wrong)


def test_with_an_intercept_it_is_the_regression_on_centred_columns():
    data = interactions()
    met = data.csr(np.float64).toarray()
    met = met[met.any(axis=1)]
    options = {"intercept": True, "ridge": 4.0, "dropout": 0.0}
    found = fit_model(EasePredictor, data, options=options)
    inverse = np.linalg.inv(np.cov(met.T, bias=True) * len(met) + 4.0 * np.eye(N_FILMS))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(found.weights, expected, atol=2e-3)


def test_scores_can_be_divided_by_popularity():
    data = interactions()
    counts = np.bincount(data.items, minlength=N_FILMS)
    plain = fit_model(EasePredictor, data).weights
    divided = fit_model(EasePredictor, data, options={"popularity_exponent": 0.5}).weights
    np.testing.assert_allclose(divided, plain / np.sqrt(counts), rtol=1e-5)


@pytest.mark.parametrize("model", ["ease", "neighbours", "graph_filter", "transitions"])
def test_item_weights_are_what_a_film_adds_to_every_score(model):
    predictor = fit_model(predictor_class(model), interactions())
    added = predictor.item_weights(np.array([3, 20]))
    alone, both, other = predictor.score([Query.from_indices(films) for films in ([3], [3, 20], [20])])
    recency = getattr(predictor.config, "recency", 1.0)
    np.testing.assert_allclose(alone - added[0], other - added[1], atol=1e-5)  # a prior is the same for all
    np.testing.assert_allclose(both - other, recency * added[0], atol=1e-4)


def test_weights_on_the_nearest_are_written_where_they_stay(monkeypatch):
    """Beside the weights only their pattern, half as many bytes, and one block are in memory."""
    monkeypatch.setattr(nearest_items, "BLOCK", 64)
    matrix = sparse.random(500, 4000, density=0.02, format="csr", dtype=np.float32, random_state=1)
    matrix.data[:] = 1
    matrix = matrix[:, np.flatnonzero(matrix.getnnz(axis=0))]
    tracemalloc.start()
    try:
        weights = local_weights(matrix, ridge=10.0, dropout=0.5, intercept=False, neighbours=60)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.2 * (weights.data.nbytes + weights.indices.nbytes)
