"""Item neighbours against hand-made numbers and an independent computation."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.errors import ArtifactError, TrainingError
from predictors.id_map import IdMap
from predictors.models.neighbours import NeighboursPredictor
from predictors.query import Query
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, N_FILMS, from_rows, interactions, rated, told

# Films 0 and 1 are met by users 0, 1, 2 alike; film 2 by user 0, film 3 by users 3 and 4.
USERS, ITEMS = [0, 0, 0, 1, 1, 2, 2, 3, 4], [0, 1, 2, 0, 1, 0, 1, 3, 3]
PLAIN = {"shrinkage": 0, "popularity_weight": 0}


def test_similarity_is_the_shrunk_cosine() -> None:
    predictor = fit_model(NeighboursPredictor, from_rows(USERS, ITEMS), options={**PLAIN, "shrinkage": 2.0})
    similarities = predictor.similarities.toarray()
    assert similarities[0, 1] == pytest.approx(3 / (3 + 2))
    assert similarities[0, 2] == pytest.approx(1 / (np.sqrt(3) + 2))
    assert similarities[0, 3] == 0
    np.testing.assert_allclose(similarities, similarities.T)
    assert (similarities.diagonal() == 0).all()


def test_the_matrix_agrees_with_dense_arithmetic() -> None:
    data = interactions()
    predictor = fit_model(
        NeighboursPredictor, data, options={**PLAIN, "exponent": 0.3, "neighbours": N_FILMS}
    )
    met = data.csr(np.float64).toarray()
    counts = met.sum(axis=0)
    scale = counts[:, None] ** 0.7 * counts[None, :] ** 0.3
    expected = np.divide(met.T @ met, scale, out=np.zeros_like(scale), where=scale > 0)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(predictor.similarities.toarray(), expected, rtol=1e-5)


def test_only_the_nearest_are_kept_and_ties_go_to_the_lower_index() -> None:
    users, items = [0, 0, 0, 0], [0, 1, 2, 3]  # all equally similar
    predictor = fit_model(NeighboursPredictor, from_rows(users, items), options={**PLAIN, "neighbours": 2})
    kept = predictor.similarities.tocsr()
    assert [kept[row].indices.tolist() for row in range(4)] == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_weights_of_liked_films_scale_what_they_add() -> None:
    predictor = fit_model(NeighboursPredictor, from_rows(USERS, ITEMS), options=PLAIN)
    full = predictor.score([Query.from_indices([2])])[0]
    half = predictor.score([Query.from_indices([2], weights=[0.5])])[0]
    np.testing.assert_allclose(half, full / 2)


def test_the_prior_decides_where_neighbours_say_nothing() -> None:
    predictor = fit_model(NeighboursPredictor, from_rows(USERS, ITEMS), options={"popularity_weight": 0.1})
    assert predictor.recommend(rated(FILM_IDS[3]), 1)[0].movie_id == FILM_IDS[0]


def test_a_disliked_film_pulls_its_neighbours_down() -> None:
    predictor = NeighboursPredictor.fit(interactions())
    liked = FILM_IDS[10]
    plain = predictor.score_history(rated(liked))
    with_dislike = predictor.score_history(told(("rating", liked, 5.0), ("rating", FILM_IDS[12], 1.0)))
    neighbours = predictor.similarities[12].indices
    assert (with_dislike[neighbours] < plain[neighbours]).all()
    others = np.setdiff1d(np.arange(N_FILMS), neighbours)
    np.testing.assert_array_equal(with_dislike[others], plain[others])


def test_the_reason_is_the_liked_film_that_added_most() -> None:
    predictor = fit_model(NeighboursPredictor, from_rows(USERS, ITEMS), options=PLAIN)
    found = predictor.recommend(rated(FILM_IDS[1], FILM_IDS[2]), 1)[0]
    assert found.movie_id == FILM_IDS[0]
    (reason,) = found.reasons
    assert reason.movie_id == FILM_IDS[1]
    from_1, from_2 = 1.0, 1 / np.sqrt(3)
    assert reason.weight == pytest.approx(from_1 / (from_1 + from_2), abs=1e-4)


def test_a_film_without_connection_has_no_reason() -> None:
    predictor = NeighboursPredictor.fit(from_rows(USERS, ITEMS))
    unconnected = predictor.recommend(rated(FILM_IDS[3]), 3)
    assert [found.reasons for found in unconnected] == [(), (), ()]


def test_similar_films_are_the_nearest() -> None:
    predictor = NeighboursPredictor.fit(interactions())
    nearest = [FILM_IDS.index(found.movie_id) for found in predictor.similar(FILM_IDS[20], 4)]
    assert all(abs(index - 20) <= 4 for index in nearest)


def test_a_matrix_that_does_not_fit_the_ids_is_refused() -> None:
    predictor = NeighboursPredictor.fit(from_rows(USERS, ITEMS))
    with pytest.raises(ArtifactError):
        NeighboursPredictor.restore(predictor.tensors(), IdMap(range(3)), {})


@pytest.mark.parametrize("options", [{"neighbours": 0}, {"shrinkage": -1}, {"exponent": 1.5}])
def test_unusable_options_are_refused(options: dict) -> None:
    with pytest.raises(TrainingError):
        fit_model(NeighboursPredictor, from_rows(USERS, ITEMS), options=options)
