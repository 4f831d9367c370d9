"""Who a request belongs to, and the cookie that a guest carries."""

from datetime import timedelta
from http.cookies import SimpleCookie

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path, reverse

from movie.catalogue.models import Movie, Rating
from movie.events.models import Event
from movie.visitors.visitor import GUEST_COOKIE, LIFETIME, RENEW_AFTER, VisitorMiddleware


def whoami(request):
    return HttpResponse(request.visitor.key)


def page(request):
    return HttpResponse("<p>a page</p>")


def picture(request):
    return HttpResponse("<svg/>", content_type="image/svg+xml")


urlpatterns = [path("whoami/", whoami), path("page/", page), path("picture/", picture)]


@pytest.fixture
def site():
    with override_settings(ROOT_URLCONF="movie.visitors.tests.test_visitors"):
        yield


@pytest.fixture
def film(db):
    return Movie.objects.create(title="Heat", year=1995)


def whoami_of(client):
    return client.get("/whoami/").content.decode()


@pytest.mark.django_db
def test_the_first_page_gives_a_guest_a_cookie_and_writes_no_row(site, client, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = client.get("/page/")
    cookie = response.cookies[GUEST_COOKIE]
    assert cookie["httponly"] and cookie["samesite"] == "Lax"
    assert cookie["max-age"] == LIFETIME.total_seconds()
    assert "Cookie" in response["Vary"]
    key = whoami_of(client)
    assert key.startswith("guest:") and key == whoami_of(client)
    assert GUEST_COOKIE not in client.get("/page/").cookies, "a cookie is not sent again and again"


@pytest.mark.django_db
def test_the_cookie_is_secure_where_the_site_is(site, client):
    with override_settings(SESSION_COOKIE_SECURE=True):
        assert client.get("/page/").cookies[GUEST_COOKIE]["secure"]


def test_what_is_the_same_for_everybody_stays_free_of_cookies(site, client):
    response = client.get("/picture/")
    assert not response.cookies and "Cookie" not in response.get("Vary", "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "forge",
    [lambda v: "nonsense", lambda v: v[:-1] + "!", lambda v: v.replace("guest", "user"), lambda v: ""],
)
def test_a_forged_cookie_makes_a_new_guest(site, client, forge):
    client.get("/page/")
    before = whoami_of(client)
    client.cookies[GUEST_COOKIE] = forge(client.cookies[GUEST_COOKIE].value)
    response = client.get("/whoami/")
    assert response.status_code == 200
    after = response.content.decode()
    assert after.startswith("guest:") and after != before
    assert whoami_of(client) == after, "and the new one is kept"


@pytest.mark.django_db
def test_an_expired_cookie_makes_a_new_guest_and_an_old_one_is_renewed(site, client, monkeypatch):
    client.get("/page/")
    before = whoami_of(client)
    now = __import__("time").time()

    def later(days):
        monkeypatch.setattr("django.core.signing.time.time", lambda: now + days.total_seconds())

    later(RENEW_AFTER + timedelta(hours=1))
    response = client.get("/page/")
    assert GUEST_COOKIE in response.cookies
    assert whoami_of(client) == before
    later(LIFETIME)
    assert whoami_of(client) == before, "the renewed cookie lives a year from its renewal"
    later(2 * LIFETIME + RENEW_AFTER + timedelta(days=2))
    assert whoami_of(client) != before


@pytest.mark.django_db
def test_two_browsers_are_two_guests(site):
    assert whoami_of(Client()) != whoami_of(Client())


def test_the_visitor_is_found_once_per_request():
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    keys = []
    VisitorMiddleware(lambda r: keys.extend((r.visitor.key, r.visitor.key)) or HttpResponse())(request)
    assert keys[0] == keys[1]


def test_a_stream_of_html_is_a_page_too(rf):
    request = rf.get("/")
    request.user = AnonymousUser()
    response = VisitorMiddleware(lambda r: HttpResponse("x", content_type="text/html"))(request)
    assert isinstance(response.cookies, SimpleCookie) and GUEST_COOKIE in response.cookies


# -- signing in and out -----------------------------------------------------------------------


@pytest.fixture
def ada(db):
    return get_user_model().objects.create_user("ada", password="correct horse battery")


def sign_in(client, name="ada"):
    return client.post(reverse("account_login"), {"login": name, "password": "correct horse battery"})


def rate(client, film, value):
    client.get(reverse("pages:history"))  # a page comes before the first write
    client.post(reverse("pages:rate", args=[film.pk]), {"value": value})
    client.get(reverse("pages:history"))  # where the message is read


def test_a_guests_history_joins_the_account_at_sign_in_and_the_cookie_goes(client, film, ada):
    rate(client, film, 4.5)
    (guest,) = Rating.objects.values_list("visitor", flat=True)
    old_cookie = client.cookies[GUEST_COOKIE].value
    response = sign_in(client)
    assert response.status_code == 302
    assert response.cookies[GUEST_COOKIE].value == ""
    assert Rating.objects.get().visitor == Event.objects.get().visitor == f"user:{ada.pk}"

    response = client.post(reverse("account_logout"))
    assert client.cookies[GUEST_COOKIE].value not in ("", old_cookie)
    assert b"Heat" not in client.get(reverse("pages:history")).content, "the next person sees nothing of it"
    rate(client, film, 1.0)
    assert Rating.objects.exclude(visitor=f"user:{ada.pk}").get().visitor != guest


def test_signing_in_on_a_second_device_joins_that_guest_too(film, ada):
    other = Movie.objects.create(title="Ronin")
    for client, movie in ((Client(), film), (Client(), other)):
        rate(client, movie, 4.0)
        sign_in(client)
    assert set(Rating.objects.values_list("visitor", "movie__title")) == {
        (f"user:{ada.pk}", "Heat"),
        (f"user:{ada.pk}", "Ronin"),
    }


def test_a_copied_guest_cookie_cannot_take_the_history_a_second_time(client, film, ada):
    get_user_model().objects.create_user("eve", password="correct horse battery")
    rate(client, film, 4.0)
    copied = client.cookies[GUEST_COOKIE].value
    sign_in(client)
    eve = Client()
    eve.cookies[GUEST_COOKIE] = copied
    sign_in(eve, "eve")
    assert Rating.objects.get().visitor == f"user:{ada.pk}"


def test_a_failed_sign_in_moves_nothing(client, film, ada):
    rate(client, film, 4.0)
    client.post(reverse("account_login"), {"login": "ada", "password": "wrong"})
    assert Rating.objects.get().visitor.startswith("guest:")
    assert b"Heat" in client.get(reverse("pages:history")).content


def test_a_closed_account_leaves_no_history(client, film, ada):
    rate(client, film, 4.0)
    sign_in(client)
    ada.delete()
    film.refresh_from_db()
    assert not Rating.objects.exists() and not Event.objects.exists()
    assert film.rating_count == 0
