"""Tests of API keys: created, shown once, used, limited, expired and revoked."""

import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from movie.api.models import READ, SCOPES, WRITE_INTERACTIONS, ApiClient, ApiKey, create_key, hash_token
from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film
from movie.events.models import Event

pytestmark = pytest.mark.django_db

USERS = "/api/v1/users"
POST = "/api/v1/interactions"


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture
def shop():
    return ApiClient.objects.create(slug="shop")


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def run(*arguments):
    out = StringIO()
    call_command("api_key", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_makes_a_key_that_works_and_stores_only_its_hash(client):
    out = run("create", "shop", "--scope", READ, "--rate-limit", "90", "--days", "30", "--note", "Ann's")
    token = out.splitlines()[-1]
    assert client.get(USERS, headers=bearer(token)).status_code == 200
    key = ApiKey.objects.get()
    assert (key.key_hash, key.prefix) == (hash_token(token), token[:11])
    assert token.startswith("rg_") and len(token) > 50
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM api_apikey")
        assert token[11:] not in str(cursor.fetchall())
    assert (key.client.rate_limit, key.client.note) == (90, "Ann's")
    assert timedelta(days=29) < key.expires_at - timezone.now() < timedelta(days=30)


def test_the_documented_example_works_and_every_scope_is_explained(client, shop, settings):
    text = (settings.BASE_DIR / "docs" / "api-keys.md").read_text()
    assert set(re.findall(r"^\| `([\w:]+)` \| [a-z ]+ ", text, re.MULTILINE)) >= set(SCOPES)
    body = re.search(r"-d '(.*?)'", text).group(1)
    Movie.objects.create(pk=json.loads(body)["movie_id"], title="Star Wars")
    token = create_key(shop, [WRITE_INTERACTIONS]).token
    response = client.post(POST, body, content_type="application/json", headers=bearer(token))
    assert response.json() == json.loads(re.search(r"```json\n(.*?)\n```", text).group(1))


def test_a_client_has_several_keys_so_that_they_can_be_replaced_without_a_gap(client):
    old, new = (run("create", "shop").splitlines()[-1] for _ in range(2))
    assert ApiClient.objects.count() == 1
    run("revoke", old[:11])
    assert client.get(USERS, headers=bearer(old)).status_code == 401
    assert client.get(USERS, headers=bearer(new)).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", "Shop Ä"], "client: Use a-z"),
        (["create", "shop\n"], "client: Use a-z"),
        (["create", "shop", "--rate-limit", "0"], "rate_limit"),
        (["create", "shop", "--days", "0"], "--days"),
        (["create", "shop", "--scope", "everything"], "invalid choice"),
        (["revoke", "rg_00000000"], "no key that begins with"),
    ],
)
def test_the_command_says_what_is_wrong_and_makes_nothing(arguments, words):
    with pytest.raises(CommandError, match=words):
        run(*arguments)
    assert not ApiKey.objects.exists()


def test_the_list_tells_all_but_the_key(shop):
    key, token = create_key(shop, [READ, WRITE_INTERACTIONS])
    ApiKey.objects.revoke()
    shown = run("list")
    assert key.prefix in shown and "revoked" in shown and "read write:interactions" in shown
    assert token not in shown
    ApiKey.objects.all().delete()
    assert "no key yet" in run("list")


def test_without_a_key_only_reading_is_open(client):
    assert client.get(USERS).status_code == 200
    refused = client.post(POST, {}, content_type="application/json")
    assert refused.status_code == 401
    assert refused["WWW-Authenticate"] == "Bearer"
    assert refused["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer rg_",
        "Bearer rg_" + "x" * 500,
        "Basic YTpi",
        "rg_00000000_x",
        "Bearer ü",
    ],
)
def test_what_is_no_key_is_not_taken_for_no_key(client, header):
    response = client.get(USERS, headers={"Authorization": header})
    assert response.status_code == 401
    assert response.json()["status"] == 401


