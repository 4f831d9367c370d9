"""Whole taste: members that err apart, weighed on validation rows, kept whole in one artifact."""

import numpy as np
import pytest

from predictors.errors import ConfigError, TrainingError
from predictors.models.ease import EasePredictor
from predictors.models.ensemble import WITHOUT_VALIDATION, EnsemblePredictor
from predictors.query import Query
from predictors.run import Run
from predictors.testing import fit_model
from predictors.tests.small_world import interactions

QUICK = {"ease.ridge": 20.0, "als": {"factors": 8, "epochs": 3}, "graph_filter.factors": 8}
NO_EASE = {"ease.max_items": 5, "ease.neighbours": 0}


def split():
    """Every third row is held out for validation."""
    rows = interactions()
    held_out = np.arange(len(rows)) % 3 == 0
    return rows.select(~held_out), rows.select(held_out)


@pytest.fixture(scope="module")
def fitted() -> EnsemblePredictor:
    return fit_model(EnsemblePredictor, *split(), options=QUICK)


def test_the_weights_are_those_of_the_validation_and_sum_to_one(fitted):
    assert fitted.weights.sum() == pytest.approx(1)
    figures = fitted.meta["training"]["weights"]
    assert fitted.weights == pytest.approx(np.mean([row["weights"] for row in figures], axis=0))


def test_without_validation_rows_the_weights_are_fixed():
    fitted = fit_model(EnsemblePredictor, interactions(), options=QUICK)
    assert fitted.weights == pytest.approx(WITHOUT_VALIDATION)


def test_given_weights_are_kept_and_one_member_alone_ranks_as_that_model():
    train, validation = split()
    options = {**QUICK, "weights": (1, 0, 0), "ease.popularity_exponent": 0.0}
    only = fit_model(EnsemblePredictor, train, validation, options=options)
    ease = fit_model(EasePredictor, train, options={"ridge": 20.0})
    queries = [Query.from_indices([3, 8, 20])]
    assert only.retrieve(queries, 10)[0].tolist() == ease.retrieve(queries, 10)[0].tolist()


def test_a_member_that_cannot_use_the_data_is_left_out_and_named(caplog):
    train, validation = split()
    fitted = fit_model(EnsemblePredictor, train, validation, options={**QUICK, **NO_EASE})
    assert list(fitted.members) == ["als", "graph_filter"]
    assert "max_items" in fitted.meta["left_out"]["ease"]
    assert "without ease" in caplog.text


def test_the_artifact_is_complete_in_itself(fitted, tmp_path):
    fitted.save(tmp_path / "ensemble")
    loaded = EnsemblePredictor.load(tmp_path / "ensemble")
    queries = [Query.from_indices([3, 8, 20]), Query.from_indices([40], disliked=[2])]
    assert loaded.score(queries) == pytest.approx(fitted.score(queries), abs=1e-6)
    assert loaded.members["ease"].config.as_dict() == fitted.members["ease"].config.as_dict()
    assert loaded.refit(interactions(), Run()).weights == pytest.approx(fitted.weights)


@pytest.mark.parametrize("weights", ["1,2", "0,0,0", "-1,1,1"])
def test_unusable_weights_are_refused(weights):
    with pytest.raises(ConfigError, match="weight"):
        fit_model(EnsemblePredictor, interactions(), options={"weights": weights})


def test_weights_of_left_out_members_alone_are_refused():
    options = {**QUICK, "weights": (1, 0, 0), **NO_EASE}
    with pytest.raises(TrainingError, match="weight of 0"):
        fit_model(EnsemblePredictor, interactions(), options=options)
