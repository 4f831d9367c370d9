"""Entries of the diary: what the one door lets in, that they never lapse, and where they go."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from movie.catalogue.models import Movie, Rating
from movie.core.ids import new_event_id
from movie.events.history import get_decisions, get_history
from movie.events.models import Event
from movie.events.movie_merging import merge_movies
from movie.events.recording import InvalidInteraction, forget, merge_guest, record, record_all
from movie.events.stream.messages import InteractionRecorded, InvalidMessage, decode, encode
from movie.training.training_feed import TrainingFeed, feed_file
from predictors.history import Interaction, Watch

pytestmark = pytest.mark.django_db
NOON = datetime(2024, 5, 10, 12, tzinfo=UTC)
FRIDAY, SUNDAY = date(2024, 5, 3), date(2024, 5, 5)
ANN = "user:7"


@pytest.fixture
def film() -> Movie:
    return Movie.objects.create(title="Heat", year=1995)


def watch(film: Movie, day: date | None, *, visitor: str = ANN, minute: int = 0, **fields) -> Interaction:
    at = NOON + timedelta(minutes=minute)
    return Interaction(new_event_id(), visitor, "watch", film.pk, at, watched_on=day, **fields)


def diary(visitor: str = ANN) -> dict:
    return get_history(visitor).watches


def test_an_entry_is_stored_with_its_day(film):
    assert record(watch(film, FRIDAY)) and record(watch(film, SUNDAY, value=1.0))
    assert diary() == {film.pk: (Watch(FRIDAY), Watch(SUNDAY, is_again=True))}
    assert get_decisions(ANN, film.pk).watches == diary()
    assert Event.objects.get(watched_on=SUNDAY).interaction.watched_on == SUNDAY


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"watched_on": date(1887, 12, 31)}, "watched_on"),
        ({"watched_on": date(2024, 5, 12)}, "watched_on"),
        ({"value": 4.0}, "value"),
        ({"kind": "rating", "value": 4.0}, "watched_on"),
        ({"kind": "click"}, "watched_on"),
    ],
)
def test_what_cannot_be_true_is_refused(film, wrong, field):
    with pytest.raises(InvalidInteraction) as refused:
        record(watch(film, FRIDAY)._replace(**wrong))
    assert refused.value.field == field and not Event.objects.exists()


def test_a_day_that_has_begun_elsewhere_is_today(film):
    assert record(watch(film, date(2024, 5, 11)))


def test_the_same_form_with_another_day_is_another_entry(film):
    """A page that was reached by Back sends the event id that it had."""
    first = watch(film, FRIDAY)
    assert record(first) and not record(first)
    assert record(first._replace(watched_on=SUNDAY))
    assert [each.day for each in diary()[film.pk]] == [FRIDAY, SUNDAY]
    file = [watch(film, date(2024, 5, 1)), watch(film, date(2024, 5, 2))]
    assert record_all(file) == 2 and record_all(file) == 0
    assert record_all([file[0]._replace(watched_on=date(2024, 4, 1))]) == 1


def test_entries_never_lapse(film, settings):
    settings.HISTORY_LIMIT = 1
    record(watch(film, FRIDAY))
    for minute in range(1, 4):
        record(watch(film, None, minute=minute)._replace(kind="click"))
    assert diary() == {film.pk: (Watch(FRIDAY),)} and len(get_history(ANN)) == 2


def test_an_undo_of_the_entry_leaves_the_rating_and_the_mean(film):
    record(watch(film, None)._replace(kind="rating", value=4.0))
    record(watch(film, FRIDAY, minute=1))
    record(watch(film, None, minute=2)._replace(kind="undo"))
    assert diary() == {} and Rating.objects.get(visitor=ANN).value == 4.0


def test_a_guest_takes_the_diary_into_the_account(film):
    record(watch(film, FRIDAY, visitor="guest:1"))
    record(watch(film, SUNDAY, minute=1))
    record(watch(film, None, minute=2)._replace(kind="undo"))  # the member's own, of Sunday
    record(watch(film, date(2024, 5, 1), minute=3))
    merge_guest("guest:1", ANN)
    assert [each.day for each in diary()[film.pk]] == [date(2024, 5, 1), FRIDAY]
    assert diary("guest:1") == {}


def test_a_merged_film_keeps_the_diary(film):
    twin = Movie.objects.create(title="Heat", year=1995)
    record(watch(twin, FRIDAY))
    record(watch(film, SUNDAY))
    merge_movies(film, [twin])
    assert [each.day for each in diary()[film.pk]] == [FRIDAY, SUNDAY]


def test_deleting_the_history_deletes_the_diary(film):
    record(watch(film, FRIDAY))
    forget(ANN, film.pk)
    assert diary() == {} and not Event.objects.exists()


def test_messages_carry_the_day_and_those_without_one_are_as_before(film):
    told = InteractionRecorded(watch(film, FRIDAY), NOON)
    assert json.loads(encode(told))["watched_on"] == "2024-05-03" and decode(encode(told)) == told
    click = InteractionRecorded(watch(film, None)._replace(kind="click"), NOON)
    assert "watched_on" not in json.loads(encode(click)) and decode(encode(click)) == click
    with pytest.raises(InvalidMessage, match="is no day"):
        decode(json.dumps({**json.loads(encode(told)), "watched_on": "Friday"}))


def test_a_training_feed_of_an_earlier_version_goes_on(film, tmp_path):
    """Its files have no column of days; a watch is trained on as long as one entry stands."""
    import polars as pl

    feed = TrainingFeed(tmp_path)
    other = Movie.objects.create(title="Ronin")
    feed.handle([InteractionRecorded(watch(other, None)._replace(kind="click"), NOON)])
    (part,) = tmp_path.glob("parts/*.parquet")
    metadata = pl.read_parquet_metadata(part)
    old = pl.read_parquet(part).drop("watched_on")
    part.unlink()
    old.write_parquet(
        tmp_path / "events.parquet",
        metadata={name: value for name, value in metadata.items() if name.startswith("reelgraph")},
    )
    steps = [watch(film, FRIDAY), watch(film, SUNDAY, minute=1), watch(film, FRIDAY, minute=2, value=0.0)]
    feed.handle([InteractionRecorded(each, each.at) for each in steps])
    assert pl.read_parquet(feed_file(tmp_path))["item"].to_list() == [other.pk, film.pk]
    last = watch(film, SUNDAY, minute=3, value=0.0)
    feed.handle([InteractionRecorded(last, last.at)])
    assert pl.read_parquet(feed_file(tmp_path))["item"].to_list() == [other.pk]
