import numpy as np
import pytest

from predictors.errors import ConfigError, TrainingError
from predictors.id_map import IdMap
from predictors.models.mf_softmax import MfSoftmaxConfig, MfSoftmaxPredictor
from predictors.query import Query
from predictors.run import Run
from predictors.testing import fit_model
from predictors.tests.small_world import N_FILMS, interactions

QUICK = {"epochs": 3, "dim": 16, "batch_size": 256}


def predictor(n_items: int = 30, dim: int = 4) -> MfSoftmaxPredictor:
    rng = np.random.default_rng(0)
    items = rng.normal(0, 1, (n_items, dim)).astype(np.float32)
    biases = rng.normal(0, 1, n_items).astype(np.float32)
    config = MfSoftmaxConfig(l2=0.3, fold_in_ridge=0.5)
    return MfSoftmaxPredictor(items, biases, IdMap(list(range(n_items))), config)


def test_the_fold_in_is_a_newton_step_of_the_softmax_from_zero():
    """Gradient and Hessian of the mean log-likelihood of the liked items, by finite differences."""
    model, liked, weights = predictor(), np.array([3, 9, 4]), np.array([1.0, 0.5, 1.0])

    def objective(x: np.ndarray) -> float:
        scores = model.items.astype(np.float64) @ x + model.biases
        ridge = 0.3 + 0.5 / weights.sum()
        likelihood = weights @ scores[liked] / weights.sum() - np.log(np.exp(scores).sum())
        return likelihood - ridge / 2 * x @ x

    step, eye = 1e-3, np.eye(4) * 1e-3
    gradient = np.array([(objective(e) - objective(-e)) / (2 * step) for e in eye])
    hessian = np.array(
        [
            [
                (objective(a + b) - objective(a - b) - objective(b - a) + objective(-a - b)) / (4 * step**2)
                for b in eye
            ]
            for a in eye
        ]
    )
    x = -np.linalg.solve(hessian, gradient)
    query = Query.from_indices(liked, weights=weights)
    np.testing.assert_allclose(model.score([query])[0], model.items @ x + model.biases, atol=1e-4)


def test_the_influences_of_the_liked_items_add_up_to_all_but_the_bias():
    model, query = predictor(), Query.from_indices([3, 9, 4])
    targets = np.array([1, 2, 20])
    amounts = model.influences(query, targets).amounts
    np.testing.assert_allclose(
        amounts.sum(axis=0), model.score([query], targets)[0] - model.biases[targets], atol=1e-5
    )


def test_a_history_of_nothing_is_ranked_by_the_biases():
    model = predictor()
    np.testing.assert_array_equal(model.score([Query.from_indices([])])[0], model.biases)


def test_it_finds_what_goes_with_a_history():
    """Users walk along the films in order, so that films of near indices go together."""
    model = fit_model(MfSoftmaxPredictor, interactions(), options={**QUICK, "epochs": 20, "dim": 8})
    near = [abs(int(each) - 24) for each in model.retrieve([Query.from_indices([22, 23, 25, 26])], 4)[0][0]]
    assert np.mean(near) < N_FILMS / 6


def test_an_interrupted_training_resumes(tmp_path):
    class Enough(Exception):
        pass

    def interrupt(event) -> None:
        if event.done > 0.5:
            raise Enough

    def fit(**run) -> MfSoftmaxPredictor:
        return fit_model(MfSoftmaxPredictor, interactions(), options=QUICK, run=Run(**run))

    with pytest.raises(Enough):
        fit(checkpoint_dir=tmp_path, progress=interrupt)
    np.testing.assert_array_equal(fit(checkpoint_dir=tmp_path, resume=True).items, fit().items)
    with pytest.raises(TrainingError, match="seed 1 there, 2 now"):
        fit(checkpoint_dir=tmp_path, resume=True, seed=2)


@pytest.mark.parametrize("wrong", ["negatives=0", "l2=0", "dim=0", "sampling_exponent=-1", "learning_rate=0"])
def test_unusable_options_are_refused_by_name(wrong):
    name, _, value = wrong.partition("=")
    with pytest.raises(ConfigError, match=name):
        MfSoftmaxConfig.read({name: value})
