import numpy as np
import pytest
import torch

from datasets.bipartite_graph import BipartiteGraph
from pytorch_models.graph.config import GraphFitConfig
from pytorch_models.graph.dgl_backend import dgl_module, to_dgl
from pytorch_models.graph.ngcf import NGCF, SLOPE, NGCFConfig
from pytorch_models.graph.propagation import propagation
from pytorch_models.tests.markers import needs_dgl
from pytorch_models.tests.test_lightgcn import N_ITEMS, N_USERS, curve_of, own_taste_share, two_tastes


@pytest.fixture(scope="module")
def graph() -> BipartiteGraph:
    rows = two_tastes()
    return BipartiteGraph.from_arrays(rows.users, rows.items, N_USERS, N_ITEMS)


def a_model(graph: BipartiteGraph, generator: torch.Generator | None = None, **more) -> NGCF:
    generator = generator or torch.Generator().manual_seed(1)
    config = NGCFConfig(graph.n_users, graph.n_items, 8, (8, 8, 8), **more)
    model = NGCF(config, torch.as_tensor(graph.row_sums), generator)
    for biases in (model.b1, model.b2):
        for bias in biases:
            bias.data = 0.1 * torch.randn(8, generator=generator)
    return model


def edge_by_edge(model: NGCF, graph: BipartiteGraph) -> torch.Tensor:
    """The same network as messages along the edges of the DGL heterograph (eq. 3 and 4 of the paper)."""
    function = dgl_module().function
    hetero = to_dgl(graph, dtype=torch.float64)
    h = {"user": model.embedding[:N_USERS], "item": model.embedding[N_USERS:]}
    finals = {kind: [x] for kind, x in h.items()}
    for w1, w2, b1, b2 in zip(model.w1, model.w2, model.b1, model.b2, strict=True):
        for kind, x in h.items():
            hetero.nodes[kind].data["h"] = x

        def message(edges, w1=w1, w2=w2, b1=b1, b2=b2):
            heard = edges.src["h"] @ w1 + b1 + (edges.src["h"] * edges.dst["h"]) @ w2 + b2
            return {"m": edges.data["norm"][:, None] * heard}

        def to_itself(edges, w1=w1, b1=b1):
            return {"m": edges.src["h"] @ w1 + b1}

        collect = function.sum("m", "h_new")
        functions = dict.fromkeys(("ui", "iu"), (message, collect))
        functions |= dict.fromkeys(("user_self", "item_self"), (to_itself, collect))
        hetero.multi_update_all(functions, "sum")
        h = {
            kind: torch.nn.functional.leaky_relu(hetero.nodes[kind].data["h_new"], SLOPE)
            for kind in ("user", "item")
        }
        for kind, x in h.items():
            finals[kind].append(torch.nn.functional.normalize(x, dim=1))
    return torch.cat([torch.cat(finals[kind], dim=1) for kind in ("user", "item")])


@needs_dgl
def test_the_node_level_form_is_the_edge_by_edge_model_of_dgl(graph):
    model = a_model(graph)
    model.double().eval()
    model.row_sums = torch.as_tensor(graph.row_sums)
    with torch.no_grad():
        ours = model(propagation(graph, dtype=torch.float64))
        assert torch.abs(ours - edge_by_edge(model, graph)).max() < 1e-13


@needs_dgl
def test_dgl_gives_the_same_loss_curve():
    curves = []
    for backend in ("native", "dgl"):
        config = GraphFitConfig(
            epochs=5, batch_size=128, evaluate_every=1, loss="bpr", backend=backend, learning_rate=0.003
        )
        curves.append(
            curve_of(config, lambda graph, generator: a_model(graph, generator, node_dropout=0.1))[0]
        )
    assert len(curves[0]) == 5
    assert np.allclose(*curves, rtol=1e-4)


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_training_finds_the_two_tastes(loss):
    config = GraphFitConfig(epochs=25, batch_size=128, learning_rate=0.01, loss=loss, l2=1e-4)
    losses, model = curve_of(config, a_model)
    assert losses[-1] < losses[0]
    assert own_taste_share(model) > 0.9


def test_a_blocked_node_is_heard_by_nobody_and_dropout_ends_with_training(graph):
    model = a_model(graph, message_dropout=0.0, node_dropout=0.5)
    propagate = propagation(graph)
    torch.manual_seed(1)
    x = torch.ones(N_USERS + N_ITEMS, 8)
    sent = model._with_node_dropout(x)
    assert sorted(set(sent[:, 0].tolist())) == [0.0, 2.0]
    assert (sent == sent[:, :1]).all()
    with torch.no_grad():
        assert not torch.equal(model(propagate), model(propagate))
        model.eval()
        assert torch.equal(model(propagate), model(propagate))


def test_three_layers_of_64_by_default():
    assert NGCFConfig(1, 1).layer_dims == (64, 64, 64)


@pytest.mark.parametrize("wrong", [{"layer_dims": ()}, {"message_dropout": 1.0}, {"node_dropout": -0.1}])
def test_a_wrong_configuration_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        NGCFConfig(1, 1, **wrong)
