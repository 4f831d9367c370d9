"""Tuning finds better options on validation, keeps what it found, and never sees a test row."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from datasets.splits.protocols import split_interactions
from evaluation.conditions import evaluate
from evaluation.tests.test_runner import synthetic
from evaluation.tuning import CONFIG, LEAST_TO_PRUNE, TRIALS, Search, TuningBusy, _alone, tune
from predictors.config import ConfigError
from predictors.errors import TrainingError
from predictors.models.ease import EaseConfig, EasePredictor
from predictors.models.sasrec.model import SasrecPredictor
from predictors.plugins import BUILT_IN, predictor_class
from predictors.progress import ProgressEvent
from predictors.tuning import SPACES, Parameter, read_config, search_space

SPACE = {"ridge": Parameter(1.0, 5000.0, log=True), "dropout": Parameter(0.0, 0.5)}


@pytest.fixture(scope="module")
def split():
    return split_interactions("leave-one-out", synthetic(), part="validation")


def search(split, **changes) -> Search:
    return Search(**{"model": "ease", "split": split, "space": SPACE, "n_trials": 6} | changes)


def test_the_best_options_are_better_on_validation_and_can_be_read_back(split, tmp_path):
    asked = search(split, options={"ridge": 5000.0, "dropout": 0.0}, n_trials=12)
    found = tune(asked, tmp_path)
    assert found.n_trials == 12
    assert found.value > found.start
    options = read_config(found.config, "ease")
    assert options == found.options
    again = EasePredictor.fit(split.train, EaseConfig.read(options))
    assert evaluate(again, split, metrics=("NDCG@10",))[0].means()["NDCG@10"] == pytest.approx(found.value)
    written = json.loads((found.config.parent / TRIALS).read_text())
    assert written["metric"] == "NDCG@10"
    assert written["trials"][0]["options"] == {"ridge": 5000.0, "dropout": 0.0}
    assert written["trials"][written["best"]]["value"] == found.value
    assert all(trial["state"] == "complete" and trial["cpu_seconds"] > 0 for trial in written["trials"])


def test_an_interrupted_search_goes_on_where_it_was(split, tmp_path):
    class Stopped(Exception):
        pass

    seen = []

    def stop(event: ProgressEvent) -> None:
        seen.append(event.message.split(":")[0])
        if event.message.startswith("trial 4"):
            raise Stopped

    with pytest.raises(Stopped):
        tune(search(split), tmp_path, progress=stop)
    (folder,) = tmp_path.iterdir()
    before = json.loads((folder / TRIALS).read_text())["trials"]
    assert len(before) == 3
    found = tune(search(split), tmp_path)
    after = json.loads((folder / TRIALS).read_text())["trials"]
    assert [trial["options"] for trial in after[:3]] == [trial["options"] for trial in before]
    assert found.n_trials == len(after) == 6
    assert len({json.dumps(trial["options"]) for trial in after}) == 6, "nothing is proposed twice"
    assert tune(search(split), tmp_path).n_trials == 6, "there is nothing left to do"
    assert tune(search(split, n_trials=7), tmp_path).n_trials == 7
    tune(search(split, seed=2, n_trials=1), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2, "another search has a folder of its own"


def test_the_budget_is_for_all_trials_together(split, tmp_path, monkeypatch):
    fit, clock = EasePredictor._fit.__func__, SimpleNamespace(now=0.0)

    def slow_fit(cls, data, config, run):
        clock.now += 0.2
        return fit(cls, data, config, run)

    monkeypatch.setattr(EasePredictor, "_fit", classmethod(slow_fit))
    monkeypatch.setattr("evaluation.tuning.time", SimpleNamespace(process_time=lambda: clock.now))
    found = tune(search(split, n_trials=50, budget=0.5), tmp_path)
    assert found.n_trials == 3
    assert found.cpu_seconds == pytest.approx(0.6)
    again = tune(search(split, n_trials=50, budget=0.7), tmp_path)
    assert again.n_trials == 4, "earlier calls count"


def test_a_hopeless_trial_is_pruned_by_the_validator(split, tmp_path):
    space = {"learning_rate": Parameter(1e-6, 5e-3, log=True)}
    options = {"dim": 16, "epochs": 4, "max_length": 20, "batch": 512, "threads": 1}
    asked = search(split, model="sasrec", space=space, options=options, n_trials=12)
    found = tune(asked, tmp_path)
    written = json.loads((found.config.parent / TRIALS).read_text())["trials"]
    pruned = [trial for trial in written if trial["state"] == "pruned"]
    assert pruned
    assert found.n_pruned == len(pruned)
    assert all(trial["number"] >= LEAST_TO_PRUNE and trial["value"] is None for trial in pruned)
    assert max(trial["options"]["learning_rate"] for trial in pruned) < found.options["learning_rate"]


def test_options_that_were_tried_are_not_fitted_again(split, tmp_path):
    found = tune(search(split, space={"ridge": Parameter(choices=(1.0, 300.0))}, n_trials=8), tmp_path)
    written = json.loads((found.config.parent / TRIALS).read_text())["trials"]
    assert len(written) == 8
    assert sum(trial["cpu_seconds"] > 0 for trial in written) == 2
    assert len({trial["value"] for trial in written}) == 2


def test_failures_are_kept_and_only_all_of_them_are_an_error(split, tmp_path, monkeypatch):
    fit = EasePredictor._fit.__func__

    def sometimes(cls, data, config, run):
        if config.dropout > 0.25:
            raise TrainingError("too much dropout")
        return fit(cls, data, config, run)

    monkeypatch.setattr(EasePredictor, "_fit", classmethod(sometimes))
    found = tune(search(split, n_trials=8), tmp_path)
    assert found.n_failed > 0
    assert found.options["dropout"] <= 0.25
    assert found.start is None, "the defaults have more dropout"
    with pytest.raises(TrainingError, match="none of 2 trials of ease could be completed: too much dropout"):
        tune(search(split, space={"dropout": Parameter(0.3, 0.5)}, n_trials=2), tmp_path)


def test_two_processes_do_not_search_in_one_folder(split, tmp_path):
    asked = search(split)
    folder = asked.folder(tmp_path)
    folder.mkdir(parents=True)
    with _alone(folder), pytest.raises(TuningBusy):
        tune(asked, tmp_path)
    assert not (folder / CONFIG).exists()


def test_guests_are_tuned_on_the_mean_over_lengths(tmp_path):
    guests = split_interactions("guest", synthetic(), part="validation", n=("1", "3"), order="time")
    found = tune(search(guests, n_trials=1), tmp_path)
    model = EasePredictor.fit(guests.train, EaseConfig.read(found.options))
    figures = [each.means()["NDCG@10"] for each in evaluate(model, guests, metrics=("NDCG@10",))]
    assert found.value == pytest.approx(np.mean(figures))


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_model_has_a_space_that_it_accepts(name):
    assert search_space(predictor_class(name)) == SPACES[name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[ridge]\nlow = 5\nhigh = 1\n", "above high"),
        ("[ridge]\nlow = 5\n", "either low and high"),
        ("[ridge]\nlow = 0\nhigh = 5\nlog = true\n", "above 0"),
        ("[ridge]\nchoices = 3\n", "list of values"),
        ("[ridge]\nlow = true\nhigh = 5\n", "numbers"),
        ("[weight]\nlow = 1\nhigh = 5\n", "no option 'weight'"),
        ("[ridge]\nlow = -2\nhigh = 5\n", "must be"),
        ("ridge = 5\n", "expected low and high"),
        ("", "no search space"),
        ("[", "no JSON or TOML"),
    ],
)
def test_a_space_that_says_nothing_is_refused(tmp_path, text, message):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        search_space(EasePredictor, path)


def test_a_space_is_read_from_a_file_alone_or_below_the_name_of_the_model(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("[ridge]\nlow = 1\nhigh = 50\n[dropout]\nchoices = [0, 0.5]\n")
    expected = {"ridge": Parameter(1, 50), "dropout": Parameter(choices=(0, 0.5))}
    assert search_space(EasePredictor, path) == expected
    path.write_text(
        "[ease.ridge]\nlow = 1\nhigh = 50\n[ease.dropout]\nchoices = [0, 0.5]\n[als.factors]\nlow=1\nhigh=2\n"
    )
    assert search_space(EasePredictor, path) == expected
    with pytest.raises(ConfigError):
        search_space(SasrecPredictor, path)


def test_a_model_of_another_package_names_its_own_space():
    class OwnModel(EasePredictor):
        name = "own"

    with pytest.raises(ConfigError, match="own has no search space of its own"):
        search_space(OwnModel)
    OwnModel.search_space = SPACE
    assert search_space(OwnModel) == SPACE


def test_one_file_of_options_serves_several_models(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("factors = 8\n[neighbours]\nneighbours = 50\n[als]\nridge = 3\n")
    assert read_config(path, "als") == {"factors": 8, "ridge": 3}
    assert read_config(path, "neighbours") == {"factors": 8, "neighbours": 50}
    path.write_text("neighbours = 50\nshrinkage = 2\n")
    assert read_config(path, "neighbours") == {"neighbours": 50, "shrinkage": 2}
