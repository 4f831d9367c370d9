"""`mf` with learned priors: through the same door, kept in the artifact, refused when it cannot be."""

import numpy as np
import pytest

from predictors.errors import ArtifactError, TrainingError
from predictors.history import History
from predictors.models.mf.model import MfPredictor
from predictors.models.tests.test_mf import stars_of_two_camps
from predictors.serving.registry import ModelStore
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, rated, told

QUICK = {"factors": 3, "epochs": 10, "groups": 3, "item_groups": 2}


@pytest.fixture(scope="module")
def mf() -> MfPredictor:
    return fit_model(MfPredictor, stars_of_two_camps(), options=QUICK)


def test_two_ratings_tell_the_camp_of_a_visitor(mf):
    even = told(("rating", FILM_IDS[2], 5.0), ("rating", FILM_IDS[3], 2.0))
    liked, disliked = mf.predict_stars(even, [FILM_IDS[6], FILM_IDS[7]]).values()
    assert liked > 4.7 and disliked < 2.3
    plain = fit_model(MfPredictor, stars_of_two_camps(), options={"factors": 3, "epochs": 10, "groups": 0})
    shrunken, _disliked = plain.predict_stars(even, [FILM_IDS[6], FILM_IDS[7]]).values()
    assert liked > shrunken


def test_a_visitor_without_ratings_gets_what_people_give(mf):
    stars = mf.predict_stars(History.EMPTY, [FILM_IDS[0], FILM_IDS[2]])
    assert stars[FILM_IDS[0]] > 4.7
    assert stars[FILM_IDS[2]] == pytest.approx(3.5, abs=0.4)


def test_a_published_version_predicts_as_the_trained_one(mf, tmp_path):
    store = ModelStore(tmp_path)
    version = store.publish(mf)
    loaded = store.load("mf", version)
    history = rated(*FILM_IDS[2:8:2])
    assert loaded.predict_stars(history, FILM_IDS[:10]) == mf.predict_stars(history, FILM_IDS[:10])
    np.testing.assert_array_equal(loaded.score([loaded.encode(history)]), mf.score([mf.encode(history)]))


def test_an_artifact_without_its_groups_is_refused(mf):
    tensors = {name: values for name, values in mf.tensors().items() if name != "group_means"}
    with pytest.raises(ArtifactError, match="group_means"):
        MfPredictor.restore(tensors, mf.ids, mf.meta)


@pytest.mark.parametrize("options", [{"groups": -1}, {"item_groups": 0}])
def test_impossible_groups_are_refused(options):
    with pytest.raises(TrainingError, match="groups"):
        fit_model(MfPredictor, stars_of_two_camps(), options=options)
