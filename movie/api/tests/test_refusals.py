"""Tests of refusals: one shape, the right status, never a 500."""

from __future__ import annotations

import json

import pytest
from django.db import OperationalError, connection
from django.test import Client

from movie.api.problems import MEDIA_TYPE

ADDRESS = "/api/v1/recommend"


def refused(response, status: int) -> dict:
    """Return the problem document of a refusal, and check its shape."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == MEDIA_TYPE
    problem = response.json()
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"]
    assert problem.keys() <= {"type", "title", "status", "detail", "errors"}
    for error in problem.get("errors", ()):
        assert error.keys() == {"in", "field", "detail"}
    return problem


def post(client, body: bytes | str, content_type: str = "application/json"):
    return client.post(ADDRESS, body, content_type=content_type)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"history": [1], "k": 0}, ["k"]),
        ({"history": [1], "k": 101}, ["k"]),
        ({"history": [1], "k": True}, ["k"]),
        ({"history": [1], "k": "5"}, ["k"]),
        ({"history": [1], "kk": 5}, ["kk"]),
        ({"history": [0, 2**63, "x", None, 1.5]}, [f"history[{place}]" for place in range(5)]),
        ({"history": [1, {"movie_id": 2, "rating": 4.2}]}, ["history[1].rating"]),
        (
            {"history": [{"movie_id": 2, "rating": 9}, {"movie_id": 10**30}]},
            ["history[0].rating", "history[1].movie_id"],
        ),
        ({"history": [{"movie_id": 2, "at": "2020-01-01T00:00:00"}]}, ["history[0].at"]),
        ({"history": [1], "filters": {"year_from": "x", "a": 1}}, ["filters.year_from", "filters.a"]),
        ({"history": [1], "model": "gpt"}, ["model"]),
        ({"history": [1], "diversity": 1.1}, ["diversity"]),
        ({"history": [1], "familiarity": -1.1}, ["familiarity"]),
        ({"history": list(range(1, 1002))}, ["history"]),
        ({"history": None}, ["history"]),
        ({"user_id": ""}, ["user_id"]),
        ({"user_id": "ml-100k:1", "history": [1]}, [""]),
        ({}, [""]),
        ([], [""]),
        ("x", [""]),
        (None, [""]),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(client, api_site, body, fields):
    problem = refused(post(client, json.dumps(body)), 422)
    assert sorted(error["field"] for error in problem["errors"]) == sorted(fields)
    assert all(error["in"] == "body" for error in problem["errors"])


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"history": [1], "diversity": NaN}',
        b'{"history": [1], "diversity": Infinity}',
        b'{"user_id": "\xff\xfe"}',
        b'{"user_id": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        '{"history": [1]}'.encode("utf-16"),
        b"\x00",
    ],
)
def test_what_is_no_json_is_400(client, api_site, body):
    refused(post(client, body), 400)


@pytest.mark.parametrize(
    "user", ["ml-100k:\\u0000", "\\u0000", "ml-100k:1' OR '1'='1", "ml-100k:%", "ml-100k:" + "é" * 100]
)
def test_odd_users_are_refused_or_unknown(client, api_site, user):
    assert post(client, f'{{"user_id": "{user}"}}').status_code in (401, 404, 422)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"user_id": "a\\u0000"}', "user_id"),
        ('{"history": [1, {"source": "imdb", "id": "\\u0000"}]}', "history[1].id"),
        ('{"filters": {"attributes": {"\\u0000": 1}}}', "filters.attributes"),
    ],
)
def test_a_nul_character_is_refused_by_its_field(client, api_site, body, field):
    problem = refused(post(client, body), 422)
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_nul_character_in_an_address_is_refused(client, api_site):
    for address in ("movies/imdb:%00", "movies?genre=%00", "search?q=%00", "models?id_space=a%00"):
        refused(client.get(f"/api/v1/{address}"), 422)


def test_the_six_characters_that_spell_a_nul_are_a_text(client, api_site):
    assert post(client, '{"user_id": "\\\\u0000"}').status_code in (401, 404)


def test_huge_numbers_are_refused(client, api_site):
    refused(post(client, '{"history": [1' + "0" * 1000 + "]}"), 422)
    refused(post(client, '{"history": [1' + "0" * 5000 + "]}"), 400)
    refused(post(client, '{"history": [1], "diversity": 1e400}'), 422)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_another_content_type_is_415(client, api_site, kind):
    problem = refused(post(client, '{"history": [1]}', kind), 415)
    assert "application/json" in problem["detail"]


def test_a_body_with_a_charset_is_read(client, api_site):
    assert post(client, '{"history": [1]}', "application/json; charset=utf-8").status_code == 200


def test_no_body_is_a_missing_body(client, api_site):
    refused(client.post(ADDRESS, b"", content_type="application/json"), 422)


def test_too_large_a_body_is_413(client, api_site, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    refused(post(client, json.dumps({"history": [1] * 1000})), 413)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"HTTP_HOST": "elsewhere.example"}, 400),
        ({"CONTENT_TYPE": "application/json; charset=utf-16"}, 415),
        ({"CONTENT_LENGTH": str(10**9)}, 413),
    ],
)
def test_a_refusal_by_the_headers_says_its_language_and_what_it_depends_on(client, api_site, sent, status):
    for language in ("ko", "en"):
        response = client.post(
            ADDRESS, **{"content_type": "application/json", "HTTP_ACCEPT_LANGUAGE": language, **sent}
        )
        refused(response, status)
        assert response["Content-Language"] == language
        assert "Accept-Language" in response["Vary"]


@pytest.mark.parametrize(
    "address",
    ["/api/v1/", "/api/v1/nothing", "/api/v1/recommend/", "/api/v1/movies/999", "/api/v1/movies/999/similar",
     "/api/v1/movies/9223372036854775808", "/api/v1/movies/0/similar", f"/api/v1/movies/1{'0' * 5000}",
     "/api/compat/sasrec/similar_items/9223372036854775808"],
)  # fmt: skip
def test_what_is_not_there_is_404(client, api_site, address):
    refused(client.get(address), 404)


@pytest.mark.parametrize(
    ("method", "address", "allowed"),
    [
        ("put", ADDRESS, "POST"),
        ("post", "/api/v1/movies", "GET, PUT"),
        ("options", ADDRESS, "POST"),
        ("trace", ADDRESS, "POST"),
    ],
)
def test_another_method_is_405_and_says_which_are_possible(client, api_site, method, address, allowed):
    response = getattr(client, method)(address)
    refused(response, 405)
    assert response["Allow"] == allowed


def test_head_is_get_without_a_body(client, api_site):
    shown, head = client.get("/api/v1/movies"), client.head("/api/v1/movies")
    assert head.status_code == 200
    assert head.content == b""
    assert head["Content-Length"] == shown["Content-Length"] == str(len(shown.content))


def test_what_asks_for_a_key_says_how_to_show_one(client, api_site):
    response = client.post(
        "/api/v1/models/popular/activate", {"version": "x"}, content_type="application/json"
    )
    refused(response, 401)
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_too_many_requests_are_told_when_to_come_back(client, api_site, settings):
    settings.API_ANONYMOUS_RATE_LIMIT = 2
    answers = [client.get("/api/v1/movies?page_size=1") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused(answers[2], 429)
    assert 0 < int(answers[2]["Retry-After"]) <= 60


# What SQLite and MySQL say then.
AWAY = OperationalError(*(["unable to open database file"] if connection.vendor == "sqlite" else [2006]))


def test_while_the_database_is_away_the_answer_is_503(client, api_site, monkeypatch):
    def away(*args, **kwargs):
        raise AWAY

    with monkeypatch.context() as patch:
        patch.setattr("django.db.backends.utils.CursorWrapper.execute", away)
        response = client.get("/api/v1/movies/1")
    refused(response, 503)
    assert response["Retry-After"] == "5"


def test_an_error_that_nobody_foresaw_is_logged_and_tells_nothing(api_site, monkeypatch, caplog):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("movie.api.routes.recommend.rank_histories", broken)
    response = Client(raise_request_exception=False).post(
        ADDRESS, {"history": [1]}, content_type="application/json"
    )
    assert "secret" not in json.dumps(refused(response, 500))
    assert "ZeroDivisionError" in caplog.text
    said_by = {record.name for record in caplog.records}
    assert "django.request" not in said_by, "a second line, which would name the address"


def test_answers_carry_the_headers_of_the_site_and_no_cookie(client, api_site):
    for response in (client.get("/api/v1/movies"), client.get("/api/v1/nothing")):
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["X-Frame-Options"] == "DENY"
        directives = response["Content-Security-Policy"].split("; ")
        assert sorted(directives) == ["default-src 'none'", "frame-ancestors 'none'"]
        assert response["Referrer-Policy"] == "same-origin"
        assert not response.cookies


def test_over_http_the_api_sends_to_https(client, api_site, settings):
    settings.SECURE_SSL_REDIRECT = True
    response = Client().get("/api/v1/movies")
    assert response.status_code == 301
    assert response["Location"].startswith("https://")


def test_an_unknown_host_is_refused_in_the_same_shape(client, api_site):
    refused(client.get("/api/v1/movies", headers={"host": "unknown.example"}), 400)
    page = client.get("/", headers={"host": "unknown.example"})
    assert page.status_code == 400 and page["Content-Type"].startswith("text/html")


def test_an_address_with_a_line_break_is_404_too(client, api_site):
    refused(client.post("/api/v1/%0A"), 404)
    refused(client.delete("/api/compat/nothing/"), 404)
