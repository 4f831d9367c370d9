"""Training by name: a young site, an unusable disk, and what an artifact says of itself."""

import errno
import os

import numpy as np
import pytest
from safetensors import SafetensorError

from datasets.interactions import Interactions
from evaluation.tests.test_runner import synthetic
from evaluation.trainer import FROM_SITE, train
from predictors.errors import ArtifactError, TrainingError
from predictors.models.neighbours import NeighboursPredictor
from predictors.plugins import BUILT_IN
from predictors.serving import artifact
from predictors.serving.registry import ModelStore

QUICK = {
    "sasrec": {"dim": 16, "epochs": 2},
    "lightgcn": {"dim": 8, "epochs": 2},
    "ngcf": {"dim": 8, "epochs": 2},
    "kprn": {"dim": 8, "epochs": 0.1},
    "als": {"factors": 8},
    "mf": {"factors": 4},
}


def young_site() -> Interactions:
    """Sixty people who rated two of thirty films each."""
    rng = np.random.default_rng(5)
    items = np.concatenate([rng.choice(30, 2, replace=False) for _ in range(60)])
    return Interactions.from_columns(
        np.repeat(np.arange(60), 2),
        items,
        rng.choice([3.0, 4.0, 5.0], len(items)),
        1_700_000_000 + 3600 * np.arange(len(items)),
        user_ids=np.arange(60),
        item_ids=np.arange(30),
    )


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != "for_you"])
def test_a_young_site_trains_every_model_and_claims_no_figure(name, tmp_path):
    store = ModelStore(tmp_path)
    trained = train(name, young_site(), store, id_space=FROM_SITE, options=QUICK.get(name), activate=True)
    assert trained.metrics == {}
    meta = store.verify(name, store.current(name))
    assert meta["metrics"][0]["users"] == 0
    assert not [metric for metric in meta["metrics"][0] if "@" in metric]
    assert store.load(name, trained.version).n_items == 30


def test_a_refit_goes_on_from_no_earlier_training(tmp_path):
    """One is interrupted in its refit, the next one on other data before, and only that is resumed."""
    options = {"factors": 4, "epochs": 4}
    store, first, then = ModelStore(tmp_path), synthetic(), synthetic(seed=2)

    def stop_at(share):
        def watch(event):
            if event.done > share and "epoch" in event.message:
                raise InterruptedError

        return watch

    for rows, share in ((first, 0.7), (then, 0.3)):
        with pytest.raises(TrainingError):
            train("als", rows, store, id_space=FROM_SITE, options=options, progress=stop_at(share))
    version = train("als", then, store, id_space=FROM_SITE, options=options, resume=True).version
    whole = train("als", then, ModelStore(tmp_path / "whole"), id_space=FROM_SITE, options=options)
    expected = ModelStore(tmp_path / "whole").load("als", whole.version).tensors()
    for name, array in store.load("als", version).tensors().items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize("where", ["weights", "checkpoint"])
@pytest.mark.parametrize(
    "full",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_a_sentence(where, full, tmp_path, monkeypatch):

    def fail(*args, **kwargs):
        raise full

    if where == "weights":
        monkeypatch.setattr(artifact, "write_tensors", fail)
        expected = (ArtifactError, "cannot be written: .*No space left on device")
    else:
        monkeypatch.setattr(NeighboursPredictor, "_fit", classmethod(fail))
        expected = (TrainingError, "neighbours cannot be trained: .*No space left on device")
    store = ModelStore(tmp_path)
    with pytest.raises(expected[0], match=expected[1]):
        train("neighbours", synthetic(), store, id_space=FROM_SITE)
    assert store.versions("neighbours") == []
    assert not [path for path in (tmp_path / "neighbours").glob(".*") if path.name != ".checkpoints"]
