"""Undo after a film was deleted from the history: all of it comes back, for an hour, and only once."""

import json
import re
from datetime import date
from unittest import mock

import pytest
from django.contrib.sessions.models import Session
from django.core import signing
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from movie.catalogue.models import Movie, Rating
from movie.catalogue.tests.films import make_film
from movie.core.ids import new_event_id
from movie.events.forgotten import LIFETIME, MOST_DECISIONS, SALT, seal
from movie.events.history import get_history
from movie.events.history_import import prepare_import
from movie.events.models import DailyMovieActivity, Event
from movie.events.recording import forget, record, record_all
from movie.pages.tests.test_history_page import did
from predictors.history import Interaction

pytestmark = pytest.mark.django_db
PAGE, HTMX = {"Accept": "text/html"}, {"HX-Request": "true"}
SEALED = re.compile(r'name="events" value="([^"]+)"')


@pytest.fixture
def heat() -> Movie:
    cache.clear()
    return make_film("Heat", 1995, stars=[4, 5])


@pytest.fixture
def ada(client, django_user_model, heat) -> str:
    """A member who rated, watched and opened Heat."""
    user = django_user_model.objects.create_user("ada")
    client.force_login(user)
    visitor = f"user:{user.pk}"
    did(visitor, heat, "rating", 3.0)
    did(visitor, heat, "rating", 4.5, minute=1)
    did(visitor, heat, "click", minute=2)
    at = get_history(visitor).interactions[0].at
    day = date(2024, 4, 30)
    record(Interaction(new_event_id(), visitor, "watch", heat.pk, at, 1.0, watched_on=day))
    return visitor


def told(visitor):
    return [(each.kind, each.at, each.value, each.watched_on) for each in get_history(visitor)]


def delete(client, film, headers=PAGE):
    return client.post(reverse("pages:forget_movie", args=[film.pk]), headers=headers)


def undo(client, sealed, headers=PAGE):
    return client.post(reverse("pages:restore_movie"), {"events": sealed}, headers=headers)


def test_without_a_script_the_message_has_an_undo(client, ada, heat):
    before = told(ada)
    assert delete(client, heat).status_code == 303
    assert told(ada) == [] and not Rating.objects.filter(visitor=ada).exists()
    page = client.get(reverse("pages:history")).content.decode()
    assert "Heat is deleted from your history." in page
    assert undo(client, SEALED.search(page)[1]).status_code == 303
    assert told(ada) == before
    assert Rating.objects.get(visitor=ada).value == 4.5
    heat.refresh_from_db()
    assert (heat.rating_count, round(heat.rating_sum, 1)) == (3, 13.5)
    assert "Heat is in your history again." in client.get(reverse("pages:history")).content.decode()


def test_htmx_puts_the_row_back_in_its_place(client, ada, heat):
    gone = delete(client, heat, HTMX).content.decode()
    assert "Heat is deleted from your history." in gone and ">Undo<" in gone
    answer = undo(client, SEALED.search(gone)[1], HTMX)
    row = answer.content.decode()
    assert f'data-movie="{heat.pk}"' in row and "opened once" in row and "watched again" in row
    assert json.loads(answer["HX-Trigger"]) == {"announce": "Heat is in your history again."}


def test_twice_is_once_and_what_was_done_since_stands(client, ada, heat):
    sealed = seal(ada, heat.pk)
    delete(client, heat)
    did(ada, heat, "rating", 1.0, minute=9)
    for _ in range(2):
        undo(client, sealed)
    assert get_history(ada).ratings == {heat.pk: 1.0} and len(told(ada)) == 5
    assert Rating.objects.get(visitor=ada).value == 1.0


def test_deleted_and_brought_back_again_and_again(client, ada, heat):
    before = told(ada)
    for _ in range(3):
        sealed = seal(ada, heat.pk)
        delete(client, heat)
        undo(client, sealed)
        assert told(ada) == before


def test_nothing_is_counted_twice(client, ada, heat):
    counted = sum(DailyMovieActivity.objects.values_list("count", flat=True))
    assert counted
    sealed = seal(ada, heat.pk)
    delete(client, heat)
    undo(client, sealed)
    assert sum(DailyMovieActivity.objects.values_list("count", flat=True)) == counted


def test_an_import_keeps_its_entries(client, ada, heat):
    brought = prepare_import(ada, "a.csv", "letterboxd", b"x")
    entry = Interaction(new_event_id(), ada, "watchlist", heat.pk, get_history(ada).interactions[0].at)
    record_all([entry], import_number=brought.pk)
    sealed = seal(ada, heat.pk)
    delete(client, heat)
    undo(client, sealed)
    assert Event.objects.get(kind="watchlist").import_number == brought.pk
    sealed = seal(ada, heat.pk)
    delete(client, heat)
    brought.delete()
    undo(client, sealed)
    assert Event.objects.get(kind="watchlist").import_number is None


@pytest.mark.parametrize(
    "sealed",
    ["", "x", "eyJhIjoxfQ:1:2", signing.dumps([1, []], salt="other")],
    ids=["none", "no seal", "forged", "of another form"],
)
def test_what_was_not_sealed_here_is_refused(client, ada, heat, sealed):
    before = told(ada)
    assert undo(client, sealed).status_code == 409 and told(ada) == before


def test_after_an_hour_it_is_too_late(client, ada, heat):
    sealed = seal(ada, heat.pk)
    delete(client, heat)
    with mock.patch("django.core.signing.time.time", return_value=2e9 + LIFETIME.total_seconds()):
        response = undo(client, sealed)
    assert response.status_code == 409 and "too long ago" in response.content.decode()
    assert told(ada) == []


def test_a_film_that_is_gone_is_refused(client, ada, heat):
    sealed = seal(ada, heat.pk)
    heat.delete()
    assert undo(client, sealed).status_code == 422 and not Event.objects.exists()


def test_a_guest_who_signs_in_meanwhile_brings_it_into_the_account(client, ada, heat):
    guest = "guest:1"
    did(guest, heat, "rating", 2.0, minute=5)
    sealed = seal(guest, heat.pk)
    forget(guest, heat.pk)
    forget(ada)
    undo(client, sealed)
    assert get_history(ada).ratings == {heat.pk: 2.0}


def test_what_does_not_fit_offers_no_undo(client, ada, heat):
    assert signing.loads(seal(ada, heat.pk), salt=SALT)[0] == heat.pk
    for minute in range(MOST_DECISIONS):
        did(ada, heat, "rating", 0.5 + minute % 9 / 2, minute=10 + minute)
    assert seal(ada, heat.pk) == ""
    assert "Undo" not in delete(client, heat, HTMX).content.decode()
    assert seal(ada, heat.pk) == ""


def test_deleting_needs_no_session_and_writes_none(client, heat):
    guest = Client()
    guest.get("/")
    guest.post(reverse("pages:rate", args=[heat.pk]), {"value": "4"}, headers=PAGE)
    delete(guest, heat)
    assert not Session.objects.exists()
