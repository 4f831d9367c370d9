"""What is recorded comes back as history, without an archive and with one, before and after delivery."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings

from movie.catalogue.models import Movie
from movie.core.ids import new_event_id
from movie.events.archive import ClickArchive, get_archive
from movie.events.forgotten import seal, unseal
from movie.events.history import get_decisions, get_history, iter_histories
from movie.events.models import Event
from movie.events.recording import forget, merge_guest, record_all, restore
from movie.events.tests.delivery import deliver_everything
from predictors.history import Interaction

pytestmark = pytest.mark.django_db

ARCHIVES = ["none", "dynamodb before delivery", "dynamodb after delivery"]
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


class Log:
    """The doors of the site; after each write everything is delivered and pruned where that is wanted."""

    def __init__(self, *, delivers: bool) -> None:
        self.delivers = delivers

    def append(self, *interactions):
        """How many were new."""
        return self._delivered(record_all(interactions))

    def forget(self, *arguments):
        return self._delivered(forget(*arguments))

    def restore(self, visitor, sealed):
        return self._delivered(restore(visitor, unseal(sealed, visitor).events))

    def merge(self, *arguments):
        return self._delivered(merge_guest(*arguments))

    def history(self, visitor, **options):
        return list(get_history(visitor, **options))

    def _delivered(self, answer):
        if self.delivers:
            deliver_everything()
        return answer


@pytest.fixture(params=ARCHIVES)
def log(request):
    if request.param == "none":
        backend, options = "movie.events.archive.none.NoArchive", {}
    else:
        backend, options = (
            "movie.events.archive.dynamodb.DynamoDBArchive",
            request.getfixturevalue("event_table"),
        )
    with override_settings(CLICK_ARCHIVE={"BACKEND": backend, "OPTIONS": options}):
        yield Log(delivers=request.param.endswith("after delivery"))


@pytest.fixture
def films(db):
    return [Movie.objects.create(title=title).pk for title in ("Heat", "Ronin", "Thief")]


def event(film, kind="click", visitor="guest:a", minute=0, event_id=None, **fields):
    return Interaction(
        event_id or new_event_id(), visitor, kind, film, NOON + timedelta(minutes=minute), **fields
    )


def test_the_setting_chooses_the_archive_once(log):
    assert isinstance(get_archive(), ClickArchive)
    assert get_archive() is get_archive()


def test_history_comes_back_as_it_went_in_oldest_first(log, films):
    late = event(films[0], "rating", minute=5, value=4.5, surface="home", recommendation_id="r-1")
    early = event(films[1], minute=1)
    for each in (late, early):
        assert log.append(each) == 1
    assert log.history("guest:a") == log.history("guest:a", limit=None) == [early, late]
    assert log.history("guest:nobody") == []


def test_microseconds_survive_and_two_events_in_one_microsecond_both_stay(log, films):
    at = NOON.replace(microsecond=123_457)
    pair = [event(films[0])._replace(at=at) for _ in range(2)]
    for each in pair:
        log.append(each)
    assert log.history("guest:a") == pair  # equal times are ordered by id


def test_a_repeat_has_no_effect_even_when_it_arrives_later(log, films):
    first = event(films[0], "rating", value=4.0)
    log.append(first)
    assert log.append(first._replace(at=first.at + timedelta(seconds=3))) == 0
    assert log.history("guest:a") == [first]


def test_the_same_id_with_other_content_is_something_new(log, films):
    four = event(films[0], "rating", value=4.0)
    three = four._replace(value=3.0, at=four.at + timedelta(seconds=1))
    log.append(four)
    assert log.append(three) == 1
    stored = log.history("guest:a")[-1]
    assert stored == three._replace(event_id=stored.event_id)
    assert uuid.UUID(stored.event_id).version == 7
    assert log.append(three) == 0, "its repeat is a repeat too"
    back = log.append(four._replace(at=four.at + timedelta(seconds=2)))
    assert back == 1, "back to four stars in the same form is a change, not a repeat"
    assert [each.value for each in log.history("guest:a")] == [4.0, 3.0, 4.0]


def test_a_form_that_is_sent_again_and_again_never_loses_a_change(log, films):
    values = [1.0, 2.0] * 25  # more often than uses of one id are followed
    first = event(films[0], "rating")
    for second, value in enumerate(values):
        log.append(first._replace(value=value, at=first.at + timedelta(seconds=second)))
    assert [each.value for each in log.history("guest:a")] == values


def test_many_are_appended_like_one_by_one(log, films):
    batch = [event(film, "rating", minute=minute, value=4.0) for minute, film in enumerate(films)]
    assert log.append(*batch) == 3
    assert log.history("guest:a") == batch
    assert log.append() == 0
    late = event(films[0], "dismiss", minute=9)
    again = batch[0]._replace(kind="watchlist", value=None)
    assert log.append(*batch, late, late, again) == 2
    kinds = [each.kind for each in log.history("guest:a")]
    assert sorted(kinds) == ["dismiss", "rating", "rating", "rating", "watchlist"]


def test_an_id_of_somebody_else_cannot_touch_their_row(log, films):
    mine = event(films[0], "rating", value=5.0)
    log.append(mine)
    theirs = mine._replace(visitor="guest:b", value=0.5)
    assert log.append(theirs) == 1
    (stored,) = log.history("guest:b")
    assert stored.event_id != mine.event_id and stored.value == 0.5
    assert log.append(theirs) == 0
    assert log.history("guest:a") == [mine]
    assert log.history("guest:b") == [stored]


def test_forget_touches_one_visitor_and_if_asked_one_film(log, films):
    for visitor in ("guest:a", "guest:b"):
        for film in films:
            log.append(event(film, visitor=visitor))
    log.forget("guest:a", films[0])
    assert {each.movie_id for each in log.history("guest:a")} == set(films[1:])
    log.forget("guest:a")
    assert log.history("guest:a") == log.history("guest:a", limit=None) == []
    assert len(log.history("guest:b")) == 3


def test_merge_moves_everything_once(log, films):
    log.append(event(films[0], visitor="user:1", minute=1))
    log.append(event(films[1], visitor="guest:a", minute=0))
    log.append(event(films[1], "watchlist", visitor="guest:a", minute=2))
    assert log.merge("guest:a", "user:1") >= 1
    assert log.merge("guest:a", "user:1") == 0
    assert log.history("guest:a") == log.history("guest:a", limit=None) == []
    assert [each.movie_id for each in log.history("user:1")] == [films[1], films[0], films[1]]


def test_merged_undos_take_back_only_what_their_maker_did(log, films):
    log.append(event(films[0], "rating", visitor="guest:a", minute=1, value=5.0))
    log.append(event(films[0], "rating", visitor="user:1", minute=2, value=2.0))
    log.append(event(films[0], "undo", visitor="guest:a", minute=3))
    log.merge("guest:a", "user:1")
    assert get_history("user:1").ratings == {films[0]: 2.0}


def test_decisions_are_all_but_clicks_and_impressions(log, films):
    kinds = ("click", "rating", "dismiss", "impression", "watchlist", "undo")
    for minute, kind in enumerate(kinds):
        log.append(event(films[minute % 2], kind, minute=minute))
    assert [each.kind for each in get_decisions("guest:a", films[0])] == ["dismiss", "watchlist"]
    assert [each.kind for each in get_decisions("guest:a", films[1])] == ["rating", "undo"]
    assert not get_decisions("guest:b", films[1])


def test_clicks_are_limited_and_decisions_never(log, films):
    decisions = [event(film, "watchlist", minute=minute) for minute, film in enumerate(films)]
    clicks = [event(films[n % 3], minute=10 + n) for n in range(9)]
    log.append(*decisions, *clicks[:5])
    log.append(*clicks[5:])
    for limit in (1, 4, 9, 20):
        assert log.history("guest:a", limit=limit) == [*decisions, *clicks[-limit:]]


def test_impressions_are_no_history_and_take_no_place_in_it(log, films):
    clicks = [event(films[n], minute=n) for n in range(2)]
    shown = [event(films[0], "impression", minute=n) for n in range(3, 80)]
    log.append(*clicks, *shown)
    assert log.history("guest:a", limit=2) == log.history("guest:a") == clicks
    assert log.history("guest:a", limit=None) == [*clicks, *shown]
    log.merge("guest:a", "user:1")
    assert [each.event_id for each in log.history("user:1", limit=None)] == [
        each.event_id for each in [*clicks, *shown]
    ]


def test_an_export_is_everything_and_whole_histories_are_everybodys(log, films):
    events = [event(films[n % 3], minute=n) for n in range(30)]
    log.append(*events)
    log.append(event(films[0], "rating", visitor="user:1", value=3.0))
    assert log.history("guest:a", limit=None) == events
    assert log.history("guest:a", limit=4) == events[-4:]
    assert {visitor: len(history) for visitor, history in iter_histories()} == {"guest:a": 30, "user:1": 1}
    log.merge("guest:a", "user:2")
    assert {visitor: len(history) for visitor, history in iter_histories() if history} == {
        "user:1": 1,
        "user:2": 30,
    }


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
    log.forget("user:1", films[1])
    assert log.history("user:1") == [late]


def test_a_click_that_is_sent_again_days_later_is_still_one(log, films):
    """Its row may be gone by then, so it is taken for new; it replaces itself in the archive."""
    click = event(films[0])
    log.append(click)
    log.append(click._replace(at=click.at + timedelta(days=3)))
    assert [each.event_id for each in log.history("guest:a")] == [click.event_id]


def test_clicks_leave_the_database_only_for_the_archive(log, films):
    log.append(event(films[0]), event(films[0], "rating", value=3.0))
    kinds = set(Event.objects.values_list("kind", flat=True))
    assert kinds == ({"rating"} if log.delivers else {"click", "rating"})


def test_what_was_deleted_of_a_film_comes_back_with_its_old_clicks(log, films):
    heat, ronin, _thief = films
    log.append(event(heat), event(heat, "rating", minute=1, value=4.0), event(heat, minute=2), event(ronin))
    before = [(each.kind, each.at, each.value) for each in log.history("guest:a") if each.movie_id == heat]
    sealed = seal("guest:a", heat)
    log.forget("guest:a", heat)
    assert {each.movie_id for each in log.history("guest:a")} == {ronin}
    assert log.restore("guest:a", sealed) == 3
    log.restore("guest:a", sealed)  # sent twice; what is in the archive by now replaces itself
    after = [(each.kind, each.at, each.value) for each in log.history("guest:a") if each.movie_id == heat]
    assert after == before and len(log.history("guest:a")) == 4
    assert Movie.objects.get(pk=heat).rating_count == 1
    log.forget("guest:a", heat)
    assert {each.movie_id for each in log.history("guest:a")} == {ronin}
