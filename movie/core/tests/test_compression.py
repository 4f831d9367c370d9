"""Pages go compressed to browsers that read gzip, of another length each time; nothing else is compressed."""

import gzip

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.urls import reverse

from movie.catalogue.tests.films import make_film
from movie.core.compression import PageCompressionMiddleware
from movie.core.pictures import DrawingHeadersMiddleware

GZIP = {"HTTP_ACCEPT_ENCODING": "gzip, deflate, br"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def films():
    cache.clear()
    return [make_film(f"Film {n}", 1990, stars=[4]) for n in range(24)]


def test_a_page_is_a_fraction_of_itself(client, films):
    plain = client.get(reverse("pages:browse"))
    packed = client.get(reverse("pages:browse"), **GZIP)
    assert "Content-Encoding" not in plain
    assert packed["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in plain["Vary"]
    assert "Accept-Encoding" in packed["Vary"]
    assert len(packed.content) < len(plain.content) / 6
    assert int(packed["Content-Length"]) == len(packed.content)
    assert b"Film 7" in gzip.decompress(packed.content)


def test_the_length_of_an_answer_does_not_tell_its_text(client, films):
    address = reverse("pages:data_sources")
    assert len({len(client.get(address, **GZIP).content) for _ in range(12)}) > 2


def test_drawings_are_compressed_and_known_again(client, films):
    address = reverse("pages:poster", args=[films[0].pk])
    packed = client.get(address, **GZIP)
    assert packed["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.content).startswith(b"<svg")
    assert len({len(client.get(address, **GZIP).content) for _ in range(12)}) == 1  # it holds no secret
    if "ETag" in packed:
        assert client.get(address, HTTP_IF_NONE_MATCH=packed["ETag"], **GZIP).status_code == 304


def test_a_poster_is_the_same_in_every_language(client, films):
    address = reverse("pages:poster", args=[films[0].pk])
    poster = client.get(address, HTTP_ACCEPT_LANGUAGE="ko", **GZIP)
    assert poster["Vary"] == "Accept-Encoding"
    assert not {"Content-Language", "Cross-Origin-Opener-Policy", "Referrer-Policy"} & set(poster.headers)
    assert "sandbox" in poster["Content-Security-Policy"]
    assert poster["X-Content-Type-Options"] == "nosniff"
    page = client.get(reverse("pages:browse"), HTTP_ACCEPT_LANGUAGE="ko", **GZIP)
    assert "Accept-Language" in page["Vary"]
    assert page["Cross-Origin-Opener-Policy"] == page["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("kind", ["image/svg+xml", "image/svg+xml; charset=utf-8"])
def test_parameters_of_a_content_type_make_no_difference_to_a_drawing(rf, kind):
    headers = {"Cache-Control": "public", "Content-Language": "ko", "Vary": "Accept-Language"}

    def draw(_request):
        return HttpResponse(b"<svg>" + b" " * 1000, content_type=kind, headers=headers)

    request = rf.get("/", **GZIP)
    drawing = DrawingHeadersMiddleware(PageCompressionMiddleware(draw))(request)
    assert drawing["Content-Encoding"] == "gzip"
    assert "Content-Language" not in drawing
    assert drawing["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("name", ["api-v1:movies", "pages:history_export"])
def test_answers_of_the_api_and_downloads_go_as_they_are(client, films, name):
    answer = client.get(reverse(name), **GZIP)
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer
