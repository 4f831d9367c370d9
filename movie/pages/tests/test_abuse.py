"""What people with bad intentions send: each gets the status it should, and nothing is stored or shown."""

import json

import pytest
from axes.models import AccessAttempt
from django.conf import settings as site
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from movie.api.models import READ, SCOPES, WRITE_INTERACTIONS, ApiClient, ApiKey, create_key
from movie.catalogue.models import Movie, Rating
from movie.catalogue.tests.films import make_film
from movie.events.models import Event
from movie.events.recording import new_event_id, record
from movie.visitors.sign_in_limits import FAILURES_OF_AN_ADDRESS
from movie.visitors.visitor import GUEST_COOKIE, can_act
from predictors.history import Interaction

pytestmark = pytest.mark.django_db

POST = "/api/v1/interactions"
JSON = "application/json"
PASSWORD = "a long enough passphrase"


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture
def film():
    return make_film("Heat", 1995)


@pytest.fixture
def ada():
    return get_user_model().objects.create_user("ada", "ada@example.org", PASSWORD)


@pytest.fixture
def boss():
    return get_user_model().objects.create_superuser("boss", "boss@example.org", PASSWORD)


def key_of(name, *scopes):
    client, _ = ApiClient.objects.get_or_create(slug=name)
    return {"Authorization": f"Bearer {create_key(client, list(scopes or SCOPES)).token}"}


def nothing_stored():
    return not Event.objects.exists() and not Rating.objects.exists()


def told(visitor, film):
    if can_act(visitor):
        record(Interaction(new_event_id(), visitor, "rating", film.pk, timezone.now(), 4.0))
    else:
        Rating.objects.create(visitor=visitor, movie=film, value=4.0, rated_at=timezone.now())


# -- bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [POST, "/api/v1/recommend", "/api/compat/sasrec/recommend"])
def test_a_body_that_is_too_large_is_not_read(client, path):
    body = b'{"a": "' + b"x" * site.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"}'
    response = client.post(path, body, content_type=JSON, headers=key_of("shop"))
    assert response.status_code == 413
    assert nothing_stored()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 400),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400),
        (b"", 422),
        (b"\xff\xfe", 400),
        (b'{"visitor": "\xed\xa0\x80"}', 400),
        (b'{"visitor": "\\ud800", "movie_id": 1, "kind": "click"}', 400),
        (b'{"value": NaN}', 400),
        (b'{"visitor": "1", "movie_id": 1e400, "kind": "click"}', 422),
        (b'{"visitor": "1", "movie_id": ' + b"9" * 5000 + b', "kind": "click"}', 400),
        (b'{"visitor": "1", "movie_id": -1, "kind": "click"}', 422),
        (b'{"visitor": {"$gt": ""}, "movie_id": 1, "kind": "click"}', 422),
        (b'{"visitor": ["1"], "movie_id": {"a": 1}, "kind": "click"}', 422),
        (b'{"visitor": "1", "movie_id": 1, "kind": "click", "surface": "<script>"}', 422),
    ],
)
def test_bodies_that_break_parsers_break_nothing(client, film, body, status):
    response = client.post(POST, body, content_type=JSON, headers=key_of("shop"))
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert nothing_stored()


def test_a_form_posted_from_another_page_is_no_json(client, film):
    body = json.dumps({"visitor": "1", "movie_id": film.pk, "kind": "click"})
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ):
        response = client.post(POST, body, content_type=content_type, headers=key_of("shop"))
        assert response.status_code == 415
    assert nothing_stored()


@pytest.mark.parametrize("k", [0, -1, 101, 10**9, 10**30, "5 OR 1=1", "1e2", "NaN", "5\x00"])
def test_a_list_has_a_sane_length(client, k):
    answers = [
        client.get("/api/v1/recommend/ml-100k:1", {"k": k}),
        client.post("/api/v1/recommend", {"history": [1], "k": k}, content_type=JSON),
        client.get("/api/compat/lightgcn/recommend/1", {"k": k}),
        client.post("/api/compat/sasrec/recommend", {"user_history": [1], "top_k": k}, content_type=JSON),
    ]
    assert [answer.status_code for answer in answers] == [422] * 4


# -- ids -------------------------------------------------------------------------------------------

INJECTED = [
    "1' OR '1'='1",
    "1; DROP TABLE catalogue_rating; --",
    "%",
    "_%",
    "..",
    "a b",
    "a\u202eb",
    "\u0000",
    "a\nb",
    "x" * 81,
    "{{7*7}}",
]


