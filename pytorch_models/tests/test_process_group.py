"""Two processes train the model that one trains, and end together whatever happens to one of them."""

import contextlib
import os
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from datasets.interactions import Interactions
from pytorch_models.sasrec import fit as sasrec
from pytorch_models.tests.processes import KILLED, in_processes
from pytorch_models.training.config import TrainingConfig
from pytorch_models.training.loop import train
from pytorch_models.training.process_group import REDUCED_ALONE, ProcessGroupError

CONFIG = TrainingConfig(steps=30, learning_rate=0.05, evaluate_every=10, seed=5)
SHAPE = {"dim": 8, "blocks": 1, "heads": 2, "max_length": 6, "dropout": 0.3}
FIT = sasrec.SasrecFitConfig(epochs=3, batch=60, negatives=7, ema_decay=0.9, threads=1)


pytestmark = pytest.mark.usefixtures("one_thread")


def histories() -> Interactions:
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 12, 41)
    users = np.repeat(np.arange(41), lengths)
    return Interactions.from_columns(
        users, rng.integers(0, 30, len(users)), user_ids=np.arange(41), item_ids=np.arange(30)
    )


def batches(epoch):
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(7):
        x = torch.randn(5, 3, generator=generator)
        yield x, x @ torch.tensor([1.0, -2.0, 0.5])


def run(group, directory, config=CONFIG, *, broken=False, **options):
    torch.manual_seed(group.rank)  # the first one's weights are everybody's
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def loss_of(batch):
        x, y = batch
        part = ((model(x[group.part])[:, 0] - y[group.part]) ** 2).sum() / len(x)
        return part * torch.nan if broken else part

    state = train(
        model,
        batches,
        loss_of,
        config,
        device=torch.device("cpu"),
        directory=directory,
        group=group,
        **options,
    )
    return state, [parameter.detach().numpy() for parameter in model.parameters()]


def losses(state) -> list[float]:
    return [each["loss"] for each in state.curve]


def fitted(config=FIT, **options) -> sasrec.FittedSasrec:
    return sasrec.fit(histories(), SHAPE, config, **options)


@pytest.mark.parametrize(
    ("loss", "rows_from", "batch"),
    [("softmax", 100_000, 60), ("sampled", 100_000, 60), ("sampled", 1, 60), ("softmax", 100_000, 6)],
)
def test_two_processes_train_the_sasrec_of_one(monkeypatch, loss, rows_from, batch):
    """Dropout drops the same elements; a batch of one history leaves nothing to the second process."""
    monkeypatch.setattr(sasrec, "ROWS_FROM", rows_from)
    monkeypatch.setattr(sasrec, "VALIDATIONS", 10**9)
    config = replace(FIT, loss=loss, batch=batch)
    one, (first, second) = fitted(config), in_processes(lambda group: fitted(config))
    np.testing.assert_allclose(losses(first.state), losses(one.state), atol=1e-4)
    assert first.state.step == one.state.step > 10
    for name, weights in one.weights.items():
        np.testing.assert_allclose(first.weights[name], weights, atol=1e-3)
        np.testing.assert_array_equal(first.weights[name], second.weights[name])


def test_a_run_that_lost_a_process_resumes_to_the_weights_of_one_that_did_not(tmp_path):
    def kill(step, *_):
        if step == 9:
            os.kill(os.getpid(), signal.SIGKILL)

    def of_one_that_is_killed(group):
        return fitted(directory=tmp_path / "b", report=kill if group.rank == 1 else lambda *_: None)

    def resumed(group):
        directory = tmp_path / "b" if group.is_first else tmp_path / "another machine"
        return fitted(directory=directory, resume=True)

    whole, _ = in_processes(lambda group: fitted(directory=tmp_path / "a"))
    error, dead = in_processes(of_one_that_is_killed)
    assert dead == KILLED
    assert isinstance(error, ProcessGroupError)
    assert "start all of them again with --resume" in str(error)
    for again in in_processes(resumed):
        assert again.state.step == whole.state.step > 9
        assert losses(again.state) == losses(whole.state)
        for name, weights in whole.weights.items():
            np.testing.assert_array_equal(again.weights[name], weights)
    assert not (tmp_path / "another machine").exists()


def test_all_end_when_the_loss_of_one_is_not_finite(tmp_path):
    ended = in_processes(lambda group: run(group, tmp_path, broken=group.rank == 1))
    assert [type(error) for error in ended] == [FloatingPointError] * 2


