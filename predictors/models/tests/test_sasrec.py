import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from datasets.interactions import Interactions
from predictors.errors import ArtifactError, CannotAnswer, TrainingError
from predictors.history import History, Interaction
from predictors.id_map import IdMap
from predictors.influences import ITEMS_SCORED, MAX_REMOVED
from predictors.item_index import FLAT, IndexFirstStage, ItemIndex
from predictors.models.sasrec.encoder import (
    PACKED_TABLE,
    QUANTISED_TABLE,
    QUANTISED_TABLE_FLOAT,
    item_scales,
)
from predictors.models.sasrec.model import APPROXIMATE_FROM, COLUMNS, SasrecPredictor
from predictors.models.sasrec.model import SasrecConfig as SasrecPredictorConfig
from predictors.models.sasrec.onnx_graph import encoder_graph, quantised_table_graph
from predictors.query import Query
from predictors.run import Run
from predictors.testing import fit_model
from pytorch_models.sasrec.encoder import torch_encoder
from pytorch_models.sasrec.network import Sasrec, SasrecConfig

N_ITEMS = 30


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cyclic(n_users: int = 200, length: int = 12) -> Interactions:
    """Every user goes round the catalogue in the same order, from a start of their own."""
    starts = np.random.default_rng(0).integers(0, N_ITEMS, n_users)
    items = (starts[:, None] + np.arange(length)) % N_ITEMS
    return Interactions.from_columns(
        np.repeat(np.arange(n_users), length),
        items.ravel(),
        user_ids=np.arange(n_users),
        item_ids=np.array([f"film-{item}" for item in range(N_ITEMS)], dtype=object),
    )


OPTIONS = {"dim": 16, "max_length": 20, "epochs": 20, "seed": 7, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def trained() -> SasrecPredictor:
    return fit_model(SasrecPredictor, cyclic(), options=OPTIONS)


@pytest.fixture(scope="module")
def random_weights() -> dict[str, np.ndarray]:
    torch.manual_seed(1)
    model = Sasrec(SasrecConfig(n_items=500, dim=32, max_length=200))
    for parameter in model.parameters():  # larger than at the start, so that errors would show
        parameter.data += 0.2 * torch.randn_like(parameter)
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="module")
def random_predictor(random_weights) -> SasrecPredictor:
    return SasrecPredictor(random_weights, encoder_graph(random_weights, heads=2), IdMap(range(500)))


def liked(*films: str) -> History:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return History(
        Interaction(f"{n:03}", "guest:1", "rating", film, now, 5.0) for n, film in enumerate(films)
    )


def test_a_planted_pattern_is_learnt(trained):
    queries = [
        Query.from_indices([(start + step) % N_ITEMS for step in range(6)]) for start in range(N_ITEMS)
    ]
    indices, _ = trained.retrieve(queries, 1)
    hits = indices[:, 0] == (np.arange(N_ITEMS) + 6) % N_ITEMS
    assert hits.mean() > 0.9
    assert trained.meta["training"]["validation"]["HR@10"] > 0.9


def test_sampled_loss_learns_it_too():
    options = {**OPTIONS, "loss": "sampled", "negatives": 10}
    predictor = fit_model(SasrecPredictor, cyclic(), options=options)
    queries = [
        Query.from_indices([(start + step) % N_ITEMS for step in range(6)]) for start in range(N_ITEMS)
    ]
    indices, _ = predictor.retrieve(queries, 1)
    assert (indices[:, 0] == (np.arange(N_ITEMS) + 6) % N_ITEMS).mean() > 0.9


def test_the_order_of_a_history_matters(trained):
    forwards = trained.recommend(liked("film-3", "film-4", "film-5"), 1)
    other = trained.recommend(liked("film-5", "film-4", "film-3"), 1)
    assert forwards[0].movie_id == "film-6"
    assert other[0].movie_id != "film-6"


def test_onnx_runtime_answers_as_torch_does_at_every_length(random_weights, random_predictor):
    by_torch = torch_encoder(random_weights, heads=2, device="cpu")
    rng = np.random.default_rng(0)
    for length in range(1, 201):
        history = rng.permutation(500)[:length]
        expected = by_torch(random_weights["item.weight"][history][None]) @ random_weights["item.weight"].T
        np.testing.assert_allclose(
            random_predictor.score([Query.from_indices(history)]), expected, atol=1e-4, rtol=0
        )


@pytest.mark.parametrize(("blocks", "heads", "block"), [(1, 1, "pre"), (3, 4, "pre"), (2, 2, "ligr")])
def test_the_graph_fits_other_shapes(blocks, heads, block):
    torch.manual_seed(2)
    model = Sasrec(SasrecConfig(40, dim=8, blocks=blocks, heads=heads, max_length=9, block=block))
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    predictor = SasrecPredictor(weights, encoder_graph(weights, heads=heads), IdMap(range(40)))
    by_torch = torch_encoder(weights, heads=heads, device="cpu")
    expected = by_torch(weights["item.weight"][None, :9])
    np.testing.assert_allclose(predictor.encode_histories([np.arange(9)]), expected, atol=1e-4, rtol=0)


def test_int8_chooses_the_items_that_exact_scores_choose(random_weights, tmp_path):
    """A large table is quantised, alone or in a batch, before and after it was saved; masks hold."""
    rng = np.random.default_rng(8)
    n_items = APPROXIMATE_FROM
    weights = {**random_weights, "item.weight": rng.normal(size=(n_items, 32)).astype(np.float32)}
    weights["item.weight"][5] = 0  # its scale must not be 0
    predictor = SasrecPredictor.from_weights(weights, IdMap(range(n_items)), SasrecPredictorConfig())
    exact = SasrecPredictor(weights, predictor.encoder, predictor.ids)
    predictor.save(tmp_path / "saved")
    loaded = SasrecPredictor.load(tmp_path / "saved")
    queries = [
        Query.from_indices(rng.choice(n_items, size=length, replace=False))
        for length in (1, 3, *rng.integers(1, 250, 30))
    ]
    excluded = rng.choice(n_items, size=n_items // 2, replace=False)
    for each in (predictor, loaded):
        assert each.first_stage(queries)[0].rescore is not None
        found, scores = each.retrieve(queries, 100, excluded)
        expected, exact_scores = exact.retrieve(queries, 100, excluded)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(scores, exact_scores, rtol=1e-4, atol=1e-4)
        for row, query in enumerate(queries):  # nobody's scores depend on those beside
            np.testing.assert_array_equal(each.retrieve([query], 100, excluded)[0][0], found[row])
    few = np.setdiff1d(np.arange(n_items), [1, 2, 5])
    indices, _ = predictor.retrieve([Query.from_indices([7])], 10, few)
    assert sorted(indices[0].tolist()) == [-1] * 7 + [1, 2, 5]
    rough, sure = predictor.first_stage(queries)[0].scores, exact.score(queries)[0]
    rough = rough * (sure @ rough) / (rough @ rough)  # in the unit of the exact scores
    assert 0 < np.abs(rough - sure).max() < 0.1 * sure.std()  # it is int8 that chose


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux says what a process maps")
def test_processes_share_the_packed_table_of_an_artifact(random_weights, tmp_path):
    rng = np.random.default_rng(8)
    table = rng.normal(size=(APPROXIMATE_FROM, 32)).astype(np.float32)
    weights = {**random_weights, "item.weight": table}
    SasrecPredictor.from_weights(weights, IdMap(range(len(table))), SasrecPredictorConfig()).save(
        tmp_path / "saved"
    )
    loaded = SasrecPredictor.load(tmp_path / "saved")
    assert np.isfinite(loaded.first_stage([Query.from_indices([1, 2])])[0].scores).all()
    mapped = re.findall(rf"\S+-\S+ \S+ (\S+) .*{PACKED_TABLE}\n", Path("/proc/self/smaps").read_text())
    # The packed table comes after the one of int8, which the runtime needs no more once it has found it.
    assert [int(start, 16) + os.sysconf("SC_PAGE_SIZE") > table.size for start in mapped] == [True]


def test_an_artifact_with_the_scores_of_an_earlier_version_gives_the_same_lists(random_weights, tmp_path):
    """Its graph multiplies by the scales of the items itself, and has a name of its own."""
    rng = np.random.default_rng(8)
    table = rng.normal(size=(APPROXIMATE_FROM, 32)).astype(np.float32)
    weights = {**random_weights, "item.weight": table}
    predictor = SasrecPredictor.from_weights(weights, IdMap(range(APPROXIMATE_FROM)), SasrecPredictorConfig())
    scales = item_scales(table)
    constants = {
        "table": np.rint(table / scales[:, None]).astype(np.int8).T.copy(),
        "scale": np.float32(1), "scales": scales, "middle": np.uint8(128),
    }  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node(
            "MatMulIntegerToFloat", ["items", "table", "scale", "scales", "middle"], ["encoded"],
            domain="com.microsoft",
        )],
        "sasrec",
        [helper.make_tensor_value_info("items", TensorProto.UINT8, ["batch", 32])],
        [helper.make_tensor_value_info("encoded", TensorProto.FLOAT, ["batch", APPROXIMATE_FROM])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    written = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    earlier = SasrecPredictor(weights, predictor.encoder, predictor.ids, quantised_table=written)
    queries = [Query.from_indices(rng.choice(APPROXIMATE_FROM, size=20)) for _ in range(5)]
    stages = zip(earlier.first_stage(queries), predictor.first_stage(queries), strict=True)
    for of_earlier, of_ours in stages:
        np.testing.assert_array_equal(of_earlier.scores, of_ours.scores)

    directory = tmp_path / "saved"
    predictor.save(directory)
    (directory / QUANTISED_TABLE).unlink()
    (directory / QUANTISED_TABLE_FLOAT).write_bytes(written)
    read = SasrecPredictor.restore(weights, predictor.ids, {}, directory)
    np.testing.assert_array_equal(read.retrieve(queries, 50)[0], predictor.retrieve(queries, 50)[0])
    read.save(tmp_path / "again")
    again = SasrecPredictor.load(tmp_path / "again")
    np.testing.assert_array_equal(again.first_stage(queries)[0].scores, read.first_stage(queries)[0].scores)


def test_an_index_takes_the_place_of_the_int8_table(random_weights, random_predictor, tmp_path):
    pytest.importorskip("faiss", reason="faiss-cpu is not installed; see requirements-faiss.txt")
    table = quantised_table_graph(random_weights["item.weight"])
    ids, queries = random_predictor.ids, [Query.from_indices([1, 2]), Query.from_indices(range(40))]
    indexed = SasrecPredictor(random_weights, random_predictor.encoder, ids, quantised_table=table)
    indexed.use_index(ItemIndex.build(indexed.item_vectors(), FLAT), queries)
    indexed.save(tmp_path / "saved")
    loaded = SasrecPredictor.load(tmp_path / "saved")
    assert loaded.quantised_table is None
    assert isinstance(loaded.first_stage(queries)[0], IndexFirstStage)
    expected = random_predictor.retrieve(queries, 20)[0]
    np.testing.assert_array_equal(loaded.retrieve(queries, 20)[0], expected)
    np.testing.assert_allclose(loaded.score(queries), random_predictor.score(queries), atol=1e-5)


def test_a_small_table_is_scored_exactly(random_predictor):
    (stage,) = random_predictor.first_stage([Query.from_indices([1, 2])])
    assert stage.rescore is None


def test_a_batch_of_mixed_lengths_scores_each_history_as_alone(random_predictor):
    rng = np.random.default_rng(1)
    queries = [Query.from_indices(rng.permutation(500)[:length]) for length in (1, 250, 3, 200, 3, 0, 77)]
    together = random_predictor.score(queries)
    assert together.shape == (7, 500)
    assert together.dtype == np.float32
    for row, query in zip(together, queries, strict=True):
        np.testing.assert_allclose(row, random_predictor.score([query])[0], atol=1e-4, rtol=0)


def test_only_the_latest_films_count_in_a_history_longer_than_the_model_reads(random_predictor):
    history = np.random.default_rng(2).permutation(500)[:300]
    whole, recent = random_predictor.score([Query.from_indices(history), Query.from_indices(history[-200:])])
    np.testing.assert_allclose(whole, recent, atol=1e-5, rtol=0)


def test_sixteen_threads_get_the_same_answer(random_predictor):
    rng = np.random.default_rng(3)
    queries = [Query.from_indices(rng.permutation(500)[:length]) for length in range(1, 33)]
    alone = [random_predictor.score([query])[0] for query in queries]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda query: random_predictor.score([query])[0], queries * 4))
    for index, row in enumerate(found):
        assert np.array_equal(row, alone[index % len(queries)])


def test_saved_and_loaded_it_answers_the_same(trained, tmp_path):
    trained.save(tmp_path / "artifact", version="v1")
    loaded = SasrecPredictor.load(tmp_path / "artifact")
    history = liked("film-1", "film-2", "film-9")
    assert loaded.recommend(history, 5) == trained.recommend(history, 5)
    assert loaded.config.as_dict() == trained.config.as_dict()
    assert loaded.meta["training"]["epochs"] == 20


def test_an_artifact_without_its_encoder_is_refused(trained, tmp_path):
    trained.save(tmp_path / "artifact")
    (tmp_path / "artifact" / "encoder.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"encoder.onnx is missing"):
        SasrecPredictor.load(tmp_path / "artifact")


def test_a_graph_that_is_none_is_refused(random_weights):
    with pytest.raises(ArtifactError, match=r"encoder.onnx cannot be read"):
        SasrecPredictor(random_weights, b"not a graph", IdMap(range(500)))


def test_the_item_table_by_columns_is_mapped_from_the_artifact(trained, tmp_path):
    trained.save(tmp_path / "saved")
    loaded = SasrecPredictor.load(tmp_path / "saved")
    assert not loaded._columns.flags.owndata
    older = SasrecPredictor.restore(loaded.weights, loaded.ids, loaded.meta, tmp_path / "saved")
    assert older._columns.flags.owndata
    queries = [Query.from_indices([1, 2, 3]), Query.from_indices([4])]
    np.testing.assert_array_equal(loaded.score(queries), trained.score(queries))
    np.testing.assert_array_equal(loaded.score(queries), older.score(queries))
    broken = {**loaded.weights, COLUMNS: loaded.table}
    with pytest.raises(ArtifactError, match="differ in their shapes"):
        SasrecPredictor.restore(broken, loaded.ids, loaded.meta, tmp_path / "saved")


def test_serving_imports_no_torch(trained, tmp_path):
    trained.save(tmp_path / "artifact")
    code = (
        "import sys; from pathlib import Path; from predictors.base import Query;"
        "from predictors.models.sasrec.model import SasrecPredictor;"
        f"p = SasrecPredictor.load(Path({str(tmp_path / 'artifact')!r}));"
        "p.retrieve([Query.from_indices([1, 2, 3])], 3);"
        "assert 'torch' not in sys.modules and 'onnx' not in sys.modules, 'a heavy import'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_reason_is_the_film_without_which_the_score_falls_most(trained):
    history = liked("film-20", "film-11", "film-4", "film-5")
    best = trained.recommend(history, 1)[0]
    (reason,) = best.reasons
    assert best.movie_id == "film-6"
    films = ("film-20", "film-11", "film-4", "film-5")
    index = trained.ids.index_of("film-6")
    without = {film: trained.score_history(liked(*(f for f in films if f != film)))[index] for film in films}
    assert reason.movie_id == min(without, key=without.get)
    assert 0 < reason.weight <= 1


def test_reasons_read_as_much_of_a_long_history_as_the_scores_do(random_predictor):
    """The film that is named is the one without which `score` gives the film least."""
    rng = np.random.default_rng(11)
    for length in (60, 150, 230):
        history = rng.permutation(500)[:length]
        query = Query.from_indices(history)
        best = random_predictor.retrieve([query], 8)[0][0]
        latest = history[-min(MAX_REMOVED, ITEMS_SCORED // length) :]
        without = random_predictor.score([Query.from_indices(history[history != film]) for film in latest])
        falls = random_predictor.score([query]) - without  # (films, n_items)
        for reasons, item in zip(random_predictor.reasons(query, best), best, strict=True):
            fall = np.maximum(falls[:, item], 0)
            if not reasons:
                assert fall.max() == pytest.approx(0, abs=1e-5)
                continue
            assert reasons[0].movie_id == int(latest[fall.argmax()])
            assert reasons[0].weight == pytest.approx(fall.max() / fall.sum(), abs=1e-3)


def test_a_refit_holds_nothing_out(trained):
    again = trained.refit(cyclic())
    assert again.meta["training"]["validation"]["users"] == 0
    assert again.meta["training"]["epochs"] <= trained.meta["training"]["epochs"]
    assert len(again.weights["item.weight"]) == N_ITEMS


def test_a_history_of_one_film_names_it(trained):
    (best,) = trained.recommend(liked("film-8"), 1)
    assert (best.movie_id, best.reasons[0].movie_id) == ("film-9", "film-8")


def test_without_a_known_film_it_says_that_it_cannot_answer(trained):
    with pytest.raises(CannotAnswer):
        trained.score_history(History.EMPTY)
    with pytest.raises(CannotAnswer, match="no_known_films"):
        trained.score_history(liked("elsewhere"))


def test_a_stopped_fit_resumes_to_the_same_model(tmp_path):
    data, options = cyclic(60), {**OPTIONS, "epochs": 6}
    whole = fit_model(SasrecPredictor, data, options=options)
    # A budget of next to nothing stops after the first step; it is not part of what a run is.
    part = fit_model(
        SasrecPredictor,
        data,
        options={**options, "cpu_budget_seconds": 1e-9},
        run=Run(checkpoint_dir=tmp_path),
    )
    assert part.meta["training"]["stopped"] == "budget"
    resumed = fit_model(SasrecPredictor, data, options=options, run=Run(checkpoint_dir=tmp_path, resume=True))
    assert part.meta["training"]["steps"] < resumed.meta["training"]["steps"]
    # Where the run was validated in between may make another step the best one; the last ones agree.
    whole_last = fit_model(
        SasrecPredictor, data, options={**options, "patience": 0}, run=Run(checkpoint_dir=tmp_path / "w")
    )
    assert (
        resumed.meta["training"]["steps"]
        == whole_last.meta["training"]["steps"]
        == whole.meta["training"]["steps"]
    )
    from safetensors.numpy import load_file

    found = load_file(tmp_path / "last.safetensors")
    for name, expected in load_file(tmp_path / "w" / "last.safetensors").items():
        np.testing.assert_array_equal(found[name], expected)


def test_the_same_seed_gives_the_same_model_and_another_seed_another():
    fit = lambda seed: fit_model(SasrecPredictor, cyclic(40), options={**OPTIONS, "epochs": 2, "seed": seed})  # noqa: E731
    query = [Query.from_indices([1, 2, 3])]
    assert np.array_equal(fit(1).score(query), fit(1).score(query))
    assert not np.array_equal(fit(1).score(query), fit(2).score(query))


def test_validation_may_be_given_even_for_users_who_are_not_in_the_training_data():
    data = cyclic(80)
    guests = data.users >= 60
    told = []
    predictor = fit_model(
        SasrecPredictor,
        data.select(~guests),
        data.select(guests),
        options={**OPTIONS, "epochs": 3},
        run=Run(progress=told.append),
    )
    assert predictor.meta["training"]["validation"]["users"] == 20
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert told[-1].done == 1.0
    assert any("NDCG@10" in event.metrics for event in told)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": 1}, "no option 'colour'"),
        ({"dim": "wide"}, "not a whole number"),
        ({"dim": 15, "heads": 2}, "not a positive multiple of heads"),
        ({"dropout": 1}, "at least 0 and below 1"),
        ({"loss": "bce"}, "softmax or sampled"),
        ({"epochs": -1}, "not 0 or more"),
        ({"device": "tpu"}, "auto, cpu, cuda"),
    ],
)
def test_unusable_options_are_refused_by_name(options, message):
    with pytest.raises(TrainingError, match=message):
        fit_model(SasrecPredictor, cyclic(), options=options)


def test_data_without_a_sequence_is_refused():
    alone = Interactions.from_columns([0, 1], [0, 1], user_ids=np.arange(2), item_ids=np.arange(3))
    with pytest.raises(TrainingError, match="two or more items"):
        SasrecPredictor.fit(alone)


def test_a_checkpoint_of_other_options_is_not_continued(tmp_path):
    options = {**OPTIONS, "epochs": 1}
    fit_model(SasrecPredictor, cyclic(40), options=options, run=Run(checkpoint_dir=tmp_path))
    with pytest.raises(TrainingError, match="belongs to another run"):
        fit_model(
            SasrecPredictor,
            cyclic(40),
            options={**options, "seed": 8},
            run=Run(checkpoint_dir=tmp_path, resume=True),
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused(trained):
    with pytest.raises(TrainingError, match="no CUDA device"):
        fit_model(SasrecPredictor, cyclic(), options={"device": "cuda"})
    with pytest.raises(ValueError, match="no CUDA device"):
        trained.to("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_torch_on_a_gpu_answers_as_onnx_runtime_does(random_weights):
    make = lambda: SasrecPredictor(random_weights, encoder_graph(random_weights, heads=2), IdMap(range(500)))  # noqa: E731
    query = [Query.from_indices(np.random.default_rng(5).permutation(500)[:120])]
    np.testing.assert_allclose(make().to("cuda").score(query), make().score(query), atol=1e-3)


REPORTS = """
import os, numpy, psutil
from onnx import TensorProto, helper
from predictors.models.sasrec.encoder import onnx_runtime
threads = psutil.Process().num_threads()
runtime = onnx_runtime()
assert psutil.Process().num_threads() == threads, "a thread waits to report to its makers"
if not os.fork():
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negated", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    session = runtime.InferenceSession(model.SerializeToString())
    assert session.run(None, {"x": numpy.ones(1, numpy.float32)})[0] == -1
    os._exit(0)
assert os.wait()[1] == 0
"""


def test_onnx_runtime_reports_nothing_to_its_makers_and_may_be_forked():
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", REPORTS],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