@pytest.mark.parametrize("visitor", INJECTED)
def test_ids_with_something_in_them_reach_no_table(client, film, visitor):
    told("api:shop:1", film)
    headers = key_of("shop")
    entry = {"visitor": visitor, "movie_id": film.pk, "kind": "click"}
    assert client.post(POST, entry, content_type=JSON, headers=headers).status_code == 422
    path = reverse("api-v1:read_history", args=["PLACE"]).replace("PLACE", _quoted(visitor))
    read, forgotten = client.get(path, headers=headers), client.delete(path, headers=headers)
    assert (read.status_code, forgotten.status_code) == (422, 422)
    assert Event.objects.count() == Rating.objects.count() == 1


def _quoted(text):
    return "".join(f"%{byte:02X}" for byte in text.encode())


@pytest.mark.parametrize("visitor", ["ml-100k:1' OR 1=1", "ml-100k:%", "ml-100k:" + "\u00e9" * 20])
def test_users_of_data_sets_are_compared_not_matched(client, film, visitor):
    told("ml-100k:1", film)
    answer = client.get(f"/api/v1/visitors/{_quoted(visitor)}/history", headers=key_of("shop"))
    assert (answer.status_code, answer.json()["events"]) == (200, [])
    assert client.get(f"/api/v1/recommend/{_quoted(visitor)}").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/visitors/..%2F..%2Fadmin/history",
        "/api/v1/../admin/",
        "/api/v1/models/..%2Fx/activate",
        "/api/v1//users",
    ],
)
def test_tricks_with_paths_lead_nowhere(client, path):
    assert client.get(path, headers=key_of("shop")).status_code == 404


# -- other people's histories ----------------------------------------------------------------------


def test_no_client_reads_or_deletes_what_is_anothers(client, film):
    told("api:shop:1", film)
    thief = key_of("thief")
    history = "/api/v1/visitors/{}/history".format
    assert client.get(history("api:shop:1"), headers=thief).status_code == 403
    assert client.delete(history("api:shop:1"), headers=thief).status_code == 403
    assert client.get(history("1"), headers=thief).json()["events"] == []
    assert client.delete(history("1"), headers=thief).json() == {"deleted": 0}
    entry = {"visitor": "api:shop:1", "movie_id": film.pk, "kind": "click"}
    assert client.post(POST, entry, content_type=JSON, headers=thief).status_code == 422
    assert client.get("/api/v1/recommend/api:shop:1", headers=thief).status_code == 403
    assert client.get("/api/compat/lightgcn/recommend/api:shop:1", headers=thief).status_code == 403
    assert Rating.objects.get().visitor == "api:shop:1"


def test_a_name_that_begins_like_anothers_opens_nothing(client, film):
    told("api:shop-2:1", film)
    headers = key_of("shop")
    assert client.get("/api/v1/visitors/api:shop-2:1/history", headers=headers).status_code == 403
    assert client.get("/api/v1/visitors/-2:1/history", headers=headers).json()["events"] == []
    assert [each["id"] for each in client.get("/api/v1/users", headers=headers).json()["users"]] == []


@pytest.mark.parametrize("visitor", ["user:1", "guest:1", "ml-100k:1"])
def test_no_client_changes_what_the_sites_visitors_did(client, film, visitor):
    told(visitor, film)
    headers = key_of("shop")
    assert client.delete(f"/api/v1/visitors/{visitor}/history", headers=headers).status_code == 403
    entry = {"visitor": visitor, "movie_id": film.pk, "kind": "rating", "value": 0.5}
    assert client.post(POST, entry, content_type=JSON, headers=headers).status_code == 422
    assert Rating.objects.get().value == 4.0


def test_cookies_open_nothing_in_the_api(client, film, ada):
    told(f"user:{ada.pk}", film)
    browser = Client()
    browser.force_login(ada)
    entry = {"visitor": "1", "movie_id": film.pk, "kind": "click"}
    assert browser.post(POST, entry, content_type=JSON).status_code == 401
    assert browser.get(f"/api/v1/visitors/user:{ada.pk}/history").status_code == 401
    assert browser.delete(f"/api/v1/visitors/user:{ada.pk}/history").status_code == 401
    assert Event.objects.count() == 1


@pytest.mark.parametrize(
    "cookie", ["guest:victim", "guest:victim:1uXYZ:forged", "user:1", "'; DROP TABLE x", "\u0000"]
)
def test_a_forged_guest_cookie_makes_a_new_guest(client, film, cookie):
    told("guest:victim", film)
    client.cookies[GUEST_COOKIE] = cookie
    assert client.post(reverse("pages:rate", args=[film.pk]), {"value": "1"}).status_code == 303
    assert Rating.objects.get(visitor="guest:victim").value == 4.0
    (made,) = Rating.objects.exclude(visitor="guest:victim")
    assert made.visitor.startswith("guest:") and made.visitor not in ("guest:victim", cookie)


