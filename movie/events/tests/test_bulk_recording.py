"""Interactions of many visitors at once: few queries, repeats found before the transaction, lost races."""

from datetime import UTC, date, datetime, timedelta, timezone
from unittest import mock

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from movie.catalogue.models import Movie, Rating
from movie.core.ids import new_event_id
from movie.events import recording
from movie.events.history import get_history
from movie.events.models import Event
from movie.events.outbox import COLUMNS, event_row, insert_events
from movie.events.recording import record, record_all
from movie.events.repeats import NewInteractions, find_new
from movie.events.tests.test_recording import assert_aggregates_are_exact
from predictors.history import Interaction

pytestmark = pytest.mark.django_db
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def films():
    return [Movie.objects.create(title=f"Film {n}") for n in range(20)]


def rating(visitor, film, value=4.0, minute=0, event_id=None):
    at = NOON + timedelta(minutes=minute)
    return Interaction(event_id or new_event_id(), visitor, "rating", film.pk, at, value, "home")


def ratings_of_people(films, number=200):
    return [rating(f"guest:{n}", films[n % len(films)], 0.5 + n % 10 / 2, n) for n in range(number)]


def test_two_hundred_people_cost_as_few_queries_as_one(films):
    for live in (False, True):
        batch = ratings_of_people(films)
        with CaptureQueriesContext(connection) as queries:
            stored = record_all(live=batch) if live else record_all(batch)
        assert stored == 200
        assert len(queries) <= 30, [query["sql"][:80] for query in queries]
    assert Event.objects.count() == 400
    assert_aggregates_are_exact()
    for n in range(0, 200, 40):
        assert get_history(f"guest:{n}").ratings == {films[n % 20].pk: 0.5 + n % 10 / 2}


def test_many_changed_and_cleared_at_once_are_as_one_by_one(films):
    record_all(ratings_of_people(films))
    changes = [rating(f"guest:{n}", films[n % 20], None if n % 3 else 1.0, n + 500) for n in range(200)]
    assert record_all(changes) == 200
    assert_aggregates_are_exact()
    stored = dict(Rating.objects.values_list("visitor", "value"))
    assert stored == {f"guest:{n}": 1.0 for n in range(0, 200, 3)}


def test_repeats_open_no_transaction(films):
    batch = ratings_of_people(films)
    record_all(batch)
    with CaptureQueriesContext(connection) as queries:
        assert record_all(batch) == 0
    assert len(queries) <= 3, "which ids are stored and what for, and which others would be taken"
    assert not [query for query in queries if "SAVEPOINT" in query["sql"]]


def test_the_file_of_somebody_else_is_taken_in_once_each_time_in_few_queries(films):
    batch = [rating("guest:a", film) for film in films]
    record_all(batch)
    copied = [
        Interaction(each.event_id, "guest:b", "rating", each.movie_id, each.at, each.value) for each in batch
    ]
    assert record_all(copied) == 20
    with CaptureQueriesContext(connection) as queries:
        assert record_all(copied) == 0
    assert len(queries) <= 4, "which ids are stored and what for, of the file and of the copy"
    assert Event.objects.of("guest:b").count() == Event.objects.of("guest:a").count() == 20


def test_an_event_id_used_three_times_in_one_list_keeps_the_last(films):
    used = new_event_id()
    uses = [rating("guest:a", films[0], value, event_id=used) for value in (4.0, 5.0, 4.0, 4.0)]
    assert record_all(live=uses) == 3
    assert get_history("guest:a").ratings == {films[0].pk: 4.0}
    assert_aggregates_are_exact()


def test_a_later_interaction_comes_after_one_whose_id_was_taken_twice(films):
    used = new_event_id()
    for value in (1.0, 2.0):
        record(rating("guest:a", films[0], value, event_id=used))
    again = rating("guest:a", films[0], 3.0, event_id=used)
    assert record_all(live=[again, rating("guest:a", films[0], 5.0)]) == 2
    assert get_history("guest:a").ratings == {films[0].pk: 5.0}


@pytest.mark.parametrize("lost", [1, 2])
def test_an_id_that_is_taken_after_the_look_is_found_by_another_look(films, lost):
    batch = [rating("guest:a", film) for film in films]
    record_all(batch[:5])
    looks = []

    def blind(interactions, *, live=False):
        looks.append(interactions)
        return NewInteractions(list(interactions)) if len(looks) <= 2 * lost else find_new(interactions)

    with mock.patch.object(recording, "find_new", blind):
        assert record_all(batch) == 15
    assert Event.objects.count() == 20
    assert_aggregates_are_exact()


def test_rows_written_at_once_are_those_of_the_orm(films):
    """Of every type, unknown values, and times of another zone."""
    there = NOON.astimezone(timezone(timedelta(hours=-7)))
    told = [
        rating("user:1", films[0], 3.5),
        Interaction(new_event_id(), "user:1", "click", films[1].pk, there, None, "home", weight=2.5),
        Interaction(
            *(new_event_id(), "client:a:1", "watch", films[2].pk, there, 1.0, "", "list-1"),
            watched_on=date(2024, 2, 29),
            progress=0.25,
        ),
    ]
    recorded_at = {each.visitor: there for each in told}
    for number in (None, 7):
        insert_events(told, recorded_at, number)
        at_once = list(Event.objects.order_by("event_id").values(*COLUMNS))
        Event.objects.all().delete()
        Event.objects.bulk_create([event_row(each, there, number) for each in told])
        by_orm = list(Event.objects.order_by("event_id").values(*COLUMNS))
        Event.objects.all().delete()
        assert len(at_once) == 3
        for ours, theirs in zip(at_once, by_orm, strict=True):
            assert ours.pop("available_at") <= theirs.pop("available_at")
            assert ours == theirs
