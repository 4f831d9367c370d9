"""Ratings cannot be bought with cookies: what new guests, one address and honest raters can move."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from movie.catalogue.browse import BrowseFilters
from movie.catalogue.facets import facets
from movie.catalogue.models import Movie, Rating
from movie.catalogue.tests.films import make_film
from movie.core.ids import new_event_id
from movie.events.models import Event, NetworkOfRating, VisitorStanding
from movie.events.rating_weights import DAYS, FILMS, RATERS_BEHIND_ONE_ADDRESS, weight_of
from movie.events.recording import forget, merge_guest, record, record_all
from movie.events.weighing import BURST, settle_weights, unusual_movies
from movie.visitors.networks import UNKNOWN
from predictors.history import Interaction

NOW = timezone.now()
N_GUESTS = 180


@pytest.fixture(autouse=True)
def nothing_cached():
    cache.clear()


@pytest.fixture
def films(db):
    """Thirty films, better the later they come, each rated by 40 people of a data set."""
    return [
        make_film(f"Film {n}", 1970 + n, stars=[3.0] * (40 - n) + [4.5] * n if n else [2.5] * 40)
        for n in range(30)
    ]


def best(n: int = 5) -> list[str]:
    cache.clear()
    movies = BrowseFilters(sort="best").movies(facets())
    return [movie.title for movie in movies[:n]]


def rate(visitor: str, movie: Movie, value: float | None = 5.0, network: str = "", **fields) -> None:
    fields = {"event_id": new_event_id(), "at": timezone.now(), **fields}
    record(
        Interaction(visitor=visitor, kind="rating", movie_id=movie.pk, value=value, **fields), network=network
    )


def made_older(visitor: str, days: float = DAYS) -> None:
    VisitorStanding.objects.filter(visitor=visitor).update(since=timezone.now() - timedelta(days=days))


def assert_aggregates_are_exact() -> None:
    kept = list(Movie.objects.order_by("pk").values())
    Movie.objects.refresh_aggregates()
    assert list(Movie.objects.order_by("pk").values()) == kept


def attack(movie: Movie, address) -> None:
    for n in range(N_GUESTS):
        answer = Client(REMOTE_ADDR=address(n)).post(
            reverse("pages:rate", args=[movie.pk]), {"value": "5"}, headers={"Accept": "text/html"}
        )
        assert answer.status_code == 303


@pytest.mark.parametrize(
    ("address", "most"),
    [
        (lambda n: "203.0.113.7", 0.02),
        (lambda n: f"2001:db8::{n:x}", 0.02),  # one customer's network
        (lambda n: f"198.51.100.{n}", 0.25),
    ],
    ids=["one address", "one IPv6 network", "many addresses"],
)
def test_180_new_guests_do_not_move_a_film_into_best_rated(films, address, most):
    bad, before = films[0], best()
    attack(bad, address)
    bad.refresh_from_db()
    assert best() == before
    assert bad.rating_average - 2.5 <= most
    assert bad.rating_count == 40 + N_GUESTS  # every rating is there, and its visitor sees it
    assert_aggregates_are_exact()
    settle_weights()
    assert best() == before


def test_without_weights_they_would_have_made_it_number_one(films):
    attack(films[0], lambda n: f"198.51.100.{n}")
    Rating.objects.update(weight=100)
    Movie.objects.refresh_aggregates()
    assert best(1) == ["Film 0"]


def test_a_member_with_fifty_films_counts_fully_after_a_week(films):
    more = [make_film(f"More {n}") for n in range(20)]
    fifty = [*films, *more]
    record_all(Interaction(new_event_id(), "user:1", "rating", film.pk, NOW, 4.0, "") for film in fifty)
    assert set(Rating.objects.filter(visitor="user:1").values_list("weight", flat=True)) == {10}
    made_older("user:1")
    call_command("weigh_ratings", "--no-progress")
    assert set(Rating.objects.filter(visitor="user:1").values_list("weight", flat=True)) == {100}
    film = Movie.objects.get(pk=films[0].pk)
    assert film.rating_average == film.unweighed_average == (40 * 2.5 + 4.0) / 41
    new = make_film("New")
    rate("user:1", new)
    assert Rating.objects.get(movie=new).weight == 100  # at once
    assert_aggregates_are_exact()


def test_ratings_of_data_sets_and_of_a_clients_people_count_fully(films):
    rate("api:shop:42", films[0])
    assert set(Rating.objects.values_list("weight", flat=True)) == {100}
    assert Movie.objects.get(pk=films[0].pk).rating_average == (40 * 2.5 + 5) / 41


def test_a_weight_grows_with_age_and_films_and_members_are_above_guests():
    def weight(visitor, films, days):
        return weight_of(visitor, films, NOW - timedelta(days=days), NOW)

    assert [weight(visitor, 1, 0) for visitor in ("guest:a", "user:1")] == [2, 10]
    assert [weight(visitor, FILMS, DAYS) for visitor in ("guest:a", "user:1", "api:a:1", "ml:1")] == [
        20,
        100,
        100,
        100,
    ]
    assert weight("user:1", 500, 0) == weight("user:1", 0, 500) == 10  # neither alone
    assert weight("user:1", FILMS // 2, DAYS) == 55
    assert weight("user:1", FILMS, -3) == 10  # a clock that was set back


def test_a_young_site_has_means_of_its_new_visitors(db):
    film = make_film("Heat")
    rate("guest:a", film, 4.0)
    rate("guest:b", film, 5.0)
    film.refresh_from_db()
    assert film.rating_average == 4.5


def test_those_behind_one_address_count_again_once_they_count_fully(films):
    film = films[0]
    for n in range(RATERS_BEHIND_ONE_ADDRESS + 1):
        rate(f"user:{n}", film, network="203.0.113.7")
    late = f"user:{RATERS_BEHIND_ONE_ADDRESS}"
    assert Rating.objects.get(visitor=late).weight == 0
    rate(late, film, 4.0, network="203.0.113.7")
    assert Rating.objects.get(visitor=late).weight == 0  # other stars make no other rater
    settle_weights()
    assert Rating.objects.get(visitor=late).weight == 0
    for other in films[1:]:
        rate(late, other, network="203.0.113.7")
    made_older(late)
    settle_weights()
    assert Rating.objects.get(visitor=late, movie=film).weight == 100
    assert_aggregates_are_exact()


def test_clearing_signing_in_and_leaving_makes_no_room_for_more(films):
    film, network = films[0], "203.0.113.7"
    for n in range(RATERS_BEHIND_ONE_ADDRESS):
        rate(f"guest:{n}", film, network=network)
    rate("guest:late", film, network=network)
    rate("guest:late", film, None)
    rate("guest:late", film, network=network)
    assert Rating.objects.get(visitor="guest:late").weight == 0
    merge_guest("guest:late", "user:1")
    assert Rating.objects.get(visitor="user:1").weight == 0
    merge_guest("guest:0", "user:2")
    settle_weights()
    assert Rating.objects.get(visitor="user:2").weight == 10
    rate("guest:later", film, network=network)
    assert Rating.objects.get(visitor="guest:later").weight == 0
    assert_aggregates_are_exact()


def test_an_account_is_as_old_as_the_guest_that_it_was(films):
    rate("guest:a", films[0])
    made_older("guest:a", 5)
    merge_guest("guest:a", "user:1")
    standing = VisitorStanding.objects.get()
    assert (standing.visitor, (timezone.now() - standing.since).days) == ("user:1", 5)


def test_the_age_is_that_of_the_server_not_that_of_a_file(films):
    rate("guest:a", films[0], at=NOW - timedelta(days=3650))
    assert Rating.objects.get(visitor="guest:a").weight == 2


def test_nothing_of_a_rater_is_kept_after_the_history_is_deleted(films):
    rate("guest:a", films[0], network="203.0.113.7")
    assert NetworkOfRating.objects.get().network not in ("203.0.113.7", "")
    forget("guest:a")
    assert not VisitorStanding.objects.exists()
    assert not NetworkOfRating.objects.exists()
    assert_aggregates_are_exact()


def test_networks_are_kept_for_thirty_days(films):
    rate("guest:a", films[0], network="203.0.113.7")
    NetworkOfRating.objects.update(created=timezone.now() - timedelta(days=31))
    settle_weights()
    assert not NetworkOfRating.objects.exists()


def test_the_same_network_has_another_hash_for_another_film(films):
    for film in films[:2]:
        rate("guest:a", film, network="203.0.113.7")
    assert NetworkOfRating.objects.values("network").distinct().count() == 2


def test_an_unknown_address_is_no_network(films):
    for n in range(RATERS_BEHIND_ONE_ADDRESS + 2):
        rate(f"guest:{n}", films[0], network=UNKNOWN)
    assert not Rating.objects.filter(weight=0).exists()


def test_operators_are_told_of_a_film_that_many_new_visitors_rate(films, caplog, capsys, admin_client):
    for n in range(BURST):
        rate(f"guest:{n}", films[0], network=f"198.51.100.{n}")
    rate("guest:0", films[1], network="198.51.100.0")
    assert [(each.movie, each.burst) for each in unusual_movies()] == [(films[0], BURST)]
    with caplog.at_level(logging.WARNING):
        call_command("weigh_ratings", "--no-progress")
    assert "Film 0" in caplog.text
    assert "Unusual: film" in capsys.readouterr().out
    page = admin_client.get(reverse("admin:catalogue_movie_changelist"), {"ratings": "unusual"})
    assert [movie.title for movie in page.context["cl"].result_list] == ["Film 0"]


def test_a_first_rating_costs_a_bounded_number_of_queries(films, django_assert_max_num_queries):
    record_all(Interaction(new_event_id(), "guest:a", "rating", film.pk, NOW, 4.0, "") for film in films[1:])
    with django_assert_max_num_queries(14):
        rate("guest:a", films[0], network="203.0.113.7")


def test_settling_twice_changes_nothing_and_reads_old_sites(films):
    """Ratings from before there were weights count fully until they are settled for the first time."""
    rate("guest:a", films[0])
    VisitorStanding.objects.all().delete()
    Rating.objects.update(weight=100)
    Movie.objects.refresh_aggregates()
    Event.objects.update(recorded_at=timezone.now() - timedelta(days=1))
    assert settle_weights() == 1
    assert settle_weights() == 0
    assert Rating.objects.get(visitor="guest:a").weight == 2
    assert_aggregates_are_exact()


def test_a_rating_while_weights_are_settled_counts_once(own_connections):
    film, others = make_film("Heat"), [make_film(f"Film {n}") for n in range(FILMS)]
    for other in others:
        rate("user:1", other)
    made_older("user:1")
    threads = [threading.Thread(target=settle_weights)]
    threads += [threading.Thread(target=rate, args=(f"user:{n}", film)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle_weights()
    assert_aggregates_are_exact()
