import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from datasets.bipartite_graph import BipartiteGraph
from pytorch_models.graph.dgl_backend import load_dgl, save_dgl, to_dgl
from pytorch_models.graph.propagation import propagation
from pytorch_models.tests.markers import BACKENDS, needs_dgl

N_USERS, N_ITEMS, DIM = 30, 40, 8


@pytest.fixture(scope="module")
def graph() -> BipartiteGraph:
    rng = np.random.default_rng(2)
    return BipartiteGraph.from_arrays(
        rng.integers(0, N_USERS - 1, 200), rng.integers(0, N_ITEMS - 1, 200), N_USERS, N_ITEMS
    )


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).standard_normal((N_USERS + N_ITEMS, DIM)))


def dense_a_hat(graph: BipartiteGraph) -> np.ndarray:
    """From the definition, entry by entry."""
    met = graph.user_items.toarray()
    adjacency = np.block([[np.zeros((N_USERS, N_USERS)), met], [met.T, np.zeros((N_ITEMS, N_ITEMS))]])
    degrees = adjacency.sum(axis=1)
    scale = np.array([1 / np.sqrt(d) if d else 0.0 for d in degrees])
    return scale[:, None] * adjacency * scale[None, :]


def test_the_matrix_is_the_definition(graph):
    assert np.allclose(graph.normalised.toarray(), dense_a_hat(graph), atol=1e-15)
    assert np.allclose(graph.row_sums, dense_a_hat(graph).sum(axis=1), atol=1e-14)
    assert abs(graph.normalised - graph.normalised.T).max() == 0


def test_a_pair_met_twice_is_one_edge():
    graph = BipartiteGraph.from_arrays(np.array([0, 0, 1]), np.array([1, 1, 0]), 2, 2)
    assert graph.n_edges == 2
    assert graph.user_items.toarray().tolist() == [[0, 1], [1, 0]]


def test_of_a_pair_with_several_weights_the_largest_counts():
    graph = BipartiteGraph.from_arrays(
        np.array([0, 0, 1]), np.array([1, 1, 0]), 2, 2, np.array([0.9, 0.2, 0.5])
    )
    assert graph.user_items.toarray().tolist() == [[0, 0.9], [0.5, 0]]


@pytest.mark.parametrize(
    ("users", "items", "weights"),
    [([2], [0], None), ([0], [-1], None), ([0, 1], [0], None), ([0], [0], [0.0])],
)
def test_what_is_no_graph_is_refused(users, items, weights):
    with pytest.raises(ValueError):
        BipartiteGraph.from_arrays(
            np.array(users), np.array(items), 2, 2, None if weights is None else np.array(weights)
        )


def test_a_graph_without_edges_sends_nothing(x):
    graph = BipartiteGraph.from_arrays(np.empty(0, int), np.empty(0, int), N_USERS, N_ITEMS)
    assert not propagation(graph, dtype=torch.float64)(x).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_propagation_and_its_gradient_agree_with_scipy_in_float64(graph, x, backend):
    ours = x.clone().requires_grad_()
    upstream = torch.flip(x, dims=[0])
    moved = propagation(graph, dtype=torch.float64, backend=backend)(ours)
    moved.backward(upstream)
    matrix = sparse.csr_matrix(dense_a_hat(graph))
    assert np.abs(moved.detach().numpy() - matrix @ x.numpy()).max() < 1e-14
    assert np.abs(ours.grad.numpy() - matrix.T @ upstream.numpy()).max() < 1e-14


def test_the_gradient_passes_finite_differences(graph, x):
    propagate = propagation(graph, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t: propagate(t).square(), x[:, :2].clone().requires_grad_())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_what_the_cpu_gives(graph, x):
    ours = x.float().cuda().requires_grad_()
    moved = propagation(graph, device="cuda")(ours)
    moved.backward(ours.detach())
    expected = dense_a_hat(graph) @ x.numpy()
    assert np.abs(moved.detach().cpu().numpy() - expected).max() < 1e-5
    assert np.abs(ours.grad.cpu().numpy() - expected).max() < 1e-5


@needs_dgl
def test_dgl_has_the_four_relations_and_reads_back_what_it_wrote(tmp_path):
    graph = BipartiteGraph.from_arrays(
        np.array([0, 0, 2]), np.array([1, 3, 0]), 4, 5, np.array([1.0, 0.3, 0.7])
    )
    hetero = to_dgl(graph)
    assert sorted(hetero.etypes) == ["item_self", "iu", "ui", "user_self"]
    assert hetero.num_edges("ui") == hetero.num_edges("iu") == 3
    assert (hetero.num_edges("user_self"), hetero.num_edges("item_self")) == (4, 5)
    save_dgl(graph, tmp_path / "graph.bin")
    again = load_dgl(tmp_path / "graph.bin")
    assert (again.user_items != graph.user_items).nnz == 0
    assert again.user_items.shape == (4, 5)


def test_an_unknown_backend_is_refused(graph):
    with pytest.raises(ValueError, match="native, dgl"):
        propagation(graph, backend="pyg")


def test_importing_the_models_does_not_import_dgl_or_touch_the_environment():
    program = (
        "import os, sys; before = dict(os.environ)\n"
        "import pytorch_models.graph.propagation, pytorch_models.graph.lightgcn, pytorch_models.graph.ngcf\n"
        "sys.exit('dgl' in sys.modules or dict(os.environ) != before)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DGLBACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).resolve().parents[2],
        env=environment,
        check=False,
    )
    assert done.returncode == 0
