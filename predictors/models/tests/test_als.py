import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from predictors.errors import PackageMissing, TrainingError
from predictors.models.als import AlsPredictor
from predictors.models.mf.model import MfPredictor
from predictors.query import Query
from predictors.run import Run
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, N_FILMS, from_rows, interactions, rated, told

QUICK = {"factors": 12, "epochs": 5, "ridge": 50.0, "unobserved_weight": 0.3}


@pytest.fixture(scope="module")
def als() -> AlsPredictor:
    return fit_model(AlsPredictor, interactions(), options=QUICK)


def test_a_visitor_is_folded_in_by_the_normal_equations(als):
    """In float64, by the formula: what a user of the training data with this history would get."""
    liked, weights, disliked = [4, 9, 20], [1.0, 0.4, 0.8], [30]
    items = als.factors.items.astype(np.float64)
    config = als.config.as_dict()
    ridge = als.factors.ridge * (4 + config["unobserved_weight"] * N_FILMS) ** config["ridge_exponent"]
    system = config["unobserved_weight"] * items.T @ items + ridge * np.eye(12)
    for film, amount in zip(liked + disliked, [*weights, config["dislike_weight"]], strict=True):
        system += amount * np.outer(items[film], items[film])
    expected = items @ np.linalg.solve(system, items[liked].T @ weights)
    found = als.score([Query.from_indices(liked, weights, disliked)])[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_comes_next_is_near_what_was_liked(als):
    for start in (5, 15, 25):
        recommended = [found.movie_id for found in als.recommend(rated(*FILM_IDS[start : start + 3]), 3)]
        assert all(abs(FILM_IDS.index(film) - start - 1) <= 6 for film in recommended)


def test_a_disliked_film_pulls_its_like_down(als):
    liked = told(("rating", FILM_IDS[10], 5.0), ("rating", FILM_IDS[20], 4.0))
    disliked = told(("rating", FILM_IDS[10], 5.0), ("rating", FILM_IDS[20], 1.0))
    assert als.score_history(disliked)[21] < als.score_history(liked)[21]


def test_the_reasons_add_up_to_the_score(als):
    """With one liked film everything is due to it; with two the nearer one has the larger share."""
    assert als.recommend(rated(FILM_IDS[10]), 1)[0].reasons[0].weight == 1.0
    for found in als.recommend(rated(FILM_IDS[10], FILM_IDS[30]), 4):
        index = FILM_IDS.index(found.movie_id)
        nearer = FILM_IDS[10] if abs(index - 10) < abs(index - 30) else FILM_IDS[30]
        assert found.reasons[0].movie_id == nearer


def test_stars_weigh_when_asked_to():
    """Films 1 and 2 were each met by two people who met film 0; film 2 got more stars."""
    users, films = [0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 0, 1, 0, 2, 0, 2]
    train = from_rows(users, films, values=np.array([5.0, 3.0, 5.0, 3.0, 5.0, 5.0, 5.0, 5.0]))
    alike = fit_model(AlsPredictor, train, options={**QUICK, "rating_weight": 0}).score_history(
        rated(FILM_IDS[0])
    )
    weighed = fit_model(AlsPredictor, train, options={**QUICK, "rating_weight": 1}).score_history(
        rated(FILM_IDS[0])
    )
    assert alike[1] == pytest.approx(alike[2], abs=1e-3)
    assert weighed[2] > weighed[1] + 0.01


def test_a_handful_of_people_is_enough_to_tell_films_apart():
    """The first evening of a new site, with the options as they come."""
    train = from_rows([0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 0, 1, 2, 3, 2, 3])
    scores = AlsPredictor.fit(train).score_history(rated(FILM_IDS[0]))
    assert scores[1] > scores[3] + 0.1


def test_a_budget_ends_training_after_whole_epochs():
    short = fit_model(AlsPredictor, interactions(), options={**QUICK, "cpu_budget_seconds": 1e-6})
    once = fit_model(AlsPredictor, interactions(), options={**QUICK, "epochs": 1})
    np.testing.assert_array_equal(short.factors.items, once.factors.items)


@pytest.mark.parametrize(
    "wrong", [{"factors": 0}, {"ridge": 0}, {"unobserved_weight": 0}, {"rating_weight": 2}, {"seed": -1}]
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(TrainingError, match=next(iter(wrong))):
        fit_model(AlsPredictor, interactions(), options=wrong)


@pytest.mark.parametrize("kind", [AlsPredictor, MfPredictor])
def test_small_solves_run_on_one_thread_of_blas_and_others_on_as_many_as_before(kind):
    during = []
    run = Run(progress=lambda event: during.extend(blas_threads()))
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        fit_model(kind, interactions(), options={"factors": 4, "epochs": 2}, run=run)
        assert blas_threads() == before
    assert set(during) == {1}


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_the_library_finds_the_same_taste_as_the_native_fit():
    pytest.importorskip("implicit", reason="implicit is not installed; see requirements-implicit.txt")
    options = {"factors": 8, "epochs": 15}
    native, library = (
        fit_model(AlsPredictor, interactions(), options={**options, "backend": backend})
        for backend in ("native", "implicit")
    )
    queries = [Query.from_indices(range(first, first + 4)) for first in range(0, N_FILMS - 4, 6)]
    for one, other in zip(native.score(queries), library.score(queries), strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.95
    again = fit_model(AlsPredictor, interactions(), options={**options, "backend": "implicit"})
    np.testing.assert_allclose(again.factors.items, library.factors.items, rtol=1e-4, atol=1e-5)


def test_without_the_library_its_requirements_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    with pytest.raises(PackageMissing, match=r"requirements-implicit\.txt"):
        fit_model(AlsPredictor, interactions(), options={"backend": "implicit"})
    with pytest.raises(TrainingError, match="backend must be one of native, implicit"):
        fit_model(AlsPredictor, interactions(), options={"backend": "another"})
