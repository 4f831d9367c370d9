"""What a request to the API may cost beside the scores, in calls, which do not depend on the machine."""

from __future__ import annotations

import json
import sys
from io import BytesIO
from itertools import product

import pytest
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.redis import RedisCache
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started

from movie.core.caching import JSONLocMemCache
from movie.telemetry.counters import instruments, labelled

ADDRESS = "/api/v1/recommend"
MOST_CALLS = 920  # there were 1,830, then 890, now 880, on Python 3.11
PER_FILM = 4  # of the history


def environ(body: bytes) -> dict:
    return {
        "REQUEST_METHOD": "POST", "PATH_INFO": ADDRESS, "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost", "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http", "wsgi.input": BytesIO(body), "wsgi.errors": sys.stderr,
    }  # fmt: skip


def count_calls(handler: WSGIHandler, history: list[int]) -> int:
    """Return how many functions of Python and C a request for a list calls, once it is warm."""
    n_calls = 0

    def count(frame, event, argument):
        nonlocal n_calls
        n_calls += event in ("call", "c_call")

    body = json.dumps({"history": history, "k": 10}).encode()
    for last in (False, False, True):
        sent = environ(body)
        sys.setprofile(count if last else None)
        response = handler(sent, lambda status, headers: None)
        sys.setprofile(None)
        assert response.status_code == 200, response.content
    return n_calls


def test_a_request_for_a_list_is_few_calls_and_few_for_each_film_of_its_history(api_site):
    handler = WSGIHandler()
    short, long = (count_calls(handler, list(range(1, n + 1))) for n in (5, 25))
    assert short < MOST_CALLS
    assert long - short <= PER_FILM * 20


def test_a_host_that_is_not_allowed_is_refused_after_one_that_is(api_site, client):
    body = {"history": [1]}
    for host, status in (("localhost", 200), ("elsewhere.example", 400), ("localhost", 200)):
        response = client.post(ADDRESS, body, content_type="application/json", headers={"host": host})
        assert response.status_code == status


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_answers_have_the_security_headers_of_pages(api_site, client, settings, scheme):
    settings.SECURE_HSTS_SECONDS = 60
    for body, status in (({"history": [1]}, 200), ({"history": "x"}, 422)):
        for language in ("en", "ko"):
            response = client.post(
                ADDRESS, body, content_type="application/json", secure=scheme == "https",
                headers={"accept-language": language},
            )  # fmt: skip
            assert response.status_code == status
            assert response.get("Strict-Transport-Security", "").startswith("max-age=60") == (
                scheme == "https"
            )
            check_headers(response, language)


def check_headers(response, language):
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Content-Security-Policy"].startswith("default-src 'none'")
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response["Content-Language"] == language
    assert {*response["Vary"].split(", ")} == {"Accept-Language", "origin"}
    assert response["Content-Length"] == str(len(response.content))


@pytest.mark.usefixtures("api_site")
@pytest.mark.parametrize(
    ("asked", "sent", "status"),
    [
        ("GET /api/v1/nothing", {}, 404),
        ("GET /api/v1/movies/999", {}, 404),
        (f"PUT {ADDRESS}", {}, 405),
        (f"POST {ADDRESS}", {"HTTP_HOST": "elsewhere.example"}, 400),
        (f"POST {ADDRESS}", {"CONTENT_TYPE": "application/json; charset=utf-16"}, 415),
        (f"POST {ADDRESS}", {}, 422),
    ],
)
def test_refusals_have_the_headers_of_answers_and_what_cors_allows(client, settings, asked, sent, status):
    settings.CORS_ALLOWED_ORIGINS = ["https://shop.example"]
    for language, origin in product(("ko", "en"), ("", "https://shop.example", "https://elsewhere.example")):
        headers = {"accept-language": language, **({"origin": origin} if origin else {})}
        response = client.generic(
            *asked.split(), "{}", headers=headers, **{"content_type": "application/json", **sent}
        )
        assert response.status_code == status
        assert response["Content-Type"] == "application/problem+json"
        check_headers(response, language)
        allowed = "https://shop.example" if origin == "https://shop.example" else None
        assert response.get("Access-Control-Allow-Origin") == allowed
        assert ("Allow" in response) == (status == 405)


def test_plain_http_is_led_to_https_where_the_site_wants_it(api_site, client, settings):
    settings.SECURE_SSL_REDIRECT = True
    response = client.post(ADDRESS, {"history": [1]}, content_type="application/json")
    assert (response.status_code, response["Location"]) == (301, f"https://testserver{ADDRESS}")


def test_a_page_of_another_origin_gets_what_cors_allows_it(api_site, client, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://shop.example"]
    for origin, allowed in (("https://shop.example", True), ("https://elsewhere.example", False)):
        response = client.post(
            ADDRESS, {"history": [1]}, content_type="application/json", headers={"origin": origin}
        )
        assert response.status_code == 200
        assert (response.get("Access-Control-Allow-Origin") == origin) == allowed
        assert "origin" in response["Vary"]
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    preflight = client.options(ADDRESS, headers=asked)
    assert (preflight.status_code, preflight["Access-Control-Allow-Origin"]) == (200, "https://shop.example")


@pytest.mark.parametrize(
    "history", [[1, 0], [1, True], [1, 2.5], [1, 2**70], [1, None], list(range(1, 1002))]
)
def test_a_wrong_history_of_numbers_is_refused_as_one_of_other_ids_is(api_site, client, history):
    """The step that takes numbers alone says nothing of its own."""
    answers = [
        client.post(ADDRESS, {"history": sent}, content_type="application/json")
        for sent in (history, [*history[:1], {"movie_id": 1}, *history[1:]])
    ]
    assert [answer.status_code for answer in answers] == [422, 422]
    plain, mixed = (answer.json()["errors"][0]["detail"] for answer in answers)
    assert plain == mixed.replace("1002", "1001")


def test_receivers_that_have_nothing_to_do_here_are_not_called():
    names = {
        receiver.__name__
        for signal in (request_started, request_finished)
        for found in [signal._live_receivers(sender=None)]
        for receiver in found[0]
    }
    assert "close_old_connections" in names
    assert not names & {"close_caches", "reset_urlconf"}  # tests that count queries connect reset_queries
    assert JSONLocMemCache.close is BaseCache.close is RedisCache.close, "else caches have to be closed"


def test_what_is_counted_with_the_same_labels_is_counted_in_one_place():
    instrument = instruments().fallbacks
    assert labelled(instrument, "a", "b") is labelled(instrument, "a", "b") is instrument.labels("a", "b")
    assert labelled(instrument, "a", "c") is not labelled(instrument, "a", "b")
