"""Many plays of a file: few queries and little CPU a row, twice is once, an interruption loses nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from django.db import connection
from django.forms.models import model_to_dict
from django.test.utils import CaptureQueriesContext

from movie.catalogue.models import ExternalId, Movie
from movie.core.ids import event_id_for
from movie.events import bulk_recording
from movie.events.bulk_recording import record_plain
from movie.events.client_import import import_interactions
from movie.events.history import get_history
from movie.events.models import TO_STREAM, DailyMovieActivity, Event
from movie.events.recording import InvalidInteraction, record, record_all
from movie.training.datasets import interactions_from_site
from predictors.history import Interaction

pytestmark = pytest.mark.django_db
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
CPU_SECONDS = 8.0  # for 20,000 rows: eight times what they take on a quiet machine


@pytest.fixture
def films():
    films = [Movie.objects.create(title=f"Film {n}") for n in range(40)]
    named = [ExternalId(movie=film, source="shop", value=f"f{n}") for n, film in enumerate(films)]
    ExternalId.objects.bulk_create(named)
    return films


def play(film, visitor="api:shop:7", minute=0, kind="watch"):
    at = NOON + timedelta(minutes=minute)
    event_id = event_id_for(at.timestamp(), visitor, kind, film.pk, None)
    day = at.date() if kind == "watch" else None
    return Interaction(event_id, visitor, kind, film.pk, at, surface="import", watched_on=day)


def file_of(tmp_path, n_rows):
    path = tmp_path / "plays.csv"
    lines = [f"u{n % 997},f{n % 40},{1_600_000_000 + 60 * n}" for n in range(n_rows)]
    path.write_text("user,item,timestamp\n" + "\n".join(lines) + "\n")
    return path


def take_in(path, **options):
    return import_interactions(path, "shop", kind="watch", source="shop", **{"pauses": False} | options)


def test_twenty_thousand_plays_take_little_cpu_and_few_queries(tmp_path, films):
    path = file_of(tmp_path, 20_000)
    began = time.process_time()
    with CaptureQueriesContext(connection) as queries:
        outcome = take_in(path, batch=2_000)
    assert time.process_time() - began < CPU_SECONDS
    assert (outcome.added, outcome.changed, outcome.unchanged) == (20_000, 0, 0)
    inserts = [each for each in queries if each["sql"].startswith(("INSERT", "2000 times: INSERT"))]
    assert len(inserts) == 10
    assert len(queries) < 10 * 10
    assert Event.objects.filter(kind="watch", surface="import").count() == 20_000
    assert take_in(path).unchanged == 20_000
    assert Event.objects.count() == 20_000


def test_a_row_is_stored_as_one_that_is_recorded_alone(films):
    plays = [play(films[n], f"api:shop:{n}", n, kind) for n, kind in enumerate(("watch", "click", "dismiss"))]
    assert record_plain(plays) == 3
    in_bulk = [model_to_dict(each) for each in Event.objects.order_by("at")]
    recorded = {each.recorded_at.date() for each in Event.objects.all()}
    Event.objects.all().delete()
    assert record_all(plays) == 3
    assert in_bulk == [
        model_to_dict(each) | {"available_at": bulk["available_at"], "recorded_at": bulk["recorded_at"]}
        for each, bulk in zip(Event.objects.order_by("at"), in_bulk, strict=True)
    ]
    assert recorded == {each.recorded_at.date() for each in Event.objects.all()}


def test_an_interrupted_import_keeps_what_it_finished_and_goes_on(tmp_path, films):
    path = file_of(tmp_path, 1_000)

    def stop(_done, _text):
        raise KeyboardInterrupt

    outcome = take_in(path, batch=300, progress=stop)
    assert outcome.interrupted
    assert Event.objects.count() == 300
    outcome = take_in(path)
    assert (outcome.added, outcome.unchanged) == (700, 300)


def test_an_event_id_of_something_else_hides_no_play(films):
    mine = play(films[0])
    record(Interaction(mine.event_id, "api:other:1", "click", films[1].pk, NOON))
    assert record_plain([mine, mine]) == 1
    assert record_plain([mine]) == 0
    assert get_history("api:shop:7").watches.keys() == {films[0].pk}


def test_rows_that_somebody_else_stores_meanwhile_are_found_by_another_look(films):
    plays = [play(film) for film in films]
    record_all(plays[:5])
    looks = []

    def blind(interactions):
        looks.append(interactions)
        return (list(interactions), []) if len(looks) == 1 else find_new(interactions)

    find_new = bulk_recording._find_new
    with mock.patch.object(bulk_recording, "_find_new", blind):
        assert record_plain(plays) == 35
    assert Event.objects.count() == 40


def test_a_play_that_cannot_be_true_stores_nothing(films):
    with pytest.raises(InvalidInteraction, match="no visitor of the site"):
        record_plain([play(films[0]), play(films[1], "movielens:7")])
    assert not Event.objects.exists()


def test_with_a_broker_every_play_is_a_row_of_the_outbox(films):
    with mock.patch("movie.events.outbox.get_event_stream") as stream:
        stream.return_value.uses_outbox = True
        record_plain([play(film) for film in films])
    assert Event.objects.undelivered(TO_STREAM).count() == 40


def test_models_learn_from_imported_plays_and_the_trends_of_the_site_do_not(tmp_path, films):
    take_in(file_of(tmp_path, 200))
    assert len(interactions_from_site()) == 200
    assert not DailyMovieActivity.objects.exists()
