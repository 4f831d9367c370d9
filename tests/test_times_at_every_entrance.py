"""A time that cannot be true is refused at every entrance, and no page breaks in any time zone.

A row dated 0001-01-01 once made the history of its visitor and two lists of the admin a 500.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import reverse

from movie.api.models import SCOPES, ApiClient, create_key
from movie.catalogue.models import ExternalId, Movie, Rating
from movie.core.ids import new_event_id
from movie.events.models import DeadLetter, Event
from movie.events.recording import InvalidInteraction, record, record_all
from movie.events.stream.base import RawMessage
from movie.events.stream.consumer import Consumer
from movie.events.stream.handlers import Popularity
from movie.events.stream.in_process import InProcessEventStream
from movie.events.stream.messages import InteractionRecorded, encode
from movie.training.training_feed import TrainingFeed
from predictors.history import Interaction

IMPOSSIBLE = [
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "1969-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
    "2100-01-01T00:00:00Z",
]
NOW = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.fixture(params=["America/New_York", "Pacific/Kiritimati"], autouse=True)
def zone(request, settings):
    cache.clear()
    settings.TIME_ZONE = request.param


@pytest.fixture
def film(db) -> Movie:
    film = Movie.objects.create(title="Heat", year=1995)
    ExternalId.objects.create(movie=film, source="ml", value="1")
    return film


def nothing_was_stored(client, admin_client) -> None:
    assert not Event.objects.exists()
    assert not Rating.objects.exists()
    for page in ("pages:history", "admin:events_event_changelist", "admin:catalogue_rating_changelist"):
        assert admin_client.get(reverse(page)).status_code == 200


@pytest.mark.parametrize(
    "at", [datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), NOW.replace(year=9999)]
)
def test_the_door_itself(film, at):
    interaction = Interaction(new_event_id(), "guest:a", "rating", film.pk, at, 4.0)
    for enter in (record, lambda each: record_all([each])):
        with pytest.raises(InvalidInteraction, match="between 1970 and 2100") as refused:
            enter(interaction)
        assert refused.value.field == "at"


@pytest.mark.parametrize("at", IMPOSSIBLE)
def test_a_history_file(client, admin_client, film, at):
    text = f"at,kind,movie_id,title,value\n{at},rating,{film.pk},Heat,4\n"
    file = SimpleUploadedFile("history.csv", text.encode())
    answer = client.post(reverse("pages:history_import"), {"file": file}, headers={"Accept": "text/html"})
    preview = client.get(answer["Location"])
    assert [row.line for row in preview.context["rejected"]] == [2]
    answer = client.post(f"{answer['Location']}confirm/", headers={"Accept": "text/html"})
    assert answer.context["new"] == 0
    nothing_was_stored(client, admin_client)


@pytest.mark.parametrize("at", IMPOSSIBLE)
def test_the_api(client, admin_client, film, at):
    key = create_key(ApiClient.objects.create(slug="shop"), list(SCOPES)).token
    body = {"visitor": "42", "movie_id": film.pk, "kind": "rating", "value": 4, "at": at}
    answer = client.post(
        "/api/v1/interactions",
        json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "at")
    nothing_was_stored(client, admin_client)


@pytest.mark.parametrize("at", [*IMPOSSIBLE, "-1", "1e30", "99999999999999999999"])
def test_the_import_of_a_data_set(client, admin_client, film, tmp_path, at):
    (tmp_path / "ratings.csv").write_text(f"user,movie,rating,timestamp\n7,1,4,{at}\n")
    with pytest.raises(CommandError):
        call_command("import_ratings", str(tmp_path / "ratings.csv"), source="ml", no_progress=True)
    nothing_was_stored(client, admin_client)


@pytest.mark.parametrize("visitor", ["ml:7", "guest:a"])
@pytest.mark.parametrize("at", IMPOSSIBLE)
def test_the_import_in_the_admin(client, admin_client, film, at, visitor):
    text = f"visitor,movie,value,rated_at\n{visitor},{film.pk},4,{at}\n"
    file = SimpleUploadedFile("rows.csv", text.encode(), "text/csv")
    page = admin_client.post(reverse("admin:catalogue_rating_import"), {"import_file": file, "format": "0"})
    assert page.status_code == 200
    assert page.context["preview"].rejected and not page.context["preview"].n_importable
    nothing_was_stored(client, admin_client)


@pytest.mark.parametrize("visitor", ["ml:7", "guest:a"])
@pytest.mark.parametrize("day", ["0001-01-01", "1969-12-01", "9999-12-31"])
def test_the_form_in_the_admin(client, admin_client, film, visitor, day):
    data = {"visitor": visitor, "movie": film.pk, "value": "4.0", "rated_at_0": day, "rated_at_1": "00:00:00"}
    page = admin_client.post(reverse("admin:catalogue_rating_add"), data)
    assert (page.status_code, list(page.context["errors"]) != []) == (200, True)
    nothing_was_stored(client, admin_client)


@pytest.mark.parametrize("at", IMPOSSIBLE)
@pytest.mark.parametrize("handler", ["popularity", "training feed"])
def test_a_message_of_the_stream(film, tmp_path, settings, at, handler):
    settings.FEED_DIR = tmp_path
    interaction = Interaction(new_event_id(), "guest:a", "rating", film.pk, NOW, 4.0)
    raw = json.loads(encode(InteractionRecorded(interaction, NOW)))
    batch = [
        RawMessage(json.dumps({**raw, "at": at}).encode(), "t/0@1"),
        RawMessage(json.dumps({**raw, "recorded_at": at}).encode(), "t/0@2"),
        RawMessage(json.dumps(raw).encode(), "t/0@3"),
    ]
    effect = Popularity() if handler == "popularity" else TrainingFeed()
    Consumer(effect, InProcessEventStream()).process(batch)
    assert sorted(DeadLetter.objects.values_list("position", flat=True)) == ["t/0@1", "t/0@2"]
