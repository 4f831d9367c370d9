"""Comments: by members, their own to change, plain text, not too many, and moderated."""

import re
import uuid

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from movie.papers.models import LONGEST_COMMENT, Comment
from movie.papers.tests.writing import make_review
from movie.papers.views import COMMENTS_AT_ONCE

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_counted():
    cache.clear()


@pytest.fixture
def review():
    return make_review()


@pytest.fixture
def member(django_user_model):
    """Makes clients of members."""

    def sign_in(name, *permissions):
        user, new = django_user_model.objects.get_or_create(
            username=name, defaults={"is_staff": bool(permissions)}
        )
        if new:
            user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return sign_in


def say(client, review, body="Well said.", **fields):
    return client.post(reverse("papers:comment", args=[review.slug]), {"body": body, **fields})


def page(client, review):
    return client.get(review.get_absolute_url()).content.decode()


def test_a_member_comments_and_everyone_reads_it(client, review, member):
    response = say(member("ada"), review, "First line\r\n\r\nSecond")
    comment = Comment.objects.get()
    assert (response.status_code, response.url) == (303, f"/papers/ease/#comment-{comment.pk}")
    assert comment.body == "First line\n\nSecond"
    markup = page(client, review)
    assert "<b>ada</b>" in markup
    assert "<p>First line</p>" in markup


def test_a_guest_is_asked_to_sign_in_and_nothing_is_stored(client, review):
    response = say(client, review)
    assert response.status_code == 302
    assert response.url.startswith(reverse("account_login"))
    assert not Comment.objects.exists()
    markup = page(client, review)
    assert "<textarea" not in markup
    assert "to comment" in markup


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        "[x](javascript:alert(1))",
        "javascript:alert(1)",
        "</textarea><script>alert(1)</script>",
        "$\\href{javascript:alert(1)}{x}$",
    ],
)
def test_a_comment_is_plain_text(review, member, body):
    client = member("ada")
    say(client, review, body)
    markup = page(client, review)
    assert "<script>alert" not in markup
    assert 'onerror="' not in markup
    assert 'href="javascript' not in markup
    editing = client.get(reverse("papers:comment_edit", args=[Comment.objects.get().pk])).content.decode()
    assert "<script>alert" not in editing


@pytest.mark.parametrize("body", ["", "   \n ", "x" * (LONGEST_COMMENT + 1)])
def test_an_empty_or_endless_comment_is_refused_and_kept_in_the_form(review, member, body):
    response = say(member("ada"), review, body)
    assert response.status_code == 422
    assert not Comment.objects.exists()
    if body.strip():
        assert body in response.content.decode()


