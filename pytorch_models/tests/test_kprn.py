"""The network against torch's own LSTM on each path written out, and training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from datasets.knowledge_graph.path_graph import PathGraph, build_path_graph
from datasets.knowledge_graph.paths import Caps, Paths
from datasets.knowledge_graph.search import find_paths
from datasets.tests.test_paths import ENOUGH, asked, knowledge, rows
from pytorch_models.kprn.config import KprnFitConfig
from pytorch_models.kprn.examples import Examples
from pytorch_models.kprn.fit import fit
from pytorch_models.kprn.network import NO_PATH, Kprn, KprnConfig, TreeBatch, pool


@pytest.fixture(scope="module")
def graph() -> PathGraph:
    return build_path_graph(rows(), knowledge()[0], hub_limit=4)[0]


@pytest.fixture(scope="module")
def paths(graph: PathGraph) -> Paths:
    return find_paths(graph, *asked([0, 3, 5], [1, 2, 7, 11]), ENOUGH)


def model_of(graph: PathGraph, **shape: object) -> Kprn:
    """A model whose every weight counts."""
    config = KprnConfig(graph.n_entities, len(graph.type_names), graph.end + 1, **shape)  # type: ignore[arg-type]
    model = Kprn(config, graph.types, graph.rated, torch.Generator().manual_seed(1))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4, generator=torch.Generator().manual_seed(parameter.numel()))
    return model.eval()


def read_by_torch(model: Kprn, graph: PathGraph, paths: Paths) -> list[float]:
    """Wang et al., eq. 2-10, one path after the other through nn.LSTM."""
    config = model.config
    lstm = nn.LSTM(config.dim + 2 * config.small_dim, config.hidden, batch_first=True)
    lstm.load_state_dict(
        {
            "weight_ih_l0": model.read.weight,
            "weight_hh_l0": model.remember.weight,
            "bias_ih_l0": model.read.bias,
            "bias_hh_l0": torch.zeros(4 * config.hidden),
        }
    )
    scores = []
    for row in range(len(paths)):
        start, middle, end = paths.films[row].tolist()
        entities = [graph.user, start, paths.via[row, 0], end]
        relations = [graph.rated, *paths.relations[row, :2].tolist(), graph.end]
        if middle >= 0:
            entities = [*entities[:3], middle, paths.via[row, 1], end]
            relations = [graph.rated, *paths.relations[row].tolist(), graph.end]
        steps = torch.stack(
            [
                torch.cat(
                    [
                        model.entities[entity],
                        model.types[int(graph.types[entity])] * config.types,
                        model.relations[relation] * config.relations,
                    ]
                )
                for entity, relation in zip(map(int, entities), relations, strict=True)
            ]
        )
        last = lstm(steps[None])[1][0][0, 0]
        score = model.outer(torch.relu(model.inner(last)))[0]
        scores.append(float(score + model.walk @ torch.from_numpy(paths.features[row])))
    return scores


@pytest.mark.parametrize("shape", [{}, {"relations": False}, {"types": False}], ids=str)
def test_the_tree_scores_as_an_lstm_over_each_path(graph: PathGraph, paths: Paths, shape: dict) -> None:
    model = model_of(graph, **shape)
    with torch.no_grad():
        scores = model(TreeBatch.from_paths(graph, paths, np.array([1, 2, 7, 11]))).numpy()
        np.testing.assert_allclose(scores, read_by_torch(model, graph, paths), rtol=1e-4, atol=1e-5)
    assert scores.std() > 0.01


def test_pooling_is_that_of_the_paper() -> None:
    scores, target = torch.tensor([1.0, 3.0, -2.0]), torch.tensor([0, 0, 2])
    lse = pool(scores, target, 3, "lse", 0.5)
    assert lse[0].item() == pytest.approx(np.log(np.exp(1 / 0.5) + np.exp(3 / 0.5)))
    assert lse.tolist()[1:] == pytest.approx([NO_PATH, -2 / 0.5])
    assert pool(scores, target, 3, "max", 1.0).tolist() == [3.0, NO_PATH, -2.0]
    assert pool(scores, target, 3, "mean", 1.0).tolist() == [2.0, NO_PATH, -2.0]


def test_an_untrained_model_counts_paths_as_they_are_walked(graph: PathGraph, paths: Paths) -> None:
    config = KprnConfig(graph.n_entities, len(graph.type_names), graph.end + 1)
    model = Kprn(config, graph.types, graph.rated).eval()
    with torch.no_grad():
        scores = model(TreeBatch.from_paths(graph, paths, np.array([1, 2, 7, 11]))).numpy()
    np.testing.assert_allclose(scores, paths.features @ model.walk.detach().numpy(), rtol=1e-5, atol=1e-5)


def test_people_in_general_are_one_more_path_to_a_film_that_another_leads_to(graph: PathGraph) -> None:
    films = np.array([1, 2, 7, 11])
    paths = find_paths(graph, *asked([0], films.tolist()), ENOUGH)
    paths = paths.select(paths.target != 2)
    model, without = model_of(graph), model_of(graph, general=False)
    batch = TreeBatch.from_paths(graph, paths, films)
    with torch.no_grad():
        found, plain = model.pooled(batch).numpy(), without.pooled(batch).numpy()
        bias, weight = model.general.tolist()
    people = np.bincount(rows().items, minlength=12)
    expected = np.logaddexp(plain, bias + weight * np.log(people[films] / people.max()))
    reached = plain > NO_PATH
    np.testing.assert_allclose(found[reached], expected[reached], rtol=1e-5)
    assert reached.tolist() == [True, True, False, True]
    assert found[2] == NO_PATH


def test_the_person_who_is_asked_about_does_not_make_a_film_popular(graph: PathGraph) -> None:
    people = np.bincount(rows().items, minlength=12)
    films, known = np.array([1, 2]), np.array([True, False])
    expected = np.log((people[films] - known) / people.max())
    np.testing.assert_allclose(graph.log_popularity(films, known), expected, rtol=1e-6)


def test_the_untrained_start_is_kept_where_training_is_no_better(graph: PathGraph) -> None:
    config = KprnFitConfig(steps=10, examples=16, positives=2, evaluations=2, learning_rate=0.02)

    def validate(weights: dict[str, np.ndarray]) -> dict[str, float]:
        return {"NDCG@10": 0.9 if not weights["outer.weight"].any() else worth}

    for worth, is_trained in ((0.5, False), (0.95, True)):
        weights, state = fit(rows(), graph, Caps(), {}, config, validate=validate, metric="NDCG@10")
        assert weights["outer.weight"].any() == is_trained
        assert (state.best_step > 0) == is_trained
        assert state.best_metrics["NDCG@10"] == max(worth, 0.9)


def test_without_epochs_nothing_is_trained(graph: PathGraph) -> None:
    weights, state = fit(rows(), graph, Caps(), {}, KprnFitConfig(epochs=0))
    assert (state.step, state.best_step, state.stopped) == (0, 0, "untrained")
    assert not weights["outer.weight"].any()


def test_unusable_shapes_are_refused() -> None:
    wrong: dict
    for wrong in ({"pooling": "sum"}, {"gamma": 0.0}, {"hidden": 0}, {"dropout": 1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            KprnConfig(10, 2, 3, **wrong)
    for wrong in ({"loss": "hinge"}, {"negatives": "some"}, {"steps": -1}, {"learning_rate": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            KprnFitConfig(**wrong)


# -- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("negatives", ["mixed", "uniform", "hard"])
def test_an_example_asks_for_films_of_its_person_against_films_they_never_met(
    graph: PathGraph, negatives: str
) -> None:
    train = rows()
    config = KprnFitConfig(examples=16, positives=2, negatives=negatives)
    examples = Examples(train, graph, Caps(), config, 5)
    drawn = list(examples(0))
    assert drawn
    for example in drawn:
        assert example.positive.any()
        assert (~example.positive).any()
        reached = np.zeros(example.tree.n_targets, dtype=bool)
        reached[example.tree.target.numpy()] = True
        assert reached[example.positive.numpy()].all()
    again = list(examples(0))
    assert [each.tree.order.tolist() for each in again] == [each.tree.order.tolist() for each in drawn]
    assert [each.tree.order.tolist() for each in examples(1)] != [each.tree.order.tolist() for each in drawn]


def test_the_history_never_holds_what_is_asked_for(graph: PathGraph) -> None:
    train = rows()
    config = KprnFitConfig(examples=64, positives=3, history=4)
    examples = Examples(train, graph, Caps(), config, 1)
    users = np.repeat(examples.people, 4)
    histories, positives = examples._shown(users, np.random.default_rng(1))
    for case, user in enumerate(users.tolist()):
        shown = histories.films[histories.owner == case]
        wanted = positives.films[positives.owner == case]
        assert 1 <= len(shown) <= 4
        assert 1 <= len(wanted) <= 3
        assert not set(shown) & set(wanted)
        assert {*shown, *wanted} <= set(train.items_of(user).tolist())


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_training_learns_and_is_the_same_every_time(graph: PathGraph, loss: str) -> None:
    config = KprnFitConfig(
        steps=60, examples=16, positives=2, loss=loss, evaluations=3, learning_rate=0.05, negatives="uniform"
    )
    # Without the walk the untrained network knows nothing, so there is something to learn.
    weights, state = fit(rows(), graph, Caps(), {"walk": False}, config)
    again, _ = fit(rows(), graph, Caps(), {"walk": False}, config)
    assert state.step == 60
    assert state.curve[-1]["loss"] < 0.97 * state.curve[0]["loss"]
    for name, array in weights.items():
        np.testing.assert_array_equal(array, again[name])


def test_an_interrupted_run_goes_on_to_the_same_weights(graph: PathGraph, tmp_path: Path) -> None:
    config = KprnFitConfig(steps=30, examples=8, positives=2, evaluations=3)
    whole, _ = fit(rows(), graph, Caps(), {}, config, directory=tmp_path / "whole")

    class StoppedError(Exception):
        pass

    def stop(step: int, total: int, message: str, metrics: object) -> None:
        if step == 17:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit(rows(), graph, Caps(), {}, config, directory=tmp_path / "parts", report=stop)
    resumed, state = fit(rows(), graph, Caps(), {}, config, directory=tmp_path / "parts", resume=True)
    assert state.step == 30
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name])


def test_people_with_one_film_alone_cannot_be_trained_on(graph: PathGraph) -> None:
    train = rows()
    one_each = train.select(np.unique(train.users, return_index=True)[1])
    with pytest.raises(ValueError, match="two films"):
        fit(one_each, graph, Caps(), {}, KprnFitConfig(steps=1))
