"""One line for every request, joined to all others by its id, and nobody is in any of them."""

import io
import json
import logging
import re

import pytest
import structlog
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import include, path, reverse
from django.utils import translation

from movie.catalogue.tests.films import make_film
from movie.events.models import Event
from movie.telemetry import requests
from movie.telemetry.logging import formatter, redact
from movie.telemetry.requests import RequestLogMiddleware

ID = re.compile(r"[0-9a-f]{32}")


def breaks(request: HttpRequest, what: str) -> HttpResponse:
    """A view that fails with everything it knows in its message."""
    told = f"{request.visitor.key} {request.GET} {request.POST} {request.META['REMOTE_ADDR']} {request.path}"
    raise ValueError(f"cannot use {told}\nat all: {told}")


urlpatterns = [path("breaks/<str:what>/", breaks, name="breaks"), path("", include("webapp.urls"))]
handler500 = "movie.pages.views.errors.server_error"


@pytest.fixture
def written():
    """What the site writes, as its handler would."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter("json"))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def lines(written):
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_request_is_one_line_with_its_route(client, db, written):
    film = make_film("Heat")
    cache.clear()
    answer = client.get(reverse("pages:movie", args=[film.pk]))
    (line,) = lines(written)
    assert line["event"] == "request"
    assert (line["route"], line["method"], line["status"]) == ("pages:movie", "GET", 200)
    assert line["ms"] > 0
    assert line["request_id"] == answer["X-Request-ID"]
    assert ID.fullmatch(line["request_id"])
    assert (line["level"], line["logger"]) == ("info", "movie.access")
    assert line["at"].endswith("Z")


def test_a_record_says_nothing_of_the_thread_and_the_time_of_the_import(client, db, caplog):
    client.get("/no-such-page/")
    (record,) = [record for record in caplog.records if record.name == "movie.access"]
    assert record.msecs == pytest.approx(record.created % 1 * 1000)
    assert record.thread is record.threadName is record.process is None


def test_the_line_names_the_lists_of_the_page_and_who_made_them(client, db, written):
    for number in range(4):
        make_film(f"Film {number}", stars=[4.0])
    cache.clear()
    page = client.get("/").content.decode()
    (line,) = lines(written)
    assert line["models"] == ["most_rated"]
    assert line["recommendations"]
    assert all(each in page for each in line["recommendations"])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("edge-1.a_B-2345678", True),
        ("0123456789abcdef" * 4, True),
        ("0123456789abcdef" * 4 + "0", False),
        ("short", False),
        ('with "quotes" and spaces', False),
        ("new\nline-12345", False),
        ("", False),
    ],
)
def test_the_id_of_a_proxy_is_kept_if_it_is_one(given, kept):
    request = RequestFactory().get("/", headers={"x-request-id": given})
    answer = RequestLogMiddleware(lambda _: HttpResponse())(request)
    assert (answer["X-Request-ID"] == given) is kept
    assert kept or ID.fullmatch(answer["X-Request-ID"])


def test_everything_written_meanwhile_has_the_id_of_the_request(written):
    def view(request: HttpRequest) -> HttpResponse:
        logging.getLogger("movie.somewhere").warning("plain %s", "words")
        structlog.get_logger("movie.elsewhere").info("structured", films=3)
        return HttpResponse()

    answer = RequestLogMiddleware(view)(RequestFactory().get("/"))
    logging.getLogger("movie.somewhere").warning("afterwards")
    plain, structured, request, after = lines(written)
    assert plain["event"] == "plain words"
    assert (structured["event"], structured["films"]) == ("structured", 3)
    assert {plain["request_id"], structured["request_id"], request["request_id"]} == {answer["X-Request-ID"]}
    assert "request_id" not in after
    assert requests.current() is None


def test_static_files_and_probes_have_no_line(client, written):
    client.get("/static/pages/reelgraph.css")
    client.get("/health/live")
    assert lines(written) == []


def test_a_refusal_before_any_route_is_a_line_too(client, settings, written):
    settings.SECURE_SSL_REDIRECT = True
    answer = client.get("/search/?q=TellingTitle")
    (line,) = lines(written)
    assert (line["status"], line["route"]) == (301, "none")
    assert answer["X-Request-ID"] == line["request_id"]


def test_the_api_has_ids_and_names(client, db, written):
    answer = client.get("/api/v1/models")
    (line,) = lines(written)
    assert line["route"].startswith("api-v1:")
    assert answer["X-Request-ID"] == line["request_id"]


@translation.override("en")  # and back: a page leaves its language to the thread
def test_nobody_is_in_the_log(client, db, written):
    """Pages, forms, a wrong password, a forged form, an unknown host, an error: whatever they are sent."""
    film = make_film("Heat")
    get_user_model().objects.create_user("telling-member", "telling@mail.example", "right-password")
    telling = {
        "user-agent": "TellingAgent/1.0",
        "referer": "https://telling.example/?q=TellingReferer",
        "x-forwarded-for": "198.51.100.23",
        "accept-language": "ko",
    }
    sent = {"headers": telling, "REMOTE_ADDR": "203.0.113.77"}
    client.raise_request_exception = False
    client.get("/search/", {"q": "TellingTitle"}, **sent)
    client.get("/search/suggest/", {"q": "TellingTitle"}, **sent)
    client.get("/browse/", {"language": "TellingLanguage"}, **sent)
    client.get("/TellingPath/?q=TellingQuery", **sent)
    client.get("/people/99999/?q=TellingQuery", **sent)
    client.post(reverse("pages:rate", args=[film.pk]), {"value": "TellingValue"}, **sent)
    client.post(reverse("pages:rate", args=[film.pk]), {"value": "4", "next": "/TellingNext/"}, **sent)
    wrong = {"login": "telling-member", "password": "TellingPassword"}
    client.post(reverse("account_login"), wrong, **sent)
    client.post(reverse("account_login"), {**wrong, "login": "telling@mail.example"}, **sent)
    client.get("/", headers={**telling, "host": "unknown.example"}, REMOTE_ADDR="2001:db8::77")
    forged = client.__class__(enforce_csrf_checks=True, raise_request_exception=False)
    forged.post(reverse("pages:rate", args=[film.pk]), {"value": "4"}, **sent)
    client.get("/api/v1/users/TellingUser/history?q=TellingQuery", **sent)
    client.get("/api/v1/movies", {"q": "TellingTitle"}, headers={"authorization": "Bearer TellingKey"})
    visitor = Event.objects.get().visitor
    with override_settings(ROOT_URLCONF=__name__):
        client.get("/breaks/TellingKwarg/?q=TellingQuery", **sent)
        client.post("/breaks/TellingKwarg/", {"title": "TellingForm"}, **sent)
    text = written.getvalue()
    assert text.count('"event":"request"') >= 15
    assert text.count("ValueError: cannot use") == 2
    assert "test_request_log.py" in text  # the frames of a traceback stay
    for private in (visitor, visitor.partition(":")[2], "203.0.113", "198.51.100", "2001:db8"):
        assert private not in text, private
    left = re.findall(r"[^\"\s]*telling[^\"\s]*", text, flags=re.IGNORECASE)
    assert left == []


def test_lines_outside_of_requests_keep_servers_and_lose_people(written):
    logging.getLogger("movie.events.stream").warning(
        "broker 10.0.0.1:9092 refused guest:0a1b-2c3d, user:77 and api:shop:ann@mail.example at 12:30:45"
    )
    (line,) = lines(written)
    assert line["event"] == "broker 10.0.0.1:9092 refused guest:…, user:… and api:… at 12:30:45"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("from 192.0.2.7", "from …"),
        ("from 2001:db8::1, port 4", "from …, port 4"),
        ("from ::1 and ::ffff:192.0.2.7", "from … and …"),
        ("movie::handler at 10:20:30.5", "movie::handler at 10:20:30.5"),
        ("GET /search/?q=heat&page=2 HTTP/1.1", "GET /search/?… HTTP/1.1"),
        ("mail to ann@example.org failed", "mail to … failed"),
        ("version 1.2.3 of 20261122T030851.585368-9a18", "version 1.2.3 of 20261122T030851.585368-9a18"),
    ],
)
def test_what_is_taken_for_a_person(said, kept):
    assert redact(said) == kept


def test_a_terminal_gets_lines_to_read(written):
    handler = logging.StreamHandler(stream := io.StringIO())
    handler.setFormatter(formatter("readable"))
    logging.getLogger().addHandler(handler)
    try:
        RequestLogMiddleware(lambda _: HttpResponse(status=204))(RequestFactory().get("/"))
    finally:
        logging.getLogger().removeHandler(handler)
    (line,) = stream.getvalue().splitlines()
    assert re.search(r"info\s*\]? request .*status=204", re.sub(r"\x1b\[[0-9;]*m", "", line)), line


def test_lines_of_requests_can_be_turned_off(written):
    logger = logging.getLogger("movie")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        RequestLogMiddleware(lambda _: HttpResponse())(RequestFactory().get("/"))
    finally:
        logger.setLevel(before)
    assert lines(written) == []