def test_ends_of_lines_count_once(review, member):
    assert say(member("ada"), review, "\r\n".join(["x" * 9] * (LONGEST_COMMENT // 10))).status_code == 303


def test_the_same_form_sent_twice_is_one_comment_and_another_text_another(review, member):
    client, post_id = member("ada"), str(uuid.uuid4())
    for body in ("One.", "One.", "Two.", "One."):
        assert say(client, review, body, post_id=post_id).status_code == 303
    assert list(Comment.objects.values_list("body", flat=True)) == ["One.", "Two."]


def test_nobody_can_take_the_id_of_anothers_form(review, member):
    post_id = str(uuid.uuid4())
    say(member("ada"), review, "Ada's.", post_id=post_id)
    say(member("bob"), review, "Ada's.", post_id=post_id)
    assert sorted(Comment.objects.values_list("author__username", flat=True)) == ["ada", "bob"]


def test_a_form_carries_a_new_id(review, member):
    ids = [re.search(r'name="post_id" value="([^"]+)"', page(member("ada"), review))[1] for _ in range(2)]
    assert len(set(ids)) == 2


def test_too_many_at_once_wait_and_keep_their_text(review, member):
    client = member("ada")
    for number in range(COMMENTS_AT_ONCE):
        assert say(client, review, f"Comment {number}").status_code == 303
    response = say(client, review, "One too many")
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0
    assert "One too many" in response.content.decode()
    assert Comment.objects.count() == COMMENTS_AT_ONCE
    assert say(member("bob"), review).status_code == 303


def test_a_member_changes_only_their_own(review, member):
    client = member("ada")
    say(client, review, "Before")
    comment = Comment.objects.get()
    edit = reverse("papers:comment_edit", args=[comment.pk])
    assert "Before" in client.get(edit).content.decode()
    assert client.post(edit, {"body": "After"}).status_code == 303
    comment.refresh_from_db()
    assert (comment.body, bool(comment.edited_at)) == ("After", True)
    assert "edited" in page(client, review)
    assert client.post(edit, {"body": ""}).status_code == 422
    for other in (member("bob"), member("boss", "change_comment", "delete_comment"), Client()):
        assert other.get(edit).status_code == 403
        assert other.post(edit, {"body": "Mine"}).status_code == 403
    comment.refresh_from_db()
    assert comment.body == "After"


def test_a_member_deletes_only_their_own(review, member):
    client = member("ada")
    say(client, review)
    delete = reverse("papers:comment_delete", args=[Comment.objects.get().pk])
    for other in (member("bob"), Client()):
        assert other.post(delete).status_code == 403
    assert client.get(delete).status_code == 405
    assert client.post(delete).status_code == 303
    assert not Comment.objects.exists()
    assert client.post(delete).status_code == 404


def test_staff_hide_in_place_and_the_author_still_sees_it(client, review, member):
    author, boss = member("ada"), member("boss", "change_comment", "delete_comment")
    say(author, review, "Questionable")
    moderate = reverse("papers:comment_moderate", args=[Comment.objects.get().pk])
    assert author.post(moderate, {"hidden": "1"}).status_code == 403
    assert client.post(moderate, {"hidden": "1"}).status_code == 403
    assert boss.post(moderate, {"hidden": "1"}).status_code == 303
    assert "Questionable" not in page(client, review)
    assert "Questionable" not in page(member("bob"), review)
    assert "Hidden by a moderator" in page(author, review)
    assert "Questionable" in page(boss, review)
    boss.post(moderate, {"hidden": "0"})
    assert "Questionable" in page(client, review)


def test_staff_delete_in_place(review, member):
    say(member("ada"), review)
    delete = reverse("papers:comment_delete", args=[Comment.objects.get().pk])
    assert member("half", "change_comment").post(delete).status_code == 403
    assert member("boss", "delete_comment").post(delete).status_code == 303
    assert not Comment.objects.exists()


def test_controls_are_shown_to_whom_they_work_for(client, review, member):
    say(member("ada"), review)
    number = Comment.objects.get().pk
    edit, delete = (reverse(f"papers:comment_{what}", args=[number]) for what in ("edit", "delete"))
    moderate = reverse("papers:comment_moderate", args=[number])
    expected = {"ada": (True, True, False), "bob": (False, False, False), "boss": (False, True, True)}
    for name, wanted in expected.items():
        markup = page(member(name, *(["change_comment", "delete_comment"] if name == "boss" else [])), review)
        assert tuple(address in markup for address in (edit, delete, moderate)) == wanted, name


def test_a_draft_takes_comments_from_staff_only(review, member):
    review.is_draft = True
    review.save()
    assert say(member("ada"), review).status_code == 404


def test_a_closed_account_takes_its_comments_along(review, member, django_user_model):
    say(member("ada"), review)
    django_user_model.objects.get(username="ada").delete()
    assert not Comment.objects.exists()


def test_forms_are_protected(review, django_user_model):
    client = Client(enforce_csrf_checks=True)
    client.force_login(django_user_model.objects.create_user("ada"))
    assert say(client, review).status_code == 403
    assert not Comment.objects.exists()


def test_many_comments_have_pages(client, review, django_user_model):
    author = django_user_model.objects.create_user("ada")
    Comment.objects.bulk_create(
        Comment(review=review, author=author, body=f"Number {n}.", post_id=uuid.uuid4()) for n in range(51)
    )
    assert "Number 49." in page(client, review)
    assert "Number 50." not in page(client, review)
    assert "Number 50." in client.get(review.get_absolute_url() + "?page=2").content.decode()
    assert client.get(review.get_absolute_url() + "?page=x").status_code == 200
