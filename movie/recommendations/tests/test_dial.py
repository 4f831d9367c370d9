"""The dial from unexpected to well-known films: lists, cache and reasons are of one point of it."""

import json

import numpy as np
import pytest
from django.core.cache import cache

from datasets.interactions import Interactions
from evaluation.trainer import FROM_SITE
from movie.catalogue.models import Movie
from movie.recommendations.explanations.explain import explain
from movie.recommendations.filtering import align_items
from movie.recommendations.movie_index import movie_index
from movie.recommendations.ranking import recommend
from movie.training.registry import registry
from predictors.history import History
from predictors.models.for_you.mix import Mix
from predictors.models.for_you.model import ForYouPredictor
from predictors.models.neighbours import NeighboursPredictor
from predictors.models.popular import PopularPredictor
from predictors.serving.registry import ModelStore
from predictors.testing import fit_model

pytestmark = pytest.mark.django_db
FILMS = 40


@pytest.fixture
def site(settings, tmp_path) -> History:
    """For you with popularity at the well-known end and one member each elsewhere; a visitor's history."""
    settings.MODEL_DIR = tmp_path
    settings.DEFAULT_MODELS = ("for_you",)
    cache.clear()
    films = Movie.objects.bulk_create(Movie(title=f"Film {n}", rating_count=100 - n) for n in range(FILMS))
    rng = np.random.default_rng(0)
    pairs = [
        (user, film) for user in range(60) for film in range(FILMS) if rng.random() < 0.6 - film / FILMS / 2
    ]
    users, items = (np.array(column, dtype=np.int32) for column in zip(*pairs, strict=True))
    rows = Interactions.from_columns(
        users,
        items,
        np.full(len(users), 4.0, np.float32),
        np.arange(len(users)),
        user_ids=np.arange(60),
        item_ids=np.array([film.pk for film in films]),
    )
    fitted = fit_model(ForYouPredictor, rows, options={"members": "popular,cosine,counts_90", "tries": 8})
    weights = np.zeros_like(fitted.mix.weights)
    weights[0, :, -2] = weights[1, :, 0] = weights[2, :, -1] = 1
    weights[2, :, 0] = 0.1
    fitted.mix = Mix(weights)
    store = ModelStore(tmp_path)
    data = {"id_space": FROM_SITE}
    store.publish(fitted, data=data, activate=True)
    for kind in (PopularPredictor, NeighboursPredictor):
        store.publish(kind.fit(rows), data=data, activate=True)
    return History.from_stars({films[30].pk: 5.0, films[35].pk: 4.0})


def test_each_point_of_the_dial_has_lists_of_its_own(site):
    lists = {point: recommend(site, k=10, familiarity=point).films for point in (-1.0, 0.0, 1.0)}
    assert len({tuple(films) for films in lists.values()}) == 3
    popular = recommend(site, k=10, model="popular")
    assert popular.familiarity is None
    assert len(set(lists[1.0]) & set(popular.films)) > len(set(lists[-1.0]) & set(popular.films))
    for point, films in lists.items():  # from the cache, each its own
        again = recommend(site, k=10, familiarity=point)
        assert again.films == films
        assert again.familiarity == point
        assert ("familiarity" in again.why) == (point != 0)


def test_a_model_without_a_dial_answers_as_always(site):
    plain = recommend(site, k=10, model="neighbours")
    moved = recommend(site, k=10, model="neighbours", familiarity=-1.0)
    assert moved.films == plain.films
    assert "familiarity" not in moved.why


def test_explanations_are_of_the_model_at_the_point_of_the_dial_that_made_the_list(site):
    predictor = registry().get("for_you")
    for point in (-1.0, 1.0):
        ranked = recommend(site, k=5, familiarity=point)
        moved = predictor.with_familiarity(point)
        found = explain(ranked.films, site, model="for_you", familiarity=point)
        assert list(found) == ranked.films
        supporters = moved.supporters(moved.encode(site), moved.ids.indices_of(ranked.films)[0])
        for why, expected in zip(found.values(), supporters, strict=True):
            assert expected
            assert [(each.movie.pk, each.share) for each in why.influences] == [
                (pk, pytest.approx(share)) for pk, share in expected
            ]


def test_moving_the_dial_costs_no_look_at_the_catalogue(site):
    predictor, index = registry().get("for_you"), movie_index()
    assert align_items(predictor.with_familiarity(0.5), index) is align_items(predictor, index)


def test_the_api_takes_any_point_and_ranks_as_the_pages_do(site, client):
    sent = {"history": [{"movie_id": film, "rating": stars} for film, stars in site.ratings.items()], "k": 10}

    def ask(path="", **options):
        body = json.dumps(
            {**sent, **options} if not path else {"entries": [{"history": sent["history"]}], **options}
        )
        response = client.post(f"/api/v1/recommend{path}", body, content_type="application/json")
        assert response.status_code == 200, response.content
        answer = response.json()
        answer = answer["results"][0] if path else answer
        return [each["movie_id"] for each in answer["recommendations"]]

    assert ask() == ask(familiarity=0) == recommend(site, k=10).films
    for point in (-1, 1):
        assert ask(familiarity=point) == recommend(site, k=10, familiarity=point).films != ask()
        assert ask("/batch", k=10, familiarity=point) == ask(familiarity=point)
    assert ask(familiarity=-1, model="popular") == ask(model="popular")
    schema = client.get("/api/v1/openapi.json").json()["components"]["schemas"]["RecommendRequest"]
    assert schema["properties"]["familiarity"]["minimum"] == -1
