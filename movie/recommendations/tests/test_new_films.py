"""New films: recommended at once by what they are about, with a reason, and marked in API and on pages."""

from __future__ import annotations

import json
import threading
import time

import pytest
from django.db import connection
from django.utils import timezone

from movie.api.models import READ, WRITE_CATALOGUE, WRITE_INTERACTIONS, ApiClient, create_key
from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film
from movie.core.ids import new_event_id
from movie.recommendations.movie_index import recheck
from movie.recommendations.new_films import _new_films, with_new_films
from movie.recommendations.ranking import recommend
from movie.recommendations.tests.histories import NOW
from movie.training.registry import registry
from predictors.history import History, Interaction

VISITOR = "api:shop:7"


@pytest.fixture
def send(client, api_site):
    shop = ApiClient.objects.create(slug="shop")
    token = create_key(shop, [READ, WRITE_CATALOGUE, WRITE_INTERACTIONS]).token

    def call(method, path, body):
        response = client.generic(
            method,
            f"/api/v1/{path}",
            json.dumps(body),
            content_type="application/json",
            headers={"authorization": f"Bearer {token}"},
        )
        assert response.status_code in (200, 201, 207), response.content
        return response.json()

    return call


def likes(*movie_ids):
    return History(
        Interaction(new_event_id(), VISITOR, "rating", movie_id, NOW, 5.0) for movie_id in movie_ids
    )


def upsert(send, key, genre):
    film = {"id": f"shop:{key}", "title": f"The {genre} of {key}", "year": 1990, "genres": [genre]}
    return send("PUT", "movies", [film])


def recommended(send, k=12):
    body = {"user_id": "7", "k": k, "explain": True}
    return send("POST", "recommend", body)["recommendations"]


def test_a_film_that_a_program_adds_is_recommended_within_a_second(send):
    for film in (1, 5, 7, 11):  # westerns
        send("POST", "interactions", {"visitor": "7", "movie_id": film, "kind": "rating", "value": 5})
    assert not any(each["is_new"] for each in recommended(send))
    began = time.process_time()
    upsert(send, "cold", "Western")
    upsert(send, "other", "Horror")
    found = recommended(send)
    assert time.process_time() - began < 1
    new = {each["title"]: each for each in found if each["is_new"]}
    western = new["The Western of cold"]
    assert western["rank"] <= 6
    assert {reason["movie_id"] for reason in western["reasons"]} <= {1, 5, 7, 11}
    assert western["reasons"]
    horror = new.get("The Horror of other")
    assert horror is None or horror["rank"] > western["rank"]


def test_pages_show_it_with_what_it_is_and_why(client, send):
    upsert(send, "cold", "Western")
    for film in (1, 5, 7, 11):
        client.post(f"/movies/{film}/rate/", {"event_id": new_event_id(), "surface": "home", "value": "5"})
    page = client.get("/").content.decode()
    assert "The Western of cold" in page
    assert "New here. Because you rated Film" in page


def test_what_was_seen_or_hidden_or_left_out_does_not_come_again(send):
    upsert(send, "cold", "Western")
    film = Movie.objects.get(title="The Western of cold")
    history = likes(1, 5, 7, 11)

    def ids(history, **options):
        return [
            each.movie_id for each in recommend(history, k=24, model="neighbours", **options).recommendations
        ]

    assert film.pk in ids(history)
    assert film.pk not in ids(history, exclude=[film.pk])
    assert film.pk not in ids(History([*history, *likes(film.pk)]))
    assert film.pk not in ids(likes(film.pk))
    Movie.objects.filter(pk=film.pk).update(is_visible=False)
    recheck()
    assert film.pk not in ids(history)


def test_a_new_film_that_a_request_names_does_not_come_again(send):
    upsert(send, "cold", "Western")
    film = Movie.objects.get(title="The Western of cold").pk

    def ids(*history):
        body = {"history": history, "model": "neighbours", "k": 24}
        return [each["movie_id"] for each in send("POST", "recommend", body)["recommendations"]]

    assert film in ids(1, 5, 7, 11)
    assert film not in ids(1, 5, 7, 11, film)


def test_lists_that_are_the_same_for_everybody_hold_none(send):
    upsert(send, "cold", "Western")
    ranked = recommend(likes(1, 5, 7, 11), k=24, model="popular")
    assert ranked.model == "popular"
    assert not ranked.new_films


@pytest.fixture
def own_store(api_site, settings, tmp_path):
    """A store of its own with the neighbours of the site, served by a registry that looks every time."""
    old = registry().store
    settings.MODEL_DIR = tmp_path / "models"
    registry().check_seconds = 0.0
    predictor = old.load("neighbours", old.current("neighbours"))
    return registry().store, predictor


def new_in(ranked):
    return [each.movie_id for each in ranked.recommendations if each.movie_id in ranked.new_films]


def test_a_version_is_ready_for_new_films_before_a_visitor_asks(own_store, monkeypatch):
    store, predictor = own_store
    store.publish(predictor, data={"read_at": "2020-01-01T00:00:00+00:00"}, activate=True)
    film = make_film("The Western", 1990, genres=["Western"])
    recheck()
    assert film.pk in new_in(recommend(likes(1, 5, 7, 11), k=24, model="neighbours"))
    loaded = store.load("neighbours", store.current("neighbours"))
    _new_films.prepare(loaded)
    asked = []
    monkeypatch.setattr("movie.recommendations.new_films.contents_of", asked.append)
    assert film.pk in with_new_films(loaded).new_ids
    assert not asked, "nothing was read for the request"


def test_a_film_that_came_during_the_training_is_new_afterwards(own_store):
    store, predictor = own_store
    read_at = timezone.now().isoformat()
    film = make_film("The Western", 1990, genres=["Western"])
    recheck()
    store.publish(predictor, data={"read_at": read_at}, activate=True)
    assert film.pk in new_in(recommend(likes(1, 5, 7, 11), k=24, model="neighbours"))


@pytest.mark.parametrize("read_at", ["yesterday", 5, None])
def test_a_version_whose_time_of_reading_cannot_be_read_serves(own_store, read_at):
    store, predictor = own_store
    store.publish(predictor, data={"read_at": read_at}, activate=True)
    film = make_film("The Western", 1990, genres=["Western"])
    recheck()
    ranked = recommend(likes(1, 5, 7, 11), k=24, model="neighbours")
    assert (ranked.model, ranked.fallback) == ("neighbours", "")
    assert film.pk in new_in(ranked)


def test_the_thread_that_loads_a_version_leaves_no_connection_open(own_connections, own_store):
    store, predictor = own_store
    store.publish(predictor, activate=True)
    loaded = store.load("neighbours", store.current("neighbours"))
    is_open = []

    def load() -> None:
        _new_films.prepare(loaded)
        is_open.append(connection.connection is not None)

    loader = threading.Thread(target=load)
    loader.start()
    loader.join()
    load()  # as the first request does, which has its connection already and keeps it
    assert is_open == [False, True]
    assert _new_films.prepared["neighbours"].ids is loaded.ids


def test_a_film_that_says_nothing_of_itself_takes_nobodys_position(send):
    before = [each.movie_id for each in recommend(likes(1, 5, 7, 11), k=6).recommendations][:6]
    film = make_film("Q")
    recheck()
    after = [each.movie_id for each in recommend(likes(1, 5, 7, 11), k=24).recommendations]
    assert after[:6] == before
    assert film.pk in after
