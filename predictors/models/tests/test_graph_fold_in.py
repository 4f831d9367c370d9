"""A new node against a rebuild of the whole graph, on real data where it is present."""

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.bipartite_graph import BipartiteGraph
from predictors.models.graph.fine_tuning import FineTuning, fine_tuned, seed_of
from predictors.models.graph.lightgcn import LightGCNNode, LightgcnPredictor
from predictors.models.graph.new_node import ItemRows, NewEdges
from predictors.models.graph.ngcf import NgcfPredictor
from predictors.models.graph.ngcf_node import NGCFNode
from predictors.models.tests.graph_rebuild import lightgcn_vector, ngcf_vector, normalised_with
from pytorch_models.graph.lightgcn import LightGCN, LightGCNConfig
from pytorch_models.graph.ngcf import NGCF, NGCFConfig
from pytorch_models.graph.propagation import propagation
from pytorch_models.graph.tables import tables_of

ML_100K = Path(__file__).resolve().parents[4] / "shared/data/ml-100k/u.data"
LENGTHS = (1, 2, 3, 4, 5, 7, 10, 20, 35, 50)
DIM = 16


def ratings_columns() -> tuple[np.ndarray, np.ndarray, int, int]:
    columns = np.loadtxt(ML_100K, dtype=np.int64, usecols=(0, 1))
    return columns[:, 0] - 1, columns[:, 1] - 1, 943, 1682


def drawn_columns() -> tuple[np.ndarray, np.ndarray, int, int]:
    rng = np.random.default_rng(3)
    popularity = 1 / np.arange(1, 121)
    items = rng.choice(120, 1500, p=popularity / popularity.sum())
    return rng.integers(0, 80, 1500), items, 80, 120


SOURCES = [
    pytest.param(drawn_columns, id="drawn"),
    pytest.param(
        ratings_columns,
        id="ml-100k",
        marks=[
            pytest.mark.data,
            pytest.mark.skipif(not ML_100K.exists(), reason="MovieLens 100K is not beside the checkout"),
        ],
    ),
]


