"""For you: what it computes, how its weights come about, what its artifact holds."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from datasets.interactions import Interactions
from predictors.base import Saved
from predictors.errors import ArtifactError, TrainingError
from predictors.history import History
from predictors.models.for_you import fitting
from predictors.models.for_you.balance import (
    ALIKE,
    Balance,
    Cases,
    Figures,
    Popularity,
    cases_at,
    decayed,
)
from predictors.models.for_you.basis import ItemBasis
from predictors.models.for_you.config import ForYouConfig
from predictors.models.for_you.members import DEFAULT_MEMBERS, member_config
from predictors.models.for_you.mix import AIMS, KNOTS, Mix, Wish, fit_mix, fit_similar, value_of
from predictors.models.for_you.model import ForYouPredictor
from predictors.models.popular import PopularPredictor
from predictors.plugins import predictor_class
from predictors.query import Query
from predictors.run import Run
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, N_FILMS, N_USERS, from_rows, interactions, rated, told
from predictors.training_data import TrainingData

QUICK = {"members": ("popular", "cosine", "ease", "transitions_30"), "tries": 80}
NO_EASE = {"ease.max_items": 10, "ease.neighbours": 0}


@pytest.fixture(scope="module")
def for_you() -> ForYouPredictor:
    return fit_model(ForYouPredictor, interactions(), options=QUICK)


class Told:
    """A member that adds what it is told to."""

    def __init__(self, weights) -> None:
        self.weights = np.asarray(weights, dtype=np.float32)

    def item_weights(self, items):
        return self.weights[items].copy()


def random_basis(n_members=3, n=N_FILMS, kept=N_FILMS, seed=0):
    rng = np.random.default_rng(seed)
    return ItemBasis.build([Told(rng.exponential(size=(n, n))) for _ in range(n_members)], n, kept=kept)


# -- the basis -----------------------------------------------------------------------------------


def test_rows_of_the_basis_are_the_members_rows_with_deviation_one():
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=(9, 9)).astype(np.float32) for _ in range(2)]
    basis = ItemBasis.build([Told(each) for each in weights], 9, kept=9)
    for member, each in enumerate(weights):
        np.fill_diagonal(each, 0)
        expected = each / each.std(axis=1, keepdims=True)
        for film in range(9):
            found = basis.by_member(np.array([film]), np.ones(1, np.float32))[member]
            places = basis.row(film, np.ones(2))[0]
            np.testing.assert_allclose(found[places], expected[film, places], atol=basis.scales[film, member])
            assert found[film] == 0


def test_of_each_member_the_best_targets_are_kept_and_what_the_others_say_there():
    weights = np.zeros((6, 6))
    weights[0] = [9, 5, 4, 3, 2, 1]
    other = np.zeros((6, 6))
    other[0] = [9, 1, 2, 3, 4, 5]
    basis = ItemBasis.build([Told(weights), Told(other)], 6, kept=1)
    films, values = basis.row(0, np.array([1.0, 0.0]))
    assert films.tolist() == [1, 5]
    assert values[0] / values[1] == pytest.approx(5, rel=0.05)
    assert len(basis.row(3, np.ones(2))[0]) == 0  # nobody met it


def test_a_mix_is_the_sum_of_its_influences(monkeypatch):
    monkeypatch.setattr("predictors.models.for_you.basis.ADDED_AT_ONCE", 5)
    basis = random_basis()
    films, weights = np.array([3, 9, 20]), np.random.default_rng(2).random((3, 3))
    added = basis.influences(films, weights, np.arange(N_FILMS))
    alone = [basis.influences(films, weights, np.array([film])) for film in range(N_FILMS)]
    np.testing.assert_array_equal(np.hstack(alone), added)
    np.testing.assert_allclose(added.sum(axis=0), basis.mixed(films, weights), rtol=1e-4, atol=1e-5)
    alone = basis.by_member(films[:1], np.ones(1, np.float32))
    np.testing.assert_allclose(added[0], weights[0] @ alone, rtol=1e-4, atol=1e-5)


def test_sums_for_some_films_are_those_for_all():
    basis = random_basis(kept=4)
    films, weights = np.array([7, 2, 11]), np.random.default_rng(3).random((3, 3))
    for n_targets in (0, 1, 2, N_FILMS):  # of few and of many entries
        targets = np.random.default_rng(4).permutation(N_FILMS)[:n_targets]
        expected = basis.mixed(films, weights)[targets]
        np.testing.assert_allclose(basis.mixed_at(films, weights, targets), expected, atol=1e-6)
    np.testing.assert_array_equal(basis.mixed_at(films[:0], weights[:0], np.array([1, 2])), [0, 0])


def test_nothing_is_kept_of_members_that_are_not_selected():
    basis = random_basis()
    some = basis.select(np.array([2, 0]))
    films, ones = np.array([4]), np.ones(1, np.float32)
    np.testing.assert_array_equal(some.by_member(films, ones), basis.by_member(films, ones)[[2, 0]])


# -- what is asked -------------------------------------------------------------------------------


def test_older_films_count_less_and_a_history_counts_one():
    np.testing.assert_allclose(decayed(np.ones(3), 0.5), np.array([1, 2, 4]) / 7, rtol=1e-6)
    np.testing.assert_allclose(decayed(np.array([1.0, 0.5]), 0.5), [0.5, 0.5], rtol=1e-6)
    assert (decayed(np.ones(100), 0.5)[:50] == 0).all()


def test_the_three_questions():
    rows = from_rows([0] * 6 + [1] * 2, [5, 1, 4, 2, 0, 3, 7, 8])
    following, later, taste = cases_at(rows, 2, np.random.default_rng(0), in_order=True)
    assert [part.tolist() for part in following[0]] == [[2, 0], [3]]
    assert [part.tolist() for part in later[0]] == [[5, 1], [4, 2, 0, 3]]
    assert sorted(np.concatenate(taste[0]).tolist()) == [0, 1, 2, 3, 4, 5]
    assert len(taste[0][0]) == 2
    assert len(later) == len(taste) == 1  # the second person has too few films
    for given, (wanted,) in following[1:]:  # few people are asked for earlier films too
        history = [5, 1, 4, 2, 0, 3]
        place = history.index(wanted)
        assert given.tolist() == history[place - 2 : place]


def cases(n_members, shown, scores, n_items=40):
    """Cases in which members say the scores (C, n_items, M) of every film; the prior says nothing."""
    items = np.tile(np.arange(n_items, dtype=np.int32), (len(shown), 1))
    standing = np.concatenate([scores, np.zeros((len(shown), n_items, 1))], axis=2)
    standing = np.moveaxis(standing, 2, 0).astype(np.float32)
    targets = np.zeros(items.shape, dtype=bool)
    targets[np.arange(len(shown)), shown] = True
    ones = np.ones(len(shown))
    return Cases(items, standing, targets, ones.astype(int), ones.astype(np.float32))


def test_lists_that_are_alike_share_all_and_others_nothing():
    same = np.tile(np.arange(40.0), (4, 1))[:, :, None]
    all_alike = cases(1, [0, 1, 2, 3], same)
    assert all_alike.shared(all_alike.ranked(np.array([1.0, 0]))) == 1
    apart = cases(1, [0, 1, 2, 3], np.stack([np.roll(row, 10 * place) for place, row in enumerate(same)]))
    assert apart.shared(apart.ranked(np.array([1.0, 0]))) == 0
    assert all_alike.share_of(all_alike.ranked(np.array([1.0, 0])), np.arange(35, 40)) == 0.5
    assert all_alike.crowded(all_alike.ranked(np.array([1.0, 0])), np.arange(35, 40)) == 1
    assert all_alike.crowded(all_alike.ranked(np.array([1.0, 0])), np.arange(37, 40)) == 0


# -- how the weights come about ------------------------------------------------------------------


def test_the_best_known_films_count_alike_and_answers_are_measured_by_popularity_itself():
    counts = np.arange(600.0)
    popularity = Popularity.from_scores(counts)
    best_known = np.argsort(counts)[-ALIKE:]
    assert len(np.unique(popularity.prior[best_known])) == 1
    assert (popularity.prior[best_known] > np.delete(popularity.prior, best_known).max()).all()
    assert (np.argsort(popularity.scores) == np.argsort(counts)).all()
    few = Popularity.from_scores(counts[:100])  # there the best-known films are most of the catalogue
    np.testing.assert_array_equal(few.prior, few.scores)
    shown = [(np.array([0]), np.array([599]))]
    of_one = Cases.from_histories(random_basis(n=600, kept=5), popularity, counts, shown, (1.0,))
    assert of_one.items[0, of_one.by_popularity()[0]].tolist() == list(range(599, 589, -1))
    assert (of_one.scores[-1] == popularity.prior[of_one.items]).all()


def test_versions_without_a_prior_of_their_own_answer_as_they_did(for_you):
    saved = Saved(
        {name: array for name, array in for_you.tensors().items() if name != "prior"},
        for_you.ids,
        for_you.config,
        for_you.meta,
    )
    before = ForYouPredictor.from_artifact(saved)
    np.testing.assert_array_equal(before.prior, Popularity.from_scores(for_you.popular).scores)


def knowing(n_cases=60, n_members=4, who=2, seed=0):
    """Members of whom one knows what is wanted."""
    rng = np.random.default_rng(seed)
    scores = rng.random((n_cases, 40, n_members))
    wanted = rng.integers(40, size=n_cases)
    scores[np.arange(n_cases), wanted, who] += 0.7
    return cases(n_members, wanted, scores)


def test_weights_go_to_the_member_that_finds_the_films():
    some = knowing()
    options = {"tries": 120, "most_shared": 1.0, "taste": 1.0, "seed": 1}
    mix, rows = fit_mix(lambda n: Balance(some, some, some, (0, 1, 2, 3)), 4, 1, **options)
    default = mix.weights[AIMS.index("default")]
    assert (default.argmax(axis=1) == 2).all()
    np.testing.assert_allclose(default.sum(axis=1), 1)
    assert [row["n"] for row in rows] == list(KNOTS)
    assert rows[0]["default"]["balance"] > 0.9
    again, _ = fit_mix(lambda n: Balance(some, some, some, (0, 1, 2, 3)), 4, 1, **options)
    np.testing.assert_array_equal(mix.weights, again.weights)


def test_common_films_cost_more_than_they_bring():
    """One member says the same to everybody and is right a little more often than the other."""
    rng = np.random.default_rng(3)
    wanted = np.where(rng.random(80) < 0.9, rng.integers(5, size=80), rng.integers(5, 40, size=80))
    scores = rng.random((80, 40, 2))
    scores[:, :, 0] = np.where(np.arange(40) < 10, 5.0 - np.arange(40) / 40, np.arange(40) / 400)
    scores[np.arange(80), wanted, 1] += 0.3
    some = cases(2, wanted, scores)
    chosen = {}
    for bound in (0.3, 1.0):
        _, rows = fit_mix(
            lambda n: Balance(some, some, some, (0, 1)), 2, 1, tries=120, most_shared=bound, taste=0.0, seed=1
        )
        chosen[bound] = rows[0]["default"]["shared"]
    assert chosen[0.3] < 0.4 < chosen[1.0]


def test_the_rest_of_a_taste_counts_only_where_it_falls_short():
    wish = Wish.at(8, most_shared=0.1, weight=2.0)
    wanted = [Wish.at(n, 0.1, 2.0).taste for n in (1, 2, 4, 8)]
    np.testing.assert_allclose(np.diff(wanted), np.diff(wanted)[0])
    enough = Figures(next=1.0, later=0.8, taste=wish.taste, stratified=1.0, shared=0.05, popularity=0.0)
    more, less = replace(enough, taste=wish.taste + 1), replace(enough, taste=wish.taste - 0.1)
    assert value_of("default", enough, wish) == value_of("default", more, wish) == pytest.approx(0.9)
    assert value_of("default", less, wish) == pytest.approx(0.7)
    assert value_of("default", replace(enough, shared=0.2), wish) < 0
    for aim in ("default", "unexpected"):
        assert value_of(aim, replace(enough, crowded=0.2), wish) < value_of(aim, enough, wish) - 1
    assert [Wish.at(n, 0.1, 2.0).weight for n in (1, 20, 50)] == [2.0, 2.0, 1.0]


def test_the_well_known_end_of_the_dial_is_what_many_come_to_watch():
    wish = Wish.at(5, most_shared=0.1, weight=2.0)
    personal = Figures(next=1.4, later=0.8, taste=1.2, stratified=1.3, shared=0.05, popularity=1.5)
    known = replace(personal, next=0.6, later=0.95, stratified=0.4, shared=0.2, popularity=1.9)
    assert value_of("familiar", known, wish) > value_of("familiar", personal, wish)
    for aim in ("default", "unexpected"):
        assert value_of(aim, known, wish) < value_of(aim, personal, wish)
    assert value_of("familiar", replace(known, shared=0.6), wish) < 0  # the same for everybody


def test_lengths_without_visitors_take_the_weights_of_the_next_shorter_one():
    some = knowing()
    mix, rows = fit_mix(
        lambda n: Balance(some, some, some, (0,)) if n == 3 else None,
        4,
        1,
        tries=40,
        most_shared=1.0,
        taste=0.5,
        seed=1,
    )
    assert [row["n"] for row in rows] == [3]
    assert (mix.weights == mix.weights[:, 1:2]).all()


def test_similar_films_are_not_the_popular_ones():
    some = knowing(who=1)
    similar = fit_similar(some, some, np.arange(10), (1, 3), n_members=4, tries=60, seed=1)
    assert similar[0] == similar[2] == 0
    assert similar[1] > 0.5
    assert similar.sum() == pytest.approx(1)


def test_weights_between_two_lengths_and_along_the_dial_are_between_theirs():
    weights = np.zeros((3, len(KNOTS), 3))
    weights[:, :, 0] = 1
    weights[1, KNOTS.index(10)] = [0, 1, 0]
    weights[2] = [0, 0, 1]
    mix = Mix(weights)
    assert mix.at(5, 0).tolist() == mix.at(20, 0).tolist() == mix.at(400, 0).tolist() == [1, 0, 0]
    assert mix.at(10, 0).tolist() == [0, 1, 0]
    assert mix.at(7, 0)[1] == pytest.approx(np.log(8 / 6) / np.log(11 / 6))
    assert mix.at(10, 1).tolist() == [0, 0, 1]
    np.testing.assert_allclose(mix.at(10, -0.25), [0.25, 0.75, 0])


def test_equal_data_and_seed_give_equal_weights(for_you):
    again = fit_model(ForYouPredictor, interactions(), options=QUICK)
    for name, array in for_you.tensors().items():
        np.testing.assert_array_equal(again.tensors()[name], array, err_msg=name)


@pytest.fixture
def fitted_on(monkeypatch):
    """The users that the members were fitted on, one set per fit of `popular`, and the visitors."""
    seen = {"members": [], "visitors": []}
    fit, weigh = PopularPredictor.fit, fitting.fit_mix

    def fit_and_note(data, *args, **kwargs):
        seen["members"].append(set(data.train.users.tolist()))
        return fit(data, *args, **kwargs)

    def asked(rows, *args, **kwargs):
        seen["visitors"].append(set(rows.users.tolist()))
        return cases_at(rows, *args, **kwargs)

    monkeypatch.setattr(PopularPredictor, "fit", fit_and_note)
    monkeypatch.setattr(fitting, "cases_at", asked)
    monkeypatch.setattr(fitting, "fit_mix", weigh)
    return seen


def test_people_are_held_out_for_the_weights_and_the_members_fitted_anew_on_all(fitted_on):
    fit_model(ForYouPredictor, interactions(), options=QUICK)
    first, final = fitted_on["members"]
    visitors = fitted_on["visitors"][0]
    assert len(visitors) == 12
    assert not visitors & first
    assert final == visitors | first == set(range(120))


def test_validation_people_without_training_rows_are_the_visitors(fitted_on):
    everyone = interactions()
    train, validation = everyone.select(everyone.users < 60), everyone.select(everyone.users >= 60)
    fit_model(ForYouPredictor, train, validation, options=QUICK)
    assert fitted_on["members"] == [set(range(60))]
    assert fitted_on["visitors"][0] == set(range(60, 120))


def test_validation_rows_of_people_who_were_trained_on_are_no_visitors(fitted_on):
    everyone = interactions()
    last = np.zeros(len(everyone), dtype=bool)
    last[everyone.indptr[1:] - 1] = True
    fit_model(ForYouPredictor, everyone.select(~last), everyone.select(last), options=QUICK)
    assert not fitted_on["visitors"][0] & fitted_on["members"][0]


# -- a refit -------------------------------------------------------------------------------------


def test_who_joins_later_leaves_the_others_among_the_visitors():
    """A retraining asks nearly the same people as before, so that its lists change by what is new."""
    before = interactions()
    some = fitting.hold_out_visitors(TrainingData(before), ForYouConfig(), 1)[1]
    n_users, later = before.n_users, [3, 5, 3, 9, 3, 7, 1, 2, 8, 3, 4, 6, 2, 5]
    joined = Interactions.from_columns(
        np.concatenate([before.users, n_users + np.repeat(np.arange(7), 2)]),
        np.concatenate([before.items, later]),
        at=np.concatenate([before.at, before.at.max() + np.arange(1, 15)]),
        user_ids=np.array([*before.user_ids.tolist(), *(f"guest:{each}" for each in range(7))], dtype=object),
        item_ids=before.item_ids,
    )
    again = fitting.hold_out_visitors(TrainingData(joined), ForYouConfig(), 1)[1]
    old, new = set(np.unique(some.users).tolist()), set(np.unique(again.users).tolist())
    assert len(old) == N_USERS // fitting.HELD_OUT_SHARE
    assert len(old - new) <= 2
    other = fitting.hold_out_visitors(TrainingData(before), ForYouConfig(), 2)[1]
    assert set(np.unique(other.users).tolist()) != old


def test_when_a_refit_follows_nothing_is_fitted_twice_and_the_refit_keeps_the_weights(fitted_on):
    for_you = fit_model(ForYouPredictor, interactions(), options=QUICK, run=Run(stage="select"))
    assert len(fitted_on["members"]) == 1
    again = for_you.refit(interactions())
    assert fitted_on["members"][1:] == [set(range(120))]
    np.testing.assert_array_equal(again.mix.weights, for_you.mix.weights)
    np.testing.assert_array_equal(again.similar_weights, for_you.similar_weights)
    for fact in ("members", "left_out", "training", "weights"):
        assert again.meta[fact] == for_you.meta[fact]
    whole = fit_model(ForYouPredictor, interactions(), options=QUICK)
    assert set(whole.meta["members"]) == set(again.meta["members"])
    np.testing.assert_array_equal(whole.basis.values, again.basis.values)


def test_a_refit_on_data_that_other_members_can_use_fits_everything_anew(fitted_on):
    for_you = fit_model(ForYouPredictor, interactions(), options=QUICK)
    again = for_you.refit(replace(interactions(), has_time=False))
    assert set(again.meta["left_out"]) == {"transitions_30"}
    assert again.recencies == (1.0,)
    assert again.config == for_you.config


# -- members that cannot be fitted ---------------------------------------------------------------


def test_without_times_nothing_is_learnt_from_the_order_and_the_answer_has_none(caplog):
    without = replace(interactions(), has_time=False)
    for_you = fit_model(ForYouPredictor, without, options=QUICK)
    assert set(for_you.meta["left_out"]) == {"transitions_30"}
    assert "times" in for_you.meta["left_out"]["transitions_30"]
    assert "transitions_30" in caplog.text
    assert "transitions_30" not in for_you.meta["members"]
    forward, backward = (for_you.score_history(rated(*films)) for films in (FILM_IDS[:4], FILM_IDS[3::-1]))
    np.testing.assert_allclose(forward, backward, atol=1e-5)


def test_rows_without_times_may_be_said_to_be_in_order():
    without = replace(interactions(), has_time=False)
    for_you = fit_model(ForYouPredictor, without, options={**QUICK, "file_order": True})
    assert for_you.meta["left_out"] == {}
    assert "transitions_30" in for_you.meta["members"]


def test_a_member_for_whom_the_catalogue_is_too_large_is_left_out_and_named(tmp_path, caplog):
    """As EASE is with more than 12,000 films: the default model must not fail with it."""
    for_you = fit_model(ForYouPredictor, interactions(), options={**QUICK, **NO_EASE})
    assert "48 items occur: more than max_items=10" in for_you.meta["left_out"]["ease"]
    assert set(for_you.meta["members"]) <= {"cosine", "transitions_30"}
    assert "without ease" in caplog.text
    for_you.save(tmp_path / "v1")
    loaded = ForYouPredictor.load(tmp_path / "v1")
    assert loaded.meta["left_out"] == for_you.meta["left_out"]
    assert loaded.recommend(rated(FILM_IDS[3]), 5) == for_you.recommend(rated(FILM_IDS[3]), 5)


def test_when_no_member_can_be_fitted_all_reasons_are_said():
    options = {"members": "popular,ease", **NO_EASE}
    with pytest.raises(TrainingError, match=r"ease: .*max_items"):
        fit_model(ForYouPredictor, interactions(), options=options)


# -- what it answers -----------------------------------------------------------------------------


def test_a_visitor_without_a_liked_film_gets_what_is_popular(for_you):
    popular = PopularPredictor.fit(interactions())
    nothing_liked = told(("rating", FILM_IDS[0], 1.0))
    for history in (History.EMPTY, nothing_liked):
        assert [found.movie_id for found in for_you.recommend(history, 10)] == [
            found.movie_id for found in popular.recommend(history, 10)
        ]


def test_scores_are_the_weighted_sum_of_what_the_films_add(for_you):
    query = Query.from_indices([3, 4, 30], weights=[1.0, 0.5, 1.0])
    weights = for_you.mix.at(3, 0.0)
    expected = weights[-1] * for_you.prior.astype(np.float64)
    for recency, row in zip(
        for_you.recencies, weights[:-1].reshape(-1, for_you.basis.n_members), strict=True
    ):
        amounts = np.array([recency**2, 0.5 * recency, 1.0])
        expected += row @ for_you.basis.by_member(query.liked, amounts / amounts.sum())
    np.testing.assert_allclose(for_you.score([query])[0], expected, atol=1e-4)


def test_a_list_for_who_saw_most_films_is_that_of_all_scores(for_you):
    seen = np.arange(N_FILMS // 2 + 2)
    for liked in (seen[3:9], []):
        query = Query.from_indices(liked, seen=seen)
        items, scores = (each[0] for each in for_you.retrieve([query], 5))
        all_scores = for_you.score([query])[0]
        all_scores[seen] = -np.inf
        np.testing.assert_array_equal(items, np.argsort(-all_scores, kind="stable")[:5])
        np.testing.assert_allclose(scores, all_scores[items], rtol=1e-5)
    everything = Query.from_indices(seen[:3], seen=np.arange(N_FILMS))
    assert for_you.retrieve([everything], 5)[0].tolist() == [[-1] * 5]


def test_influences_sum_up_to_the_score(for_you):
    """Exactly: stars, clicks and dislikes included."""
    history = told(("rating", FILM_IDS[3], 4.0), ("click", FILM_IDS[9], None), ("rating", FILM_IDS[20], 1.0))
    query = for_you.encode(history)
    influences = for_you.influences(query, np.arange(N_FILMS))
    assert influences.items.tolist() == [3, 9]
    films, weights, of_prior = for_you._weights_of(query)
    assert films.tolist() == [3, 9, 20]
    of_disliked = for_you.basis.influences(films[2:], weights[2:], np.arange(N_FILMS))
    assert of_disliked.sum() < 0  # it takes away from what goes with it
    np.testing.assert_allclose(
        influences.amounts.sum(axis=0) + of_disliked[0] + of_prior * for_you.prior,
        for_you.score([query])[0],
        rtol=1e-4,
        atol=1e-5,
    )


def test_more_stars_and_a_later_place_count_more(for_you):
    def share(query):
        total = np.abs(for_you.influences(query, np.arange(N_FILMS)).amounts).sum(axis=1)
        return total[0] / total.sum()

    assert share(Query.from_indices([3, 30], [1.0, 0.5])) > share(Query.from_indices([3, 30], [0.5, 1.0]))
    alike = Query.from_indices([3, 30])
    assert share(Query.from_indices([3, 30], [1.0, 0.5])) > share(alike)


def test_a_dislike_takes_away_what_a_like_would_add(for_you):
    liked = Query.from_indices([3, 4])
    disliked = Query.from_indices([3, 4], disliked=[20])
    change = for_you.score([disliked])[0] - for_you.score([liked])[0]
    near, _ = for_you.basis.row(20, np.ones(for_you.basis.n_members))
    assert change.min() < 0
    assert set(np.flatnonzero(np.abs(change) > 1e-6)) <= set(near.tolist())


def test_of_many_disliked_films_the_latest_are_read(for_you, monkeypatch):
    monkeypatch.setattr("predictors.models.for_you.model.MOST_DISLIKED", 2)
    latest, more, others = (
        for_you.score([Query.from_indices([3, 4], disliked=disliked)])[0]
        for disliked in ([20, 30], [10, 20, 30], [30, 20, 10])
    )
    np.testing.assert_array_equal(latest, more)
    assert (latest != others).any()


def test_the_dial_shares_the_arrays_and_leaves_the_model_as_it_is(for_you):
    before = for_you.score_history(rated(FILM_IDS[3]))
    known = for_you.with_familiarity(1.0)
    assert known.basis is for_you.basis
    np.testing.assert_array_equal(for_you.score_history(rated(FILM_IDS[3])), before)
    np.testing.assert_array_equal(known.with_familiarity(0).score_history(rated(FILM_IDS[3])), before)
    assert for_you.familiarity == 0
    for wrong in (-1.5, 2, float("nan")):
        with pytest.raises(ValueError, match="familiarity"):
            for_you.with_familiarity(wrong)


def test_similar_films_come_from_members_that_know_no_order(for_you):
    names = list(for_you.meta["members"])
    if "transitions_30" in names:
        assert for_you.similar_weights[names.index("transitions_30")] == 0
    films, values = for_you.basis.row(20, for_you.similar_weights)
    found = for_you.similar(FILM_IDS[20], 5)
    assert [FILM_IDS.index(each.movie_id) for each in found] == films[np.argsort(-values)[:5]].tolist()


# -- its artifact and its options ----------------------------------------------------------------


def test_the_artifact_tells_what_justifies_its_weights(for_you, tmp_path):
    for_you.save(tmp_path / "v1", version="v1")
    meta = json.loads((tmp_path / "v1" / "meta.json").read_text())
    assert meta["training"]["members"] == ["cosine", "ease", "transitions_30", "popular"]
    row = meta["training"]["lengths"][0]
    assert row["n"] == 1
    assert row["visitors"] == 12
    for aim in AIMS:
        assert set(row[aim]) == {"balance", *(each.name for each in fields(Figures))}
    assert meta["config"]["most_shared"] == 0.09
    assert set(meta["weights"]["default"]) == {str(n) for n in KNOTS}


@pytest.mark.parametrize(
    "change", [{"members": {}}, {"knots": [1, 2]}, {"members": {"ease": "ease"}}, {"training": {}}]
)
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
        ({"members": "popular,cosine", "ease.ridge": 3}, "ease"),
        ({"ease": 3}, "ease.option"),
        ({"most_shared": 0}, "most_shared"),
        ({"recencies": "1,2"}, "recencies"),
        ({"tries": 1}, "tries"),
        ({"taste": -1}, "taste"),
        ({"visitors": 1}, "visitors"),
        ({"kept": -1}, "kept"),
        ({"dislike_weight": -1}, "dislike_weight"),
    ],
)
def test_unusable_options_are_refused(options, message):
    with pytest.raises(TrainingError, match=message):
        fit_model(ForYouPredictor, interactions(), options=options)


def test_a_variant_has_its_own_defaults_and_takes_options():
    config = ForYouPredictor.config_class.read({"ease_90.ridge": 7})
    assert config.of_member("ease_90").ridge == 7
    assert config.of_member("ease_90").dropout == member_config("ease_90").dropout == 0.9
    assert ForYouPredictor.config_class.read(config.as_dict()) == config
    assert set(DEFAULT_MEMBERS) <= set(config.members)


def test_any_model_whose_scores_add_up_can_be_a_member():
    for_you = fit_model(
        ForYouPredictor, interactions(), options={"members": "popular,neighbours", "tries": 40}
    )
    assert for_you.meta["members"] == {"neighbours": "neighbours"}
    assert predictor_class("neighbours") is not None


def test_too_few_people_are_refused_with_what_is_needed():
    users = np.repeat(np.arange(19), 3)
    with pytest.raises(TrainingError, match=r"19 users.* need 20"):
        fit_model(ForYouPredictor, from_rows(users.tolist(), [0, 1, 2] * 19), options=QUICK)
