import numpy as np
import pytest
import torch

from datasets.bipartite_graph import BipartiteGraph
from datasets.interactions import Interactions
from datasets.negatives import Positives, UniformNegatives
from pytorch_models.graph.batches import Batches, FittedGraph
from pytorch_models.graph.config import GraphFitConfig
from pytorch_models.graph.fit import fit
from pytorch_models.graph.lightgcn import LightGCN, LightGCNConfig
from pytorch_models.graph.loss import graph_loss
from pytorch_models.graph.propagation import propagation
from pytorch_models.tests.markers import needs_dgl

N_USERS, N_ITEMS = 60, 40


def two_tastes(seed: int = 1) -> Interactions:
    """Even users meet even items, odd users odd ones, with a little noise."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(N_USERS), 8)
    items = 2 * rng.integers(0, N_ITEMS // 2, len(users)) + users % 2
    noise = rng.random(len(users)) < 0.05
    items = np.where(noise, rng.integers(0, N_ITEMS, len(users)), items)
    return Interactions.from_columns(users, items, user_ids=np.arange(N_USERS), item_ids=np.arange(N_ITEMS))


def build(graph: BipartiteGraph, generator: torch.Generator) -> LightGCN:
    return LightGCN(LightGCNConfig(graph.n_users, graph.n_items, 16, 3), generator)


def curve_of(config: GraphFitConfig, model_of=build, **more) -> tuple[list[float], LightGCN]:
    losses: list[float] = []

    def report(step, total, message, metrics):
        if "loss" in metrics:
            losses.append(metrics["loss"])

    model, _, _ = fit(model_of, two_tastes(), config, report=report, **more)
    return losses, model


def own_taste_share(model: LightGCN) -> float:
    """Share of the five best unmet items that are of the user's taste; .5 by chance."""
    rows = two_tastes()
    graph = BipartiteGraph.from_arrays(rows.users, rows.items, N_USERS, N_ITEMS)
    with torch.no_grad():
        final = model(propagation(graph)).numpy()
    scores = final[:N_USERS] @ final[N_USERS:].T
    scores[rows.users, rows.items] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :5]
    return float((best % 2 == np.arange(N_USERS)[:, None] % 2).mean())


@pytest.mark.parametrize("combination", ["mean", "learned"])
def test_the_final_vectors_are_the_combined_layers(combination):
    rows = two_tastes()
    graph = BipartiteGraph.from_arrays(rows.users, rows.items, N_USERS, N_ITEMS)
    config = LightGCNConfig(N_USERS, N_ITEMS, 8, 3, combination)
    model = LightGCN(config, torch.Generator().manual_seed(1)).double()
    if model.logits is not None:
        model.logits.data = torch.tensor([0.0, 1.0, -1.0, 0.5], dtype=torch.float64)
    start = model.embedding.detach().numpy()
    matrix = graph.normalised
    layers = [start, matrix @ start, matrix @ matrix @ start, matrix @ matrix @ matrix @ start]
    alpha = [0.25] * 4
    if combination == "learned":
        powers = np.exp([0.0, 1.0, -1.0, 0.5])
        alpha = (powers / powers.sum()).tolist()
    expected = sum(weight * layer for weight, layer in zip(alpha, layers, strict=True))
    with torch.no_grad():
        propagate = propagation(graph, dtype=torch.float64)
        assert np.abs(model(propagate).numpy() - expected).max() < 1e-14
        for found, layer in zip(model.tables(propagate), layers, strict=True):
            assert np.abs(found.numpy() - layer).max() < 1e-14


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
@pytest.mark.parametrize("negatives", ["uniform", "popularity", "hard"])
def test_training_finds_the_two_tastes(loss, negatives):
    config = GraphFitConfig(
        epochs=20, batch_size=128, learning_rate=0.05, loss=loss, negatives=negatives, refresh_every=4
    )
    losses, model = curve_of(config)
    assert losses[-1] < losses[0]
    assert own_taste_share(model) > 0.9


def test_a_drawn_softmax_learns_like_the_whole_catalogue():
    config = GraphFitConfig(epochs=20, batch_size=128, learning_rate=0.05, n_negatives=10)
    assert own_taste_share(curve_of(config)[1]) > 0.9


@needs_dgl
@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_dgl_gives_the_same_loss_curve(loss):
    curves = []
    for backend in ("native", "dgl"):
        config = GraphFitConfig(
            epochs=6, batch_size=128, evaluate_every=1, loss=loss, backend=backend, l2=1e-3
        )
        curves.append(curve_of(config)[0])
    assert len(curves[0]) == 6
    assert np.allclose(*curves, rtol=1e-5)