def test_the_name_of_the_scheme_may_be_written_in_any_case(client, shop):
    token = create_key(shop, [READ]).token
    assert client.get(USERS, headers={"Authorization": f"bearer  {token}"}).status_code == 200


def test_a_key_with_one_letter_changed_is_refused(client, shop):
    token = create_key(shop, [READ]).token
    wrong = token[:-1] + ("a" if token[-1] != "a" else "b")
    assert client.get(USERS, headers=bearer(wrong)).status_code == 401


def test_a_revoked_key_is_refused_from_the_next_request_on(client, shop):
    key, token = create_key(shop, [READ])
    assert client.get(USERS, headers=bearer(token)).status_code == 200
    ApiKey.objects.filter(pk=key.pk).revoke()
    response = client.get(USERS, headers=bearer(token))
    assert response.status_code == 401 and "revoked" in response.json()["detail"]


def test_a_key_expires(client, shop):
    key, token = create_key(shop, [READ], timezone.now() + timedelta(hours=1))
    assert client.get(USERS, headers=bearer(token)).status_code == 200
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())
    response = client.get(USERS, headers=bearer(token))
    assert response.status_code == 401 and "expired" in response.json()["detail"]


def test_a_key_does_what_its_scopes_say(client, shop):
    token = create_key(shop, [READ]).token
    response = client.post(POST, {}, content_type="application/json", headers=bearer(token))
    assert response.status_code == 403
    assert "write:interactions" in response.json()["detail"]


def test_the_last_use_is_written_once_a_minute(client, shop):
    key, token = create_key(shop, [READ])
    client.get(USERS, headers=bearer(token))
    key.refresh_from_db()
    first = key.last_used_at
    assert timezone.now() - first < timedelta(seconds=30)
    with CaptureQueriesContext(connection) as queries:
        client.get(USERS, headers=bearer(token))
    assert not [query for query in queries if query["sql"].startswith("UPDATE")]
    long_ago = first - timedelta(minutes=2)
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=long_ago)
    client.get(USERS, headers=bearer(token))
    key.refresh_from_db()
    assert key.last_used_at > long_ago


def test_a_key_costs_one_query(client, shop):
    token = create_key(shop, [READ]).token
    for headers in ({}, bearer(token), bearer(token)):  # the first use of a key is noted
        client.get(USERS, headers=headers)
    with CaptureQueriesContext(connection) as without:
        client.get(USERS)
    with CaptureQueriesContext(connection) as queries:
        client.get(USERS, headers=bearer(token))
    own_visitors = 2  # which only a client has
    assert len(queries) == len(without) + 1 + own_visitors


def statuses(client, number, **headers):
    return [client.get(USERS, headers=headers).status_code for _ in range(number)]


def test_all_keys_of_a_client_share_its_limit(client, shop, settings):
    settings.API_RATE_LIMIT = 1
    shop.rate_limit = 3
    shop.save()
    one, two = (create_key(shop, [READ]).token for _ in range(2))
    assert statuses(client, 2, **bearer(one)) == [200, 200]
    assert statuses(client, 2, **bearer(two)) == [200, 429]
    other = create_key(ApiClient.objects.create(slug="other"), [READ]).token
    assert statuses(client, 2, **bearer(other)) == [200, 429], "the default limit"


def test_a_limited_answer_says_when_to_come_back(client, settings):
    settings.API_ANONYMOUS_RATE_LIMIT = 1
    assert statuses(client, 1) == [200]
    response = client.get(USERS)
    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 60


def test_anonymous_callers_are_counted_by_address_and_ipv6_by_network(client, settings):
    settings.API_ANONYMOUS_RATE_LIMIT = 1

    def ask(address):
        return client.get(USERS, REMOTE_ADDR=address).status_code

    assert [ask("192.0.2.1"), ask("192.0.2.1"), ask("192.0.2.2")] == [200, 429, 200]
    assert [ask("2001:db8::1"), ask("2001:db8::2:3:4"), ask("2001:db8:0:1::1")] == [200, 429, 200]
    assert [ask("::ffff:198.51.100.1"), ask("::ffff:198.51.100.2"), ask("198.51.100.1")] == [200, 200, 429]