def test_all_end_when_one_is_to_stop(tmp_path):
    class Enough(Exception):
        pass

    def interrupt(step, *_):
        if step == 7:
            raise Enough

    def terminate(step, *_):
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    def quiet(*_):
        pass

    def scenarios(group):
        second, values = group.rank == 1, iter([0.5, 0.4, 0.3, 0.9])
        yield run(group, tmp_path / "a", should_stop=lambda: second)[0]
        yield run(group, tmp_path / "b", report=terminate if second else quiet)[0]
        yield run(
            group,
            tmp_path / "c",
            replace(CONFIG, steps=40, patience=2),
            validate=lambda: {"HR@10": next(values) if group.is_first else 1 / 0},
            metric="HR@10",
        )[0]
        with contextlib.suppress(Enough):
            yield run(group, tmp_path / "d", report=interrupt if second else quiet)[0]

    first, second = in_processes(lambda group: [(s.stopped, s.step) for s in scenarios(group)])
    assert first == [("interrupted", 1), ("interrupted", 5), ("patience", 30), ("interrupted", 7)]
    assert second == first[:3]
    assert (tmp_path / "d" / "last.safetensors").exists()


def test_a_budget_that_one_has_spent_ends_all(tmp_path):
    def budgeted(group):
        if group.rank == 1:
            sum(range(10_000_000))
        return run(
            group, tmp_path, replace(CONFIG, steps=10**6, evaluate_every=10**6, cpu_budget_seconds=0.3)
        )

    for state, _ in in_processes(budgeted):
        assert state.stopped == "budget"
        assert state.step < 10**6


def test_processes_with_other_settings_are_refused_by_name(tmp_path):
    config = [CONFIG, replace(CONFIG, identity={"data": "other"})]
    errors = in_processes(lambda group: run(group, tmp_path, config[group.rank]))
    assert [type(error) for error in errors] == [ProcessGroupError] * 2
    assert "identity is {'data': 'other'} in process 1, {} in the first" in str(errors[1])


def test_a_checkpoint_of_another_run_is_refused_in_all(tmp_path):
    in_processes(lambda group: run(group, tmp_path))
    errors = in_processes(lambda group: run(group, tmp_path, replace(CONFIG, steps=31), resume=True))
    assert ["steps 30 there, 31 now" in str(error) for error in errors] == [True] * 2


def test_arrays_of_the_first_are_sent_without_a_copy():
    """In whatever they are held, empty and read-only ones too."""
    rows = histories()
    rows.values.flags.writeable = False
    table = np.arange(4_000_000.0).reshape(2000, -1)[:, ::-1]
    large = np.ones(4_000_000)

    def shared(group):
        tracemalloc.start()
        value = {"rows": rows, "none": np.empty((0, 3)), "text": "film"}
        found = group.from_first(value if group.is_first else None)
        also = group.from_first({"large": large} if group.is_first else None)
        return (
            tracemalloc.get_traced_memory()[1],
            found,
            float(also["large"].sum()),
            group.from_first(table)[0, 0],
        )

    (sender, first, *sums), (receiver, second, *same) = in_processes(shared)
    assert sender < 0.1 * large.nbytes
    assert receiver < 1.1 * large.nbytes
    assert sums == same == [4_000_000, 1999]
    assert second["none"].shape == (0, 3)
    assert second["text"] == "film"
    for name in ("users", "items", "values", "at", "user_ids", "item_ids"):
        np.testing.assert_array_equal(getattr(second["rows"], name), getattr(first["rows"], name))


def test_rows_are_gathered_and_arrays_added_up():
    """Three processes and four rows: one has two rows, and each gets all."""

    def gathered(group):
        array, rows = np.zeros((4, 2)), [np.arange(4)[part] for part in group.parts]
        array[rows[group.rank]] = group.rank + 1
        group.gather(array, rows)
        return array[:, 0].tolist(), group.sum(np.array([1.0, group.rank])).tolist()

    assert in_processes(gathered, 3) == [([1, 2, 3, 1], [3, 3])] * 3


def test_arrays_that_are_reduced_alone_are_added_up():
    def added_up(group):
        return group.sum(np.full(REDUCED_ALONE, 1.0 + group.rank)).tolist()[-1]

    assert in_processes(added_up) == [3.0, 3.0]


def test_a_process_alone_loads_no_torch():
    code = (
        "import sys; from predictors.models.mf.model import MfPredictor; "
        "from pytorch_models.training.process_group import current; "
        "assert current().size == 1 and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