class Built:
    """A graph, a model with random weights of trained size, its cached node and its float64 truth."""

    def __init__(self, columns, kind: str, layers: int) -> None:
        users, items, n_users, n_items = columns()
        self.graph = BipartiteGraph.from_arrays(users, items, n_users, n_items)
        by_item = self.graph.user_items.tocsc()
        by_item.sort_indices()
        self.rows = ItemRows(by_item.indptr.astype(np.int64), by_item.indices.astype(np.int32), n_users)
        generator = torch.Generator().manual_seed(5)
        if kind == "lightgcn":
            self.model = LightGCN(LightGCNConfig(n_users, n_items, DIM, layers, "learned"), generator)
            self.model.logits.data += torch.linspace(0, 1, layers + 1)
            self.predictor_class = LightgcnPredictor
        else:
            config = NGCFConfig(n_users, n_items, DIM, (DIM,) * layers)
            self.model = NGCF(config, torch.as_tensor(self.graph.row_sums), generator)
            for part in (self.model.b1, self.model.b2):
                for bias in part:
                    bias.data = 0.1 * torch.randn(DIM, generator=generator)
            self.model.embedding.data = 0.3 * torch.randn(self.model.embedding.shape, generator=generator)
            self.predictor_class = NgcfPredictor
        self.model.eval()
        self.model.double()
        with torch.no_grad():
            propagate = propagation(self.graph, dtype=torch.float64)
            self.node = self.predictor_class.new_node(tables_of(self.model, propagate), self.rows)

    def rebuilt(self, items: np.ndarray, weights: np.ndarray, start: np.ndarray) -> np.ndarray:
        matrix, node = normalised_with(self.rows, items, weights)
        embedding = self.model.embedding.detach().numpy()
        n_users = self.rows.n_users
        layer_0 = np.vstack([embedding[:n_users], start[None, :].astype(np.float64), embedding[n_users:]])
        if isinstance(self.model, LightGCN):
            return lightgcn_vector(matrix, node, layer_0, self.model.combination().detach().numpy())
        parts = (self.model.w1, self.model.w2, self.model.b1, self.model.b2)
        layers = [[part[k].detach().numpy() for part in parts] for k in range(len(self.model.w1))]
        return ngcf_vector(matrix, node, layer_0, layers)

    def a_history(self, length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Films drawn by popularity, as visitors meet them, with weights as ratings give them."""
        rng = np.random.default_rng([seed, length])
        degrees = self.rows.degrees
        items = rng.choice(len(degrees), length, replace=False, p=degrees / degrees.sum())
        return items, rng.choice([0.5, 0.6, 0.7, 0.8, 0.9, 1.0], length).astype(np.float32)


_built: dict = {}


def built(columns, kind: str, layers: int) -> Built:
    key = (columns, kind, layers)
    if key not in _built:
        _built[key] = Built(*key)
    return _built[key]


@pytest.mark.parametrize("columns", SOURCES)
@pytest.mark.parametrize("kind", ["lightgcn", "ngcf"])
@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_the_exact_form_equals_a_full_rebuild_in_float64(columns, kind, layers):
    case = built(columns, kind, layers)
    for length in LENGTHS:
        items, weights = case.a_history(length, seed=1)
        edges = case.node.edges(items, weights)
        start = case.node.initial(edges)
        if kind == "lightgcn" and length == 1:
            start = start + np.float32(0.2)  # a start that is not zero takes every path
        found = case.node.vector(edges, start, "exact")
        assert np.abs(found - case.rebuilt(items, weights, start)).max() < 1e-5, length


@pytest.mark.parametrize("columns", SOURCES)
@pytest.mark.parametrize(("kind", "limit"), [("lightgcn", 2e-3), ("ngcf", 2e-2)])
def test_the_local_form_is_close_and_not_the_exact_one(columns, kind, limit):
    case = built(columns, kind, 3)
    worst = 0.0
    for length in LENGTHS:
        items, weights = case.a_history(length, seed=2)
        edges = case.node.edges(items, weights)
        start = case.node.initial(edges)
        found = case.node.vector(edges, start, "local")
        worst = max(worst, float(np.abs(found - case.rebuilt(items, weights, start)).max()))
    assert 1e-7 < worst < limit


def test_sparse_and_dense_neighbourhoods_agree(monkeypatch):
    case = built(drawn_columns, "ngcf", 3)
    items, weights = case.a_history(40, seed=4)
    edges = case.node.edges(items, weights)
    start = case.node.initial(edges)
    dense = case.node.vector(edges, start, "exact")
    monkeypatch.setattr("predictors.models.graph.new_node._MAX_DENSE_ENTRIES", 0)
    assert np.allclose(case.node.vector(edges, start, "exact"), dense, atol=1e-6)


@pytest.mark.parametrize("kind", ["lightgcn", "ngcf"])
def test_a_history_that_covers_the_catalogue(kind):
    case = built(drawn_columns, kind, 3)
    items = np.arange(120)
    weights = np.ones(120, np.float32)
    edges = case.node.edges(items, weights)
    start = case.node.initial(edges)
    found = case.node.vector(edges, start, "exact")
    assert np.abs(found - case.rebuilt(items, weights, start)).max() < 1e-5
    tuned = fine_tuned(case.node, edges, start, np.empty(0, np.int64), FineTuning(steps=3))
    assert np.array_equal(tuned, start)


@pytest.mark.parametrize("kind", ["lightgcn", "ngcf"])
def test_a_film_that_nobody_met_in_training(kind):
    users, items = np.array([0, 0, 1]), np.array([0, 1, 1])
    case = Built(lambda: (users, items, 3, 4), kind, 3)  # film 3 and user 2 have no edge
    edges = case.node.edges(np.array([3]), np.ones(1, np.float32))
    start = np.full(DIM, 0.1, np.float32)
    found = case.node.vector(edges, start, "exact")
    assert np.abs(found - case.rebuilt(np.array([3]), np.ones(1), start)).max() < 1e-5


def test_a_film_given_twice_counts_once_with_its_last_weight():
    degrees = np.array([4, 9, 1], np.float32)
    twice = NewEdges.from_history(np.array([2, 0, 2]), np.array([0.5, 1, 0.8], np.float32), degrees)
    once = NewEdges.from_history(np.array([0, 2]), np.array([1, 0.8], np.float32), degrees)
    for field in ("items", "weights", "c", "s"):
        assert np.array_equal(getattr(twice, field), getattr(once, field))


@pytest.mark.parametrize("kind", ["lightgcn", "ngcf"])
def test_the_gradient_of_the_own_vector_is_that_of_finite_differences(kind):
    case = built(drawn_columns, kind, 3)
    items, weights = case.a_history(30, seed=6)
    edges = case.node.edges(items, weights)
    start = case.node.initial(edges)
    tangent = case.node.tangent(edges, start, "exact")
    assert np.allclose(tangent.at(start), case.node.vector(edges, start, "exact"), atol=1e-5)
    towards = np.random.default_rng(1).standard_normal(len(tangent.at(start))).astype(np.float32)
    slope = tangent.pull_back(towards)
    measured = np.empty(DIM)
    for axis in range(DIM):
        ends = []
        for sign in (1, -1):
            moved = start.astype(np.float64)
            moved[axis] += sign * 1e-4
            ends.append(case.rebuilt(items, weights, moved) @ towards)
        measured[axis] = (ends[0] - ends[1]) / 2e-4
    # NGCF holds the messages back to the node, which are of second order.
    limit = 1e-3 if kind == "lightgcn" else 0.1
    assert np.linalg.norm(slope - measured) < limit * np.linalg.norm(measured)


@pytest.mark.parametrize("kind", ["lightgcn", "ngcf"])
def test_fine_tuning_moves_disliked_films_down_and_liked_ones_up(kind):
    case = built(drawn_columns, kind, 3)
    items, weights = case.a_history(6, seed=7)
    disliked = np.setdiff1d(np.arange(20), items)[:3]
    edges = case.node.edges(items, weights)
    start = case.node.initial(edges)
    kept = start.copy()
    how = FineTuning(steps=20, rate=0.2)
    tuned = fine_tuned(case.node, edges, start, disliked, how)
    assert np.array_equal(start, kept)

    def margin(vector: np.ndarray) -> float:
        scores = case.node.item_vectors @ case.node.vector(edges, vector, "exact")
        return float(scores[items].mean() - scores[disliked].mean())

    assert margin(tuned) > margin(start)


@pytest.mark.parametrize("kind", ["lightgcn", "ngcf"])
def test_the_steps_of_fine_tuning_follow_from_sizes_and_not_from_a_clock(kind, monkeypatch):
    case = built(drawn_columns, kind, 3)
    items, weights = case.a_history(6, seed=7)
    edges = case.node.edges(items, weights)
    start = case.node.initial(edges)
    none = np.empty(0, np.int64)
    tangent = case.node.tangent(edges, start, "local")
    step = 2 * 6 * case.node.item_vectors.shape[1] + tangent.n_operations
    tuned = {
        name: fine_tuned(case.node, edges, start, none, how).tobytes()
        for name, how in {
            "four": FineTuning(4),
            "ten within four": FineTuning(10, max_operations=5 * step - 1),
            "none": FineTuning(10, max_operations=step - 1),
        }.items()
    }
    assert tuned["ten within four"] == tuned["four"] != start.tobytes() == tuned["none"]
    for clock in ("thread_time", "process_time", "perf_counter", "monotonic", "time"):
        monkeypatch.setattr(time, clock, lambda: 1e12)  # as if the machine had stood still for long
    assert fine_tuned(case.node, edges, start, none, FineTuning(4)).tobytes() == tuned["four"]


def test_nothing_that_ranks_reads_a_clock():
    clocks = re.compile(r"\b(thread_time|process_time|perf_counter|monotonic|time\.time)\b")
    folder = Path(__file__).resolve().parents[1]
    files = [path for path in folder.rglob("*.py") if "tests" not in path.parts]
    assert len(files) > 20
    assert [path.name for path in files if clocks.search(path.read_text())] == []


def test_the_seed_follows_the_history_and_not_its_order():
    degrees = np.ones(9, np.float32)
    one = NewEdges.from_history(np.array([1, 5]), np.array([1, 0.5], np.float32), degrees)
    same = NewEdges.from_history(np.array([5, 1]), np.array([0.5, 1], np.float32), degrees)
    other = NewEdges.from_history(np.array([1, 6]), np.array([1, 0.5], np.float32), degrees)
    none = np.empty(0, np.int64)
    assert seed_of(one, none) == seed_of(same, none)
    assert len({seed_of(one, none), seed_of(other, none), seed_of(one, np.array([3]))}) == 3


def _arrays(node: LightGCNNode | NGCFNode) -> list[np.ndarray]:
    found = [node.item_vectors, node.rows.indptr, node.rows.users]
    if isinstance(node, LightGCNNode):
        return [*found, node.alpha, *node.layers]
    tables = node.tables
    found += [*tables.item_layers, *tables.item_messages, *tables.user_layers, tables.user_before]
    found.append(tables.average_user)
    return found + [array for layer in node.layers for array in (layer.w1, layer.w2, layer.b1, layer.b2)]


@pytest.mark.parametrize("kind", ["lightgcn", "ngcf"])
def test_a_thousand_concurrent_visitors_leave_the_tables_as_they_were(kind):
    case = Built(drawn_columns, kind, 3)
    before = [array.tobytes() for array in _arrays(case.node)]
    histories = [case.a_history(1 + number % 50, seed=number) for number in range(125)]
    how = FineTuning(steps=2)

    def answer(items: np.ndarray, weights: np.ndarray) -> bytes:
        edges = case.node.edges(items, weights)
        start = case.node.initial(edges)
        tuned = fine_tuned(case.node, edges, start, np.array([0]), how)
        return case.node.vector(edges, tuned, "exact").tobytes()

    answers: list[list[bytes]] = [[] for _ in range(8)]

    def visit(number: int) -> None:
        answers[number] = [answer(*history) for history in histories]

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [array.tobytes() for array in _arrays(case.node)] == before
    assert [len(found) for found in answers] == [125] * 8
    assert all(found == answers[0] for found in answers)


def test_serving_needs_no_torch():
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from predictors.models.graph import lightgcn, ngcf;"
            " sys.exit('torch' in sys.modules)",
        ],
        cwd=Path(__file__).resolve().parents[3],
        check=False,
    )
    assert found.returncode == 0