def test_what_a_caller_says_of_its_address_counts_only_behind_a_proxy(client, settings):
    settings.API_ANONYMOUS_RATE_LIMIT = 1

    def ask(forwarded):
        return client.get(USERS, headers={"X-Forwarded-For": forwarded}).status_code

    assert [ask("192.0.2.1"), ask("192.0.2.2")] == [200, 429]
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    assert [ask("192.0.2.1"), ask("6.6.6.6, 192.0.2.1"), ask("192.0.2.9")] == [200, 429, 200]
    assert [ask("nonsense"), ask("more of it")] == [200, 429], "those who are nowhere count as one"


def test_trying_out_keys_uses_up_the_limit_of_the_address(client, settings):
    settings.API_ANONYMOUS_RATE_LIMIT = 3
    guesses = [client.get(USERS, headers=bearer(f"rg_{n:08}_guess")).status_code for n in range(4)]
    assert guesses == [401, 401, 401, 429]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/recommend/batch", {"entries": [{"user_id": "ml-100k:0"}] * 5}),
        ("/api/compat/graph/batch_recommend", {"user_ids": ["0"] * 5}),
        ("/api/compat/sasrec/recommend_batch", {"user_histories": [[1]] * 5}),
    ],
)
def test_a_batch_counts_once_for_each_entry(client, api_site, settings, path, body):
    settings.API_ANONYMOUS_RATE_LIMIT = 7

    def ask():
        return client.post(path, body, content_type="application/json").status_code

    assert [ask(), *statuses(client, 1), ask()] == [200, 200, 200], (
        "one that begins within the limit is answered"
    )
    assert statuses(client, 1) == [429]
    cache.clear()
    settings.API_ANONYMOUS_RATE_LIMIT = 3
    assert [ask(), ask()] == [200, 429]


def test_a_list_of_interactions_counts_once_for_each_entry(client, shop, settings):
    film = make_film("Heat", 1995)
    token = create_key(shop, [READ, WRITE_INTERACTIONS]).token
    settings.API_RATE_LIMIT = 4
    entries = [{"visitor": f"{n}", "movie_id": film.pk, "kind": "click"} for n in range(3)]
    response = client.post(POST, entries, content_type="application/json", headers=bearer(token))
    assert response.json()["stored"] == 3
    assert statuses(client, 2, **bearer(token)) == [200, 429]


def test_the_api_can_be_closed_to_anonymous_callers(client, shop, settings):
    settings.API_ANONYMOUS_RATE_LIMIT = 0
    assert statuses(client, 1) == [429]
    assert statuses(client, 1, **bearer(create_key(shop, [READ]).token)) == [200]


