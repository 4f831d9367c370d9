import json
import threading
import time

import numpy as np
import pytest

from predictors.errors import ArtifactError, PredictorError
from predictors.id_map import IdMap
from predictors.serving import artifact, registry
from predictors.serving.registry import ModelStore, Registry
from predictors.testing import overwrite
from predictors.tests.stub_predictor import CountPredictor

QUERY_IDS = IdMap(["a", "b", 3])


@pytest.fixture
def store(tmp_path, monkeypatch) -> ModelStore:
    monkeypatch.setattr(registry, "predictor_class", lambda name: CountPredictor)
    return ModelStore(tmp_path)


def publish(store: ModelStore, *counts: int, activate: bool = True) -> str:
    return store.publish(CountPredictor(QUERY_IDS, np.array(counts)), activate=activate)


def best(predictor: CountPredictor) -> int:
    return int(predictor.counts.argmax())


def eventually(condition, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_what_was_saved_comes_back_with_ids_of_both_types(store):
    version = publish(store, 1, 2, 3)
    loaded = store.load("popular", version)
    assert loaded.counts.tolist() == [1, 2, 3]
    assert list(loaded.ids) == ["a", "b", 3]
    assert loaded.version == version


def test_versions_newest_first_and_roll_back(store):
    first = publish(store, 1, 0, 0)
    time.sleep(1.1)  # version names count seconds
    second = publish(store, 0, 1, 0)
    assert store.versions("popular") == [second, first]
    assert store.current("popular") == second
    assert store.roll_back("popular") == first
    assert store.current("popular") == first


def test_roll_back_without_an_earlier_version_is_refused(store):
    publish(store, 1, 0, 0)
    with pytest.raises(ArtifactError, match="no earlier version"):
        store.roll_back("popular")


@pytest.mark.parametrize("filename", ["weights.safetensors", "ids.json"])
def test_a_damaged_artifact_is_refused_and_the_old_one_stays_active(store, filename):
    good = publish(store, 1, 0, 0)
    bad = publish(store, 0, 1, 0, activate=False)
    path = store.path("popular", bad) / filename
    overwrite(path, path.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match=f"{filename} is damaged"):
        store.activate("popular", bad)
    assert store.current("popular") == good


def test_a_file_named_outside_the_artifact_is_refused(store):
    version = publish(store, 1, 0, 0)
    meta = store.path("popular", version) / artifact.META
    overwrite(meta, meta.read_bytes().replace(b'"ids.json"', b'"../ids.json"'))
    with pytest.raises(ArtifactError, match="outside the artifact"):
        store.verify("popular", version)


@pytest.mark.parametrize("version", ["../../etc", "", ".hidden", "a/b"])
def test_a_version_cannot_lead_outside_the_store(store, version):
    with pytest.raises(PredictorError):
        store.path("popular", version)


def test_the_active_version_cannot_be_deleted(store):
    version = publish(store, 1, 0, 0)
    with pytest.raises(PredictorError, match="is active"):
        store.delete("popular", version)


def test_a_failed_save_leaves_nothing_behind(store, tmp_path):
    class Broken(CountPredictor):
        def write_extra_files(self, directory):
            raise OSError("disk full")

    with pytest.raises(ArtifactError, match="disk full"):
        store.publish(Broken(QUERY_IDS, np.ones(3)))
    assert store.versions("popular") == []
    assert list((tmp_path / "popular").iterdir()) == []


def test_a_newly_activated_version_is_picked_up_while_requests_go_on(store):
    publish(store, 9, 0, 0)
    live = Registry(store, check_seconds=0.0)
    assert best(live.get("popular")) == 0
    failures: list[Exception] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                live.get("popular")
            except PredictorError as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    publish(store, 0, 9, 0)
    swapped = eventually(lambda: best(live.get("popular")) == 1)
    stop.set()
    for thread in threads:
        thread.join()
    assert swapped
    assert failures == []


def test_a_version_damaged_after_activation_is_refused_and_the_old_one_serves(store):
    publish(store, 9, 0, 0)
    live = Registry(store, check_seconds=0.0)
    live.get("popular")
    bad = publish(store, 0, 9, 0)
    # Damage it before the background load can see it whole: activate again after the damage.
    overwrite((store.path("popular", bad) / "weights.safetensors"), b"damaged")
    store._write_pointer("popular", "current", bad)
    time.sleep(0.3)
    fresh = Registry(store, check_seconds=0.0)
    assert best(fresh.get("popular")) == 0


def test_a_model_that_was_never_trained_is_named(store):
    with pytest.raises(ArtifactError, match="popular has no active version"):
        Registry(store).get("popular")
    with pytest.raises(PredictorError, match="no model 'nonsense'"):
        Registry(store).get("nonsense")


def test_many_first_requests_load_once(store, monkeypatch):
    publish(store, 9, 0, 0)
    loads: list[str] = []
    load = ModelStore.load
    monkeypatch.setattr(
        ModelStore, "load", lambda self, name, version: (loads.append(name), load(self, name, version))[1]
    )
    live = Registry(store)
    threads = [threading.Thread(target=live.get, args=("popular",)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == ["popular"]


class WithoutGpu(CountPredictor):
    def to(self, device):
        if device == "cuda":
            raise ValueError("there is no CUDA device")
        return self


def test_a_gpu_that_cannot_be_used_is_said_or_done_without(store, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "predictor_class", lambda name: WithoutGpu)
    publish(store, 9, 0, 0)
    with pytest.raises(ArtifactError, match="cannot run on cuda: there is no CUDA device"):
        Registry(store, device="cuda").get("popular")
    driver = tmp_path / "driver"
    driver.touch()
    monkeypatch.setattr("predictors.devices.NVIDIA_DRIVER", driver)
    assert best(Registry(store, device="auto").get("popular")) == 0


def test_weights_that_are_replaced_while_they_serve_stay_mapped(store):
    """A shorter file written over live ones would end the process at the next list (SIGBUS)."""
    version = publish(store, 1, 2, 9)
    live = Registry(store)
    assert best(live.get("popular")) == 2
    for path in store.path("popular", version).iterdir():
        assert path.stat().st_mode & 0o222 == 0, "nobody but root can write over it by a slip"
        other = path.with_suffix(".new")
        other.write_bytes(b"")
        other.replace(path)
    assert best(live.get("popular")) == 2


def test_a_version_whose_preparation_fails_serves_all_the_same(store, caplog):
    def prepare(predictor: CountPredictor) -> None:
        raise ValueError("no content")

    first = publish(store, 9, 0, 0)
    live = Registry(store, check_seconds=0.0, prepare=prepare)
    assert best(live.get("popular")) == 0
    assert f"popular {first} could not be prepared" in caplog.text
    publish(store, 0, 9, 0)
    assert eventually(lambda: best(live.get("popular")) == 1)


def test_a_version_is_prepared_before_it_serves(store):
    first = publish(store, 9, 0, 0)
    prepared: list[tuple[str, int]] = []
    live = Registry(store, check_seconds=0.0)
    live.prepare = lambda predictor: prepared.append((predictor.version, serving()))

    def serving() -> int:
        held = live._slots["popular"].predictor
        return -1 if held is None else best(held)

    assert best(live.get("popular")) == 0
    second = publish(store, 0, 9, 0)
    assert eventually(lambda: best(live.get("popular")) == 1)
    assert prepared == [(first, -1), (second, 0)]


def test_a_version_whose_index_misses_too_many_items_cannot_be_activated(store):
    good = publish(store, 1, 0, 0)
    predictor = CountPredictor(QUERY_IDS, np.array([0, 1, 0]))
    predictor.meta["index"] = {"kind": "hnsw-sq8", "recall": 0.949, "depth": 100, "queries": 200}
    poor = store.publish(predictor)
    with pytest.raises(
        ArtifactError, match=rf"popular {poor} cannot be activated: its index hnsw-sq8 finds 0.949"
    ):
        store.activate("popular", poor)
    assert store.current("popular") == good
    predictor.meta["index"]["recall"] = 0.95
    store.publish(predictor, activate=True)


def test_ids_of_ints_are_mapped_and_an_artifact_of_format_1_is_read(store):
    ids = IdMap([40, 10, 30])
    version = store.publish(CountPredictor(ids, np.arange(3)))
    folder = store.path("popular", version)
    loaded = store.load("popular", version)
    assert loaded.ids == ids
    assert not any(array.flags.writeable for array in loaded.ids.arrays().values())
    (folder / artifact.INT_IDS).unlink()
    (folder / artifact.IDS).write_text("[40, 10, 30]", encoding="utf-8")
    meta = artifact.read_meta(folder)
    del meta["files"][artifact.INT_IDS]
    assert meta["format"] == 2
    overwrite(folder / artifact.META, json.dumps({**meta, "format": 1}).encode())
    assert store.load("popular", version).ids == ids


def test_an_artifact_of_a_later_release_is_refused_by_its_format(store):
    version = publish(store, 1, 0, 0)
    meta = store.path("popular", version) / artifact.META
    overwrite(meta, json.dumps({**json.loads(meta.read_bytes()), "format": 3}).encode())
    with pytest.raises(ArtifactError, match="has format 3; this release reads 1 and 2"):
        store.activate("popular", version)


def test_models_that_cannot_be_imported_or_read_keep_no_other_from_being_imported(
    store, tmp_path, monkeypatch, caplog
):
    """A server that imports them before it forks its workers starts all the same."""
    imported = []

    def predictor_class(name):
        if name == "ease":
            raise RuntimeError("its library is broken")
        imported.append(name)
        return CountPredictor

    monkeypatch.setattr(registry, "predictor_class", predictor_class)
    for name in ("popular", "ease", "next_item"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "current").write_text("1")
    (tmp_path / "sasrec" / "current").mkdir(parents=True)  # reading it is an OSError, for root too
    Registry(store).import_models()
    assert imported == ["popular", "next_item"]
    assert "ease could not be imported" in caplog.text
    assert "sasrec could not be imported" in caplog.text
