"""LightGCN and NGCF as predictors: what their contract with every other kind does not cover."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from predictors.errors import ArtifactError, TrainingError
from predictors.models.graph import base
from predictors.models.graph.base import GraphPredictor
from predictors.models.graph.fine_tuning import FineTuning
from predictors.models.graph.first_embedding import singular_start
from predictors.plugins import predictor_class
from predictors.query import Query
from predictors.run import Run
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, N_FILMS, RUN, interactions, rated, told
from predictors.training_data import as_training_data

ROOT = Path(__file__).resolve().parents[3]
QUICK = {"epochs": 30, "dim": 16, "batch_size": 256, "learning_rate": 0.02}


@pytest.fixture(scope="module", params=["lightgcn", "ngcf"])
def fitted(request: pytest.FixtureRequest) -> GraphPredictor:
    return fit_model(predictor_class(request.param), interactions(), options=QUICK)


@pytest.fixture(scope="module")
def artifact(fitted: GraphPredictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("artifacts") / fitted.name
    fitted.save(directory)
    return directory


def test_films_near_those_of_the_history_come_first(fitted):
    """In the small world people walk along RUN films by index."""
    for first in (5, 20, 33):
        found = fitted.recommend(rated(*FILM_IDS[first : first + 5]), 5)
        indices = np.array([FILM_IDS.index(film.movie_id) for film in found])
        distance = np.abs((indices - (first + 2) + N_FILMS // 2) % N_FILMS - N_FILMS // 2)
        assert (distance <= RUN).all()


def test_stars_weigh(fitted):
    loves_first = told(("rating", FILM_IDS[5], 5.0), ("rating", FILM_IDS[30], 3.0))
    loves_second = told(("rating", FILM_IDS[5], 3.0), ("rating", FILM_IDS[30], 5.0))
    difference = fitted.score_history(loves_first) - fitted.score_history(loves_second)
    assert difference[4] + difference[6] > difference[29] + difference[31]


def test_the_order_of_a_history_does_not_matter(fitted):
    found = [fitted.recommend(rated(*films), 10) for films in (FILM_IDS[3:9], FILM_IDS[3:9][::-1])]
    for one, other in zip(*found, strict=True):
        assert one.movie_id == other.movie_id
        assert one.score == pytest.approx(other.score, abs=1e-4)
        for reason, same in zip(one.reasons, other.reasons, strict=True):
            assert (reason.kind, reason.movie_id) == (same.kind, same.movie_id)
            assert reason.weight == pytest.approx(same.weight, abs=1e-3)  # rounded, of sums in another order


def test_the_local_form_serves_nearly_the_same_scores(artifact, fitted):
    local = type(fitted).load(artifact)
    local.form = "local"
    query = Query.from_indices(np.arange(10, 20))
    exact_scores, local_scores = fitted.score([query])[0], local.score([query])[0]
    assert not np.array_equal(exact_scores, local_scores)
    assert np.abs(exact_scores - local_scores).max() < 0.05 * np.ptp(exact_scores)


def test_by_cosine_films_are_served_at_length_one(tmp_path):
    options = QUICK | {"similarity": "cosine", "temperature": 0.2, "l2": 0.0}
    fitted = fit_model(predictor_class("lightgcn"), interactions(), options=options)
    fitted.save(tmp_path / "artifact")
    loaded = type(fitted).load(tmp_path / "artifact")
    np.testing.assert_allclose(np.linalg.norm(loaded.node.item_vectors, axis=1), 1.0, atol=1e-6)
    found = loaded.recommend(rated(*FILM_IDS[5:10]), 5)
    assert {film.movie_id for film in found} & set(FILM_IDS[3:12])
    half = fit_model(predictor_class("lightgcn"), interactions(), options=options | {"length_power": 0.5})
    dot = fit_model(predictor_class("lightgcn"), interactions(), options=options | {"length_power": 1.0})
    np.testing.assert_allclose(
        np.linalg.norm(half.node.item_vectors, axis=1) ** 2,
        np.linalg.norm(dot.node.item_vectors, axis=1),
        rtol=1e-5,
    )
    with pytest.raises(TrainingError, match="cosine"):
        fit_model(predictor_class("lightgcn"), interactions(), options=options | {"loss": "bpr"})


def test_what_was_learned_about_the_users_themselves_is_not_kept_for_serving(artifact, fitted):
    users = np.array([0, 3, 7])
    own = fitted.score_users(users)
    assert own.shape == (3, N_FILMS)
    as_visitors = fitted.score(
        [Query.from_indices(np.unique(interactions().items_of(user))) for user in users]
    )
    for mine, as_visitor in zip(own, as_visitors, strict=True):
        assert np.corrcoef(mine, as_visitor)[0, 1] > 0.8
    assert type(fitted).load(artifact).score_users(users) is None


def test_disliked_films_are_pushed_down_by_fine_tuning(artifact, fitted):
    tuned = type(fitted).load(artifact)
    tuned.fine_tuning = FineTuning(steps=10, rate=0.2)
    disliked = np.arange(24, 28)
    liked = np.arange(16, 24)
    without = tuned.score([Query.from_indices(liked)])[0]
    with_dislikes = tuned.score([Query.from_indices(liked, disliked=disliked)])[0]

    def standing(scores: np.ndarray) -> float:
        return float((scores[disliked].mean() - scores.mean()) / scores.std())

    assert standing(with_dislikes) < standing(without)


def test_every_process_gives_the_same_list_with_fine_tuning(artifact, fitted):
    program = f"""
