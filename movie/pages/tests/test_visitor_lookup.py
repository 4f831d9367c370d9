"""Staff look one visitor up: history, every model's list, export, deletion on request."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from movie.core.ids import new_event_id
from movie.events.models import Event
from movie.events.recording import record
from movie.pages.views.visitor_lookup import find_visitor
from predictors.history import Interaction

GUEST = "guest:5f1e2a9c-31f7-4a85-9a6c-0d6e0f2d9a11"


@pytest.fixture
def visitor(api_site):
    for film in (1, 3):
        record(Interaction(new_event_id(), GUEST, "rating", film, datetime.now(UTC), 4.5, "home"))
    return GUEST


def look_up(client, visitor):
    return client.get(reverse("admin:visitor"), {"visitor": visitor})


def test_history_and_the_lists_of_all_models_stand_side_by_side(admin_client, visitor):
    page = look_up(admin_client, visitor)
    assert [answer.model for answer in page.context["answers"]] == ["popular", "neighbours", "mf"]
    assert all(1 not in [pick.movie.pk for pick in answer.picks] for answer in page.context["answers"])
    text = page.content.decode()
    assert "2 events" in text and "Film 3" in text and "4.5" in text


def test_a_member_is_found_by_name_mail_or_number(db, django_user_model):
    ada = django_user_model.objects.create_user("ada", "ada@example.org", "x")
    for asked in ("ada", "ADA@example.org", f"user:{ada.pk}", f" user:{ada.pk} "):
        assert find_visitor(asked) == (f"user:{ada.pk}", ada)
    for asked in ("", "bob", "user:", "user:x", f"user:{2**70}", "user:²"):
        assert find_visitor(asked) == ("", None)


def test_everything_stored_about_a_guest_can_be_exported(admin_client, visitor):
    stored = admin_client.get(reverse("admin:visitor_export"), {"visitor": visitor}).json()
    assert [(row["movie_id"], row["stars"]) for row in stored["history"]] == [(1, 4.5), (3, 4.5)]
    assert len(stored["tables"]["catalogue.rating"]) == 2


def test_a_history_is_deleted_only_with_the_box_ticked(admin_client, visitor):
    url = reverse("admin:visitor_delete")
    admin_client.post(url, {"visitor": visitor})
    assert Event.objects.of(visitor).count() == 2
    answer = admin_client.post(url, {"visitor": visitor, "sure": "on"}, follow=True).content.decode()
    assert Event.objects.of(visitor).count() == 0
    assert "2 events were deleted" in answer and "Nothing is stored about this visitor" in answer
    refused = admin_client.post(url, {"visitor": "ml-100k:1", "sure": "on"}, follow=True).content.decode()
    assert "There is no such visitor" in refused, "people of a data set have no history to delete"


def test_staff_need_the_permission(client, visitor, django_user_model):
    user = django_user_model.objects.create_user("eve", password="x", is_staff=True)
    client.force_login(user)
    assert look_up(client, visitor).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_event"))
    assert look_up(client, visitor).status_code == 403, "it would say whose an address is"
    assert client.get(reverse("admin:visitor_export"), {"visitor": visitor}).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_user"))
    assert look_up(client, visitor).status_code == 200
    assert client.post(reverse("admin:visitor_delete"), {"visitor": visitor, "sure": "on"}).status_code == 403
    assert Event.objects.of(visitor).count() == 2


def test_a_name_that_is_somebody_elses_address_finds_neither(admin_client, django_user_model):
    accounts = django_user_model.objects
    accounts.create_user("eve@example.org")
    ada = accounts.create_user("ada", email="eve@example.org")
    assert find_visitor("eve@example.org") == ("", None)
    assert find_visitor(f"user:{ada.pk}")[1] == ada
