"""Who sent a request is decided once, and whoever has no address is served all the same."""

import pytest
from django.test import Client
from django.urls import reverse

from movie.catalogue.models import Rating
from movie.catalogue.tests.films import make_film
from movie.papers.tests.writing import make_review
from movie.visitors.networks import LONGEST_CACHED, UNKNOWN, _network_behind, client_address


@pytest.mark.parametrize(
    ("stated", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("", UNKNOWN),
        ("unix:", UNKNOWN),
    ],
)
def test_an_address_is_a_customers(rf, stated, counted):
    assert client_address(rf.get("/", REMOTE_ADDR=stated)) == counted


@pytest.mark.parametrize(("prefix", "one"), [("2001:db8:0:1::", True), ("2001:db8:0:{n}::", False)])
def test_guests_and_the_api_count_by_network(api_site, settings, prefix, one):
    """Whoever has a /64 is one sender to both, with as many addresses as they like."""
    settings.API_ANONYMOUS_RATE_LIMIT, settings.WRITE_RATE_LIMIT = (
        4,
        1,
    )  # ten times that for guests of one network
    senders = [prefix.format(n=n) + f"{n:x}" for n in range(1, 13)]
    asked = [Client(REMOTE_ADDR=sender).get("/api/v1/models").status_code for sender in senders]
    wrote = [
        Client(REMOTE_ADDR=sender).post("/movies/1/rate/", {"value": "4"}).status_code for sender in senders
    ]
    assert (asked.count(429), wrote.count(429)) == ((8, 2) if one else (0, 0))


def test_no_address_at_all_is_no_error(rf):
    request = rf.get("/")
    del request.META["REMOTE_ADDR"]
    assert client_address(request) == UNKNOWN


def test_behind_a_proxy_its_word_counts(rf, settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    ask = [rf.get("/", headers={"X-Forwarded-For": said}) for said in ("6.6.6.6, 192.0.2.1", "unknown")]
    assert [client_address(request) for request in ask] == ["192.0.2.1", UNKNOWN]


def test_what_a_sender_states_before_its_proxies_takes_no_memory(rf, settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2
    _network_behind.cache_clear()
    for n in range(3):
        said = f"{n}, " * 1000 + "192.0.2.1, 10.0.0.1"
        assert client_address(rf.get("/", headers={"X-Forwarded-For": said})) == "192.0.2.1"
    assert _network_behind.cache_info().currsize == 1
    nonsense = "x" * (LONGEST_CACHED + 1)
    assert client_address(rf.get("/", headers={"X-Forwarded-For": f"{nonsense}, 10.0.0.1"})) == UNKNOWN
    assert client_address(rf.get("/", headers={"X-Forwarded-For": "192.0.2.1"})) == UNKNOWN, "a proxy too few"
    assert _network_behind.cache_info().currsize == 2


def test_the_header_that_a_proxy_sets_for_the_address_counts(rf, settings):
    settings.ALLAUTH_TRUSTED_CLIENT_IP_HEADER = "X-Real-IP"
    sent = [{"X-Real-IP": "192.0.2.1", "X-Forwarded-For": "6.6.6.6"}, {"X-Forwarded-For": "6.6.6.6"}]
    assert [client_address(rf.get("/", headers=each)) for each in sent] == ["192.0.2.1", UNKNOWN]


@pytest.mark.django_db
@pytest.mark.parametrize("proxy", [0, 1])
def test_guests_without_an_address_are_served(client, settings, proxy):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxy
    sent = {"headers": {"x-forwarded-for": "unknown"}} if proxy else {"REMOTE_ADDR": ""}
    film, review = make_film("Heat", 1995), make_review()
    page = {**sent, "headers": {**sent.get("headers", {}), "user-agent": "Firefox", "accept": "text/html"}}
    assert client.get(review.get_absolute_url(), **page).status_code == 200
    assert client.get("/", **sent).status_code == 200
    assert client.post(f"/movies/{film.pk}/rate/", {"value": "4"}, **sent).status_code == 303
    assert Rating.objects.get().value == 4
    assert client.get(f"/go/{film.pk}/?e=01890a5d-ac96-774b-bcce-b302099a8057", **sent).status_code == 302
    wrong = client.post(reverse("account_login"), {"login": "nobody", "password": "wrong"}, **sent)
    assert wrong.status_code == 200, "the form says what is wrong"
