import logging
from dataclasses import dataclass

import numpy as np
import pytest

from predictors import item_index
from predictors.errors import ArtifactError, InvalidScores
from predictors.id_map import IdMap
from predictors.inner_product import InnerProductPredictor
from predictors.item_index import FILE, FLAT, GRAPH, IndexFirstStage, ItemIndex
from predictors.models.als import AlsConfig, AlsPredictor
from predictors.models.mf.model import MfConfig, MfPredictor
from predictors.models.mf_softmax import MfSoftmaxPredictor
from predictors.progress import ProgressEvent
from predictors.query import Query
from predictors.run import Run
from predictors.serving import artifact
from predictors.tests.small_world import from_rows

pytest.importorskip("faiss", reason="faiss-cpu is not installed; see requirements-faiss.txt")

N, DIM = 2_000, 8
RNG = np.random.default_rng(3)
VECTORS = RNG.normal(size=(N, DIM)).astype(np.float32)
QUERIES = [Query.from_indices(RNG.choice(N, size=length, replace=False)) for length in (1, 4, 20, 60)]


def als() -> AlsPredictor:
    return AlsPredictor(VECTORS, 0.01, IdMap(range(N)))


def mf() -> MfPredictor:
    biases, counts = RNG.normal(size=N).astype(np.float32), RNG.integers(0, 900, N)
    tensors = {"items": VECTORS, "biases": biases, "counts": counts, "mean": np.array([3.5])}
    return MfPredictor(tensors, IdMap(range(N)), MfConfig(groups=0))


def mf_softmax() -> MfSoftmaxPredictor:
    return MfSoftmaxPredictor(VECTORS, RNG.normal(size=N).astype(np.float32), IdMap(range(N)))


@dataclass
class Case:
    exact: InnerProductPredictor
    indexed: InnerProductPredictor


@pytest.fixture(
    scope="module",
    params=[(als, FLAT), (als, GRAPH), (mf, FLAT), (mf_softmax, FLAT)],
    ids=lambda case: f"{case[0].__name__}-{case[1]}",
)
def case(request) -> Case:
    make, kind = request.param
    exact = make()
    indexed = type(exact).restore(exact.tensors(), exact.ids, {"config": exact.config.as_dict()})
    indexed.use_index(ItemIndex.build(indexed.item_vectors(), kind), QUERIES)
    return Case(exact, indexed)


