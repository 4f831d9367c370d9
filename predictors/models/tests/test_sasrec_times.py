"""SASRec with times: how long each step took, and how long ago the last one was."""

import numpy as np
import pytest

from datasets.interactions import Interactions
from predictors.errors import TrainingError
from predictors.influences import without_liked
from predictors.models.sasrec.model import N_GAPS, SasrecPredictor, buckets
from predictors.models.tests.test_sasrec import N_ITEMS, OPTIONS, cyclic, one_thread  # noqa: F401 - a fixture
from predictors.query import Query
from predictors.run import Run
from predictors.testing import fit_model


def hurried_and_slow(n_users: int = 200, length: int = 12) -> Interactions:
    """Users go one film on after a second and three films on after a day, at random."""
    rng = np.random.default_rng(4)
    is_slow = rng.random((n_users, length)) < 0.5
    items = (np.cumsum(np.where(is_slow, 3, 1), axis=1) + rng.integers(0, N_ITEMS, (n_users, 1))) % N_ITEMS
    return Interactions.from_columns(
        np.repeat(np.arange(n_users), length),
        items.ravel(),
        at=np.cumsum(np.where(is_slow, 86_400, 1), axis=1).ravel(),
        user_ids=np.arange(n_users),
        item_ids=np.arange(N_ITEMS),
    )


@pytest.fixture(scope="module")
def timed() -> SasrecPredictor:
    return fit_model(SasrecPredictor, hurried_and_slow(), options={**OPTIONS, "times": True})


def best_after(predictor: SasrecPredictor, ages: list[int] | None) -> int:
    query = Query.from_indices([4, 5, 8, 9], ages=None if ages is None else np.array(ages))
    return int(predictor.retrieve([query], 1)[0][0, 0])


def test_the_time_to_the_question_decides_where_a_model_reads_times(timed):
    assert best_after(timed, [86_403, 86_402, 2, 1]) == 10
    assert best_after(timed, [172_802, 172_801, 86_401, 86_400]) == 12
    assert best_after(timed, None) in (10, 12), "without times either is as likely"


def test_a_model_that_reads_times_is_saved_and_loaded_with_them(timed, tmp_path):
    timed.save(tmp_path / "artifact")
    loaded = SasrecPredictor.load(tmp_path / "artifact")
    assert best_after(loaded, [172_802, 172_801, 86_401, 86_400]) == 12
    assert loaded.config.times


def test_a_film_left_out_of_a_history_leaves_the_times_of_the_others(timed):
    query = Query.from_indices([4, 5, 8, 9], ages=np.array([86_403, 86_402, 2, 1]))
    shorter = without_liked(query, 8)
    assert shorter.ages.tolist() == [86_403, 86_402, 1]


def test_times_that_the_data_does_not_have_are_refused():
    with pytest.raises(TrainingError, match="the data has no times"):
        fit_model(SasrecPredictor, cyclic(), options={**OPTIONS, "times": True})


def test_a_bucket_of_times_is_a_power_of_two_of_the_seconds():
    assert buckets(np.array([0, 1, 2, 3, 4, 1000, 2**40])).tolist() == [1, 2, 3, 3, 4, 11, N_GAPS - 1]
    assert buckets(np.array([-3])).tolist() == [1], "rows out of order count as at once"


@pytest.mark.parametrize("options", [{"block": "ligr"}, {"loss": "sampled"}])
def test_a_stopped_fit_of_another_kind_resumes_to_the_same_weights(options, tmp_path):
    data, options = hurried_and_slow(40), {**OPTIONS, "epochs": 3, "times": True, "patience": 0, **options}
    for folder, budget in (("part", 1e-9), ("whole", 0.0)):
        fit_model(
            SasrecPredictor,
            data,
            options={**options, "cpu_budget_seconds": budget},
            run=Run(checkpoint_dir=tmp_path / folder),
        )
    fit_model(SasrecPredictor, data, options=options, run=Run(checkpoint_dir=tmp_path / "part", resume=True))
    from safetensors.numpy import load_file

    found, expected = (load_file(tmp_path / folder / "last.safetensors") for folder in ("part", "whole"))
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
