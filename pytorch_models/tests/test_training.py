import json
import os
import signal
import threading
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from torch import nn

from pytorch_models.training.checkpoints import CheckpointError
from pytorch_models.training.config import FINAL_LEARNING_RATE, TrainingConfig, learning_rate_at
from pytorch_models.training.loop import train

CPU = torch.device("cpu")
CONFIG = TrainingConfig(steps=40, learning_rate=0.05, evaluate_every=10, seed=5)
BATCHES_PER_EPOCH = 7


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batches(epoch):
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(BATCHES_PER_EPOCH):
        x = torch.randn(16, 3, generator=generator)
        yield x, x @ torch.tensor([1.0, -2.0, 0.5])


def new_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 1))


def run(directory, model=None, config=CONFIG, **options):
    model = model or new_model()

    def loss_of(batch):
        x, y = batch
        return ((model(x)[:, 0] - y) ** 2).mean()

    return model, train(model, batches, loss_of, config, device=CPU, directory=directory, **options)


def error_of(model) -> float:
    model.eval()
    with torch.no_grad():
        return float(sum(((model(x)[:, 0] - y) ** 2).mean() for x, y in batches(999))) / BATCHES_PER_EPOCH


def test_the_loss_goes_down_and_progress_is_told(tmp_path):
    told = []
    config = TrainingConfig(steps=300, learning_rate=0.02, evaluate_every=100)
    before = error_of(new_model())
    model, state = run(tmp_path, config=config, report=lambda *event: told.append(event))
    assert error_of(model) < before / 4
    assert state.stopped == "steps"
    losses = [metrics["loss"] for _, _, _, metrics in told if metrics]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert [step for step, *_ in told] == sorted(step for step, *_ in told)
    assert told[-1][:2] == (300, 300)


def test_every_epoch_is_reported_with_its_loss(tmp_path):
    reports, epochs = [], []
    config = replace(CONFIG, steps=21, evaluate_every=14, epochs=3)
    run(
        tmp_path,
        config=config,
        report=lambda step, total, message, metrics: reports.append((step, message, set(metrics))),
        on_epoch=lambda epoch, total, metrics: epochs.append((epoch, total, set(metrics))),
    )
    assert epochs == [(epoch, 3, {"loss"}) for epoch in (1, 2, 3)]
    with_figures = [(step, message) for step, message, metrics in reports if metrics]
    assert with_figures == [(7, "epoch 1 of 3"), (14, "epoch 2 of 3"), (21, "epoch 3 of 3")]
    assert [step for step, *_ in reports] == sorted(step for step, *_ in reports)


def test_the_average_of_the_weights_is_what_is_validated_and_kept(tmp_path):
    seen = []
    model = new_model()

    def validate():
        seen.append(model[0].weight.detach().clone())
        return {"figure": len(seen)}

    config = replace(CONFIG, ema_decay=0.9)
    _, state = run(tmp_path / "whole", model, config, validate=validate, metric="figure")
    assert state.best_step == 40
    assert torch.equal(model[0].weight, seen[-1])
    with safe_open(tmp_path / "whole" / "last.safetensors", "pt") as last:
        assert torch.equal(last.get_tensor("average.0"), seen[-1])
        assert not torch.equal(last.get_tensor("model.0.weight"), seen[-1])
    plain, _ = run(tmp_path / "plain", validate=lambda: {"figure": 1.0}, metric="figure")
    assert not torch.equal(plain[0].weight, seen[-1])
    steps = iter(range(1, 14))
    run(tmp_path / "parts", config=config, should_stop=lambda: next(steps) == 13)
    resumed, _ = run(tmp_path / "parts", config=config, resume=True)
    assert torch.equal(resumed[0].weight, model[0].weight)


@pytest.mark.parametrize("stop_at", [3, 7, 10, 33])  # within an epoch, at its end, at a validation, later
def test_a_resumed_run_ends_with_the_very_weights_of_an_uninterrupted_one(tmp_path, stop_at):
    whole, whole_state = run(tmp_path / "whole")
    steps = iter(range(1, stop_at + 1))
    _, stopped = run(tmp_path / "parts", should_stop=lambda: next(steps) == stop_at)
    assert (stopped.stopped, stopped.step) == ("interrupted", stop_at)
    torch.rand(99)  # whatever happened to the random state in between must not matter
    resumed, state = run(tmp_path / "parts", resume=True)
    assert (state.step, state.epoch, state.batch) == (40, whole_state.epoch, whole_state.batch)
    for found, expected in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_best_and_last_are_kept_apart_and_the_best_is_returned(tmp_path):
    values = iter([0.1, 0.9, 0.5, 0.3])
    weights = []
    model = new_model()

    def validate():
        weights.append(model[0].weight.detach().clone())
        return {"NDCG@10": next(values)}

    _, state = run(tmp_path, model, validate=validate, metric="NDCG@10")
    assert (state.best, state.best_step) == (0.9, 20)
    assert torch.equal(model[0].weight, weights[1])
    with safe_open(tmp_path / "last.safetensors", "pt") as last:
        assert torch.equal(last.get_tensor("model.0.weight"), weights[3])
        assert json.loads(last.metadata()["state"])["step"] == 40
    with safe_open(tmp_path / "best.safetensors", "pt") as best:
        assert torch.equal(best.get_tensor("model.0.weight"), weights[1])


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    values = iter([0.5, 0.4, 0.3, 0.9])
    config = TrainingConfig(steps=40, evaluate_every=10, patience=2)
    _, state = run(tmp_path, config=config, validate=lambda: {"HR@10": next(values)}, metric="HR@10")
    assert (state.stopped, state.step, state.best_step) == ("patience", 30, 10)


