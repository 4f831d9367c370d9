"""Bulk writes in small batches: their sizes, their pauses, their end."""

import time
from itertools import pairwise
from unittest import mock

import pytest
from django.db import connection

from movie.core import batches
from movie.core.batches import FEWEST_ROWS, FIRST_ROWS, GROWTH, HOLD_SECONDS, write_in_batches, write_in_turn
from movie.core.tests.threads import in_threads


@pytest.fixture
def clock(monkeypatch):
    """A clock that only work and sleep move; returns what was slept."""
    slept = []
    now = [0.0]

    class Clock:
        perf_counter = monotonic = thread_time = staticmethod(lambda: now[0])

        @staticmethod
        def sleep(seconds):
            slept.append(seconds)
            now[0] += seconds

        @staticmethod
        def work(seconds):
            now[0] += seconds

    monkeypatch.setattr(batches, "time", Clock)
    Clock.slept = slept
    return Clock


def sizes(clock, rows, seconds_a_row, **options):
    def write(batch):
        clock.work(len(batch) * seconds_a_row)
        return len(batch)

    return list(write_in_batches(range(rows), write, **options))


def test_every_row_is_written_once_in_order():
    assert [row for batch in write_in_batches(range(1000), list) for row in batch] == list(range(1000))


def test_a_batch_takes_about_as_long_as_it_may(clock):
    found = sizes(clock, 20_000, 0.0002)
    assert found[0] == FIRST_ROWS
    assert all(after <= GROWTH * before + 1 for before, after in pairwise(found))
    assert abs(max(found) * 0.0002 - HOLD_SECONDS) < 0.01


def test_slow_rows_come_in_small_batches(clock):
    assert sizes(clock, 500, 0.01)[1:3] == [FEWEST_ROWS, FEWEST_ROWS]


def test_after_each_batch_it_sleeps_as_long_as_the_batch_took(clock):
    found = sizes(clock, 1000, 0.001)
    pauses = [seconds for seconds in clock.slept if seconds != batches.HAND_OVER_SECONDS]
    assert pauses == pytest.approx([n * 0.001 for n in found])


def test_without_pauses_batches_are_large_and_nothing_sleeps(clock):
    found = sizes(clock, 100_000, 0.0001, pauses=False)
    assert clock.slept == [] and max(found) > 5_000


def test_nothing_sleeps_while_a_transaction_is_open_around_it(clock, db):
    sizes(clock, 1000, 0.001)
    assert clock.slept == []


def test_a_stated_size_is_kept(clock):
    assert sizes(clock, 25, 1.0, size=10) == [10, 10, 5]


def test_no_batch_begins_after_the_time_is_up(clock):
    found = sizes(clock, 10_000, 0.001, until=1.0)
    assert 0 < sum(found) < 600


def test_bulk_writes_of_one_database_take_turns(own_connections):
    if connection.vendor != "sqlite":
        pytest.skip("other databases lock by row")
    at_work = []
    most = []

    def write(_rows=None):
        at_work.append(1)
        most.append(len(at_work))
        time.sleep(0.01)
        at_work.pop()

    in_threads(4, lambda number: [list(write_in_batches(range(3), write, size=1)), write_in_turn(write)])
    assert len(most) == 16 and max(most) == 1


def test_nobody_waits_for_long_for_the_turn_of_a_process_that_was_stopped(own_connections, monkeypatch):
    if connection.vendor != "sqlite":
        pytest.skip("other databases lock by row")
    monkeypatch.setattr(batches, "TURN_SECONDS", 0.05)
    with batches._turn():
        assert write_in_turn(lambda: 7) == 7


def test_nothing_is_written_of_nothing():
    with mock.patch.object(time, "sleep") as sleep:
        assert list(write_in_batches([], list)) == []
    assert not sleep.called
