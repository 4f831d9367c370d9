import numpy as np
import pytest

from predictors.base import Saved
from predictors.errors import ArtifactError, TrainingError
from predictors.models.graph_filter import GraphFilterPredictor, _alpha_by_rows, _factors_by_size
from predictors.query import Query
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, N_FILMS, from_rows, interactions, rated

OPTIONS = {"factors": 12, "alpha": 0.4, "iterations": 12}


@pytest.fixture(scope="module")
def graph() -> GraphFilterPredictor:
    return fit_model(GraphFilterPredictor, interactions(), options=OPTIONS)


def test_scores_are_those_of_the_formula_with_dense_matrices_and_an_exact_svd(graph):
    met = interactions().csr(np.float64).toarray()
    met = met[met.any(axis=1)]
    of_film = met.sum(axis=0)
    normalised = met / np.sqrt(met.sum(axis=1))[:, None] / np.sqrt(of_film)
    vectors = np.linalg.svd(normalised)[2][:12].T
    history = np.zeros(N_FILMS)
    history[[3, 4, 20]] = [1.0, 0.5, 0.8]
    history[30] = -graph.config.as_dict()["dislike_weight"]
    expected = history @ normalised.T @ normalised
    expected += 0.4 * (history / np.sqrt(of_film)) @ vectors @ vectors.T * np.sqrt(of_film)
    found = graph.score([Query.from_indices([3, 4, 20], [1.0, 0.5, 0.8], disliked=[30])])[0]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_skipping_people_who_have_nothing_in_common_changes_no_score(graph, monkeypatch):
    queries = [Query.from_indices([5]), Query.from_indices([5, 30, 41])]
    monkeypatch.setattr("predictors.models.graph_filter.FEW", 0.0)
    dense = graph.score(queries)
    monkeypatch.setattr("predictors.models.graph_filter.FEW", 1.1)
    np.testing.assert_allclose(graph.score(queries), dense, atol=1e-6)


def test_an_artifact_has_the_transposed_matrix_and_an_older_one_is_read_as_before(graph):
    def load(tensors):
        return GraphFilterPredictor.from_artifact(Saved(tensors, graph.ids, graph.config))

    queries = [Query.from_indices([5]), Query.from_indices([5, 30, 41])]
    tensors = graph.tensors()
    loaded = load(tensors)
    assert np.shares_memory(loaded._people_of.data, tensors["of_item_data"])
    older = {name: each for name, each in tensors.items() if not name.startswith("of_item_")}
    for read in (loaded, load(older)):
        assert np.array_equal(read.score(queries), graph.score(queries))
    with pytest.raises(ArtifactError, match="not a graph"):
        load(tensors | {"of_item_indptr": tensors["of_item_indptr"][:-1]})


def test_the_vectors_are_orthonormal(graph):
    np.testing.assert_allclose(graph.vectors.T @ graph.vectors, np.eye(12), atol=1e-5)


def test_the_reason_is_the_film_that_added_most(graph):
    query = Query.from_indices([5, 30])
    alone = graph.score([Query.from_indices([5]), Query.from_indices([30])])
    for film, why in zip(range(N_FILMS), graph.reasons(query, range(N_FILMS)), strict=True):
        if why and film not in (5, 30):
            assert why[0].movie_id == FILM_IDS[[5, 30][int(alone[:, film].argmax())]]
            added = alone[:, film].clip(min=0)
            assert why[0].weight == pytest.approx(added.max() / added.sum(), abs=1e-4)


def test_a_film_that_nobody_met_scores_zero():
    graph = GraphFilterPredictor.fit(from_rows([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 3]))
    np.testing.assert_allclose(graph.score_history(rated(FILM_IDS[0]))[2], 0, atol=1e-6)
    assert np.isfinite(graph.score_history(rated(FILM_IDS[2]))).all()


def test_more_factors_than_films_are_no_problem():
    graph = fit_model(GraphFilterPredictor, interactions(), options={"factors": 1000})
    assert graph.vectors.shape == (N_FILMS, N_FILMS)


def test_a_large_catalogue_needs_no_matrix_of_films_by_films():
    """40,000 films: their square would take 6.4 GB."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(500), 20)
    films = rng.integers(0, 40_000, len(users))
    films[::20] = np.arange(500) % 10
    train = from_rows(users.tolist(), films.tolist(), item_ids=list(range(40_000)))
    graph = fit_model(GraphFilterPredictor, train, options={"factors": 8, "iterations": 1})
    mine = films[:20]
    ranked, _ = graph.retrieve([Query.from_indices(np.unique(mine[1:]))], 5)
    assert mine[0] in ranked[0]  # the film that the same person met
    assert sum(array.nbytes for array in graph.tensors().values()) < 3_000_000


@pytest.mark.parametrize("wrong", [{"factors": -1}, {"iterations": -1}, {"dislike_weight": -1}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(TrainingError, match=next(iter(wrong))):
        fit_model(GraphFilterPredictor, interactions(), options=wrong)


def test_exponents_and_sharpening_are_those_of_the_formula():
    options = {
        "factors": 12,
        "people_exponent": 0.7,
        "history_exponent": 0.6,
        "sharpening": 0.3,
        "iterations": 12,
    }
    graph = fit_model(GraphFilterPredictor, interactions(), options=options)
    met = interactions().csr(np.float64).toarray()
    met = met[met.any(axis=1)]
    of_film = met.sum(axis=0)
    normalised = met / met.sum(axis=1)[:, None] ** 0.7 / np.sqrt(of_film)
    values, vectors = np.linalg.svd(normalised)[1:]
    normalised, values = normalised / values[0], values / values[0]
    vectors = vectors[:12].T
    history = np.zeros(N_FILMS)
    history[[3, 20]] = [1.0, 0.5]
    signal = history * of_film**-0.1
    expected = signal @ normalised.T @ normalised
    expected += 0.2 * (history / np.sqrt(of_film)) @ vectors @ vectors.T * np.sqrt(of_film)
    expected -= 0.3 * (signal @ vectors) * values[:12] ** 4 @ vectors.T
    query = Query.from_indices([3, 20], [1.0, 0.5])
    np.testing.assert_allclose(graph.score([query])[0], expected, atol=1e-3)
    alone = graph.item_weights(np.array([3, 20])) * np.array([[1.0], [0.5]])
    for film, why in zip(range(N_FILMS), graph.reasons(query, range(N_FILMS)), strict=True):
        if why and film not in (3, 20):
            assert why[0].movie_id == FILM_IDS[[3, 20][int(alone[:, film].argmax())]]


def test_factors_follow_the_size_of_the_data():
    small = GraphFilterPredictor.fit(interactions())
    assert small.vectors.shape[1] == N_FILMS  # as many as there are
    assert _factors_by_size(6040, 3706) == 57
    assert _factors_by_size(29_858, 40_981) == 448
    assert _factors_by_size(10**6, 10**6) == 448


def test_the_ideal_filter_counts_more_where_few_people_met_an_item():
    assert _alpha_by_rows(1_000_209, 3706) == 0.2  # MovieLens 1M
    assert _alpha_by_rows(810_128, 40_981) == pytest.approx(0.253, abs=1e-3)  # Gowalla
    assert _alpha_by_rows(100, 100) == 2.0
    sparse = from_rows([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 3])
    assert GraphFilterPredictor.fit(sparse).alpha == 2.0  # six rows of three films
    assert fit_model(GraphFilterPredictor, sparse, options={"alpha": 0.0}).alpha == 0.0