def test_pages_elsewhere_may_call_the_api_only_where_they_are_named(client, settings):
    def ask(method, origin):
        headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        return getattr(client, method)(USERS, headers=headers)

    allow = "Access-Control-Allow-Origin"
    assert allow not in ask("get", "https://films.example") and allow not in ask(
        "options", "https://x.example"
    )
    settings.CORS_ALLOWED_ORIGINS = ["https://films.example"]
    assert ask("get", "https://films.example")[allow] == "https://films.example"
    before = ask("options", "https://films.example")
    assert before.status_code == 200 and "authorization" in before["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in before
    assert allow not in ask("get", "https://evil.example")
    page = client.get("/", headers={"Origin": "https://films.example"})
    assert allow not in page, "pages are for the site alone"


def test_the_admin_shows_a_new_key_once(admin_client, client, shop):
    form = {"client": shop.pk, "scopes": [READ, WRITE_INTERACTIONS], "expires_at_0": "", "expires_at_1": ""}
    page = admin_client.post(reverse("admin:api_apikey_add"), form)
    assert page.status_code == 200 and "no-store" in page["Cache-Control"]
    token = re.search(r"<code>(rg_[^<]+)</code>", page.content.decode()).group(1)
    assert client.get(USERS, headers=bearer(token)).status_code == 200
    key = ApiKey.objects.get()
    assert key.scopes == [READ, WRITE_INTERACTIONS]
    secret = token[len(key.prefix) :]
    for name, args in (("changelist", []), ("change", [key.pk]), ("history", [key.pk])):
        later = admin_client.get(reverse(f"admin:api_apikey_{name}", args=args))
        assert later.status_code == 200 and secret not in later.content.decode()
    assert (
        key.key_hash
        not in admin_client.get(reverse("admin:api_apikey_change", args=[key.pk])).content.decode()
    )


def test_the_admin_revokes_keys_and_deletes_none(admin_client, client, shop):
    key, token = create_key(shop, [READ])
    chosen = {"action": "revoke", "_selected_action": [key.pk]}
    admin_client.post(reverse("admin:api_apikey_changelist"), chosen)
    assert client.get(USERS, headers=bearer(token)).status_code == 401
    assert (
        admin_client.post(reverse("admin:api_apikey_delete", args=[key.pk]), {"post": "yes"}).status_code
        == 403
    )
    assert admin_client.post(reverse("admin:api_apiclient_delete", args=[shop.pk])).status_code == 403
    assert ApiKey.objects.filter(pk=key.pk).exists()


def test_all_keys_of_a_client_are_revoked_at_once(admin_client, client, shop):
    tokens = [create_key(shop, [READ]).token for _ in range(2)]
    other = create_key(ApiClient.objects.create(slug="other"), [READ]).token
    admin_client.post(
        reverse("admin:api_apiclient_changelist"), {"action": "revoke_all", "_selected_action": [shop.pk]}
    )
    assert [client.get(USERS, headers=bearer(token)).status_code for token in tokens] == [401, 401]
    assert client.get(USERS, headers=bearer(other)).status_code == 200
    assert "1 key is revoked" in run("revoke", "other")
    assert client.get(USERS, headers=bearer(other)).status_code == 401


def test_the_name_of_a_client_never_changes_hands(admin_client, shop):
    address = reverse("admin:api_apiclient_change", args=[shop.pk])
    admin_client.post(address, {"slug": "other", "note": "Now with a note", "rate_limit": "5"})
    shop.refresh_from_db()
    assert (shop.slug, shop.note, shop.rate_limit) == ("shop", "Now with a note", 5)
    page = admin_client.get(reverse("admin:api_apiclient_changelist")).content.decode()
    assert "Now with a note" in page


def test_a_change_of_scopes_in_the_admin_counts_at_once(admin_client, client, shop):
    key, token = create_key(shop, [READ])
    film = make_film("Heat", 1995)
    entry = {"visitor": "1", "movie_id": film.pk, "kind": "click"}

    def write():
        return client.post(POST, entry, content_type="application/json", headers=bearer(token)).status_code

    assert write() == 403
    admin_client.post(
        reverse("admin:api_apikey_change", args=[key.pk]), {"scopes": [READ, WRITE_INTERACTIONS]}
    )
    assert write() == 200
    assert Event.objects.get().visitor == "api:shop:1"


def test_who_may_only_look_cannot_make_or_revoke_keys(django_user_model, shop):
    key, _ = create_key(shop, [READ])
    looker = django_user_model.objects.create_user("looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    browser = Client()
    browser.force_login(looker)
    assert browser.post(reverse("admin:api_apikey_add"), {"client": shop.pk}).status_code == 403
    chosen = {"action": "revoke", "_selected_action": [key.pk]}
    browser.post(reverse("admin:api_apikey_changelist"), chosen)
    assert ApiKey.objects.usable().get() == key