import sys
from pathlib import Path
from predictors.models.graph.fine_tuning import FineTuning
from predictors.models.graph.first_embedding import singular_start
from predictors.plugins import predictor_class
from predictors.tests.small_world import FILM_IDS, rated
from predictors.run import Run
predictor = predictor_class({fitted.name!r}).load(Path({str(artifact)!r}))
predictor.fine_tuning = FineTuning(steps=10)
found = predictor.recommend(rated(*FILM_IDS[3:9]), 20)
sys.stdout.write(repr([(each.movie_id, each.score) for each in found]))
"""
    answers = {
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    loaded = type(fitted).load(artifact)
    loaded.fine_tuning = FineTuning(steps=10)
    here = loaded.recommend(rated(*FILM_IDS[3:9]), 20)
    assert answers == {repr([(each.movie_id, each.score) for each in here])}


def test_serving_options_are_kept_in_the_artifact(tmp_path):
    options = {**QUICK, "epochs": 1, "form": "local", "fine_tune_steps": 4, "fine_tune_operations": 70}
    predictor = fit_model(predictor_class("lightgcn"), interactions(), options=options)
    predictor.save(tmp_path / "v1")
    loaded = type(predictor).load(tmp_path / "v1")
    assert (loaded.form, loaded.fine_tuning) == ("local", FineTuning(4, max_operations=70))


def test_validation_visitors_without_training_rows_stop_the_training_early():
    rows = interactions()
    is_guest = rows.users % 5 == 0
    events = []
    predictor = fit_model(
        predictor_class("lightgcn"),
        rows.select(~is_guest),
        rows.select(is_guest),
        options={**QUICK, "epochs": 200, "evaluate_every": 1, "patience": 2, "learning_rate": 0.1},
        run=Run(progress=events.append),
    )
    assert predictor.meta["training"]["stopped"] == "patience"
    figures = [event.metrics["NDCG@10"] for event in events if "NDCG@10" in event.metrics]
    assert predictor.meta["training"]["NDCG@10"] == max(figures)
    assert len(figures) < 200


@pytest.mark.parametrize("name", ["lightgcn", "ngcf"])
@pytest.mark.parametrize(
    ("options", "told_of"),
    [
        ({"form": "roughly"}, "form"),
        ({"layers": 5}, "layers"),
        ({"layers": 0}, "layers"),
        ({"loss": "hinge"}, "bpr, softmax"),
        ({"negatives": "easy"}, "uniform, popularity, hard"),
        ({"backend": "pyg"}, "native, dgl"),
        ({"fine_tune_steps": -1}, "fine_tune_steps"),
    ],
)
def test_an_unusable_option_is_refused_by_name(name, options, told_of):
    with pytest.raises(TrainingError, match=told_of):
        fit_model(predictor_class(name), interactions(), options={**QUICK, **options})


def test_tables_of_the_wrong_shape_are_refused(fitted):
    tensors = fitted.tensors()
    for name in tensors:
        broken = {**tensors, name: tensors[name][:-1]}
        with pytest.raises(ArtifactError):
            type(fitted).restore(broken, fitted.ids, {})
        missing = {other: array for other, array in tensors.items() if other != name}
        with pytest.raises(ArtifactError):
            type(fitted).restore(missing, fitted.ids, {})


def test_the_validation_rows_do_not_choose_the_negatives():
    """Two validation sets may choose other weights, but the loss along the way is the same."""
    rows = interactions()
    losses = []
    for remainder in (0, 1):
        is_target = np.arange(len(rows)) % 7 == 3
        validation = rows.select(is_target & (rows.users % 2 == remainder))
        options = {
            **QUICK,
            "epochs": 6,
            "evaluate_every": 1,
            "patience": 0,
            "negatives": "hard",
            "loss": "bpr",
        }
        options["refresh_every"] = 1
        fitted = fit_model(predictor_class("lightgcn"), rows.select(~is_target), validation, options=options)
        losses.append([figures["loss"] for figures in fitted.meta["training"]["curve"]])
    assert losses[0] == losses[1]


# -- what training begins with -------------------------------------------------------------------

FEW = {"dim": 16, "layers": 2, "batch_size": 512, "epochs": 2, "evaluate_every": 1, "learning_rate": 0.01}


def test_singular_vectors_are_those_of_the_normalised_graph():
    matrix = interactions().csr()
    started = singular_start(matrix, 6, seed=1)
    dense = matrix.toarray().astype(np.float64)
    normalised = dense / np.sqrt(np.maximum(dense.sum(axis=1, keepdims=True), 1))
    normalised /= np.sqrt(np.maximum(dense.sum(axis=0, keepdims=True), 1))
    left, values, right = np.linalg.svd(normalised, full_matrices=False)
    expected = (left[:, :6] * values[:6]) @ (values[:6, None] * right[:6])
    users, items = started[: len(dense)], started[len(dense) :]
    for rows in (users, items):
        assert (rows**2).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)
    found = users @ items.T
    np.testing.assert_allclose(found / np.abs(found).max(), expected / np.abs(expected).max(), atol=1e-3)


def test_a_graph_with_few_singular_vectors_fills_the_other_columns():
    started = singular_start(interactions().csr(), N_FILMS + 8, seed=1)
    assert started.shape[1] == N_FILMS + 8
    assert np.abs(started[:, -8:]).max() > 0
    assert (started[:, -8:] ** 2).sum(axis=1).mean() < 0.05


@pytest.mark.parametrize(
    ("name", "start"), [("lightgcn", "singular"), ("ngcf", "singular"), ("ngcf", "lightgcn")]
)
def test_a_start_that_knows_the_graph_needs_few_epochs(name, start):
    kind = predictor_class(name)
    from_it, at_random = (
        fit_model(kind, interactions(), options={**FEW, "start": each}) for each in (start, "random")
    )
    again = fit_model(kind, interactions(), options={**FEW, "start": start})
    np.testing.assert_array_equal(again.node.item_vectors, from_it.node.item_vectors)
    losses = [each.meta["training"]["curve"][0]["loss"] for each in (from_it, at_random)]
    assert losses[0] < losses[1]


def test_an_embedding_stays_as_it_starts_while_it_is_frozen():
    kind = predictor_class("ngcf")
    first = {**FEW, "start": "singular", "start_scale": 2.0}
    started = 2 * singular_start(interactions().csr(), 16, seed=1)
    frozen = fit_model(kind, interactions(), options={**first, "frozen_epochs": 2})
    np.testing.assert_allclose(frozen.node.layer_0, started[-N_FILMS:], rtol=1e-6)
    layer = frozen.node.layers[0]
    assert not np.allclose(layer.w1, np.eye(16) / 2)
    assert np.abs(layer.w2).max() > 0
    thawed = fit_model(kind, interactions(), options={**first, "frozen_epochs": 1})
    assert not np.allclose(thawed.node.layer_0, started[-N_FILMS:], rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("lightgcn", {"start": "lightgcn"}), ("ngcf", {"start": "some"}), ("ngcf", {"start_scale": 0})],
)
def test_an_unusable_start_is_refused(name, wrong):
    with pytest.raises(TrainingError, match="start"):
        fit_model(predictor_class(name), interactions(), options={**FEW, **wrong})


@pytest.mark.parametrize("name", ["lightgcn", "ngcf"])
def test_a_graph_beyond_this_machine_is_refused_before_any_work(name):
    """It names the model that trains at any size."""
    with pytest.raises(
        TrainingError, match=f"{name} computes with the whole graph .* mf_softmax trains on graphs"
    ):
        fit_model(predictor_class(name), interactions(), options={"dim": 10**9})


@pytest.mark.parametrize("name", ["lightgcn", "ngcf"])
def test_a_layer_more_may_be_one_too_many(name, monkeypatch):
    kind, data = predictor_class(name), as_training_data(interactions())
    fixed, of_layer = kind.tables_in_memory
    of_three = (data.n_users + data.n_items) * 16 * 4 * (fixed + 3 * of_layer)
    monkeypatch.setattr(base, "memory_limit", lambda: of_three)
    kind.check_data(data, kind.config_class(dim=16, layers=3))
    with pytest.raises(TrainingError, match="dim=16 and layers=4"):
        kind.check_data(data, kind.config_class(dim=16, layers=4))
