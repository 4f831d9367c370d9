"""Views: people, once a day, and none lost."""

import datetime

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, RequestFactory
from django.utils import timezone

from movie.core.tests.threads import in_threads
from movie.papers.models import PaperReview, ViewToday
from movie.papers.tests.writing import make_review
from movie.papers.view_counts import count_view
from movie.visitors.visitor import Visitor

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
READING = {"user-agent": BROWSER, "accept": "text/html,application/xhtml+xml", "sec-fetch-dest": "document"}


@pytest.fixture
def review(db):
    return make_review()


def views():
    return PaperReview.objects.get().views


def reader(**headers):
    return Client(headers={**READING, **headers})


def read(client, review, method="get", **headers):
    response = getattr(client, method)(review.get_absolute_url(), headers=headers)
    assert response.status_code == 200
    return response


def test_a_visitor_counts_once_a_day(review, monkeypatch):
    client = reader()
    for _ in range(3):
        read(client, review)
    assert views() == 1
    tomorrow = timezone.now() + datetime.timedelta(days=1)
    monkeypatch.setattr("movie.papers.view_counts.timezone.now", lambda: tomorrow)
    read(client, review)
    assert views() == 2
    assert {each.day for each in ViewToday.objects.all()} == {tomorrow.date()}  # yesterday's are gone


def test_the_page_shows_the_count_with_the_view_just_made(review):
    assert "1 view" in read(reader(), review).content.decode()


def test_two_visitors_count_twice_and_two_reviews_apart(review):
    other = make_review("other")
    for browser in (BROWSER, BROWSER + " Other"):
        client = reader(**{"user-agent": browser})
        read(client, review)
    read(client, other)
    assert [each.views for each in PaperReview.objects.order_by("slug")] == [2, 1]


def test_a_script_that_drops_its_cookies_counts_once(review):
    for _ in range(3):
        read(reader(), review)
    assert views() == 1


@pytest.mark.parametrize(
    "agent",
    [
        "",
        "Googlebot/2.1 (+http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; bingbot/2.0)",
        "curl/8.5.0",
        "python-requests/2.32",
        "Mozilla/5.0 (X11) HeadlessChrome/131.0",
        "facebookexternalhit/1.1",
    ],
)
def test_robots_do_not_count(review, agent):
    read(reader(**{"user-agent": agent}), review)
    assert views() == 0


def test_a_telephone_of_the_make_cubot_counts(review):
    read(
        reader(**{"user-agent": "Mozilla/5.0 (Linux; Android 14; CUBOT KINGKONG) Chrome/131.0 Mobile"}),
        review,
    )
    assert views() == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-purpose": "prefetch;prerender"},
        {"purpose": "prefetch"},
        {"sec-fetch-dest": "empty"},
        {"accept": "*/*"},
        {"hx-request": "true"},
    ],
)
def test_requests_that_show_nothing_do_not_count(review, headers):
    read(reader(), review, **headers)
    assert views() == 0


def test_head_does_not_count(review):
    read(reader(), review, "head")
    assert views() == 0


def test_staff_and_drafts_do_not_count(review):
    client = reader()
    client.force_login(get_user_model().objects.create_user("boss", is_staff=True))
    read(client, review)
    PaperReview.objects.update(is_draft=True)
    read(client, review)
    assert views() == 0


def test_nobody_can_be_told_from_what_is_remembered(review):
    client = reader()
    read(client, review)
    key = client.cookies["guest"].value
    remembered = list(ViewToday.objects.values_list("digest", flat=True))
    assert len(remembered) == 2  # the browser at its address, and the cookie it was given
    assert all(len(digest) == 64 and digest not in key for digest in remembered)


def counted(review, key):
    request = RequestFactory().get("/", headers=READING)
    request.visitor = Visitor(key)
    return count_view(request, PaperReview.objects.get(pk=review.pk))


def test_eight_readers_at_once_all_count(own_connections):
    review = make_review()

    def work(number):
        return [counted(review, f"guest:{number}-{turn}") for turn in range(5)]

    assert all(all(each) for each in in_threads(8, work))
    assert views() == 40


def test_one_reader_in_eight_tabs_counts_once(own_connections):
    review = make_review()
    assert sum(in_threads(8, lambda _number: counted(review, "guest:a"))) == 1
    assert views() == 1


def test_saving_a_review_loses_no_view_counted_meanwhile(review):
    review.title = "Another"
    assert counted(review, "guest:a")
    review.save()
    assert (views(), PaperReview.objects.get().title) == (1, "Another")
