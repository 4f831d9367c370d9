"""The blend: what it computes, how its weights come about, what its artifact holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from datasets.readers.dataset import read_dataset
from evaluation.conditions import evaluate
from evaluation.runner import Benchmark
from predictors.base import Predictor
from predictors.errors import ArtifactError, TrainingError
from predictors.history import History
from predictors.id_map import IdMap
from predictors.models.for_you import model
from predictors.models.for_you.cases import KNOTS, ORDERS, standardise
from predictors.models.for_you.model import ForYouPredictor
from predictors.models.for_you.weights import (
    OPENINGS,
    Curves,
    fit_curves,
    openings,
)
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.popular import PopularPredictor
from predictors.plugins import predictor_class
from predictors.query import Query
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, N_FILMS, from_rows, interactions, rated, told

ML_100K = Path(__file__).resolve().parents[4] / "shared" / "data" / "ml-100k"
QUICK = {"members": ("popular", "neighbours", "ease")}


@pytest.fixture(scope="module")
def for_you() -> ForYouPredictor:
    return fit_model(ForYouPredictor, interactions(), options=QUICK)


class Told(Predictor):
    """A member that ranks as it is told to."""

    def __init__(self, name: str, ranks) -> None:
        super().__init__(IdMap(FILM_IDS))
        self.name, self.ranks = name, ranks  # type: ignore[misc]

    @classmethod
    def _fit(cls, data, config, run):
        raise NotImplementedError

    def _score(self, queries):
        return np.stack([self.ranks(query) for query in queries]).astype(np.float32)

    def tensors(self):
        return {}

    @classmethod
    def from_artifact(cls, saved):
        raise NotImplementedError


def curves_of(at_random, opening, gate=0.0) -> Curves:
    """The same weights at every length."""
    weights = np.stack([np.tile(each, (len(KNOTS), 1)) for each in (at_random, opening)]).astype(float)
    gates = np.zeros((len(KNOTS), 1 + len(OPENINGS)))
    gates[:, 1] = gate
    return Curves(weights, gates, np.zeros((1000, len(OPENINGS)), np.float32))


# -- what it computes ----------------------------------------------------------------------------


def test_a_visitor_without_a_liked_film_gets_what_is_popular(for_you):
    popular = PopularPredictor.fit(interactions())
    nothing_liked = told(("rating", FILM_IDS[0], 1.0))
    for history in (History.EMPTY, nothing_liked):
        assert [found.movie_id for found in for_you.recommend(history, 10)] == [
            found.movie_id for found in popular.recommend(history, 10)
        ]


def test_scores_are_the_weighted_sum_of_standardised_scores(for_you):
    query = Query.from_indices([3, 4, 30], weights=[1.0, 0.5, 1.0], disliked=[7])
    (weights,) = for_you.curves.weights_of([query])
    assert weights.sum() == pytest.approx(1)
    free = np.setdiff1d(np.arange(N_FILMS), query.seen)
    expected = np.zeros(N_FILMS)
    for member, weight in zip(for_you.members, weights, strict=True):
        scores = member.score([query])[0].astype(np.float64)
        expected += weight * (scores - scores[free].mean()) / scores[free].std()
    np.testing.assert_allclose(for_you.score([query])[0], expected, atol=1e-4)


def test_a_member_that_tells_no_film_from_another_adds_nothing():
    queries = [Query.from_indices([1]), Query.from_indices(range(N_FILMS))]
    flat = np.full((2, N_FILMS), 0.3, np.float32)
    assert not standardise(flat, queries).any()
    assert not standardise(np.random.default_rng(0).random((1, N_FILMS), np.float32), queries[1:]).any()


def test_weights_between_two_lengths_are_between_theirs():
    curves = curves_of([0, 1], [0, 1])
    curves.weights[:, KNOTS.index(10)] = [1, 0]
    lengths = {n: curves.weights_of([Query.from_indices(range(n))])[0][0] for n in (1, 5, 7, 10, 14, 20, 40)}
    assert lengths[5] == lengths[1] == lengths[20] == lengths[40] == 0
    assert lengths[10] == pytest.approx(1)
    assert lengths[7] == pytest.approx(np.log(8 / 6) / np.log(11 / 6))
    assert 0 < lengths[14] < 1


def test_a_history_longer_than_any_length_fitted_takes_the_last_weights():
    curves = curves_of([0.5, 0.5], [0.5, 0.5])
    curves.weights[:, -1] = [0.2, 0.8]
    np.testing.assert_allclose(curves.weights_of([Query.from_indices(range(900))]), [[0.2, 0.8]])


def test_a_history_of_films_that_people_meet_first_is_weighed_as_an_opening():
    curves = curves_of([1, 0], [0, 1], gate=2.0)
    curves.opening[:5], curves.opening[5:10] = 3.0, -3.0
    opening, later, neither = curves.weights_of(
        [Query.from_indices([0, 1]), Query.from_indices([5, 6]), Query.from_indices([20])]
    )
    assert opening[1] > 0.99
    assert later[0] > 0.99
    np.testing.assert_allclose(neither, [0.5, 0.5])


def test_films_met_early_are_openings():
    users, films = [], []
    for user in range(30):  # film 0 always comes first, film 20 always last
        users += [user] * 21
        films += [0, *(1 + (np.arange(19) + user) % 19), 20]
    values = openings(from_rows(users, films))
    first_ten = values[:21, OPENINGS.index(10)]
    assert first_ten[0] == first_ten.max() > 0
    assert first_ten[20] == first_ten.min() < 0
    assert not values[:21, OPENINGS.index(50)].any()  # all that they met
    assert not values[30].any()  # nobody met it


# -- how the weights come about ------------------------------------------------------------------


def test_weights_go_to_the_member_that_finds_the_films_at_that_length():
    """One member follows the walk of the small world from histories up to three films, another from
    longer ones; a third knows nothing.
    """

    def after_last(query):
        return -((np.arange(N_FILMS) - query.liked[-1]) % N_FILMS)

    def noise(query):
        return np.random.default_rng(int(query.liked.sum())).random(N_FILMS)

    short = Told("short", lambda query: after_last(query) if len(query.liked) <= 3 else noise(query))
    long = Told("long", lambda query: after_last(query) if len(query.liked) > 3 else noise(query))
    neither = Told("neither", lambda query: noise(query)[::-1])
    guests = interactions(seed=5)
    curves, figures = fit_curves(
        [short, long, neither], guests, openings(guests), time_shares=(0.5, 0.5), seed=1
    )
    at = {knot: curves.weights[:, place] for place, knot in enumerate(KNOTS)}
    assert (at[1][:, 0] > 0.8).all()
    assert (at[10][:, 1] > 0.8).all()
    assert (curves.weights[:, :, 2] < 0.2).all()
    np.testing.assert_allclose(curves.weights.sum(axis=2), 1)
    by_case = {(row["n"], row["order"]): row for row in figures}
    assert by_case[1, "time"]["NDCG@10"]["short"] > 2 * by_case[1, "time"]["NDCG@10"]["long"]
    for case in (1, "time"), (3, "random"), (10, "time"):
        figures_of = by_case[case]["NDCG@10"]
        assert figures_of["for_you"] > 0.9 * max(figures_of["short"], figures_of["long"])


def test_equal_data_and_seed_give_equal_weights(for_you):
    again = fit_model(ForYouPredictor, interactions(), options=QUICK)
    np.testing.assert_array_equal(again.curves.weights, for_you.curves.weights)
    np.testing.assert_array_equal(again.curves.gate, for_you.curves.gate)


@pytest.fixture
def fitted_on(monkeypatch):
    """The users that the members were fitted on, one set per fit of `popular`, and the guests."""
    seen = {"members": [], "guests": []}
    fit, weigh = PopularPredictor.fit, model.fit_curves

    def fit_and_note(data, *args, **kwargs):
        seen["members"].append(set(data.train.users.tolist()))
        return fit(data, *args, **kwargs)

    def weigh_and_note(members, guests, *args, **kwargs):
        seen["guests"].append(set(guests.users.tolist()))
        return weigh(members, guests, *args, **kwargs)

    monkeypatch.setattr(PopularPredictor, "fit", fit_and_note)
    monkeypatch.setattr(model, "fit_curves", weigh_and_note)
    return seen


def test_people_are_held_out_for_the_weights_and_the_members_fitted_anew_on_all(fitted_on):
    fit_model(ForYouPredictor, interactions(), options=QUICK)
    first, final = fitted_on["members"]
    (guests,) = fitted_on["guests"]
    assert len(guests) == 12
    assert not guests & first
    assert final == guests | first == set(range(120))


def test_validation_people_without_training_rows_are_the_guests(fitted_on):
    everyone = interactions()
    fit_model(
        ForYouPredictor,
        everyone.select(everyone.users < 60),
        everyone.select(everyone.users >= 60),
        options=QUICK,
    )
    assert fitted_on["members"] == [set(range(60))]
    assert fitted_on["guests"] == [set(range(60, 120))]


def test_validation_rows_of_people_who_were_trained_on_are_no_guests(fitted_on):
    everyone = interactions()
    last = np.zeros(len(everyone), dtype=bool)
    last[everyone.indptr[1:] - 1] = True
    fit_model(ForYouPredictor, everyone.select(~last), everyone.select(last), options=QUICK)
    (guests,) = fitted_on["guests"]
    assert not guests & fitted_on["members"][0]


@pytest.mark.skipif(not ML_100K.is_dir(), reason="MovieLens 100K is not beside the project")
def test_on_real_ratings_no_member_alone_is_clearly_better():
    split, _ = Benchmark("guest", ML_100K, (), n=("1", "3", "10")).split(read_dataset(ML_100K), 1)
    for_you = fit_model(ForYouPredictor, split.train, split.validation, options=QUICK)
    of_blend = [outcome.means()["NDCG@10"] for outcome in evaluate(for_you, split)]
    of_members = [
        [outcome.means()["NDCG@10"] for outcome in evaluate(member, split)] for member in for_you.members
    ]
    # 94 people are asked: a difference of 3 % is within chance.
    assert (np.array(of_blend) > 0.97 * np.max(of_members, axis=0)).all()


# -- what it says, and its artifact --------------------------------------------------------------


def test_reasons_name_films_of_the_history_and_share_the_weight_of_the_member(for_you):
    history = rated(FILM_IDS[3], FILM_IDS[4], FILM_IDS[30])
    most = for_you.curves.weights_of([for_you.encode(history)])[0].max()
    named = [found.reasons[0] for found in for_you.recommend(history, 5)]
    assert {reason.movie_id for reason in named} <= set(history.liked)
    assert all(0 < reason.weight <= most for reason in named)
    assert for_you.recommend(History.EMPTY, 1)[0].reasons[0].kind == "popular"


def test_similar_films_are_those_of_the_neighbours(for_you):
    neighbours = NeighboursPredictor.fit(interactions())
    assert for_you.similar(FILM_IDS[20], 5) == neighbours.similar(FILM_IDS[20], 5)


def test_the_artifact_tells_what_justifies_its_weights(for_you, tmp_path):
    for_you.save(tmp_path / "v1", version="v1")
    meta = json.loads((tmp_path / "v1" / "meta.json").read_text())
    assert {row["order"] for row in meta["curve"]} == set(ORDERS)
    for row in meta["curve"]:
        assert set(row["NDCG@10"]) == {"popular", "neighbours", "ease", "for_you"}
        assert all(0 <= value <= 1 for value in row["NDCG@10"].values())
        assert row["guests"] > 0
    assert meta["members"]["ease"]["config"]["ridge"] == 300.0
    assert {f"{name}.safetensors" for name in QUICK["members"]} < set(meta["files"])


def test_a_member_that_is_served_on_its_own_too_is_in_memory_once(for_you, tmp_path):
    alone = predictor_class("ease").fit(interactions())
    other = predictor_class("ease").fit(interactions(seed=1))
    for name, predictor in (("blend", for_you), ("alone", alone), ("other", other)):
        predictor.save(tmp_path / name)
    loaded = ForYouPredictor.load(tmp_path / "blend")
    member = next(member for member in loaded.members if member.name == "ease")
    assert np.shares_memory(member.weights, type(alone).load(tmp_path / "alone").weights)
    assert not np.shares_memory(member.weights, type(alone).load(tmp_path / "other").weights)
    with pytest.raises(ValueError, match="read-only"):
        member.weights[0, 0] = 1.0


@pytest.mark.parametrize("change", [{"members": {"unheard": {}}}, {"knots": [1, 2]}, {"members": {}}])
def test_an_artifact_that_does_not_fit_is_refused(for_you, tmp_path, change):
    for_you.save(tmp_path / "v1")
    path = tmp_path / "v1" / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ArtifactError):
        ForYouPredictor.load(tmp_path / "v1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": "neighbours,ease"}, "popular"),
        ({"members": "popular"}, "another model"),
        ({"members": "popular,unheard"}, "unheard"),
        ({"members": "popular,for_you"}, "for_you"),
        ({"members": "popular,mf"}, "mf"),
        ({"time_share": 2}, "time_share"),
        ({"long_time_share": -1}, "long_time_share"),
        ({"guests": 1}, "guests"),
    ],
)
def test_unusable_options_are_refused(options, message):
    with pytest.raises(TrainingError, match=message):
        fit_model(ForYouPredictor, interactions(), options=options)


def test_too_few_people_are_refused_with_what_is_needed():
    users = np.repeat(np.arange(19), 3)
    with pytest.raises(TrainingError, match=r"19 users.* need 20"):
        fit_model(ForYouPredictor, from_rows(users.tolist(), [0, 1, 2] * 19), options=QUICK)


def test_a_member_that_cannot_be_fitted_is_left_out_and_named(tmp_path, caplog):
    """As EASE is with more than 12,000 films: the default model must not fail with it."""
    for_you = fit_model(ForYouPredictor, interactions(), options={**QUICK, "ease.max_items": 40})
    assert "ease" not in [member.name for member in for_you.members]
    assert len(for_you.members) == len(QUICK["members"]) - 1
    assert "48 items occur" in for_you.meta["left_out"]["ease"]
    assert "without ease" in caplog.text
    for_you.save(tmp_path / "v1")
    loaded = ForYouPredictor.load(tmp_path / "v1")
    assert loaded.meta["left_out"] == for_you.meta["left_out"]
    assert loaded.recommend(rated(FILM_IDS[3]), 5) == for_you.recommend(rated(FILM_IDS[3]), 5)


def test_a_blend_of_one_model_is_refused_with_the_reason():
    with pytest.raises(TrainingError, match="max_items=40"):
        fit_model(ForYouPredictor, interactions(), options={"members": "popular,ease", "ease.max_items": 40})
