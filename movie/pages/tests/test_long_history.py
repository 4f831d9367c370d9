"""A visitor with 10,000 rated films: pages take as many queries as for one with ten, and bounded work."""

import sys
import uuid
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.signing import get_cookie_signer
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from movie.catalogue.models import Movie
from movie.core.ids import new_event_id
from movie.events.models import Event
from movie.recommendations.explanations import explain as explaining
from movie.recommendations.explanations.explain import explain
from movie.visitors.visitor import GUEST_COOKIE, SALT
from predictors.history import History
from predictors.influences import FEWEST_REMOVED
from predictors.models.neighbours import NeighboursPredictor

N_FILMS = 10_000
ABOUT_A_FILM = ("/movies/1/why/?model=neighbours", "/movies/1/")
PAGES = ("/", "/recommend/", "/compare/", *ABOUT_A_FILM, "/browse/", "/history/")


def visitor_with(films: list[int]) -> Client:
    """Return a guest's browser; the guest rated these films, in this order."""
    key, began = f"guest:{uuid.uuid4()}", timezone.now() - timedelta(days=30)
    Event.objects.bulk_create(
        Event(
            event_id=new_event_id(),
            visitor=key,
            kind="rating",
            movie_id=film,
            at=began + timedelta(seconds=n),
            value=4 + film % 3 / 2,
            surface="home",
        )
        for n, film in enumerate(films)
    )
    client = Client()
    client.cookies[GUEST_COOKIE] = get_cookie_signer(salt=GUEST_COOKIE + SALT).sign(key)
    return client


@pytest.fixture
def clients(api_site) -> tuple[Client, Client]:
    """A short history, and a long one that ends with the same films, which the models know."""
    Movie.objects.bulk_create(
        Movie(pk=pk, title=f"Film {pk}", sort_title=f"film {pk}") for pk in range(100, 100 + N_FILMS)
    )
    known = list(range(3, 13))
    return visitor_with(known), visitor_with([*range(100, 100 + N_FILMS - len(known)), *known])


def n_calls(client: Client, address: str) -> int:
    """Return how many functions one request calls, which does not depend on what else the machine does."""
    counted = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event.endswith("call")

    client.get(address)
    cache.clear()
    sys.setprofile(count)
    try:
        assert client.get(address).status_code == 200
    finally:
        sys.setprofile(None)
    return counted


def n_queries(client: Client, address: str) -> int:
    """Return the fewest of three times: what all visitors share is looked at again every few seconds."""
    counts = []
    for _ in range(3):
        cache.clear()
        with CaptureQueriesContext(connection) as asked:
            assert client.get(address).status_code == 200
        counts.append(len(asked))
    return min(counts)


def test_a_long_history_takes_no_more_queries_than_a_short_one(clients):
    short, long = clients
    for address in PAGES:
        assert n_queries(long, address) <= n_queries(short, address) <= 14, address


def test_a_thousand_films_take_few_calls_more_than_twenty(clients):
    """A few calls for every film, in each step of a page, would make it cost twice as much."""
    short, long = visitor_with(list(range(3, 23))), visitor_with([*range(23, 1_003), *range(3, 23)])
    for address in ABOUT_A_FILM:
        few, many = n_calls(short, address), n_calls(long, address)
        assert many < few + 10_000, address


def test_an_explanation_reads_few_films_and_its_shares_are_of_all(clients, monkeypatch):
    history = History.from_stars(dict.fromkeys(range(2, 40), 5.0))
    whole = explain([1], history, model="neighbours", connected=False)[1]
    assert len(whole.influences) == 5 and whole.rest > 0
    monkeypatch.setattr(explaining, "READ", 1_000)
    assert explain([1], history, model="neighbours", connected=False)[1] == whole


def test_the_work_of_a_page_is_bounded(clients, monkeypatch):
    """Influences leave films out one by one; of a long history there are few, and never one a film."""
    _short, long = clients
    scored: list[int] = []
    score = NeighboursPredictor._score

    def counted(self, queries):
        scored.append(len(queries))
        return score(self, queries)

    monkeypatch.setattr(NeighboursPredictor, "_score", counted)
    for address in PAGES:
        scored.clear()
        long.get(address)
        assert sum(scored) <= 3 + FEWEST_REMOVED + 4, (address, scored)
