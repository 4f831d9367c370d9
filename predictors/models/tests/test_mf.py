import numpy as np
import pytest

from datasets.interactions import Interactions
from predictors.errors import TrainingError
from predictors.history import History
from predictors.models.mf.model import MfPredictor
from predictors.query import Query
from predictors.testing import fit_model
from predictors.tests.small_world import FILM_IDS, from_rows, rated, told

N_USERS, N_FILMS = 200, 40
QUICK = {"groups": 0, "factors": 4, "epochs": 8, "ridge": 0.05}


def stars_of_two_camps() -> Interactions:
    """Even users give even films 5 and odd films 2, odd users the other way round; film 0 gets 5 from all."""
    rng = np.random.default_rng(0)
    users, films = np.nonzero(rng.random((N_USERS, N_FILMS)) < 0.4)
    stars = np.where(users % 2 == films % 2, 5.0, 2.0)
    stars[films == 0] = 5.0
    return from_rows(users.tolist(), films.tolist(), values=stars)


@pytest.fixture(scope="module")
def mf() -> MfPredictor:
    return fit_model(MfPredictor, stars_of_two_camps(), options=QUICK)


def test_stars_follow_the_taste_of_the_visitor(mf):
    even = told(("rating", FILM_IDS[2], 5.0), ("rating", FILM_IDS[4], 5.0), ("rating", FILM_IDS[3], 2.0))
    odd = told(("rating", FILM_IDS[2], 2.0), ("rating", FILM_IDS[4], 2.0), ("rating", FILM_IDS[3], 5.0))
    films = [FILM_IDS[6], FILM_IDS[7]]
    assert list(mf.predict_stars(even, films)) == films
    liked, disliked = mf.predict_stars(even, films).values()
    assert liked > 4.2 and disliked < 2.8
    disliked, liked = mf.predict_stars(odd, films).values()
    assert liked > 4.2 and disliked < 2.8


def test_a_visitor_without_ratings_gets_what_people_give(mf):
    """Film 0 has a mean of 5, the others of 3.5; a click is no rating."""
    for history in (History.EMPTY, told(("click", FILM_IDS[2], None))):
        stars = mf.predict_stars(history, [FILM_IDS[0], FILM_IDS[2]])
        assert stars[FILM_IDS[0]] > 4.7
        assert stars[FILM_IDS[2]] == pytest.approx(3.5, abs=0.3)


def test_stars_stay_on_the_scale(mf):
    pleased, cross = rated(*FILM_IDS[:20:2]), rated(*FILM_IDS[:20:2], stars=0.5)
    for history in (pleased, cross):
        for stars in mf.predict_stars(history, FILM_IDS[:N_FILMS]).values():
            assert 0.5 <= stars <= 5.0
    assert mf.predict_stars(pleased, [FILM_IDS[0]])[FILM_IDS[0]] == 5.0


def test_films_it_does_not_know_are_left_out(mf):
    assert list(mf.predict_stars(rated(FILM_IDS[2]), ["tt1", FILM_IDS[6], "tt2", FILM_IDS[6]])) == [
        FILM_IDS[6]
    ]
    assert mf.predict_stars(rated(FILM_IDS[2]), []) == {}
    assert mf.predict_stars(rated("tt1"), ["tt2"]) == {}


def test_the_list_follows_low_ratings_too(mf):
    """Disliking odd films says as much as liking even ones."""
    history = told(("rating", FILM_IDS[8], 3.0), *(("rating", film, 1.0) for film in FILM_IDS[3:12:2]))
    recommended = [FILM_IDS.index(found.movie_id) for found in mf.recommend(history, 6)]
    assert all(index % 2 == 0 for index in recommended)


def test_a_like_without_stars_still_counts(mf):
    """A click has no stars: it moves the list, less than a rating, and no predicted stars."""
    clicked, disliked = mf.score([Query.from_indices([4, 6, 8]), Query.from_indices([4, 6], disliked=[8])])
    assert clicked[10] > clicked[11]
    assert disliked[10] - disliked[11] < clicked[10] - clicked[11]


def test_a_film_one_person_adored_does_not_lead_the_list():
    train = stars_of_two_camps()
    adored = from_rows(
        [*train.users.tolist(), N_USERS], [*train.items.tolist(), 44], values=[*train.values, 5.0]
    )
    mf = fit_model(MfPredictor, adored, options=QUICK)
    best = [found.movie_id for found in mf.recommend(rated(FILM_IDS[2], FILM_IDS[4]), 10)]
    assert FILM_IDS[44] not in best


def test_of_two_ratings_of_one_film_the_later_counts():
    train = stars_of_two_camps()
    twice = Interactions.from_columns(
        np.concatenate([train.users, train.users]),
        np.concatenate([train.items, train.items]),
        np.concatenate([np.full(len(train), 1.0), train.values]),
        np.concatenate([train.at, train.at + 1]),
        user_ids=train.user_ids,
        item_ids=train.item_ids,
    )
    once = fit_model(MfPredictor, train, options=QUICK).factors
    again = fit_model(MfPredictor, twice, options=QUICK).factors
    np.testing.assert_array_equal(again.items, once.items)


def test_data_without_stars_is_refused_with_advice():
    with pytest.raises(TrainingError, match="no ratings"):
        MfPredictor.fit(from_rows([0, 0, 1], [0, 1, 0]))


@pytest.mark.parametrize(
    "wrong", [{"factors": 0}, {"ridge": 0}, {"bias_ridge": 0}, {"popularity_weight": -1}]
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(TrainingError, match=next(iter(wrong))):
        fit_model(MfPredictor, stars_of_two_camps(), options=wrong)