def test_a_spent_budget_ends_the_run_with_the_best_so_far(tmp_path):
    config = TrainingConfig(steps=1_000_000, evaluate_every=1_000_000, cpu_budget_seconds=0.2)
    _, state = run(tmp_path, config=config)
    assert state.stopped == "budget"
    assert 0 < state.best_step == state.step < 1_000_000
    assert state.cpu_seconds < 2


@pytest.fixture
def unhandled():
    """Signals as in a process of its own; a background job of a shell starts with SIGINT ignored."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("unhandled")
def test_a_signal_stops_between_steps_and_the_handlers_come_back(tmp_path, number):
    before = signal.getsignal(number)
    _, state = run(
        tmp_path,
        config=TrainingConfig(steps=400),
        report=lambda step, *_: os.kill(os.getpid(), number) if step == 20 else None,
    )
    assert (state.stopped, state.step) == ("interrupted", 20)
    assert signal.getsignal(number) is before
    _, resumed = run(tmp_path, config=TrainingConfig(steps=400), resume=True)
    assert (resumed.stopped, resumed.step) == ("steps", 400)


def test_signals_that_the_caller_handles_are_left_to_the_caller(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("SIGTERM"))
    try:
        _, state = run(
            tmp_path,
            report=lambda step, *_: os.kill(os.getpid(), signal.SIGTERM) if step == 20 else None,
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == ["SIGTERM"]
    assert (state.stopped, state.step) == ("steps", 40)


def test_a_caller_who_raises_while_watching_can_resume_to_the_same_weights(tmp_path):
    class Enough(Exception):
        pass

    def interrupt(step, *_):
        if step == 17:
            raise Enough

    whole, _ = run(tmp_path / "whole")
    with pytest.raises(Enough):
        run(tmp_path / "parts", report=interrupt)
    resumed, state = run(tmp_path / "parts", resume=True)
    assert state.step == 40
    for found, expected in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(found, expected)


def test_training_works_outside_the_main_thread(tmp_path):
    states = []
    thread = threading.Thread(target=lambda: states.append(run(tmp_path)[1]))
    thread.start()
    thread.join()
    assert states[0].stopped == "steps"


def test_a_checkpoint_of_another_run_is_refused_with_the_difference(tmp_path):
    run(tmp_path)
    with pytest.raises(CheckpointError, match=r"learning_rate 0.05 there, 0.1 now"):
        run(
            tmp_path,
            config=TrainingConfig(steps=40, learning_rate=0.1, evaluate_every=10, seed=5),
            resume=True,
        )
    torch.manual_seed(0)
    with pytest.raises(CheckpointError, match="another model"):
        run(tmp_path, nn.Sequential(nn.Linear(3, 9), nn.Linear(9, 1)), resume=True)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    run(tmp_path)
    path = tmp_path / "last.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="cannot be read"):
        run(tmp_path, resume=True)


def test_without_resume_a_run_starts_anew(tmp_path):
    run(tmp_path)
    _, state = run(tmp_path, config=TrainingConfig(steps=10, evaluate_every=10))
    assert (state.step, state.best_step) == (10, 10)


def test_a_loss_that_is_not_finite_is_an_error(tmp_path):
    model = new_model()
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        train(
            model,
            batches,
            lambda batch: model(batch[0]).sum() * torch.nan,
            CONFIG,
            device=CPU,
            directory=tmp_path,
        )


def test_no_batches_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no batches"):
        train(nn.Linear(1, 1), lambda epoch: iter(()), sum, CONFIG, device=CPU, directory=tmp_path)


def test_the_learning_rate_rises_then_falls_to_a_hundredth():
    config = TrainingConfig(steps=1000, learning_rate=1.0, warm_up=0.1)
    rates = [learning_rate_at(step, config) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[100] == pytest.approx(1.0)
    assert rates[:100] == sorted(rates[:100])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(FINAL_LEARNING_RATE, abs=1e-4)


def test_a_longer_schedule_ends_the_run_on_the_way_down():
    config = replace(CONFIG, steps=1000, learning_rate=1.0, warm_up=0.05)
    twice = replace(config, schedule=2.0)
    assert learning_rate_at(999, twice) == pytest.approx(learning_rate_at(999, replace(config, steps=2000)))
    assert learning_rate_at(999, twice) > 0.5 > 2 * learning_rate_at(999, config)
