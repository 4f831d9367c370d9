"""Influence: what of a history a film's score hangs on, by leaving each film out."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from datasets.interactions import Interactions
from predictors.explain import FEWEST_TAKEN_OUT, FILMS_SCORED, TAKEN_OUT, influence
from predictors.history import History, Interaction
from predictors.models.ease import EasePredictor
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.popular import PopularPredictor

NOW = datetime(2026, 1, 1, tzinfo=UTC)
N_ITEMS = 60


@pytest.fixture(scope="module")
def data() -> Interactions:
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(200), 12)
    items = np.concatenate([rng.permutation(N_ITEMS)[:12] for _ in range(200)])
    return Interactions.from_columns(
        users, items, user_ids=np.arange(200), item_ids=np.arange(100, 100 + N_ITEMS)
    )


def rated(*films: tuple[int, float]) -> History:
    return History(
        Interaction(f"{n:03}", "guest:1", "rating", film, NOW + timedelta(minutes=n), value)
        for n, (film, value) in enumerate(films)
    )


def test_for_a_linear_model_the_falls_are_what_each_film_added(data):
    predictor = EasePredictor.fit(data)
    films = [(100 + n, 3.0 + n % 5 / 2) for n in range(8)]
    found = influence(predictor, rated(*films), 130)
    alone = {
        film: predictor.score_history(rated((film, stars)))[predictor.ids.index_of(130)]
        for film, stars in films
    }
    added = {film: score for film, score in alone.items() if score > 1e-7}
    assert {film.movie_id for film in found} == set(added)
    for film in found:
        assert film.share == pytest.approx(added[film.movie_id] / sum(added.values()), abs=1e-4)
    shares = [film.share for film in found]
    assert sum(shares) == pytest.approx(1.0)
    assert shares == sorted(shares, reverse=True)


def test_every_film_is_left_out_once_and_the_model_is_asked_once(data):
    class Counting(NeighboursPredictor):
        batches: list[int] = []

        def _score(self, queries):
            self.batches.append(len(queries))
            return super()._score(queries)

    predictor = Counting.fit(data)
    influence(predictor, rated(*((100 + n, 4.0) for n in range(10))), 130)
    assert predictor.batches == [11]
    influence(predictor, rated(*((100 + n % N_ITEMS, 4.0) for n in range(TAKEN_OUT + 9))), 159)
    assert predictor.batches == [11, TAKEN_OUT + 1]


def test_disliked_films_and_the_film_itself_are_no_influence(data):
    predictor = NeighboursPredictor.fit(data)
    found = influence(predictor, rated((100, 5.0), (101, 1.0), (102, 4.0), (130, 5.0)), 130)
    assert {film.movie_id for film in found} <= {100, 102}


def test_a_single_film_is_all_there_is(data):
    (only,) = influence(NeighboursPredictor.fit(data), rated((100, 5.0)), 130)
    assert (only.movie_id, only.share) == (100, 1.0)


@pytest.mark.parametrize("history", [History.EMPTY, rated((100, 1.0)), rated((7, 5.0))])
def test_nothing_moved_it_where_nothing_known_was_liked(data, history):
    assert influence(NeighboursPredictor.fit(data), history, 130) == []


def test_unknown_films_and_models_without_a_view_of_the_history_have_none(data):
    history = rated((100, 5.0), (101, 4.0))
    assert influence(NeighboursPredictor.fit(data), history, 7) == []
    assert influence(PopularPredictor.fit(data), history, 130) == []


def test_of_a_long_history_few_films_are_left_out_so_that_the_work_is_bounded(monkeypatch):
    n_items = 5_000
    items = np.arange(n_items)
    predictor = PopularPredictor.fit(
        Interactions.from_columns(np.zeros(n_items, int), items, user_ids=np.arange(1), item_ids=items)
    )
    work = []

    def score(queries):
        work.append(sum(len(query.liked) for query in queries))
        return np.stack([np.full(n_items, 1.0 - len(query.liked) % 7 / 10, np.float32) for query in queries])

    monkeypatch.setattr(predictor, "_score", score)
    for n_films in (10, 100, 1_000, 4_900):
        influence(predictor, History.from_stars(dict.fromkeys(range(n_films), 4.0)), 4_999)
    assert work[0] < 11 * 11
    assert max(work) <= max(FILMS_SCORED + 1_000, (FEWEST_TAKEN_OUT + 1) * 4_900)
