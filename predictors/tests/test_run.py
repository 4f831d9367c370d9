"""How a training tells whoever watches it, without anybody knowing the model."""

from __future__ import annotations

from collections import Counter

import pytest

from predictors.models.als import AlsConfig, AlsPredictor
from predictors.models.for_you.model import ForYouConfig, ForYouPredictor
from predictors.plugins import predictor_class
from predictors.run import Hook, Run
from predictors.testing import fit_model
from predictors.tests.small_world import interactions
from predictors.validation import hold_out_last


class Watcher(Hook):
    def __init__(self):
        self.called, self.shares, self.figures = Counter(), [], []

    def on_step(self, step, total, metrics):
        self.called["step"] += 1
        self.figures.append(dict(metrics))

    def on_epoch(self, epoch, total, metrics):
        self.called["epoch", epoch, total] += 1

    def report(self, event):
        self.shares.append(event.done)


class Measurer(Watcher):
    def observe(self, predictor):
        return {"films": float(predictor.n_items)}


def test_epochs_reach_the_hooks_and_the_progress():
    watcher, events = Watcher(), []
    AlsPredictor.fit(
        interactions(), AlsConfig(factors=4, epochs=2), Run(hooks=(watcher,), progress=events.append)
    )
    assert watcher.called == {("epoch", 1, 2): 1, ("epoch", 2, 2): 1}
    assert watcher.shares == [event.done for event in events] == [0.5, 1.0]


def test_a_network_reports_its_steps_and_is_measured_while_it_trains():
    rows = interactions()
    train, validation = hold_out_last(rows, max_users=30, seed=0)
    measurer = Measurer()
    options = {"epochs": 2, "dim": 8, "evaluate_every": 1}
    trained = fit_model(
        predictor_class("lightgcn"), train, validation, options=options, run=Run(hooks=(measurer,))
    )
    assert measurer.called["step"] >= 2
    assert all(row["films"] == rows.n_items for row in trained.meta["training"]["curve"])
    assert any("NDCG@10" in figures for figures in measurer.figures)


def test_a_part_fills_its_share_of_the_whole():
    watcher, events = Watcher(), []
    run = Run(hooks=(watcher,), progress=events.append)
    part = run.part(0.5, 1.0, "second half")
    part.report_epoch(1, 2)
    (event,) = events
    assert (event.done, event.message) == (0.75, "second half: epoch 1 of 2")
    assert watcher.shares == [0.75]
    assert watcher.called == {("epoch", 1, 2): 1}
    assert not run.has_observers and not part.has_observers
    assert Run(hooks=(Measurer(),)).part(0, 1).has_observers


def test_the_members_of_a_blend_are_not_taken_for_the_blend():
    watcher = Watcher()
    config = ForYouConfig(members=("popular", "ease"))
    ForYouPredictor.fit(interactions(), config, Run(hooks=(watcher,)))
    assert not watcher.called
    assert watcher.shares == pytest.approx(sorted(watcher.shares))
    assert watcher.shares[-1] == 1.0
