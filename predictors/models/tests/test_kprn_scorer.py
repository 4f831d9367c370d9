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
from pytorch_models.kprn.network import Kprn, KprnConfig, TreeBatch
from pytorch_models.tests.test_kprn import model_of


@pytest.fixture(scope="module")
def graph() -> PathGraph:
    return build_path_graph(rows(), knowledge()[0], hub_limit=4)[0]


@pytest.fixture(scope="module")
def paths(graph: PathGraph) -> Paths:
    return find_paths(graph, *asked([0, 3, 5], [1, 2, 7, 11]), ENOUGH)


@pytest.mark.parametrize("pooling", ["lse", "max", "mean"])
@pytest.mark.parametrize(
    "shape", [{}, {"relations": False}, {"types": False, "gamma": 0.5}, {"general": False}], ids=str
)
def test_numpy_serves_what_torch_trained(graph: PathGraph, paths: Paths, pooling: str, shape: dict) -> None:
    model = model_of(graph, pooling=pooling, **shape)
    config = model.config
    scorer = KprnScorer.from_weights(
        weights_of(model),
        graph,
        relations=config.relations,
        types=config.types,
        general=config.general,
        pooling=pooling,
        gamma=config.gamma,
    )
    films = np.array([1, 2, 7, 11])
    batch = TreeBatch.from_paths(graph, paths, films)
    with torch.no_grad():
        scores, pooled = model(batch).numpy(), model.pooled(batch).numpy()
    served = scorer.score(graph, paths)
    np.testing.assert_allclose(served, scores, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        scorer.pool(served, paths.target, graph.log_popularity(films)), pooled, rtol=1e-5, atol=1e-5
    )


def test_weights_of_another_graph_are_refused(graph: PathGraph) -> None:
    weights = weights_of(model_of(graph))
    other, _ = build_path_graph(rows())
    for given, match in ((weights, "another graph"), ({"walk": weights["walk"]}, "missing")):
        with pytest.raises(ValueError, match=match):
            KprnScorer.from_weights(
                given, other, relations=True, types=True, general=True, pooling="lse", gamma=1.0
            )


def test_an_untrained_network_is_not_read_and_scores_the_same(graph: PathGraph, paths: Paths) -> None:
    shape = KprnConfig(graph.n_entities, len(graph.type_names), graph.end + 1)
    weights = weights_of(Kprn(shape, graph.types, graph.rated, torch.Generator().manual_seed(1)))
    options = {"relations": True, "types": True, "general": True, "pooling": "lse", "gamma": 1.0}
    nearly = {**weights, "outer.weight": weights["outer.weight"] + np.float32(1e-30)}
    unread, read = (KprnScorer.from_weights(each, graph, **options) for each in (weights, nearly))
    np.testing.assert_allclose(unread.score(graph, paths), read.score(graph, paths), rtol=0, atol=1e-6)


def test_weights_from_before_a_feature_and_the_general_path_score_as_they_did(
    graph: PathGraph, paths: Paths
) -> None:
    weights = weights_of(model_of(graph))
    options = {"relations": True, "types": True, "general": True, "pooling": "lse", "gamma": 1.0}
    without = {**weights, "walk": np.append(weights["walk"][:7], [0.0, 0.0]).astype(np.float32)}
    older = {name: each for name, each in weights.items() if name != "general"} | {
        "walk": weights["walk"][:7]
    }
    expected = KprnScorer.from_weights(without, graph, **{**options, "general": False})
    served = KprnScorer.from_weights(older, graph, **options)
    scores = served.score(graph, paths)
    np.testing.assert_array_equal(scores, expected.score(graph, paths))
    popularity = graph.log_popularity(np.arange(4))
    np.testing.assert_array_equal(
        served.pool(scores, paths.target, popularity), expected.pool(scores, paths.target, popularity)
    )
