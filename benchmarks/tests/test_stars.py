"""The variant of `mf` that ships is the one that validation rows of MovieLens 100K prefer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.stars import error_of, predicted
from datasets.readers.dataset import read_dataset
from datasets.splits.protocols import latest_of_each_pair
from predictors.models.mf.model import MfConfig, MfPredictor
from predictors.testing import fit_model

ML_100K = Path(__file__).resolve().parents[3] / "shared" / "data" / "ml-100k" / "u.data"
N_USERS = 400  # of 943: a fit takes half the time
WITHOUT_GROUPS = {"groups": 0, "factors": 32, "epochs": 15}  # the variant that shipped before


def test_the_defaults_are_the_variant_that_was_chosen() -> None:
    assert MfConfig() == MfConfig(factors=8, epochs=20, groups=1, item_groups=1)


@pytest.mark.data
@pytest.mark.skipif(not ML_100K.exists(), reason="MovieLens 100K is not beside the checkout")
def test_the_defaults_predict_validation_ratings_better_than_the_variant_before() -> None:
    ratings = latest_of_each_pair(read_dataset(ML_100K).interactions)
    ratings = ratings.select(ratings.users < N_USERS)
    training = ratings.select(np.random.default_rng(1).random(len(ratings)) >= 0.2)  # no test rating is used
    is_validation = np.random.default_rng(2).random(len(training)) < 0.1
    fitted_on, validation = training.select(~is_validation), training.select(is_validation)

    def error(options: dict) -> float:
        predictor = fit_model(MfPredictor, fitted_on, options=options)
        return error_of(predicted(predictor, fitted_on, validation), validation)

    assert error({}) < error(WITHOUT_GROUPS) - 0.01
