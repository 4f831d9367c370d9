"""Plays with progress and clicks with weight: they come in, count as the site says, and go out again."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from movie.api.models import READ, WRITE_INTERACTIONS, WRITE_VISITORS, ApiClient, create_key
from movie.catalogue.models import ExternalId
from movie.events.archive.base import Archived
from movie.events.archive.dynamodb import _archived, _item
from movie.events.forgotten import seal, unseal
from movie.events.history import get_history
from movie.events.history_files import history_rows
from movie.events.history_matching import parse_history_file
from movie.events.models import Event
from movie.events.stream.messages import InteractionRecorded, InvalidMessage, decode, encode
from movie.training.datasets import interactions_from_site
from movie.training.training_feed import TrainingFeed
from predictors.history import Counting, History, Interaction

VISITOR = "api:shop:7"
NOON = 1_600_000_000
AT = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def send(client, api_site):
    for film in api_site:
        ExternalId.objects.create(movie=film, source="shop", value=f"sku-{film.pk}")
    shop = ApiClient.objects.create(slug="shop")
    token = create_key(shop, [READ, WRITE_INTERACTIONS, WRITE_VISITORS]).token

    def call(path, body=None, status=200):
        method, content = ("GET", "") if body is None else ("POST", json.dumps(body))
        headers = {"authorization": f"Bearer {token}"}
        response = client.generic(
            method, f"/api/v1/{path}", content, content_type="application/json", headers=headers
        )
        assert response.status_code == status, response.content
        return response.json()

    return call


def sent(movie_id, kind, **details):
    return {"visitor": "7", "movie_id": movie_id, "kind": kind} | details


def learned_of_visitor():
    """Return the films that models learn this visitor likes."""
    data = interactions_from_site()
    user = data.user_ids.tolist().index(VISITOR)
    return set(data.item_ids[data.items[data.users == user]].tolist())


def run(tmp_path, text, **options):
    path = tmp_path / "plays.csv"
    path.write_text(text, encoding="utf-8")
    out = io.StringIO()
    given = {"client": "shop", "source": "shop"} | options
    call_command("import_interactions", str(path), stdout=out, no_progress=True, **given)
    return out.getvalue()


def test_a_play_that_stops_early_is_no_viewing_and_one_to_the_end_is(send):
    plays = [sent(1, "watch", progress=0.2), sent(3, "watch", progress=0.9), sent(5, "click", weight=1.8)]
    assert send("interactions", plays)["stored"] == 3
    history = get_history(VISITOR)
    assert history.seen == {3}
    assert history.strength == {3: 0.5, 5: 0.9}
    events = {each["movie_id"]: each for each in send("visitors/7/history")["events"]}
    assert (events[1]["progress"], events[3]["progress"], events[5]["weight"]) == (0.2, 0.9, 1.8)
    assert events[5]["progress"] is events[1]["weight"] is None
    listed = {each["movie_id"] for each in send("recommend", {"user_id": "7", "k": 24})["recommendations"]}
    assert 3 not in listed
    assert 1 in listed
    send("interactions", sent(1, "watch", progress=0.95))
    assert get_history(VISITOR).seen == {1, 3}


@pytest.mark.parametrize(
    ("details", "field"),
    [
        ({"kind": "click", "progress": 0.5}, "progress"),
        ({"kind": "watch", "progress": 1.5}, "progress"),
        ({"kind": "watch", "progress": 0.5, "value": 0}, "progress"),
        ({"kind": "watch", "weight": 2}, "weight"),
        ({"kind": "click", "weight": 0}, "weight"),
        ({"kind": "click", "weight": 11}, "weight"),
    ],
)
def test_details_that_cannot_be_true_are_refused_by_name(send, details, field):
    problem = send("interactions", {"visitor": "7", "movie_id": 1} | details, status=422)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert not Event.objects.exists()


def test_the_site_says_how_each_kind_counts_for_lists_and_for_models(send, monkeypatch):
    plays = [sent(1, "watch", progress=0.2), sent(3, "watch"), sent(5, "click"), sent(7, "watchlist")]
    send("interactions", plays)
    assert learned_of_visitor() == {3, 5, 7}
    counting = Counting.parse("click=0, watch=1, unfinished=0.25, least_progress=0.1")
    monkeypatch.setattr(History, "counting", counting)
    assert get_history(VISITOR).strength == {1: 1.0, 3: 1.0, 7: 0.5}
    assert get_history(VISITOR).seen == {1, 3}
    assert learned_of_visitor() == {1, 3, 7}


@pytest.mark.parametrize("text", ["plays=1", "click=2", "click=much"])
def test_a_setting_that_cannot_be_read_is_refused(text):
    with pytest.raises(ValueError, match=r"plays|from 0 to 1|much"):
        Counting.parse(text)


def test_a_file_without_ratings_brings_plays_with_progress(send, tmp_path):
    rows = ["7,sku-1,0.3", "7,sku-3,85%", "7,sku-5,", "7,sku-7,far"]
    text = "user,item,progress,timestamp\n" + "".join(f"{row},{NOON}\n" for row in rows)
    said = run(tmp_path, text, kind="watch")
    assert "3 added" in said
    assert "the progress is neither from 0 to 1 nor a percentage" in said
    assert get_history(VISITOR).seen == {3, 5}
    assert "nothing to change" in run(tmp_path, text, kind="watch")
    assert Event.objects.count() == 3


def test_a_file_of_clicks_brings_their_weights(send, tmp_path):
    text = f"user,item,weight,timestamp\n7,sku-1,2,{NOON}\n7,sku-3,,{NOON}\n7,sku-5,-1,{NOON}\n"
    said = run(tmp_path, text)
    assert "2 added" in said
    assert "the weight is not above 0" in said
    assert get_history(VISITOR).strength == {1: 1.0, 3: 0.5}


def test_flags_are_no_stars_of_interactions_either(send, tmp_path):
    text = "user,item,rating\n" + "".join(f"{n},sku-{2 * n + 1},{n % 2}\n" for n in range(6))
    with pytest.raises(CommandError, match=r"nothing but 0 and 1, which are no stars.*--kind watch"):
        run(tmp_path, text, kind="rating")
    assert not Event.objects.exists()
    assert "6 added" in run(tmp_path, text, kind="watch")


def test_details_go_through_stream_feed_archive_export_and_undo(send, tmp_path):
    play = Interaction("0190a1b2-0000-7000-8000-000000000001", VISITOR, "watch", 1, AT, progress=0.25)
    click = Interaction("0190a1b2-0000-7000-8000-000000000002", VISITOR, "click", 3, AT, weight=1.5)
    for each in (play, click):
        message = InteractionRecorded(each, AT)
        assert decode(encode(message)) == message
    with pytest.raises(InvalidMessage, match="no number"):
        decode(encode(InteractionRecorded(click, AT)).replace(b"1.5", b'"x"'))
    feed = TrainingFeed(tmp_path / "feed")
    feed.handle([InteractionRecorded(play, AT), InteractionRecorded(click, AT)])
    assert feed.compact() == 1  # the click: a quarter of a film is no reason to like it
    assert _archived(_item(Archived(click, AT))).interaction == click
    send("interactions", [sent(1, "watch", progress=0.25), sent(3, "click", weight=1.5)])
    history = get_history(VISITOR)
    file = io.StringIO()
    csv.writer(file).writerows(history_rows(history))
    again = parse_history_file(file.getvalue().encode(), "api:shop:8")
    assert [(each.progress, each.weight) for each in again.interactions] == [(0.25, None), (None, 1.5)]
    for movie in (1, 3):
        (before,) = (each for each in history if each.movie_id == movie)
        ((back, _number),) = unseal(seal(VISITOR, movie), VISITOR).events
        assert (back.progress, back.weight) == (before.progress, before.weight)
