"""Every event log passes these tests."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings

from movie.event_ids import new_event_id
from movie.event_log import EventLog, get_event_log
from movie.models import Movie
from movie.tests.delivery import deliver_everything
from predictors.history import History, Interaction

pytestmark = pytest.mark.django_db

LOGS = ["embedded", "dynamodb before delivery", "dynamodb after delivery"]
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(params=LOGS)
def log(request):
    """The last one delivers and prunes after every call, so that what can be elsewhere is elsewhere."""
    if request.param == "embedded":
        backend, options = "movie.event_log.embedded.EmbeddedEventLog", {}
    else:
        backend, options = "movie.event_log.dynamodb.DynamoDBEventLog", request.getfixturevalue("event_table")
    with override_settings(EVENT_LOG={"BACKEND": backend, "OPTIONS": options}):
        found = get_event_log()
        if request.param.endswith("after delivery"):
            monkeypatch = request.getfixturevalue("monkeypatch")
            for name in ("append", "append_all", "forget", "merge"):
                monkeypatch.setattr(found, name, then_delivered(getattr(found, name)))
        yield found


def then_delivered(method):
    def called(*arguments):
        answer = method(*arguments)
        deliver_everything()
        return answer

    return called


@pytest.fixture
def films(db):
    return [Movie.objects.create(title=title).pk for title in ("Heat", "Ronin", "Thief")]


def event(film, kind="click", visitor="guest:a", minute=0, event_id=None, **fields):
    return Interaction(
        event_id or new_event_id(), visitor, kind, film, NOON + timedelta(minutes=minute), **fields
    )


def test_the_setting_chooses_the_log_once(log):
    assert isinstance(log, EventLog)
    assert get_event_log() is log


def test_history_comes_back_as_it_went_in_oldest_first(log, films):
    late = event(films[0], "rating", minute=5, value=4.5, surface="home", recommendation_id="r-1")
    early = event(films[1], minute=1)
    for each in (late, early):
        assert log.append(each) == each
    assert log.history("guest:a") == [early, late]
    assert log.history("guest:a", limit=1) == [late]
    assert log.history("guest:a", movie_id=films[1]) == [early]
    assert log.history("guest:nobody") == []


def test_microseconds_survive_and_two_events_in_one_microsecond_both_stay(log, films):
    at = NOON.replace(microsecond=123_457)
    pair = [replace(event(films[0]), at=at) for _ in range(2)]
    for each in pair:
        log.append(each)
    assert log.history("guest:a") == pair  # equal times are ordered by id


def test_a_repeat_has_no_effect_even_when_it_arrives_later(log, films):
    first = event(films[0], "rating", value=4.0)
    log.append(first)
    assert log.append(replace(first, at=first.at + timedelta(seconds=3))) is None
    assert log.history("guest:a") == [first]


def test_the_same_id_with_other_content_is_something_new(log, films):
    four = event(films[0], "rating", value=4.0)
    three = replace(four, value=3.0, at=four.at + timedelta(seconds=1))
    log.append(four)
    stored = log.append(three)
    assert stored is not None
    assert stored == replace(three, event_id=stored.event_id)
    assert uuid.UUID(stored.event_id).version == 7
    assert log.append(three) is None, "its repeat is a repeat too"
    back = log.append(replace(four, at=four.at + timedelta(seconds=2)))
    assert back is not None, "back to four stars in the same form is a change, not a repeat"
    assert [each.value for each in log.history("guest:a")] == [4.0, 3.0, 4.0]


def test_a_form_that_is_sent_again_and_again_never_loses_a_change(log, films):
    values = [1.0, 2.0] * 25  # more often than uses of one id are followed
    first = event(films[0], "rating")
    for second, value in enumerate(values):
        log.append(replace(first, value=value, at=first.at + timedelta(seconds=second)))
    assert [each.value for each in log.history("guest:a")] == values


def test_many_are_appended_like_one_by_one(log, films):
    batch = [event(film, "rating", minute=minute, value=4.0) for minute, film in enumerate(films)]
    assert log.append_all(batch) == batch
    assert log.append_all([]) == []
    late = event(films[0], "dismiss", minute=9)
    again = replace(batch[0], kind="watchlist")
    assert [each.kind for each in log.append_all([*batch, late, late, again])] == ["dismiss", "watchlist"]
    assert len(log.history("guest:a")) == 5


def test_an_id_of_somebody_else_cannot_touch_their_row(log, films):
    mine = event(films[0], "rating", value=5.0)
    log.append(mine)
    theirs = replace(mine, visitor="guest:b", value=0.5)
    stored = log.append(theirs)
    assert stored.event_id != mine.event_id
    assert log.append(theirs) is None
    assert log.history("guest:a") == [mine]
    assert [each.value for each in log.history("guest:b")] == [0.5]


def test_forget_touches_one_visitor_and_if_asked_one_film(log, films):
    for visitor in ("guest:a", "guest:b"):
        for film in films:
            log.append(event(film, visitor=visitor))
    assert log.forget("guest:a", films[0]) == 1
    assert {each.movie_id for each in log.history("guest:a")} == set(films[1:])
    assert log.forget("guest:a") == 2
    assert log.history("guest:a") == []
    assert len(log.history("guest:b")) == 3


def test_merge_moves_everything_once(log, films):
    log.append(event(films[0], visitor="user:1", minute=1))
    log.append(event(films[1], visitor="guest:a", minute=0))
    assert log.merge("guest:a", "user:1") == 1
    assert log.merge("guest:a", "user:1") == 0
    assert log.history("guest:a") == []
    assert [each.movie_id for each in log.history("user:1")] == [films[1], films[0]]


def test_merged_undos_take_back_only_what_their_maker_did(log, films):
    log.append(event(films[0], "rating", visitor="guest:a", minute=1, value=5.0))
    log.append(event(films[0], "rating", visitor="user:1", minute=2, value=2.0))
    log.append(event(films[0], "undo", visitor="guest:a", minute=3))
    log.merge("guest:a", "user:1")
    assert History(log.history("user:1")).ratings == {films[0]: 2.0}


def test_decisions_are_all_but_clicks_and_impressions(log, films):
    kinds = ("click", "rating", "dismiss", "impression", "watchlist", "undo")
    for minute, kind in enumerate(kinds):
        log.append(event(films[minute % 2], kind, minute=minute))
    assert [each.kind for each in log.decisions("guest:a")] == ["rating", "dismiss", "watchlist", "undo"]
    assert [each.kind for each in log.decisions("guest:a", films[1])] == ["rating", "undo"]
    assert log.decisions("guest:b") == []


def test_impressions_are_no_history_and_take_no_place_in_it(log, films):
    clicks = [event(films[n], minute=n) for n in range(2)]
    shown = [event(films[0], "impression", minute=n) for n in range(3, 80)]
    log.append_all([*clicks, *shown])
    assert log.history("guest:a", limit=2) == log.history("guest:a") == clicks
    assert log.history("guest:a", movie_id=films[0]) == clicks[:1]
    assert log.export("guest:a") == [*clicks, *shown]


def test_an_export_is_everything_and_visitors_are_everybody(log, films):
    events = [event(films[n % 3], minute=n) for n in range(30)]
    log.append_all(events)
    log.append(event(films[0], "rating", visitor="user:1", value=3.0))
    assert log.export("guest:a") == events
    assert log.history("guest:a", limit=4) == events[-4:]
    assert list(log.visitors()) == ["guest:a", "user:1"]


def test_what_is_done_after_forgetting_or_joining_stays(log, films):
    log.append(event(films[0], visitor="guest:a"))
    log.forget("guest:a")
    after = event(films[1], visitor="guest:a", minute=-60)  # a form that was open for an hour
    log.append(after)
    assert log.history("guest:a") == [after]
    log.merge("guest:a", "user:1")
    late = event(films[2], visitor="user:1")
    log.append(late)
    assert [each.movie_id for each in log.history("user:1")] == [films[1], films[2]]
    assert log.forget("user:1", films[1]) == 1
    assert log.history("user:1") == [late]


def test_a_click_that_is_sent_again_days_later_is_still_one(log, films):
    """Its row may be gone by then, so it is taken for new; it lands on itself."""
    click = event(films[0])
    log.append(click)
    log.append(replace(click, at=click.at + timedelta(days=3)))
    assert [each.event_id for each in log.history("guest:a")] == [click.event_id]
