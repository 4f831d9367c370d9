"""Several processes solve for the model that one finds, and end together whatever happens to one of them."""

import os
import signal
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from predictors.base import Predictor
from predictors.epoch_loop import EpochLoop
from predictors.errors import TrainingError
from predictors.models.als import AlsPredictor
from predictors.models.mf.model import MfPredictor
from predictors.models.tests.test_mf import stars_of_two_camps
from predictors.run import Hook, Run
from predictors.testing import fit_model
from pytorch_models.tests.processes import KILLED, in_processes

KINDS: list[tuple[type[Predictor], dict[str, Any]]] = [
    (MfPredictor, {"groups": 0, "factors": 4, "epochs": 6}),
    (MfPredictor, {"groups": 1, "factors": 4, "epochs": 6}),
    (MfPredictor, {"groups": 3, "item_groups": 2, "factors": 4, "epochs": 6}),
    (AlsPredictor, {"factors": 8, "epochs": 6}),
]
of_every_kind = pytest.mark.parametrize(("kind", "options"), KINDS)


class AtEpoch(Hook):
    """Does something after an epoch."""

    def __init__(self, epoch: int, action) -> None:
        self.epoch, self.action = epoch, action

    def on_epoch(self, epoch, total, metrics):
        if epoch == self.epoch:
            self.action()


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    raise InterruptedError


def fitted(kind, options, **run) -> dict[str, np.ndarray]:
    return fit_model(kind, stars_of_two_camps(), options=options, run=Run(**run)).tensors()


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], atol: float = 0) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=atol, err_msg=name)


@of_every_kind
@pytest.mark.parametrize("n", [2, 3])
def test_they_find_what_one_finds(kind, options, n):
    """Bit for bit, but for the sums over all rows that the priors of groups need."""
    one = fitted(kind, options)
    found = in_processes(lambda group: fitted(kind, options), n)
    for tensors in found:
        assert_same(tensors, found[0])
        assert_same(tensors, one, atol=1e-6 if options.get("groups") else 0)


@of_every_kind
def test_a_fit_that_lost_a_process_resumes_to_the_arrays_of_one_that_did_not(tmp_path, kind, options):
    def of_one_that_dies(group):
        hooks = (AtEpoch(4, kill),) if group.rank == 1 else ()
        return fitted(kind, options, checkpoint_dir=tmp_path / f"{group.rank}", hooks=hooks)

    def resumed(group):
        return fitted(kind, options, checkpoint_dir=tmp_path / f"{group.rank}", resume=True)

    whole, _ = in_processes(lambda group: fitted(kind, options))
    error, dead = in_processes(of_one_that_dies)
    assert dead == KILLED
    assert isinstance(error, TrainingError)
    assert "start all of them again with --resume" in str(error)
    for again in in_processes(resumed):
        assert_same(again, whole)
    assert not (tmp_path / "1").exists()


@of_every_kind
def test_one_process_resumes_to_the_arrays_of_an_uninterrupted_fit(tmp_path, kind, options):
    with pytest.raises(InterruptedError):
        fitted(kind, options, checkpoint_dir=tmp_path, hooks=(AtEpoch(2, interrupt),))
    seen: list[int] = []
    hooks = tuple(AtEpoch(epoch, lambda epoch=epoch: seen.append(epoch)) for epoch in range(1, 7))
    assert_same(
        fitted(kind, options, checkpoint_dir=tmp_path, resume=True, hooks=hooks), fitted(kind, options)
    )
    assert seen == [2, 3, 4, 5, 6]  # the second is where it stands


def test_all_end_when_one_is_to_stop(tmp_path):
    kind, options = KINDS[1]

    def stopped(group):
        return fitted(
            kind, options, checkpoint_dir=tmp_path, hooks=(AtEpoch(3, interrupt),) if group.rank == 1 else ()
        )

    first, second = in_processes(stopped)
    assert "training was stopped at epoch 3; resume continues it" in str(first)
    assert isinstance(second, InterruptedError)
    found = in_processes(lambda group: fitted(kind, options, checkpoint_dir=tmp_path, resume=True))
    assert_same(found[0], in_processes(lambda group: fitted(kind, options))[0])


