"""Trackers get the figures of a training, its configuration, and how it ended."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from evaluation.hooks import TrackingHook, open_hooks
from evaluation.tests.test_runner import synthetic
from evaluation.trainer import FROM_FILE, train
from predictors.errors import ConfigError, TrainingError
from predictors.serving.registry import ModelStore


class Recorder(TrackingHook):
    def __init__(self):
        super().__init__()
        self.calls = []

    def begin(self, model, config, facts):
        self.calls.append(("begin", model, config, facts))

    def write(self, step, metrics):
        self.calls.append(("write", step, dict(metrics)))

    def end(self, metrics, *, failed):
        self.calls.append(("end", dict(metrics), failed))


def test_a_tracker_follows_a_training_from_its_configuration_to_its_figures(tmp_path):
    hook = Recorder()
    options = {"dim": 8, "epochs": 4, "evaluate_every": 1}
    trained = train(
        "lightgcn", synthetic(), ModelStore(tmp_path), id_space=FROM_FILE, options=options, hooks=(hook,)
    )
    (_, model, config, facts), *writes, (end, final, failed) = hook.calls
    assert (model, config["dim"], facts["n_users"], end, failed) == ("lightgcn", 8, 300, "end", False)
    steps = [step for _, step, _ in writes]
    assert steps == sorted(steps)
    assert any("NDCG@10" in metrics for _, _, metrics in writes)
    assert final["NDCG@10"] == trained.metrics["NDCG@10"]
    assert final["cpu_seconds"] > 0


def test_a_failed_training_is_recorded_as_such(tmp_path):
    hook = Recorder()
    with pytest.raises(TrainingError):
        train("popular", synthetic().select([]), ModelStore(tmp_path), id_space=FROM_FILE, hooks=(hook,))
    assert hook.calls == [], "nothing was begun"
    broken = Recorder()
    broken.on_epoch = broken.write = lambda *args: 1 / 0
    with pytest.raises(ZeroDivisionError):
        train("als", synthetic(), ModelStore(tmp_path), id_space=FROM_FILE, hooks=(broken,))
    assert broken.calls[-1] == ("end", {}, True)


@pytest.mark.parametrize(
    ("asked", "message"),
    [("wandb=x", "expected one of"), ("tensorboard", "expected one of"), ("mlflow=", "expected one of")],
)
def test_what_is_no_tracker_is_refused(asked, message):
    with pytest.raises(ConfigError, match=message):
        open_hooks([asked])


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_package_that_is_missing_is_named(name, monkeypatch):
    for module in ("tensorboard", "mlflow"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=f"{name} is not installed.*requirements-tracking"):
        open_hooks([f"{name}=somewhere"])


def test_mlflow_gets_parameters_metrics_and_the_end(monkeypatch, tmp_path):
    calls = []

    class MlflowClient:
        def __init__(self, tracking_uri):
            calls.append(("uri", tracking_uri))

        def __getattr__(self, name):
            answers = {
                "get_experiment_by_name": None,
                "create_experiment": "7",
                "create_run": SimpleNamespace(info=SimpleNamespace(run_id="r1")),
            }

            def call(*args, **kwargs):
                calls.append((name, *args))
                return answers.get(name)

            return call

    package, tracking = ModuleType("mlflow"), ModuleType("mlflow.tracking")
    tracking.MlflowClient = MlflowClient
    monkeypatch.setitem(sys.modules, "mlflow", package)
    monkeypatch.setitem(sys.modules, "mlflow.tracking", tracking)
    (hook,) = open_hooks(["mlflow=sqlite:///x.db"])
    train("popular", synthetic(), ModelStore(tmp_path), id_space=FROM_FILE, hooks=(hook,))
    assert calls[0] == ("uri", "sqlite:///x.db")
    assert ("create_run", "7") in calls
    assert ("log_param", "r1", "prior", 20.0) in calls
    assert [call for call in calls if call[:3] == ("log_metric", "r1", "final NDCG at 10")]
    assert calls[-1] == ("set_terminated", "r1", "FINISHED")


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (hook,) = open_hooks([f"tensorboard={tmp_path / 'runs'}"])
    options = {"dim": 8, "epochs": 2, "evaluate_every": 1}
    trained = train(
        "lightgcn",
        synthetic(),
        ModelStore(tmp_path / "m"),
        id_space=FROM_FILE,
        options=options,
        hooks=(hook,),
    )
    (folder,) = (tmp_path / "runs").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()
    assert "NDCG@10" in tags["scalars"]
    assert events.Scalars("final/NDCG@10")[0].value == pytest.approx(trained.metrics["NDCG@10"], abs=1e-6)
    assert "config/text_summary" in tags["tensors"]
