"""KPRN as a predictor and as the explainer of any list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.knowledge_graph.graph import INVERSE, KnowledgeGraph
from datasets.knowledge_graph.paths import EXPLAINING, RANKING
from datasets.knowledge_graph.storage import save_graph
from predictors.errors import TrainingError
from predictors.explain import SOMEONE, Explanation
from predictors.history import History, MovieId
from predictors.models.kprn.model import KprnPredictor
from predictors.models.kprn.rerank import blended, candidates_of
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.tests.small_graph import small_graph
from predictors.query import Query
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, N_FILMS, from_rows, interactions, rated, told
from predictors.validation import Validator

QUICK = {"steps": 20, "examples": 16, "evaluations": 2, "hub_limit": 10}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("graph")
    save_graph(small_graph(), directory)
    return directory


@pytest.fixture(scope="module")
def fitted(folder: Path) -> KprnPredictor:
    return fit_model(KprnPredictor, interactions(), options={**QUICK, "graph": str(folder)})


HISTORIES = [
    rated(*(FILM_IDS[index] for index in np.random.default_rng(seed).permutation(N_FILMS)[:length]))
    for seed, length in enumerate((1, 2, 3, 5, 8, 20))
]


def edges_of(graph: KnowledgeGraph) -> set[tuple[str, str, str]]:
    heads = np.repeat(np.arange(graph.n_entities), np.diff(graph.indptr))
    n_relations = len(graph.relation_names)
    return {
        (
            graph.keys[head],
            graph.relation_names[code % n_relations] + INVERSE * (code >= n_relations),
            graph.keys[tail],
        )
        for head, code, tail in zip(
            heads.tolist(), graph.relations.tolist(), graph.tails.tolist(), strict=True
        )
    }


def explained(fitted: KprnPredictor, limit: int = 3) -> list[tuple[History, Explanation]]:
    return [
        (history, each) for history in HISTORIES for each in fitted.explain(history, FILM_IDS, limit=limit)
    ]


def test_every_step_of_a_reason_is_an_edge(fitted: KprnPredictor) -> None:
    edges = edges_of(small_graph())
    rows = interactions()
    met = {film: set(rows.users[rows.items == index].tolist()) for index, film in enumerate(FILM_IDS)}
    checked = {"people": 0, "entities": 0}
    for history, explanation in explained(fitted):
        for reason in explanation.reasons:
            start, *steps = reason.steps
            assert start.relation == "rated"
            assert int(start.entity.removeprefix("movie:")) in history.liked
            assert steps[-1].entity == f"movie:{explanation.movie_id}"
            here = start.entity
            for there, back in zip(steps[::2], steps[1::2], strict=True):
                if there.entity == SOMEONE:
                    assert (there.relation, back.relation) == ("rated_by", "rated_by" + INVERSE)
                    ends = [int(film.removeprefix("movie:")) for film in (here, back.entity)]
                    assert met[ends[0]] & met[ends[1]]
                    checked["people"] += 1
                else:
                    assert (here, there.relation, there.entity) in edges
                    assert (there.entity, back.relation, back.entity) in edges
                    checked["entities"] += 1
                here = back.entity
    assert min(checked.values()) > 50


def test_shares_and_the_rest_are_everything(fitted: KprnPredictor) -> None:
    with_rest = 0
    for _, explanation in explained(fitted, limit=2):
        shares = [reason.share for reason in explanation.reasons]
        assert shares == sorted(shares, reverse=True)
        if not shares:
            assert (explanation.rest, explanation.n_paths) == (0.0, 0)
            continue
        assert min(shares) > 0
        assert sum(shares) + explanation.rest == pytest.approx(1.0)
        assert explanation.n_paths >= len(shares)
        with_rest += explanation.rest > 0.01
    assert with_rest > 10


def test_paths_over_other_users_and_over_facts_are_told_apart(fitted: KprnPredictor) -> None:
    both = 0
    for _, explanation in explained(fitted, limit=2):
        by_taste = [each for each in explanation.reasons if any(s.entity == SOMEONE for s in each.steps)]
        facts = [each for each in explanation.reasons if each not in by_taste]
        assert max(len(by_taste), len(facts)) <= 2
        both += bool(by_taste and facts)
    assert both > 10


def test_reasons_of_a_film_differ(fitted: KprnPredictor) -> None:
    """The same person as director and as writer is one reason."""
    for _, explanation in explained(fitted, limit=50):
        said = [(reason.steps[0].entity, reason.steps[-2].entity) for reason in explanation.reasons]
        assert len(said) == len(set(said))


def test_two_roles_of_a_person_add_their_shares(fitted: KprnPredictor) -> None:
    history, film = rated(FILM_IDS[3]), FILM_IDS[5]  # one directed both, and wrote both
    (explanation,) = fitted.explain(history, [film], limit=50)
    by_person = [reason for reason in explanation.reasons if reason.steps[-2].entity == "person:1"]
    assert len([reason for reason in by_person if len(reason.steps) == 3]) == 1
    paths, shares = fitted._shares(fitted.encode(history), np.array([5]))
    over_person = (paths.via[:, 0] == N_FILMS + fitted.entities.keys.index("person:1")) & (
        paths.films[:, 1] < 0
    )
    assert over_person.sum() == 4
    assert by_person[0].share == pytest.approx(shares[over_person].sum())


@pytest.mark.parametrize(
    ("kind", "stars", "word"),
    [
        ("rating", 5.0, "rated"),
        ("watch", None, "watched"),
        ("watchlist", None, "watchlist"),
        ("click", None, "clicked"),
    ],
)
def test_a_path_says_how_the_visitor_met_its_first_film(
    fitted: KprnPredictor, kind: str, stars: float | None, word: str
) -> None:
    (explanation,) = fitted.explain(told((kind, FILM_IDS[3], stars)), [FILM_IDS[4]])
    assert {reason.steps[0].relation for reason in explanation.reasons} == {word}


def test_films_are_explained_in_the_order_asked_for_with_unknown_and_repeated_ones(
    fitted: KprnPredictor,
) -> None:
    asked: list[MovieId] = [FILM_IDS[4], "tt0000001", FILM_IDS[9], FILM_IDS[4]]
    explanations = fitted.explain(rated(FILM_IDS[3]), asked)
    assert [each.movie_id for each in explanations] == asked
    assert explanations[0] == explanations[3]
    assert explanations[0].reasons
    assert explanations[1] == Explanation("tt0000001", (), 0.0, 0)


def test_nothing_is_explained_by_nothing(fitted: KprnPredictor) -> None:
    for history in (History.EMPTY, rated("tt0000001"), rated(FILM_IDS[3], stars=1.0)):
        assert fitted.explain(history, [FILM_IDS[4]]) == [Explanation(FILM_IDS[4], (), 0.0, 0)]
    assert fitted.explain(rated(FILM_IDS[3]), []) == []


def test_a_film_of_the_history_is_no_reason_for_itself(fitted: KprnPredictor) -> None:
    history = told(("rating", FILM_IDS[3], 5.0), ("click", FILM_IDS[4], None))
    (explanation,) = fitted.explain(history, [FILM_IDS[4]])
    assert explanation.reasons
    assert {reason.steps[0].entity for reason in explanation.reasons} == {f"movie:{FILM_IDS[3]}"}


def test_a_film_liked_more_counts_more(fitted: KprnPredictor) -> None:
    history = told(("rating", FILM_IDS[3], 3.0), ("rating", FILM_IDS[5], 5.0))
    other = told(("rating", FILM_IDS[3], 5.0), ("rating", FILM_IDS[5], 3.0))

    def share(history: History) -> float:
        (explanation,) = fitted.explain(history, [FILM_IDS[4]], limit=50)
        mine = [each.share for each in explanation.reasons if each.steps[0].entity == f"movie:{FILM_IDS[5]}"]
        return sum(mine)

    assert share(history) > share(other)


def test_films_without_a_path_come_after_those_with_one_by_popularity() -> None:
    # Two islands: nobody met films of both.
    users = [user for user in range(20) for _ in range(3)]
    items = [3 * (user % 2) + film for user in range(20) for film in range(3)]
    rows = from_rows([*users, 1], [*items, 5], item_ids=list(range(10, 17)))
    predictor = fit_model(KprnPredictor, rows, options=QUICK)
    scores = predictor.score_history(rated(10))
    assert np.isfinite(scores).all()
    assert scores[[1, 2]].min() > scores[[0, 3, 4, 5, 6]].max()
    assert scores[[3, 4]].min() > scores[6]  # which nobody met


def test_people_in_general_are_a_prior_that_explains_nothing(folder: Path) -> None:
    options = {**QUICK, "epochs": 0, "steps": 0, "graph": str(folder)}
    fitted = fit_model(KprnPredictor, interactions(), options=options)
    without = fit_model(KprnPredictor, interactions(), options={**options, "general": False})
    popular = np.bincount(interactions().items, minlength=N_FILMS)
    films = np.array([10, 30, 40])
    for history in HISTORIES:
        found, plain = (each.score_films([each.encode(history)], [films])[0] for each in (fitted, without))
        reached = np.isfinite(plain)
        np.testing.assert_array_equal(np.isfinite(found), reached)  # it alone makes no film reachable
        prior = np.exp(found[reached]) - np.exp(plain[reached])
        expected = np.exp(-1.2) * np.sqrt(popular[films[reached]] / popular.max())
        np.testing.assert_allclose(prior, expected, rtol=1e-3)
        assert fitted.explain(history, FILM_IDS) == without.explain(history, FILM_IDS)
        indices = np.arange(N_FILMS)
        assert fitted.reasons(fitted.encode(history), indices) == without.reasons(
            without.encode(history), indices
        )


def test_more_films_are_ranked_than_are_explained() -> None:
    assert RANKING.candidates > EXPLAINING.candidates
    assert RANKING.people > EXPLAINING.people
    predictor = fit_model(KprnPredictor, interactions(), options=QUICK)
    assert predictor.caps is EXPLAINING


def test_validation_asks_for_short_histories_too(folder: Path) -> None:
    rows = interactions()
    validator = Validator.from_rows(rows.select(rows.users < 100), rows.select(rows.users >= 100))
    assert validator is not None
    for query, short in zip(validator.queries, validator.latest(3).queries, strict=True):
        assert short.liked.tolist() == query.liked[-3:].tolist()
        assert set(short.seen) == set(query.seen)
    options = {**QUICK, "epochs": 0, "steps": 0, "graph": str(folder)}
    predictor = fit_model(
        KprnPredictor, rows.select(rows.users < 100), rows.select(rows.users >= 100), options=options
    )
    asked = [validator, validator.latest(1), validator.latest(3)]
    expected = np.mean([each.measure(predictor)["NDCG@10"] for each in asked])
    assert predictor.meta["training"]["NDCG@10"] == pytest.approx(expected)


def test_a_refit_of_an_untrained_start_is_untrained(folder: Path) -> None:
    rows = interactions()
    options = {**QUICK, "epochs": 0, "steps": 0, "graph": str(folder)}
    predictor = fit_model(KprnPredictor, rows, options=options)
    assert predictor.meta["training"]["best_step"] == 0
    again = predictor.refit(rows)
    assert again.meta["training"]["steps"] == 0
    assert not again.weights["outer.weight"].any()


def test_without_a_graph_paths_lead_over_people_alone() -> None:
    predictor = fit_model(KprnPredictor, interactions(), options=QUICK)
    explanations = predictor.explain(HISTORIES[3], FILM_IDS)
    over = {step.entity for each in explanations for reason in each.reasons for step in reason.steps[1::2]}
    assert over == {SOMEONE}
    assert predictor.meta["graph"] == {"source": "people only", "paths": predictor.meta["graph"]["paths"]}


def test_the_artifact_knows_its_graph_and_needs_it_no_more(fitted: KprnPredictor, tmp_path: Path) -> None:
    fitted.save(tmp_path / "v1")
    loaded = KprnPredictor.load(tmp_path / "v1")
    facts = loaded.meta["graph"]
    assert len(facts["fingerprint"]) == 64
    assert facts["statistics"]["types"]["person"]["entities"] == 16
    assert facts["paths"]["hubs"] == 1
    assert loaded.name_of("person:3") == "Person 3"
    assert loaded.name_of("person:999") == "person:999"
    for history in HISTORIES:
        assert loaded.explain(history, FILM_IDS) == fitted.explain(history, FILM_IDS)


def test_no_single_person_is_in_the_artifact(fitted: KprnPredictor) -> None:
    users = np.flatnonzero(fitted.graph.types == fitted.graph.type_names.index("user"))
    assert users.tolist() == [fitted.graph.user]


@pytest.mark.parametrize(
    "changed",
    [{"relations": False}, {"types": False}, {"walk": False}, {"pooling": "max"}, {"pooling": "mean"}],
    ids=str,
)
def test_ablations_are_other_models_and_load_as_they_were(
    folder: Path, fitted: KprnPredictor, changed: dict, tmp_path: Path
) -> None:
    other = fit_model(KprnPredictor, interactions(), options={**QUICK, "graph": str(folder), **changed})
    assert not np.allclose(other.score_history(HISTORIES[3]), fitted.score_history(HISTORIES[3]))
    other.save(tmp_path / "v1")
    np.testing.assert_array_equal(
        KprnPredictor.load(tmp_path / "v1").score_history(HISTORIES[3]), other.score_history(HISTORIES[3])
    )


def test_validation_chooses_the_weights(folder: Path) -> None:
    rows = interactions()
    last = rows.indptr[1:] - 1
    held_out = np.zeros(len(rows), dtype=bool)
    held_out[last] = True
    predictor = fit_model(
        KprnPredictor, rows.select(~held_out), rows.select(held_out), options={**QUICK, "graph": str(folder)}
    )
    assert 0 < predictor.meta["training"]["NDCG@10"] <= 1


def test_a_graph_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="graph"):
        fit_model(KprnPredictor, interactions(), options={**QUICK, "graph": str(tmp_path / "none")})


@pytest.mark.parametrize("wrong", [{"pooling": "sum"}, {"loss": "hinge"}, {"neighbours": 0}], ids=str)
def test_an_unusable_option_is_refused(wrong: dict) -> None:
    with pytest.raises(TrainingError):
        fit_model(KprnPredictor, interactions(), options={**QUICK, **wrong})


def test_a_list_ranked_anew_holds_the_same_films(fitted: KprnPredictor) -> None:
    base = NeighboursPredictor.fit(interactions())
    queries = [Query.from_indices([3, 4, 5]), Query.from_indices([20])]
    found = candidates_of(base, fitted, queries, depth=10)
    np.testing.assert_array_equal(blended(*found, 0.0), found[0])
    anew = blended(*found, 1.0)
    np.testing.assert_array_equal(np.sort(anew, axis=1), np.sort(found[0], axis=1))
    assert (anew != found[0]).any()
    scores = np.concatenate(fitted.score_films(queries[:1], [anew[0]]))
    reached = scores[np.isfinite(scores)]
    assert (np.diff(reached) <= 1e-6).all()
