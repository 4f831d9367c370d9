"""Tests of interactions that clients record: stored once, kept apart, read and deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from movie.api.models import READ, READ_VISITORS, SCOPES, WRITE_INTERACTIONS, ApiClient, create_key
from movie.catalogue.models import Movie, Rating
from movie.catalogue.tests.films import LONG_AGO, make_film
from movie.events.history import get_history
from movie.events.models import Event
from movie.events.recording import new_event_id, record
from predictors.history import Interaction

pytestmark = pytest.mark.django_db

POST = "/api/v1/interactions"
USERS = "/api/v1/users"


class Program:
    """A client of the API with a key."""

    def __init__(self, browser, name, scopes=tuple(SCOPES)):
        self.browser = browser
        client, _ = ApiClient.objects.get_or_create(slug=name)
        self.headers = {"Authorization": f"Bearer {create_key(client, list(scopes)).token}"}

    def post(self, body, query=""):
        return self.browser.post(POST + query, body, content_type="application/json", headers=self.headers)

    def get(self, path):
        return self.browser.get(path, headers=self.headers)

    def history(self, visitor, query=""):
        return self.get(f"/api/v1/visitors/{visitor}/history{query}")

    def forget(self, visitor, query=""):
        return self.browser.delete(f"/api/v1/visitors/{visitor}/history{query}", headers=self.headers)


@pytest.fixture(autouse=True)
def fresh_cache():
    cache.clear()


@pytest.fixture
def shop(client):
    return Program(client, "shop")


@pytest.fixture
def film():
    return make_film("Heat", 1995)


def entry(film, **changes):
    return {"visitor": "42", "movie_id": film.pk, "kind": "rating", "value": 4.5, **changes}


def test_an_interaction_is_stored_with_what_follows_from_it(shop, film):
    at = "2024-05-01T10:00:00.123456+02:00"
    sent = entry(film, at=at, surface="app/home", recommendation_id=new_event_id())
    response = shop.post(sent)
    assert (response.status_code, response.json()) == (200, {"stored": 1, "repeated": 0, "refused": []})
    assert Rating.objects.get().visitor == "api:shop:42"
    film.refresh_from_db()
    assert (film.rating_count, film.rating_average) == (1, 4.5)
    (event,) = get_history("api:shop:42")
    assert event.at == datetime(2024, 5, 1, 8, 0, 0, 123456, tzinfo=UTC)
    assert (event.surface, event.recommendation_id) == ("app/home", sent["recommendation_id"])


def test_an_event_sent_again_has_no_second_effect(shop, film):
    event = entry(film, kind="click", value=None, client_event_id="order-7")
    assert shop.post(event).json()["stored"] == 1
    for again in (event, [event, event], {**event, "at": "2020-01-01T00:00:00Z"}):
        response = shop.post(again).json()
        assert (response["stored"], response["refused"]) == (0, [])
        assert response["repeated"] == (len(again) if isinstance(again, list) else 1)
    assert Event.objects.count() == 1


def test_a_repeat_in_the_same_list_counts_once(shop, film):
    event = entry(film, client_event_id="a")
    assert shop.post([event, event]).json() == {"stored": 1, "repeated": 1, "refused": []}


def test_event_ids_are_the_clients_own(shop, client, film):
    other = Program(client, "other")
    event = entry(film, client_event_id="1")
    for program in (shop, other):
        assert program.post(event).json()["stored"] == 1
        assert program.post(event).json()["repeated"] == 1
    assert {row.visitor for row in Event.objects.all()} == {"api:shop:42", "api:other:42"}


def test_an_event_id_used_for_something_else_loses_nothing(shop, film):
    first, second = entry(film, client_event_id="1"), entry(film, client_event_id="1", value=1.0)
    assert shop.post(first).json()["stored"] == 1
    assert shop.post(second).json()["stored"] == 1
    assert Rating.objects.get().value == 1.0
    assert shop.post(second).json()["stored"] == 0


def test_of_a_list_the_right_entries_are_stored_and_the_others_named(shop, film):
    hidden = make_film("Hidden", is_visible=False)
    wrong = {
        1: ("movie_id", entry(film, movie_id=10**15)),
        2: ("movie_id", entry(hidden)),
        3: ("value", entry(film, value=4.7)),
        4: ("kind", entry(film, kind="purchase")),
        5: ("visitor", entry(film, visitor="a b")),
        6: ("at", entry(film, at="2020-01-01T00:00:00")),
        7: ("at", entry(film, at=(timezone.now() + timedelta(hours=1)).isoformat())),
        8: ("", 7),
        9: ("vistor", {**entry(film), "vistor": "42"}),
        10: ("at", entry(film, at="0001-01-01T00:00:00+14:00")),
    }
    sent = [entry(film), *(each for _, each in wrong.values()), entry(film, visitor="43")]
    response = shop.post(sent)
    assert response.status_code == 207
    answer = response.json()
    assert (answer["stored"], answer["repeated"]) == (2, 0)
    assert [(each["index"], each["errors"][0]["field"]) for each in answer["refused"]] == [
        (place, field) for place, (field, _) in wrong.items()
    ]
    assert all(each["errors"][0]["detail"] for each in answer["refused"])
    assert set(Rating.objects.values_list("visitor", flat=True)) == {"api:shop:42", "api:shop:43"}


def test_with_atomic_one_wrong_entry_stops_all(shop, film):
    response = shop.post([entry(film), entry(film, kind="x")], "?atomic=true")
    assert response.status_code == 422
    assert response["Content-Type"] == "application/problem+json"
    assert [each["field"] for each in response.json()["errors"]] == ["[1].kind"]
    assert not Event.objects.exists()
    assert shop.post([entry(film)], "?atomic=true").json()["stored"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"visitor": "1", "movie_id": "1", "kind": "click"}, "movie_id"),
        ({"visitor": "1", "kind": "click"}, "movie_id"),
        ([], ""),
        ([{}] * 501, ""),
        ([{}], "[0].visitor"),
        ('"text"', ""),
    ],
)
def test_where_nothing_is_right_the_answer_is_422(shop, film, body, field):
    response = shop.post(body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == field
    assert not Event.objects.exists()


def test_clocks_that_are_a_little_ahead_are_put_right(shop, film):
    assert shop.post(entry(film, at=(timezone.now() + timedelta(minutes=2)).isoformat())).status_code == 200
    assert Event.objects.get().at <= timezone.now()


def test_five_hundred_entries_of_one_visitor_cost_few_queries(shop):
    films = Movie.objects.bulk_create([Movie(title=f"{n}") for n in range(500)])
    sent = [
        {"visitor": "1", "movie_id": film.pk, "kind": "rating", "value": 3.0, "client_event_id": str(film.pk)}
        for film in films
    ]
    with CaptureQueriesContext(connection) as first:
        assert shop.post(sent).json()["stored"] == 500
    with CaptureQueriesContext(connection) as again:
        assert shop.post(sent).json()["repeated"] == 500
    assert len(first) <= 30
    assert len(again) <= 5


@pytest.mark.parametrize(
    "visitor", ["user:1", "guest:7f", "ml-100k:196", "api:other:42", "a/b", "", "x" * 81, "a\x00"]
)
def test_nobody_else_can_be_written_for(shop, film, visitor):
    assert shop.post(entry(film, visitor=visitor)).status_code == 422
    assert not Event.objects.exists() and not Rating.objects.exists()


@pytest.mark.parametrize("visitor", ["42", "김철수", "a.b@c.org", "x" * 80, "auth0|7", "api:shop:42"])
def test_ids_of_a_clients_visitors_are_its_own_affair(shop, film, visitor):
    assert shop.post(entry(film, visitor=visitor)).status_code == 200
    assert Rating.objects.get().visitor == "api:shop:" + visitor.removeprefix("api:shop:")
    answer = shop.history(visitor).json()
    assert answer["visitor"] == visitor.removeprefix("api:shop:") and len(answer["events"]) == 1


def test_a_history_is_read_newest_first_page_by_page(shop, film):
    same_moment = "2024-01-01T00:00:00Z"
    for n in range(5):
        at = same_moment if n < 3 else f"2024-01-0{n}T00:00:00Z"
        shop.post(entry(film, kind="click", value=None, at=at))
    found, cursor = [], ""
    while cursor is not None:
        page = shop.history("42", f"?limit=2&cursor={cursor}").json()
        assert len(page["events"]) <= 2
        found += page["events"]
        cursor = page["next"]
        if len(found) == 2:  # what comes in between shifts no page
            shop.post(entry(film, kind="click", value=None))
    assert [each["at"] for each in found] == sorted((each["at"] for each in found), reverse=True)
    assert len({each["event_id"] for each in found}) == len(found) == 5


def test_of_somebody_unknown_there_is_nothing(shop):
    assert shop.history("nobody").json() == {"visitor": "nobody", "events": [], "next": None}


def test_forgetting_takes_this_visitor_only(shop, client, film):
    other = Program(client, "other")
    heat, ronin = film, make_film("Ronin", 1998)
    for program, visitor in ((shop, "42"), (shop, "43"), (other, "42")):
        program.post([entry(heat, visitor=visitor), entry(ronin, visitor=visitor)])
    assert shop.forget("42", f"?movie_id={ronin.pk}").json() == {"deleted": 1}
    assert [each["movie_id"] for each in shop.history("42").json()["events"]] == [heat.pk]
    assert shop.forget("42").json() == {"deleted": 1}
    assert shop.history("42").json()["events"] == []
    assert len(shop.history("43").json()["events"]) == len(other.history("42").json()["events"]) == 2
    heat.refresh_from_db()
    assert heat.rating_count == 2
    assert shop.forget("42").json() == {"deleted": 0}


def test_visitors_of_the_site_are_read_with_a_scope_of_its_own(client, shop, film):
    record(Interaction(new_event_id(), "user:7", "click", film.pk, timezone.now()))
    assert len(shop.history("user:7").json()["events"]) == 1
    plain = Program(client, "plain", [READ])
    for visitor in ("user:7", "guest:0"):
        assert plain.history(visitor).status_code == 403
    only_those = Program(client, "analyst", [READ_VISITORS])
    assert only_those.history("user:7").status_code == 200
    assert only_those.history("42").status_code == 403
    assert client.get("/api/v1/visitors/user:7/history").status_code == 401


def test_users_of_data_sets_are_read_with_a_key(client, shop, film):
    Rating.objects.create(visitor="ml-100k:196", movie=film, value=3.0, rated_at=LONG_AGO)
    (event,) = shop.history("ml-100k:196").json()["events"]
    assert (event["event_id"], event["kind"], event["value"]) == (None, "rating", 3.0)
    assert client.get("/api/v1/visitors/ml-100k:196/history").status_code == 401
    assert Program(client, "writer", [WRITE_INTERACTIONS]).history("ml-100k:196").status_code == 403


@pytest.fixture
def people(film, shop):
    """Create users of two data sets, two visitors of the client, and visitors that no list shows."""
    stored = [f"ml-100k:{n}" for n in range(4)] + ["books:1"]
    for visitor in [*stored, "user:1", "guest:1", "api:other:1"]:
        Rating.objects.create(visitor=visitor, movie=film, value=3.0, rated_at=LONG_AGO)
    shop.post([entry(film, visitor="9"), entry(film, visitor="8", kind="click", value=None)])
    record(Interaction(new_event_id(), "guest:2", "click", film.pk, timezone.now()))
    return ["books:1", *stored[:4], "8", "9"]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_users_are_listed_page_by_page(shop, people, limit):
    found, cursor = [], ""
    while cursor is not None:
        page = shop.get(f"{USERS}?limit={limit}&cursor={cursor}").json()
        assert 0 < len(page["users"]) <= limit
        found += page["users"]
        cursor = page["next"]
    assert [each["id"] for each in found] == people
    assert [each["ratings"] for each in found] == [1, 1, 1, 1, 1, 0, 1]


def test_a_page_of_users_costs_one_query_for_each_data_set(client, people):
    client.get(USERS)
    with CaptureQueriesContext(connection) as queries:
        assert len(client.get(USERS).json()["users"]) == 5
    assert len(queries) == 2


def test_a_clients_visitors_are_listed_for_itself_alone(client, people):
    for answer in (client.get(USERS), Program(client, "other", [WRITE_INTERACTIONS]).get(USERS)):
        assert [each["id"] for each in answer.json()["users"]] == people[:5]
    assert Program(client, "other").get(USERS).json()["users"][5:] == [{"id": "1", "ratings": 1}]


@pytest.mark.parametrize(
    "cursor", ["x", "bm8", "W10", "WzFd", "e30", "WyJhIiwiYiIsImMiXQ", "%00", "WyJhIiwiYiJd"]
)
def test_a_cursor_that_is_none_is_refused(shop, cursor):
    assert shop.history("42", f"?cursor={cursor}").status_code == 422


def test_ratings_by_clients_show_in_the_admin_and_can_be_taken_back_there(admin_client, shop, film):
    shop.post(entry(film))
    rating = Rating.objects.get()
    admin_client.post(f"/admin/catalogue/rating/{rating.pk}/delete/", {"post": "yes"})
    assert not get_history("api:shop:42").ratings


def test_a_watch_has_a_day_and_another_day_is_no_repeat(shop, film):
    sent = entry(film, kind="watch", value=None, watched_on="2024-05-03", client_event_id="a")
    assert shop.post(sent).json() == {"stored": 1, "repeated": 0, "refused": []}
    assert shop.post(sent).json() == {"stored": 0, "repeated": 1, "refused": []}
    assert shop.post({**sent, "watched_on": "2024-05-04", "value": 1}).json()["stored"] == 1
    days = [event["watched_on"] for event in shop.history("42").json()["events"]]
    assert sorted(days) == ["2024-05-03", "2024-05-04"]
    refused = shop.post(entry(film, watched_on="2024-05-03"))
    assert refused.status_code == 422 and refused.json()["errors"][0]["field"] == "watched_on"
