import numpy as np
import pytest

from predictors.errors import ConfigError
from predictors.models.next_item import NextItemConfig, NextItemPredictor
from predictors.models.sasrec.model import SasrecConfig
from predictors.models.tests.test_sasrec import OPTIONS, cyclic
from predictors.models.tests.test_sasrec_times import hurried_and_slow
from predictors.query import Query
from predictors.testing import fit_model


def test_options_of_a_member_leave_its_other_defaults_as_they_are():
    """The member's run is short and keeps a mean of the weights; a plain SASRec's is neither."""
    member, alone = NextItemConfig.read({"sasrec.dim": 16}).sasrec, SasrecConfig()
    assert member.dim == 16
    assert member.ema_decay > alone.ema_decay == 0
    assert member.items_in_a_run < alone.items_in_a_run


@pytest.mark.parametrize(("items", "epochs"), [(1, 5), (20_000, 10), (10_000_000, 45)])
def test_the_length_of_a_run_follows_from_the_items_it_may_read(items, epochs):
    """200 users have 10 positions each besides the held-out row."""
    options = {"sasrec": {"dim": 8, "max_length": 12, "items_in_a_run": items, "patience": 1, "threads": 1}}
    fitted = fit_model(NextItemPredictor, cyclic(), options=options)
    assert fitted.network.meta["training"]["epochs"] == epochs


def test_a_schedule_shorter_than_the_run_is_refused():
    with pytest.raises(ConfigError, match="schedule"):
        NextItemConfig.read({"sasrec.schedule": 0.5})


def test_a_member_that_reads_times_is_asked_with_them():
    options = {"sasrec": {**OPTIONS, "times": True, "items_in_a_run": 1, "threads": 1}}
    del options["sasrec"]["seed"]
    fitted = fit_model(NextItemPredictor, hurried_and_slow(), options=options)
    ages = [np.array([86_403, 86_402, 2, 1]), np.array([172_802, 172_801, 86_401, 86_400])]
    queries = [Query.from_indices([4, 5, 8, 9], ages=each) for each in ages]
    assert fitted.retrieve(queries, 1)[0][:, 0].tolist() == [10, 12]