def test_a_budget_that_one_has_spent_ends_all():
    def spend() -> None:
        started = time.process_time()
        while time.process_time() < started + 0.4:
            sum(range(100_000))

    def budgeted(group):
        hooks = (AtEpoch(1, spend),) if group.rank == 1 else ()
        return fitted(*KINDS[3], cpu_budget_seconds=0.6, hooks=hooks)

    once = fitted(AlsPredictor, {**KINDS[3][1], "epochs": 1})
    for tensors in in_processes(budgeted):
        assert_same(tensors, once)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_all_end_when_a_value_is_not_finite():
    def of_infinite_stars(group):
        rows = stars_of_two_camps()
        rows.values[7] = np.inf
        return fit_model(MfPredictor, rows, options=KINDS[0][1])

    errors = in_processes(of_infinite_stars)
    assert ["not finite after epoch 1" in str(error) for error in errors] == [True] * 2


def test_processes_with_other_options_are_refused_by_name():
    errors = in_processes(lambda group: fitted(MfPredictor, {**KINDS[0][1], "factors": 4 + group.rank}))
    assert "factors is 5 in process 1, 4 in the first" in str(errors[1])
    assert [type(error) for error in errors] == [TrainingError] * 2


def test_a_backend_of_one_process_is_refused_in_several():
    pytest.importorskip("implicit", reason="implicit is not installed; see requirements-implicit.txt")
    errors = in_processes(lambda group: fitted(AlsPredictor, {"backend": "implicit"}))
    assert ["backend=implicit fits in one process" in str(error) for error in errors] == [True] * 2


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused_in_all(tmp_path):
    kind, options = KINDS[0]
    fitted(kind, options, checkpoint_dir=tmp_path)

    def other(group):
        return fitted(kind, {**options, "ridge": 0.5}, checkpoint_dir=tmp_path, resume=True)

    errors = in_processes(other)
    assert ["ridge 0.13 there, 0.5 now" in str(error) for error in errors] == [True] * 2
    (tmp_path / "mf.safetensors").write_bytes(b"half of a")
    errors = in_processes(other)
    assert ["mf.safetensors cannot be read" in str(error) for error in errors] == [True] * 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"epoch": None}, "cannot be read: its header has no 'epoch'"),
        ({"epoch": "five"}, "cannot be read: invalid literal"),
        ({"identity": "{"}, "cannot be read: Expecting"),
        ({"identity": "{}"}, "belongs to another run: .*format None there, 1 now"),
    ],
)
def test_a_header_that_another_program_wrote_is_refused(tmp_path, change, reason):
    kind, options = KINDS[0]
    fitted(kind, options, checkpoint_dir=tmp_path)
    with safe_open(tmp_path / "mf.safetensors", framework="np") as file:
        tensors, header = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    header = {name: value for name, value in {**header, **change}.items() if value is not None}
    save_file(tensors, tmp_path / "mf.safetensors", header)
    with pytest.raises(TrainingError, match=reason):
        fitted(kind, options, checkpoint_dir=tmp_path, resume=True)


def test_a_checkpoint_of_a_loop_of_another_length_is_refused(tmp_path):
    config, rows = AlsPredictor.config_class.read({}), stars_of_two_camps()
    run = Run(checkpoint_dir=tmp_path)
    loop = EpochLoop.of_model("als", config, rows, run, 5)
    for _ in loop:
        loop.end_epoch({"items": np.zeros(3)})
    with pytest.raises(TrainingError, match="total 5 there, 3 now"):
        EpochLoop.of_model("als", config, rows, replace(run, resume=True), 3)


def test_the_library_goes_on_from_its_checkpoint(tmp_path):
    pytest.importorskip("implicit", reason="implicit is not installed; see requirements-implicit.txt")
    options = {"factors": 8, "epochs": 6, "backend": "implicit"}
    with pytest.raises(InterruptedError):
        fitted(AlsPredictor, options, checkpoint_dir=tmp_path, hooks=(AtEpoch(4, interrupt),))
    found = fitted(AlsPredictor, options, checkpoint_dir=tmp_path, resume=True)
    assert_same(found, fitted(AlsPredictor, options), atol=1e-4)
