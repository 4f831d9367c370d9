"""Lists for several visitors: they suit all, nobody gets what they want least, and each reason is theirs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from movie.programmes.group_ranking import FLOOR, joint_scores, rank_together
from movie.recommendations.ranking import recommend
from movie.training.registry import registry
from predictors.history import History

WESTERNS, HORROR = (1, 3, 5), (2, 4, 6)  # odd films are westerns, even ones horror


def likes(*films, stars=5.0):
    return History.from_stars(dict.fromkeys(films, stars))


def films(ranking):
    return [int(found.movie_id) for found in ranking.ranked.recommendations[: ranking.ranked.k]]


def test_a_list_for_one_taste_is_of_that_taste(api_site):
    ranking = rank_together({1: likes(*WESTERNS), 2: likes(7, 9)}, 6)
    assert ranking.ranked.model == "neighbours" and set(ranking.counted) == {1, 2}
    assert sum(film % 2 for film in films(ranking)) >= 5


def test_what_anybody_has_seen_is_left_out(api_site):
    shown = films(rank_together({1: likes(*WESTERNS), 2: likes(2, 7, 9)}, 12))
    assert not {1, 2, 3, 5, 7, 9} & set(shown)


def test_each_reason_names_a_film_of_that_members_history_that_the_model_names(api_site):
    histories = {11: likes(*WESTERNS), 12: likes(*HORROR, 7)}
    ranking = rank_together(histories, 8)
    assert films(ranking)
    predictor = registry().get(ranking.ranked.model)
    for found in ranking.ranked.recommendations:
        for reason in found.reasons:
            history = histories[int(reason.detail)]
            assert reason.movie_id in history.liked
            targets, _unknown = predictor.ids.indices_of([found.movie_id])
            ((first, _share), *_rest), *_ = predictor.supporters(predictor.encode(history), targets)
            assert reason.movie_id == first


def test_films_with_a_reason_for_everybody_come_first(api_site):
    ranking = rank_together({1: likes(*WESTERNS), 2: likes(*HORROR, 7)}, 8)
    counts = [len(found.reasons) for found in ranking.ranked.recommendations]
    assert counts == sorted(counts, reverse=True) and counts[0] == 2


def test_a_list_from_the_cache_is_the_same(api_site):
    histories = {1: likes(*WESTERNS), 2: likes(*HORROR)}
    first, second = rank_together(histories, 8), rank_together(histories, 8)
    assert list(first.ranked.recommendations) == list(second.ranked.recommendations)
    assert films(rank_together({3: histories[1]}, 8)) != films(first)


def test_for_one_it_is_the_order_of_the_model(api_site):
    alone = films(rank_together({1: likes(*WESTERNS)}, 5))
    assert alone == recommend(likes(*WESTERNS), k=5, model="neighbours").films


def test_who_has_liked_nothing_is_not_counted(api_site):
    ranking = rank_together({1: likes(*WESTERNS), 2: History.EMPTY, 3: likes(9, stars=1.0)}, 5)
    assert ranking.counted == (1,)
    assert 9 not in films(ranking)


def test_without_any_taste_it_is_what_everyone_likes_without_what_was_seen(api_site):
    ranking = rank_together({1: History.EMPTY, 2: likes(4, stars=1.0)}, 5)
    assert ranking.ranked.model == "popular" and ranking.counted == ()
    assert len(films(ranking)) == 5 and 4 not in films(ranking)


def test_the_mean_of_standardised_scores_does_not_follow_the_loudest():
    quiet, loud = [0.0, 0.1, 0.3, 0.2], [0.0, 30.0, 10.0, 20.0]
    joint = joint_scores(np.array([quiet, loud]))
    assert joint[0] == -np.inf and joint[1] == -np.inf and joint[2] == -np.inf
    assert np.argmax(joint) == 3


scores_of_groups = st.tuples(st.integers(1, 8), st.integers(1, 40)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-100, 100, allow_nan=False))
)


@given(scores_of_groups)
def test_nobody_gets_a_film_from_their_lower_half_while_another_suits_all(scores):
    joint = joint_scores(scores)
    assert joint.shape == scores.shape[1:] and not np.isnan(joint).any()
    floors = np.quantile(scores, FLOOR, axis=1)
    above = (scores >= floors[:, None]) & ((scores > scores.min(axis=1)[:, None]) | (np.ptp(scores) == 0))
    if above.all(axis=0).any():
        kept = np.isfinite(joint)
        assert (scores[:, kept] >= floors[:, None]).all()


@pytest.mark.parametrize("n_members", [1, 2, 8])
def test_one_question_to_the_model_ranks_for_all(api_site, n_members, monkeypatch):
    predictor = registry().get("neighbours")
    batches = []
    score = type(predictor).score

    def counted(self, queries, items=None):
        if items is None:
            batches.append(len(queries))
        return score(self, queries, items)

    monkeypatch.setattr(type(predictor), "score", counted)
    rank_together({number: likes(*WESTERNS, 7 + number) for number in range(n_members)}, 5)
    assert batches == [n_members]
