"""So many costly calls run at once; others are told when to come again, and cheap pages go on."""

import json
import threading

import pytest
from django.test import Client

from movie.core.http import TooManyRequests
from movie.recommendations import ceiling
from movie.recommendations.ceiling import Ceiling
from predictors.models.neighbours import NeighboursPredictor


@pytest.fixture(autouse=True)
def impatient(monkeypatch, settings):
    monkeypatch.setattr(ceiling, "WAIT_SECONDS", 0.02)
    settings.COSTLY_CALLS = 2


def test_the_ceiling_holds_and_a_place_is_given_back_whatever_happens():
    own = Ceiling()
    with own.costly_call(), own.costly_call(), pytest.raises(TooManyRequests), own.costly_call():
        pass
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), own.costly_call():
            raise ZeroDivisionError
    with own.costly_call(), own.costly_call():
        pass


def test_a_call_that_waits_a_moment_gets_the_place_that_becomes_free(monkeypatch):
    monkeypatch.setattr(ceiling, "WAIT_SECONDS", 30)
    own, done = Ceiling(), threading.Event()

    def wait_for_a_place():
        with own.costly_call():
            done.set()

    waiting = threading.Thread(target=wait_for_a_place)
    with own.costly_call(), own.costly_call():
        waiting.start()
        assert not done.wait(0.05)
    waiting.join(10)
    assert done.is_set()


@pytest.fixture
def taken():
    with ceiling.costly_call(), ceiling.costly_call():
        yield


def post(path, body):
    return Client().post(path, json.dumps(body), content_type="application/json")


def test_costly_calls_of_the_api_are_refused_and_others_answered(api_site, monkeypatch, taken):
    batch = {"entries": [{"history": [1]}] * 65, "model": "neighbours"}
    entries = {"entries": [{"history": [1]}] * 20}
    assert post("/api/v1/recommend", {"history": [1]}).status_code == 200
    assert post("/api/v1/recommend/batch", entries).status_code == 200
    explained = post("/api/v1/recommend", {"history": [1], "explain": True})
    monkeypatch.setattr(NeighboursPredictor, "is_costly", True)
    model = post("/api/v1/recommend", {"history": [1], "model": "neighbours"})
    compat = post("/api/compat/sasrec/recommend", {"user_history": [1]})
    monkeypatch.undo()
    monkeypatch.setattr(ceiling, "WAIT_SECONDS", 0.02)
    monkeypatch.setattr("django.conf.settings.API_ANONYMOUS_BATCH", 1000)
    large = post("/api/v1/recommend/batch", batch)
    for response in (explained, model, compat, large):
        assert response.status_code == 429
        assert response["Content-Type"] == "application/problem+json"
        assert response["Retry-After"] == str(ceiling.RETRY_SECONDS)


def test_costly_pages_are_refused_and_others_shown(api_site, monkeypatch, taken):
    client = Client(headers={"accept": "text/html"})
    for film in (1, 3, 5):
        client.post(f"/movies/{film}/rate/", {"value": "5"})
    why = client.get("/movies/7/why/")
    sheet = client.get("/movies/7/why/", headers={"HX-Request": "true"})
    assert (why.status_code, sheet.status_code) == (429, 429)
    assert why["Retry-After"] == sheet["Retry-After"] == str(ceiling.RETRY_SECONDS)
    assert b"<html" in why.content and b"<html" not in sheet.content
    for address in ("/", "/recommend/", "/movies/7/", "/history/", "/compare/"):
        assert client.get(address).status_code == 200, address
    monkeypatch.setattr(NeighboursPredictor, "is_costly", True)
    assert client.get("/compare/").status_code == 429


@pytest.mark.parametrize("address", ["/movies/7/why/", "/compare/", "/recommend/"])
def test_a_visitor_sees_costly_pages_so_often_in_a_minute(api_site, settings, address):
    settings.PAGE_RATE_LIMIT = 3
    client = Client(headers={"accept": "text/html"})
    client.post("/movies/1/rate/", {"value": "5"})
    answers = [client.get(address) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[3]["Retry-After"]) <= 60
    assert client.get("/").status_code == 200
    assert client.post("/movies/3/rate/", {"value": "5"}).status_code == 303, "decisions are counted apart"


def test_dropping_the_cookie_gives_no_more_of_them(api_site, settings):
    settings.PAGE_RATE_LIMIT = 1
    statuses = [Client().get("/compare/").status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/v1/recommend/batch", {"entries": [{"history": [1]}] * 21}, "entries"),
        ("/api/compat/sasrec/recommend_batch", {"user_histories": [[1]] * 21}, "user_histories"),
        ("/api/compat/graph/batch_recommend", {"user_ids": ["1"] * 21}, "user_ids"),
    ],
)
def test_without_a_key_a_batch_has_few_entries_and_each_counts(api_site, settings, path, body, field):
    refused = post(path, body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == field
    settings.API_ANONYMOUS_RATE_LIMIT = 40
    allowed = {field: body[field][:20]}
    assert [post(path, allowed).status_code for _ in range(3)] == [200, 200, 429]