def test_a_forged_session_is_nobodys(client, ada):
    client.cookies[site.SESSION_COOKIE_NAME] = "x" * 32
    assert client.get(reverse("account_email")).status_code == 302
    assert client.get(reverse("admin:index")).status_code == 302


def test_a_guest_cookie_signed_with_another_secret_is_refused(client, film, settings):
    own_secret, settings.SECRET_KEY = settings.SECRET_KEY, "another secret" * 4
    client.get(reverse("pages:history"))
    signed = client.cookies[GUEST_COOKIE].value
    settings.SECRET_KEY = own_secret
    client.post(reverse("pages:rate", args=[film.pk]), {"value": "1"})
    assert Rating.objects.get().visitor not in signed


# -- repeats ---------------------------------------------------------------------------------------


def test_a_recorded_request_sent_again_and_again_counts_once(client, film):
    headers = key_of("shop")
    entry = {"visitor": "1", "movie_id": film.pk, "kind": "rating", "value": 5.0, "client_event_id": "e"}
    stored = [client.post(POST, entry, content_type=JSON, headers=headers).json()["stored"] for _ in range(5)]
    assert stored == [1, 0, 0, 0, 0]
    film.refresh_from_db()
    assert (film.rating_count, Event.objects.count()) == (1, 1)


def test_an_event_id_of_another_client_overwrites_nothing(client, film):
    entry = {"visitor": "1", "movie_id": film.pk, "kind": "rating", "value": 5.0, "client_event_id": "e"}
    client.post(POST, entry, content_type=JSON, headers=key_of("shop"))
    client.post(POST, {**entry, "value": 0.5}, content_type=JSON, headers=key_of("thief"))
    assert {row.visitor: row.value for row in Rating.objects.all()} == {"api:shop:1": 5.0, "api:thief:1": 0.5}


# -- keys and scopes -------------------------------------------------------------------------------

ROUTES = {
    "write:interactions": ("post", POST),
    "write:visitors": ("delete", "/api/v1/visitors/1/history"),
    "read": ("get", "/api/v1/visitors/1/history"),
    "read:visitors": ("get", "/api/v1/visitors/user:1/history"),
    "models:activate": ("post", "/api/v1/models/popular/activate"),
}


@pytest.mark.parametrize("scope", ROUTES)
def test_all_other_scopes_together_do_not_make_up_for_one(client, scope):
    method, path = ROUTES[scope]
    body = {"data": "{}", "content_type": JSON} if method == "post" else {}
    headers = key_of("shop", *(set(SCOPES) - {scope}))
    refused = getattr(client, method)(path, headers=headers, **body)
    assert refused.status_code == 403 and scope in refused.json()["detail"]
    allowed = getattr(client, method)(path, headers=key_of("shop", scope), **body)
    assert allowed.status_code in (200, 422)
    assert getattr(client, method)(path, **body).status_code == 401
    assert nothing_stored()


def test_scopes_cannot_be_asked_for(client, film):
    headers = key_of("shop", READ)
    entry = {"visitor": "1", "movie_id": film.pk, "kind": "click", "scopes": list(SCOPES)}
    for path in (POST, f"{POST}?scope={WRITE_INTERACTIONS}"):
        assert client.post(path, entry, content_type=JSON, headers=headers).status_code == 403
    headers["X-HTTP-Method-Override"] = "DELETE"
    assert client.get("/api/v1/visitors/1/history", headers=headers).status_code == 200
    assert ApiKey.objects.get().scopes == [READ] and nothing_stored()


def test_a_revoked_client_can_do_nothing_any_more(client, film):
    headers = key_of("shop")
    told("api:shop:1", film)
    ApiKey.objects.filter(client__slug="shop").revoke()
    entry = {"visitor": "1", "movie_id": film.pk, "kind": "click"}
    assert client.post(POST, entry, content_type=JSON, headers=headers).status_code == 401
    for method in ("get", "delete"):
        answer = getattr(client, method)("/api/v1/visitors/1/history", headers=headers)
        assert answer.status_code == 401
    assert client.get("/api/compat/lightgcn/recommend/1", headers=headers).status_code == 401
    assert Event.objects.count() == 1


# -- accounts --------------------------------------------------------------------------------------


def sign_in(name, password, **extra):
    return Client().post(reverse("account_login"), {"login": name, "password": password}, **extra)


def is_in(response):
    return response.status_code == 302 and "sessionid" in response.cookies


