"""Staff write reviews in the admin, see them before they save, and take them away from their files."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.urls import reverse

from movie.papers.models import Comment, PaperReview
from movie.papers.tests.writing import make_review, write_review

pytestmark = pytest.mark.django_db
CHANGELIST = "admin:papers_paperreview_changelist"
ADD, PREVIEW = "admin:papers_paperreview_add", "admin:papers_paperreview_preview"


@pytest.fixture
def filed(settings, tmp_path):
    """A review that came from a file."""
    settings.PAPERS_DIR = tmp_path
    write_review(tmp_path, "ease", "## One\n\nSome $x$.\n\nMore.\n")
    call_command("sync_papers", verbosity=0)
    return PaperReview.objects.get()


def fields_of(client, address):
    """What a browser would send of the form as it is."""
    form = client.get(address).context["adminform"].form
    data = {}
    for name in form.fields:
        value = form[name].value()
        if name == "is_draft":
            if value:
                data[name] = "on"
        else:
            data[name] = str(form.fields[name].prepare_value(value) or "").replace("\n", "\r\n")
    return data


def change(review):
    return reverse("admin:papers_paperreview_change", args=[review.pk])


def test_the_list_says_to_whom_a_review_belongs(admin_client, filed):
    make_review("own")
    markup = admin_client.get(reverse(CHANGELIST)).content.decode()
    assert "its file" in markup
    assert "the site" in markup


def test_a_review_is_written_and_rendered(admin_client):
    data = fields_of(admin_client, reverse(ADD)) | {
        "title": "New",
        "slug": "new",
        "summary": "S.",
        "published": "2026-02-01",
        "paper_title": "P",
        "authors": "A. One\r\nB. Two\r\n",
        "venue": "V",
        "year": "2020",
        "model": "ease",
        "body": "## One\r\n\r\nSome $x$.",
    }
    assert admin_client.post(reverse(ADD), data).status_code == 302
    review = PaperReview.objects.get()
    assert review.authors == ["A. One", "B. Two"]
    assert review.headings == [[2, "s-one", "One"]]
    assert "<math" in review.html
    assert not review.file_sha256


def test_saving_without_a_change_leaves_a_review_to_its_file(admin_client, filed):
    assert admin_client.post(change(filed), fields_of(admin_client, change(filed))).status_code == 302
    filed.refresh_from_db()
    assert filed.edited_at is None


def test_an_edited_review_belongs_to_the_site_until_it_is_given_back(admin_client, filed):
    data = fields_of(admin_client, change(filed)) | {"title": "Better"}
    assert admin_client.post(change(filed), data).status_code == 302
    call_command("sync_papers", verbosity=0)
    assert PaperReview.objects.get().title == "Better"
    admin_client.post(reverse(CHANGELIST), {"action": "give_back", "_selected_action": [filed.pk]})
    call_command("sync_papers", verbosity=0)
    assert PaperReview.objects.get().title == "A title"


def test_what_cannot_be_shown_is_refused_with_its_line(admin_client, filed):
    data = fields_of(admin_client, change(filed)) | {"body": "One.\r\n\r\nTwo $\\foo$."}
    response = admin_client.post(change(filed), data)
    assert response.status_code == 200
    assert "Line 3: the formula \\foo cannot be shown" in response.content.decode()
    assert PaperReview.objects.get().body == filed.body


@pytest.mark.parametrize("slug", ["feed", "code", "a_b", "Abc", "with space"])
def test_an_address_that_is_taken_or_odd_is_refused(admin_client, filed, slug):
    data = fields_of(admin_client, change(filed)) | {"slug": slug}
    assert admin_client.post(change(filed), data).status_code == 200
    assert PaperReview.objects.get().slug == "ease"


def test_drafts_are_published_and_withdrawn(admin_client, client, filed):
    for action, status in (("withdraw", 404), ("publish", 200)):
        admin_client.post(reverse(CHANGELIST), {"action": action, "_selected_action": [filed.pk]})
        assert client.get(filed.get_absolute_url()).status_code == status
    assert PaperReview.objects.get().edited_at is not None


# -- the preview ------------------------------------------------------------------------------


def test_the_form_offers_a_preview_without_a_script(admin_client, filed):
    markup = admin_client.get(change(filed)).content.decode()
    button = re.search(r"<input[^>]*formaction=[^>]*>", markup)[0]
    assert f'formaction="{reverse(PREVIEW)}?of={filed.pk}"' in button
    assert 'formtarget="_blank"' in button
    assert f'formaction="{reverse(PREVIEW)}"' in admin_client.get(reverse(ADD)).content.decode()


def test_a_preview_shows_the_page_and_saves_nothing(admin_client, filed):
    data = fields_of(admin_client, change(filed)) | {
        "title": "Better",
        "body": "## Two\r\n\r\nNew $y^2$ and $\\foo$.",
    }
    markup = admin_client.post(f"{reverse(PREVIEW)}?of={filed.pk}", data).content.decode()
    assert "Better" in markup
    assert '<h2 id="s-two">Two</h2>' in markup
    assert "<msup>" in markup
    assert "Line 3: the formula \\foo cannot be shown" in markup
    assert PaperReview.objects.get().title == "A title"
    assert "Two" not in PaperReview.objects.get().html


def test_a_preview_of_a_form_that_is_all_wrong_is_a_page(admin_client):
    response = admin_client.post(reverse(PREVIEW), {"body": "<script>alert(1)</script>"})
    assert response.status_code == 200
    assert "<script>alert" not in response.content.decode()


def test_a_preview_is_for_those_who_may_write(client, admin_client, filed, django_user_model):
    assert admin_client.get(reverse(PREVIEW)).status_code == 405
    assert client.post(reverse(PREVIEW), {"body": "x"}).status_code == 302
    viewer = django_user_model.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_paperreview"))
    client.force_login(viewer)
    assert client.post(reverse(PREVIEW), {"body": "x"}).status_code == 403
    assert client.post(f"{reverse(PREVIEW)}?of={filed.pk}", {"body": "x"}).status_code == 403
    assert client.get(change(filed)).status_code == 200
    assert "formaction" not in client.get(change(filed)).content.decode()


# -- comments ---------------------------------------------------------------------------------


def test_comments_are_hidden_and_shown_but_not_rewritten(admin_client, admin_user, filed):
    comment = Comment.objects.create(
        review=filed, author=admin_user, body="Hm.", post_id="01900000-0000-7000-8000-000000000000"
    )
    comments = reverse("admin:papers_comment_changelist")
    assert "Hm." in admin_client.get(comments).content.decode()
    for action, hidden in (("hide", True), ("show", False)):
        admin_client.post(comments, {"action": action, "_selected_action": [comment.pk]})
        comment.refresh_from_db()
        assert comment.is_hidden is hidden
    one = reverse("admin:papers_comment_change", args=[comment.pk])
    admin_client.post(one, {"body": "Rewritten", "is_hidden": "on"})
    comment.refresh_from_db()
    assert (comment.body, comment.is_hidden) == ("Hm.", True)