def test_an_index_and_exact_scores_make_the_same_lists(case):
    assert all(isinstance(stage, IndexFirstStage) for stage in case.indexed.first_stage(QUERIES))
    assert case.indexed.meta["index"]["recall"] >= 0.99
    for query in QUERIES:
        found, scores = case.indexed.retrieve([query], 20)
        expected, exact_scores = case.exact.retrieve([query], 20)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(scores, exact_scores, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(case.indexed.score([query], found)[0], scores[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_left", [N // 2, N // 10, N // 40, 12, 3])
def test_lists_are_full_however_few_items_a_filter_leaves(case, n_left):
    excluded = np.random.default_rng(n_left).permutation(N)[n_left:]
    unseen = Query.from_indices(QUERIES[2].liked, seen=[])
    found, _ = case.indexed.retrieve([unseen], 20, excluded)
    expected, _ = case.exact.retrieve([unseen], 20, excluded)
    assert not np.isin(found, excluded).any()
    assert np.count_nonzero(found >= 0) == min(20, n_left)
    assert len(np.intersect1d(found, expected)) >= 0.95 * len(np.unique(expected))


def test_a_version_of_many_items_is_saved_with_an_index_that_is_mapped_when_served(tmp_path, monkeypatch):
    monkeypatch.setattr(item_index, "INDEX_FROM", 100)
    rows = np.random.default_rng(5)
    train = from_rows(
        rows.integers(0, 60, 3_000).tolist(), rows.integers(0, 300, 3_000).tolist(), item_ids=list(range(300))
    )
    fitted = AlsPredictor.fit(train, AlsConfig(factors=8, epochs=2)).refit(train)
    fitted.save(tmp_path / "als")
    meta = artifact.read_meta(tmp_path / "als")
    assert FILE in meta["files"]
    assert meta["index"] == {"kind": FLAT, "recall": pytest.approx(1, abs=0.02), "depth": 100, "queries": 53}
    loaded = AlsPredictor.load(tmp_path / "als")
    query = [Query.from_indices([3, 5, 8])]
    assert isinstance(loaded.first_stage(query)[0], IndexFirstStage)
    np.testing.assert_array_equal(loaded.retrieve(query, 10)[0], fitted.retrieve(query, 10)[0])
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again" / FILE).read_bytes() == (tmp_path / "als" / FILE).read_bytes()


@pytest.mark.parametrize("kind", [FLAT, GRAPH])
def test_the_building_of_an_index_is_reported_and_can_be_interrupted(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(item_index, "INDEX_FROM", 100)
    monkeypatch.setattr(item_index, "GRAPH_FROM", 100 if kind == GRAPH else 1000)
    monkeypatch.setattr(item_index, "BLOCK", 128)
    rows = np.random.default_rng(5)
    train = from_rows(
        rows.integers(0, 60, 3_000).tolist(), rows.integers(0, 300, 3_000).tolist(), item_ids=list(range(300))
    )
    events: list[ProgressEvent] = []
    fitted = AlsPredictor.fit(train, AlsConfig(factors=8, epochs=2), Run(progress=events.append))
    events.clear()
    fitted.save(tmp_path / "whole")
    assert [(event.done, event.message) for event in events] == [
        (1.0, f"index {kind}: {done} of 300 items") for done in (128, 256, 300)
    ]

    def stop(event: ProgressEvent) -> None:
        if event.message.startswith("index"):
            raise InterruptedError

    fitted = AlsPredictor.fit(train, AlsConfig(factors=8, epochs=2), Run(progress=stop))
    with pytest.raises(InterruptedError):
        fitted.save(tmp_path / "interrupted")
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_without_faiss_an_artifact_with_an_index_is_scored_whole(tmp_path, monkeypatch, caplog):
    indexed = als()
    indexed.use_index(ItemIndex.build(VECTORS, FLAT), QUERIES)
    indexed.save(tmp_path / "als")
    monkeypatch.setattr(item_index, "is_installed", lambda: False)
    with caplog.at_level(logging.WARNING):
        loaded = AlsPredictor.load(tmp_path / "als")
    assert "FAISS is not installed" in caplog.text
    assert not isinstance(loaded.first_stage(QUERIES)[0], IndexFirstStage)
    np.testing.assert_array_equal(loaded.retrieve(QUERIES, 10)[0], indexed.retrieve(QUERIES, 10)[0])
    loaded.save(tmp_path / "again")
    monkeypatch.undo()
    assert not isinstance(AlsPredictor.load(tmp_path / "again").first_stage(QUERIES)[0], IndexFirstStage)


def test_a_version_whose_indices_find_too_few_items_is_saved_without_one(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(item_index, "GRAPH_FROM", 100)
    tried = []

    build = ItemIndex.build

    def build_poor_index(vectors, kind, report):
        tried.append(kind)
        return build(-vectors, FLAT)

    monkeypatch.setattr(ItemIndex, "build", build_poor_index)
    fitted = als()
    fitted._recall_queries = QUERIES
    fitted.save(tmp_path / "als")
    assert tried == [GRAPH, FLAT]
    assert "als ranks by exact scores" in caplog.text
    meta = artifact.read_meta(tmp_path / "als")
    assert meta["poor_index"]["recall"] < 0.1
    assert FILE not in meta["files"]
    assert item_index.find_obstacle(meta) == ""
    loaded = AlsPredictor.load(tmp_path / "als")
    np.testing.assert_array_equal(loaded.retrieve(QUERIES, 10)[0], als().retrieve(QUERIES, 10)[0])


@pytest.mark.parametrize("kind", [FLAT, GRAPH])
def test_a_query_without_direction_is_ranked_by_the_index_of_items(kind):
    indexed = als()
    indexed.use_index(ItemIndex.build(VECTORS, kind), QUERIES)
    found, scores = indexed.retrieve([Query.from_indices([])], 20, np.array([1, 3]))
    assert found[0].tolist() == [0, 2, *range(4, 22)]
    assert not scores.any()


@pytest.mark.parametrize("content", [b"not an index", None])
def test_an_index_that_cannot_serve_the_items_is_refused(tmp_path, content):
    index = ItemIndex.build(VECTORS[:50], FLAT)
    index.write(tmp_path / FILE)
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    facts = {"config": {}, "index": {"kind": FLAT, "recall": 1.0, "depth": 100}}
    with pytest.raises(ArtifactError, match=FILE):
        AlsPredictor.restore(als().tensors(), IdMap(range(N)), facts, tmp_path)


def test_a_query_of_nan_is_refused_by_the_name_of_the_model(case, monkeypatch):
    monkeypatch.setattr(case.indexed, "query_vectors", lambda queries: np.full((1, DIM), np.nan, np.float32))
    with pytest.raises(InvalidScores, match=case.indexed.name):
        case.indexed.retrieve(QUERIES[:1], 5)