def test_guessing_the_password_of_an_administrator_is_stopped(boss):
    guesses = [sign_in("boss", f"guess {n}").status_code for n in range(12)]
    assert guesses == [200] * 9 + [429] * 3
    right = sign_in("boss", PASSWORD)
    assert right.status_code == 429 and not is_in(right)
    assert int(right["Retry-After"]) == 15 * 60
    assert "Wait 15 minutes" in right.content.decode()
    assert is_in(sign_in("boss", PASSWORD, REMOTE_ADDR="192.0.2.1")), "nobody locks others out"


def test_another_spelling_or_browser_is_no_new_chance(boss):
    names = ["boss", "BOSS", " boss", "Boss "] * 3
    statuses = [
        sign_in(name, "guess", headers={"User-Agent": f"browser {n}", "X-Forwarded-For": f"10.0.0.{n}"})
        for n, name in enumerate(names)
    ]
    assert statuses[-1].status_code == 429
    assert sign_in("boss", PASSWORD).status_code == 429


def test_behind_a_proxy_the_visitors_address_counts(boss, settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    for n in range(10):
        sign_in("boss", "guess", headers={"X-Forwarded-For": f"6.6.6.{n}, 192.0.2.1"})
    assert sign_in("boss", PASSWORD, headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 429
    assert is_in(sign_in("boss", PASSWORD, headers={"X-Forwarded-For": "192.0.2.2"}))


def test_one_password_on_many_accounts_is_stopped(boss):
    now = timezone.now()
    AccessAttempt.objects.bulk_create(
        AccessAttempt(
            username=f"user{n}",
            ip_address="127.0.0.1",
            user_agent="",
            attempt_time=now,
            failures_since_start=1,
        )
        for n in range(FAILURES_OF_AN_ADDRESS)
    )
    assert sign_in("boss", PASSWORD).status_code == 429
    assert is_in(sign_in("boss", PASSWORD, REMOTE_ADDR="192.0.2.1"))


def test_waiting_helps_and_so_does_knowing_the_password(ada, boss):
    for _ in range(9):
        sign_in("boss", "mistyped")
    assert is_in(sign_in("boss", PASSWORD))
    assert sign_in("boss", "mistyped").status_code == 200, "counted anew"
    for _ in range(10):
        sign_in("boss", "mistyped")
    long_ago = timezone.now() - site.AXES_COOLOFF_TIME * 1.01
    AccessAttempt.objects.update(attempt_time=long_ago)
    assert is_in(sign_in("boss", PASSWORD))


def test_what_was_typed_is_not_kept(boss):
    sign_in("boss", "nearly my password")
    sign_in("BOSS ", "nearly my password")
    for attempt in AccessAttempt.objects.all():
        assert "nearly" not in f"{attempt.post_data} {attempt.get_data} {attempt.username}"
    assert AccessAttempt.objects.count() == 1, "the same account, however it is spelled"


ADMIN_PAGES = [
    "index",
    "catalogue_movie_changelist",
    "api_apikey_add",
    "api_apiclient_changelist",
    "auth_user_changelist",
]


@pytest.mark.parametrize("page", ADMIN_PAGES)
def test_a_member_does_not_get_into_the_admin(ada, page):
    member = Client()
    member.force_login(ada)
    address = reverse(f"admin:{page}")
    for response in (member.get(address), member.post(address, {"client": 1, "slug": "mine"})):
        assert response.status_code == 302
        assert response["Location"].startswith(reverse("admin:login"))
    assert not ApiClient.objects.exists() and not ApiKey.objects.exists()


def test_a_member_cannot_become_staff_by_asking(ada):
    member = Client()
    member.force_login(ada)
    for path in ("account_change_password", "account_email"):
        member.post(reverse(path), {"is_staff": "on", "is_superuser": "on", "email": "a@example.org"})
    Client().post(
        reverse("account_signup"),
        {
            "username": "eve",
            "password1": PASSWORD,
            "password2": PASSWORD,
            "is_staff": "on",
            "is_superuser": "1",
        },
    )
    assert not get_user_model().objects.filter(is_staff=True).exists()
    assert get_user_model().objects.filter(username="eve").exists()


def test_a_hidden_film_is_given_away_by_no_route(client):
    film = make_film("Unreleased", 2030, is_visible=False)
    entry = {"visitor": "1", "movie_id": film.pk, "kind": "click"}
    headers = key_of("shop")
    assert client.post(POST, entry, content_type=JSON, headers=headers).status_code == 422
    assert client.get(f"/api/v1/movies/{film.pk}", headers=headers).status_code == 404
    assert client.get(f"/api/compat/sasrec/similar_items/{film.pk}").status_code == 404
    assert Movie.objects.filter(pk=film.pk).exists() and nothing_stored()
