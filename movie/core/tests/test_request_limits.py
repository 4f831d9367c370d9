"""Requests that are refused by their headers, before a byte of the body is read."""

from io import BytesIO

import pytest
from django.conf import settings as site
from django.contrib.auth import get_user_model
from django.test import Client

from movie.core.request_limits import with_readable_charset

MB = 1024**2
FILES, FORM = "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"


def readable(client: Client) -> Client:
    """Send the client's requests through what `webapp.wsgi` puts before Django."""
    django = client.handler

    def handler(environ):
        return with_readable_charset(lambda changed, _start: django(changed))(environ, None)

    client.handler = handler
    return client


class NeverRead(BytesIO):
    """A body of which nothing may be read."""

    def read(self, *args, **kwargs):
        raise AssertionError("the body was read")

    readline = read


def announce(client: Client, path: str, length: int, content_type: str = "multipart/form-data; boundary=x"):
    """Send a request that says how long its body is, and must not be read."""
    announced = {"wsgi.input": NeverRead(), "CONTENT_LENGTH": str(length), "CONTENT_TYPE": content_type}
    return client.request(REQUEST_METHOD="POST", PATH_INFO=path, **announced)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/movies/1/rate/", "/accounts/login/", "/recommend/model/", "/history/import/"]
)
@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
def test_a_body_that_is_too_long_is_refused_by_its_length(path, content_type):
    response = announce(Client(raise_request_exception=False), path, 300 * MB, content_type)
    assert response.status_code == 413


@pytest.mark.django_db
def test_the_api_says_so_in_its_own_shape():
    response = announce(Client(), "/api/v1/recommend", 300 * MB, "application/json")
    assert (response.status_code, response["Content-Type"]) == (413, "application/problem+json")


@pytest.mark.django_db
def test_a_history_file_may_be_longer_than_a_form(client):
    rows = b"at,kind,movie_id,value\n" + b"x" * (site.DATA_UPLOAD_MAX_MEMORY_SIZE + 1000)
    response = client.post("/history/import/", {"file": BytesIO(rows)})
    assert response.status_code != 413


@pytest.mark.django_db
def test_only_staff_may_send_large_files_to_the_admin(settings):
    settings.ADMIN_UPLOAD_MB = 4
    path = "/admin/catalogue/movie/import/"
    staff = Client()
    staff.force_login(get_user_model().objects.create_superuser("boss", "b@example.org", "x"))
    assert announce(Client(), path, 3 * MB).status_code == 413
    assert announce(staff, path, 5 * MB).status_code == 413
    large = BytesIO(b"id,title\n" + b"x" * 3 * MB)
    assert staff.post(path, {"import_file": large, "format": "0"}).status_code == 200
    assert "4 MB at once" in staff.get(path).content.decode(), "the form names the same limit"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "charset", ["utf-7", "rot13", "zip", "punycode", "undefined", "utf-16", "nonsense", "\xff"]
)
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"]
)
@pytest.mark.parametrize("path", ["/", "/search/?q=+2AA-", "/nothing", "/accounts/login/"])
def test_another_encoding_than_utf8_is_refused(path, kind, charset):
    client = readable(Client(raise_request_exception=False))
    for method in ("GET", "POST"):
        response = client.generic(method, path, b"q=+2AA-&login=+2AA-", f"{kind}; charset={charset}")
        assert response.status_code == 415, (method, response.content)


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"'])
def test_utf8_by_any_of_its_names_is_read(client, charset):
    kind = f"{FORM}; charset={charset}"
    assert readable(client).generic("POST", "/theme/", b"theme=dark", kind).status_code == 303


@pytest.mark.django_db
def test_the_api_refuses_another_encoding_in_its_own_shape(client):
    response = readable(client).post(
        "/api/v1/recommend", b"{}", content_type="application/json; charset=utf-7"
    )
    assert (response.status_code, response["Content-Type"]) == (415, "application/problem+json")
