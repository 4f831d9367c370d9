"""What NumPy serves against what torch trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from datasets.knowledge_graph.path_graph import PathGraph, build_path_graph
from datasets.knowledge_graph.paths import Paths
from datasets.knowledge_graph.search import find_paths
from datasets.tests.test_paths import ENOUGH, asked, knowledge, rows
from predictors.models.kprn.scorer import KprnScorer
from pytorch_models.kprn.fit import weights_of
from pytorch_models.kprn.network import TreeBatch
from pytorch_models.tests.test_kprn import model_of


@pytest.fixture(scope="module")
def graph() -> PathGraph:
    return build_path_graph(rows(), knowledge()[0], hub_limit=4)[0]


@pytest.fixture(scope="module")
def paths(graph: PathGraph) -> Paths:
    return find_paths(graph, *asked([0, 3, 5], [1, 2, 7, 11]), ENOUGH)


@pytest.mark.parametrize("pooling", ["lse", "max", "mean"])
@pytest.mark.parametrize("shape", [{}, {"relations": False}, {"types": False, "gamma": 0.5}], ids=str)
def test_numpy_serves_what_torch_trained(graph: PathGraph, paths: Paths, pooling: str, shape: dict) -> None:
    model = model_of(graph, pooling=pooling, **shape)
    config = model.config
    scorer = KprnScorer.from_weights(
        weights_of(model),
        graph,
        relations=config.relations,
        types=config.types,
        pooling=pooling,
        gamma=config.gamma,
    )
    batch = TreeBatch.from_paths(graph, paths, 4)
    with torch.no_grad():
        scores, pooled = model(batch).numpy(), model.pooled(batch).numpy()
    served = scorer.score(graph, paths)
    np.testing.assert_allclose(served, scores, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scorer.pool(served, paths.target, 4), pooled, rtol=1e-5, atol=1e-5)


def test_weights_of_another_graph_are_refused(graph: PathGraph) -> None:
    weights = weights_of(model_of(graph))
    other, _ = build_path_graph(rows())
    for given, match in ((weights, "another graph"), ({"walk": weights["walk"]}, "missing")):
        with pytest.raises(ValueError, match=match):
            KprnScorer.from_weights(given, other, relations=True, types=True, pooling="lse", gamma=1.0)