@pytest.mark.parametrize(("loss", "negatives"), [("softmax", "uniform"), ("bpr", "hard")])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, loss, negatives):
    config = GraphFitConfig(
        epochs=6, batch_size=128, evaluate_every=1, loss=loss, negatives=negatives, refresh_every=2
    )
    _, whole = curve_of(config, directory=tmp_path / "whole")

    class PowerCut(Exception):
        pass

    def cut(step, total, message, metrics):
        if step >= total * 0.55 and metrics:
            raise PowerCut

    with pytest.raises(PowerCut):
        fit(build, two_tastes(), config, directory=tmp_path / "cut", report=cut)
    resumed, _, state = fit(build, two_tastes(), config, directory=tmp_path / "cut", resume=True)
    assert state.step == 6 * 4
    assert torch.equal(resumed.embedding, whole.embedding)


def test_early_stopping_keeps_the_best_weights():
    seen: list[torch.Tensor] = []

    def validate(model, propagate):
        seen.append(model.embedding.detach().clone())
        return {"figure": [1.0, 3.0, 2.0, 2.5, 2.9, 9.0][len(seen) - 1]}

    config = GraphFitConfig(epochs=6, batch_size=128, evaluate_every=1, patience=3)
    model, _, state = fit(build, two_tastes(), config, validate=validate, metric="figure")
    assert (state.stopped, state.best) == ("patience", 3.0)
    assert torch.equal(model.embedding, seen[1])


def test_the_penalty_is_that_of_the_layer_0_rows_in_the_batch():
    rows = two_tastes()
    graph = BipartiteGraph.from_arrays(rows.users, rows.items, N_USERS, N_ITEMS)
    negatives = UniformNegatives(Positives(N_USERS, N_ITEMS, (rows.users, rows.items)))
    model = build(graph, torch.Generator().manual_seed(1))
    fitted = FittedGraph(model, propagation(graph), negatives)
    plain = GraphFitConfig(loss="bpr", l2=0.0, batch_size=100)
    step = next(iter(Batches(graph, fitted, plain)(0)))
    with_penalty = graph_loss(fitted, step, GraphFitConfig(loss="bpr", l2=0.5, batch_size=100))
    start = model.embedding.detach()
    squares = sum(
        start[nodes].square().sum() for nodes in (step.users, N_USERS + step.items, N_USERS + step.negatives)
    )
    expected = 0.5 * squares / (2 * len(step.items))
    found = (with_penalty - graph_loss(fitted, step, plain)).item()
    assert found == pytest.approx(float(expected), rel=1e-4)


def test_an_epoch_holds_every_pair_once():
    rows = two_tastes()
    graph = BipartiteGraph.from_arrays(rows.users, rows.items, N_USERS, N_ITEMS)
    negatives = UniformNegatives(Positives(N_USERS, N_ITEMS, (rows.users, rows.items)))
    fitted = FittedGraph(build(graph, torch.Generator()), propagation(graph), negatives)
    wanted = sorted(zip(*(part.tolist() for part in graph.user_items.nonzero()), strict=True))
    for loss in ("bpr", "softmax"):
        batches = Batches(graph, fitted, GraphFitConfig(loss=loss, batch_size=70))
        pairs = []
        for step in batches(3):
            pairs += zip(step.users[step.rows].tolist(), step.items.tolist(), strict=True)
        assert sorted(pairs) == wanted


def test_the_mean_of_the_layers_has_the_gradient_of_its_steps():
    rows = two_tastes()
    graph = BipartiteGraph.from_arrays(rows.users, rows.items, N_USERS, N_ITEMS)
    model = LightGCN(LightGCNConfig(N_USERS, N_ITEMS, 4, 3), torch.Generator().manual_seed(1)).double()
    propagate = propagation(graph, dtype=torch.float64)
    weights = torch.randn(
        N_USERS + N_ITEMS, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    (model(propagate) * weights).sum().backward()
    found, model.embedding.grad = model.embedding.grad, None
    (torch.stack(model.tables(propagate)).mean(dim=0) * weights).sum().backward()
    torch.testing.assert_close(found, model.embedding.grad, rtol=1e-12, atol=1e-14)


def test_users_who_met_everything_are_left_out_and_nobody_else_is_an_error():
    everything = Interactions.from_columns(
        np.zeros(3, int), np.arange(3), user_ids=np.arange(1), item_ids=np.arange(3)
    )
    with pytest.raises(ValueError, match="both a positive and a negative"):
        fit(build, everything, GraphFitConfig())
