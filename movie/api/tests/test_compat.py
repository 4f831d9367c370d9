"""Tests of the compatible services: the documented calls of other services and their answers."""

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings as site
from django.core.cache import cache

from datasets.interactions import Interactions
from evaluation.trainer import FROM_SITE, train
from movie.api.models import READ, SCOPES, ApiClient, create_key
from movie.catalogue.models import Movie, Rating
from predictors.serving.registry import ModelStore

pytestmark = pytest.mark.django_db

COMPAT = "/api/compat"
DOCS = Path(site.BASE_DIR) / "docs" / "compatibility.md"
FILMS = [50, 181, 174, 172, 100, *range(1, 36)]
LONG_AGO = datetime(1998, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Train small models of these movies, once."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(60), 8)
    items = np.concatenate([rng.permutation(len(FILMS))[:8] for _ in range(60)])
    stars = rng.integers(3, 6, len(items)).astype(np.float32)
    data = Interactions.from_columns(users, items, stars, user_ids=np.arange(60), item_ids=np.array(FILMS))
    for name in ("popular", "neighbours", "mf"):
        train(name, data, ModelStore(folder), id_space=FROM_SITE, activate=True)
    return folder


@pytest.fixture(autouse=True)
def demo(models, settings):
    settings.MODEL_DIR = models
    settings.API_ANONYMOUS_RATE_LIMIT = 10_000
    cache.clear()
    Movie.objects.bulk_create([Movie(pk=pk, title=f"Film {pk}", sort_title=f"{pk}") for pk in FILMS])
    Rating.objects.bulk_create(
        Rating(visitor=f"ml-100k:{user}", movie_id=film, value=4.0, rated_at=LONG_AGO)
        for user, films in {"196": (50, 181, 174), "22": (1, 2), "244": (3, 4)}.items()
        for film in films
    )


def post(client, path, **body):
    return client.post(f"{COMPAT}/{path}", body, content_type="application/json")


def documented():
    """Return each documented call with the answer below it, if there is one."""
    found = []
    for language, block in re.findall(r"```(\w+)\n(.*?)```", DOCS.read_text(), flags=re.DOTALL):
        if language == "json":
            found[-1] = (found[-1][0], json.loads(block))
        else:
            found += [(line, None) for line in block.replace("\\\n", " ").strip().splitlines()]
    return found


def run_curl(client, command):
    """Send the request of a curl command through the test client."""
    words = iter(shlex.split(command))
    assert next(words) == "curl"
    url, headers, body = "", {}, None
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        else:
            assert word.startswith("http://127.0.0.1:8000/"), word
            url = word.removeprefix("http://127.0.0.1:8000")
    if body is None:
        return client.get(url, headers=headers)
    return client.post(url, body, content_type=headers.pop("Content-Type"), headers=headers)


def shape(value):
    """Return the names and types of an answer without its values."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(each), sort_keys=True) for each in value})
    return "number" if isinstance(value, int | float) else type(value).__name__


@pytest.mark.parametrize(
    ("command", "answer"),
    documented(),
    ids=lambda each: re.sub(r".*compat/", "", each) if isinstance(each, str) else "",
)
def test_the_documented_calls_answer_as_documented(client, command, answer):
    response = run_curl(client, command)
    assert response.status_code == 200
    if answer is not None:
        assert shape(response.json()) == shape(answer)


def test_every_call_is_documented():
    told = " ".join(command for command, _ in documented())
    for path in ("recommend/196", "recommend ", "batch_recommend", "recommend_batch", "similar_items/"):
        assert path in told
    for name in ("lightgcn", "graph", "sasrec", "mf"):
        assert f"/api/compat/{name}/" in told


def test_lists_leave_out_what_the_user_has_seen_and_keep_the_order_of_the_model(client):
    plain = client.get(f"{COMPAT}/lightgcn/recommend/196?k=30").json()["recommendations"]
    assert len(plain) == 30 and not {50, 181, 174} & set(plain)
    as_v1 = client.get("/api/v1/recommend/ml-100k:196?k=30&model=lightgcn").json()["recommendations"]
    assert plain == [each["movie_id"] for each in as_v1]
    seen = post(client, "graph/recommend", user_id=196, k=40, exclude_seen=False).json()["recommendations"]
    assert {50, 181, 174} <= {each["item_id"] for each in seen}
    assert [each["score"] for each in seen] == sorted((each["score"] for each in seen), reverse=True)


def test_another_model_never_answers_unsaid(client):
    asked = post(client, "graph/recommend", user_id=196, model_name="neighbours")
    assert (asked["Reelgraph-Model"], asked.json()["model_used"]) == ("neighbours", "neighbours")
    assert "Reelgraph-Fallback" not in asked
    instead = client.get(f"{COMPAT}/lightgcn/recommend/196")
    assert instead["Reelgraph-Model"] != "lightgcn"
    assert instead["Reelgraph-Fallback"] == "not_trained"


def test_a_user_id_comes_back_as_it_was_sent(client):
    for user_id in (196, "196", "ml-100k:196"):
        assert post(client, "mf/recommend", user_id=user_id).json()["user_id"] == user_id


def test_predicted_ratings_are_stars_of_the_star_predictor(client):
    answer = post(client, "mf/recommend", user_id=196, top_n=20, exclude_rated=True)
    assert answer["Reelgraph-Model"] == "mf"
    found = answer.json()["recommendations"]
    assert answer.json()["total_count"] == len(found) == 20
    assert all(0.5 <= each["predicted_rating"] <= 5 for each in found)
    v1 = client.post(
        "/api/v1/recommend",
        {"user_id": "ml-100k:196", "model": "mf", "k": 20},
        content_type="application/json",
    ).json()
    assert [(each["item_id"], each["predicted_rating"]) for each in found] == [
        (each["movie_id"], each["predicted_rating"]) for each in v1["recommendations"]
    ]


def test_histories_are_taken_as_they_are(client):
    answer = post(client, "sasrec/recommend", user_history=[50, 9999, 181], top_k=38).json()
    assert answer["user_history"] == [50, 9999, 181]
    assert [each["rank"] for each in answer["recommendations"]] == list(range(1, 39))
    assert not {50, 181} & {each["item_id"] for each in answer["recommendations"]}
    kept = post(client, "sasrec/recommend", user_history=[50], top_k=40, exclude_history=False).json()
    assert 50 in {each["item_id"] for each in kept["recommendations"]}


def test_one_wrong_user_of_a_batch_spoils_no_other(client):
    body = {"user_ids": ["nobody", 196, "user:1", 22], "k": 2}
    answer = post(client, "graph/batch_recommend", **body).json()
    assert (answer["total_users"], answer["successful"], answer["failed"]) == (4, 2, 2)
    assert [each["user_id"] for each in answer["results"]] == body["user_ids"]
    assert [sorted(each)[0] for each in answer["results"]] == ["error", "model_used", "error", "model_used"]
    assert "API key" in answer["results"][2]["error"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("graph/recommend", {"user_id": "nobody"}, 404),
        ("graph/recommend", {"user_id": "user:1"}, 401),
        ("graph/recommend", {"user_id": 196, "k": 0}, 422),
        ("graph/recommend", {"user_id": 196, "k": 10**9}, 422),
        ("graph/recommend", {"user_id": 196, "model_name": "../popular"}, 422),
        ("graph/recommend", {"user_id": True}, 422),
        ("graph/recommend", {}, 422),
        ("graph/batch_recommend", {"user_ids": []}, 422),
        ("sasrec/recommend", {"user_history": ["x"]}, 422),
        ("sasrec/recommend", {"user_history": [1] * 1001}, 422),
        ("mf/recommend", {"user_id": 196, "top_n": -1}, 422),
    ],
)
def test_wrong_calls_are_refused_with_a_detail(client, path, body, status):
    response = post(client, path, **body)
    assert response.status_code == status
    assert response.json()["detail"]


def test_similar_items_of_an_unknown_film(client):
    assert client.get(f"{COMPAT}/sasrec/similar_items/9999").status_code == 404


def test_users_are_listed_page_by_page_by_the_ids_that_calls_take(client):
    first = client.get(f"{COMPAT}/mf/users?limit=2").json()
    second = client.get(f"{COMPAT}/mf/users?limit=2&cursor={first['next']}").json()
    assert (first["users"], second) == ([196, 22], {"users": [244], "next": None})


def test_of_several_data_sets_the_first_that_knows_the_id_answers(client):
    Rating.objects.create(visitor="ml-1m:196", movie_id=1, value=5.0, rated_at=LONG_AGO)
    Rating.objects.create(visitor="ml-1m:7", movie_id=1, value=5.0, rated_at=LONG_AGO)
    cache.clear()
    ids = {
        each["item_id"]
        for each in post(client, "mf/recommend", user_id=196, top_n=40).json()["recommendations"]
    }
    assert 1 in ids and 50 not in ids, "as of ml-100k:196"
    assert post(client, "mf/recommend", user_id=7).status_code == 200
    assert client.get(f"{COMPAT}/mf/users").json()["users"][-1] == "ml-1m:7", "ids that say which"


def test_a_client_asks_for_its_own_visitors_by_their_plain_ids(client):
    key = create_key(ApiClient.objects.create(slug="shop"), list(SCOPES)).token
    headers = {"Authorization": f"Bearer {key}"}
    entry = {"visitor": "anna", "movie_id": 50, "kind": "rating", "value": 5.0}
    client.post("/api/v1/interactions", entry, content_type="application/json", headers=headers)
    own = client.get(f"{COMPAT}/lightgcn/recommend/anna?k=40", headers=headers)
    assert own.status_code == 200 and 50 not in own.json()["recommendations"]
    other = create_key(ApiClient.objects.create(slug="other"), [READ]).token
    for headers in ({}, {"Authorization": f"Bearer {other}"}):
        assert client.get(f"{COMPAT}/lightgcn/recommend/anna", headers=headers).status_code == 404
    assert (
        "anna" in client.get(f"{COMPAT}/mf/users", headers={"Authorization": f"Bearer {key}"}).json()["users"]
    )


def test_without_any_model_the_service_is_unwell_and_says_so(client, settings, tmp_path):
    from movie.operations.tests.checks import forget_checks

    forget_checks()
    assert client.get(f"{COMPAT}/graph/health").json() == {"status": "healthy", "model_loaded": True}
    settings.MODEL_DIR = tmp_path
    forget_checks()
    sick = client.get(f"{COMPAT}/graph/health")
    assert (sick.status_code, sick.json()) == (503, {"status": "unhealthy", "model_loaded": False})
    refused = post(client, "graph/recommend", user_id=196)
    assert refused.status_code == 503 and "Retry-After" in refused
    forget_checks()


def test_metrics_are_for_those_who_may_read_the_sites(client, settings):
    assert b"reelgraph" in client.get(f"{COMPAT}/mf/metrics").content
    assert client.get(f"{COMPAT}/mf/metrics", REMOTE_ADDR="192.0.2.1").status_code == 403
    settings.METRICS_TOKEN = "only-for-prometheus"
    shown = client.get(f"{COMPAT}/mf/metrics", headers={"Authorization": "Bearer only-for-prometheus"})
    assert shown.status_code == 200
