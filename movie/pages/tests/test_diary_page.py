"""The diary on a film's page and in the history: entered, shown, taken back, taken along and brought."""

import csv
import io
import json
from datetime import date, timedelta

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from movie.catalogue.models import Movie
from movie.catalogue.tests.films import make_film
from movie.core.ids import new_event_id
from movie.events.history import get_history
from movie.events.models import Event
from predictors.history import Watch

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
FRIDAY = date(2024, 5, 3)


@pytest.fixture
def heat() -> Movie:
    cache.clear()
    return make_film("Heat", 1995, stars=[4, 5])


@pytest.fixture
def ada(client, django_user_model) -> str:
    user = django_user_model.objects.create_user("ada")
    client.force_login(user)
    return f"user:{user.pk}"


def enter(client, film, day="2024-05-03", *, headers=None, **fields):
    address = reverse("pages:watch", args=[film.pk])
    sent = {"event_id": new_event_id(), "watched_on": day, "next": film.get_absolute_url(), **fields}
    return client.post(address, sent, headers={"Accept": "text/html", **(headers or {})})


def test_without_a_script_the_page_comes_back_with_the_entry(client, ada, heat):
    page = client.get(heat.get_absolute_url()).content.decode()
    assert "Seen it? Write it in your diary" in page
    assert f'name="watched_on" value="{timezone.localdate():%Y-%m-%d}"' in page
    response = enter(client, heat)
    assert response.status_code == 303 and response["Location"] == heat.get_absolute_url()
    page = client.get(heat.get_absolute_url()).content.decode()
    assert "Heat is in your diary." in page and '<time datetime="2024-05-03">May 3, 2024</time>' in page
    assert get_history(ada).watches == {heat.pk: (Watch(FRIDAY),)}


def test_htmx_gets_the_part_with_an_undo_and_the_live_region_is_told(client, ada, heat):
    answer = enter(client, heat, headers=HTMX, part="film", value="1")
    html = answer.content.decode()
    assert html.lstrip().startswith("{#") is False and html.count('class="film-yours"') == 1
    assert json.loads(answer["HX-Trigger"]) == {"announce": "Heat is in your diary."}
    assert "watched again" in html and 'name="value" value="0"' in html
    removed = enter(client, heat, headers=HTMX, part="film", value="0").content.decode()
    assert "Removed:" in removed and "watched again" in removed and ">Undo<" in removed
    assert get_history(ada).watches == {}
    enter(client, heat, headers=HTMX, part="film", value="1")
    assert get_history(ada).watches == {heat.pk: (Watch(FRIDAY, is_again=True),)}


def test_a_second_day_is_one_of_watching_again(client, ada, heat):
    enter(client, heat)
    enter(client, heat, "2024-06-01")
    row = client.get(reverse("pages:history")).content.decode()
    assert row.count("watched <time") == 1 and row.count("watched again <time") == 1
    listed = client.get(reverse("pages:history"), {"show": "watched"}).context["rows"]
    assert [each.movie for each in listed] == [heat]


def test_a_day_may_be_unknown(client, ada, heat):
    enter(client, heat, "")
    assert get_history(ada).watches == {heat.pk: (Watch(None),)}
    assert "day not known" in client.get(heat.get_absolute_url()).content.decode()
    enter(client, heat, "", value="0")
    assert get_history(ada).watches == {}


@pytest.mark.parametrize("day", ["tomorrow", "2024-13-01", "1700-01-01", "2999-01-01", "03.05.2024"])
def test_a_day_that_cannot_be_is_refused(client, ada, heat, day):
    response = enter(client, heat, day)
    assert response.status_code == 422 and "watched_on" in response.content.decode()
    assert not Event.objects.exists()


def test_a_watched_film_is_recommended_no_more_and_can_be_the_reason(api_site, client, ada):
    film = Movie.objects.get(pk=1)
    enter(client, film)
    recommended = client.get(reverse("pages:recommend")).context["ranked"]
    assert film.pk not in recommended.films
    assert "Because you watched Film 1" in {entry.reason for entry in recommended.entries}


def test_the_own_export_brings_the_diary_back(client, ada, heat):
    enter(client, heat)
    enter(client, heat, "2024-06-01", value="1")
    before = get_history(ada).watches
    text = b"".join(client.get(reverse("pages:history_export")).streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [(row["kind"], row["watched_on"], row["value"]) for row in rows] == [
        ("watch", "2024-05-03", ""),
        ("watch", "2024-06-01", "1"),
    ]
    client.post(reverse("pages:forget_all"))
    assert get_history(ada).watches == {}
    file = SimpleUploadedFile("history.csv", text.encode())
    answer = client.post(reverse("pages:history_import"), {"file": file}, headers={"Accept": "text/html"})
    preview = client.get(answer["Location"]).content.decode()
    assert "<b>2</b> entries of the diary" in preview and "watched again" in preview
    client.post(f"{answer['Location']}confirm/", headers={"Accept": "text/html"})
    assert get_history(ada).watches == before


def test_the_account_exports_the_diary_and_takes_it_along(client, ada, heat, django_user_model):
    enter(client, heat)
    exported = client.get(reverse("pages:account_export")).json()["history"]
    assert [(each["kind"], each["watched_on"], each["stars"]) for each in exported] == [
        ("watch", "2024-05-03", None)
    ]
    django_user_model.objects.get(username="ada").delete()
    assert not Event.objects.exists()


def test_a_guest_signs_in_with_the_diary(heat, django_user_model):
    guest = Client()
    guest.get("/")
    enter(guest, heat)
    user = django_user_model.objects.create_user("bea", password="a-long-enough-passphrase")
    guest.post(reverse("account_login"), {"login": "bea", "password": "a-long-enough-passphrase"})
    assert get_history(f"user:{user.pk}").watches == {heat.pk: (Watch(FRIDAY),)}


def test_tomorrow_elsewhere_can_be_entered(client, ada, heat):
    day = timezone.localdate() + timedelta(days=1)
    assert enter(client, heat, day.isoformat()).status_code == 303
