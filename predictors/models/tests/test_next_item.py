import pytest

from predictors.errors import ConfigError
from predictors.models.next_item import NextItemConfig, NextItemPredictor
from predictors.models.sasrec.model import SasrecConfig
from predictors.models.tests.test_sasrec import cyclic
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
