"""A chosen recipe is fitted anew on all rows, for as long as the validation chose."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.models.als import AlsConfig, AlsPredictor
from predictors.models.ease import EasePredictor
from predictors.models.for_you.model import ForYouConfig, ForYouPredictor
from predictors.models.linear_sequence import LinearSequencePredictor
from predictors.models.next_item import NextItemPredictor
from predictors.plugins import predictor_class
from predictors.refit import Schedule, refit_config
from predictors.run import Hook, Run
from predictors.testing import fit_model
from predictors.tests.small_world import interactions
from predictors.training_data import TrainingData


def halves():
    rows = interactions()
    last = np.zeros(len(rows), dtype=bool)
    last[rows.indptr[1:] - 1] = True
    return rows, rows.select(~last), rows.select(last)


def test_a_closed_form_is_that_of_all_rows():
    rows, train, held_out = halves()
    chosen = EasePredictor.fit(TrainingData(train, held_out))
    again = chosen.refit(rows)
    np.testing.assert_array_equal(again.weights, EasePredictor.fit(rows).weights)
    assert again.config == chosen.config
    assert (again.weights != chosen.weights).any()


def test_epochs_that_a_budget_allowed_are_the_epochs_of_the_refit():
    rows, train, _ = halves()
    config = AlsConfig(factors=4, epochs=6)
    short = AlsPredictor.fit(train, config, Run(cpu_budget_seconds=1e-6))
    assert short.meta["chosen"] == {"epochs": 1}
    again = short.refit(rows)
    once = AlsPredictor.fit(rows, AlsConfig(factors=4, epochs=1))
    np.testing.assert_array_equal(again.factors.items, once.factors.items)
    assert again.config.epochs == 6, "the recipe stays what it was"
    assert again.refit(rows).meta["chosen"] == {"epochs": 1}


def test_a_blend_keeps_its_weights_and_fits_its_members_on_all_rows():
    rows, train, held_out = halves()
    config = ForYouConfig(members=("popular", "neighbours", "ease"))
    chosen = ForYouPredictor.fit(TrainingData(train, held_out), config, Run(stage="select"))
    again = chosen.refit(rows)
    np.testing.assert_array_equal(again.mix.weights, chosen.mix.weights)
    whole = ForYouPredictor.fit(rows, config)
    assert again.meta["members"] == whole.meta["members"]
    np.testing.assert_array_equal(again.basis.values, whole.basis.values)
    assert (again.basis.scales != chosen.basis.scales).any()


def test_watch_next_keeps_its_weight_and_the_length_of_its_network():
    rows, train, held_out = halves()
    options = {"sasrec": {"epochs": 4, "dim": 8, "max_length": 12, "threads": 1}}
    chosen = fit_model(NextItemPredictor, train, held_out, options=options, run=Run(stage="select"))
    again = chosen.refit(rows)
    assert again.weight == chosen.weight
    assert again.meta["chosen"] == chosen.meta["chosen"] == chosen.network.meta["chosen"]
    alone = LinearSequencePredictor.fit(rows)
    np.testing.assert_array_equal(again.linear.weights, alone.weights)
    assert again.network.meta["training"]["best_step"] == again.network.meta["training"]["steps"]


@pytest.mark.parametrize("name", ["sasrec", "lightgcn", "kprn"])
def test_a_network_trains_for_as_long_as_its_validation_chose(name):
    quick = {
        "sasrec": {"epochs": 6, "dim": 8, "max_length": 12, "threads": 1},
        "lightgcn": {"epochs": 6, "dim": 8, "evaluate_every": 2},
        "kprn": {"epochs": 1, "dim": 8, "evaluations": 4},
    }[name]
    rows, train, held_out = halves()
    chosen = fit_model(predictor_class(name), train, held_out, options=quick)
    epochs = chosen.meta["chosen"]["epochs"]
    assert epochs <= quick["epochs"]
    assert epochs > 0 or chosen.meta["training"]["best_step"] == 0, "or its untrained start is the best"
    seen = Steps()
    again = chosen.refit(rows, Run(hooks=(seen,)))
    assert again.config == chosen.config
    assert again.meta["training"]["best_step"] == again.meta["training"]["steps"] == seen.total
    assert not any("NDCG@10" in figures for figures in seen.figures), "nothing is chosen again"


class Steps(Hook):
    def __init__(self):
        self.total, self.figures = 0, []

    def on_step(self, step, total, metrics):
        self.total = total
        self.figures.append(metrics)


def test_the_length_is_that_of_the_best_step():
    schedule = Schedule()
    schedule.on_step(10, 200, {})
    kprn, lightgcn = (predictor_class(name).config_class for name in ("kprn", "lightgcn"))
    assert schedule.chosen({"best_step": 50}, kprn(epochs=2.0)) == {"epochs": 0.5}
    assert schedule.chosen({"best_step": 50}, kprn(steps=80)) == {"steps": 20}
    assert refit_config(lightgcn(), {"epochs": 14.6}) == lightgcn(epochs=15, patience=0)
    assert schedule.chosen({}, lightgcn()) == {}
