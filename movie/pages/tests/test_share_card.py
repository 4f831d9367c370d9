"""What other sites show with a link to a film: a picture of pixels, and words in the language of the page."""

import re
import struct
import sys

import pytest
from django.core.cache import cache
from django.urls import reverse

from movie.catalogue.models import Movie
from movie.catalogue.posters import share_card
from movie.catalogue.tests.films import make_film

pytestmark = pytest.mark.django_db


@pytest.fixture
def heat() -> Movie:
    cache.clear()
    return make_film("Heat", 1995, directors=["Michael Mann"], genres=["Crime"], titles={"ko": "히트"})


def meta(client, film, name, language="en") -> str:
    page = client.get(film.get_absolute_url(), headers={"accept-language": language}).content.decode()
    found = re.findall(rf'<meta property="{name}" content="([^"]*)">', page)
    assert len(found) == 1, name
    return found[0]


def test_a_film_is_shared_with_a_card_of_its_own(client, heat):
    pytest.importorskip("resvg_py")
    address = meta(client, heat, "og:image")
    assert address.startswith(f"http://testserver{reverse('pages:share_card', args=[heat.pk])}?v=")
    for _again in range(2):  # drawn, then from the cache
        response = client.get(address.removeprefix("http://testserver").replace("&amp;", "&"))
        assert response["Content-Type"] == "image/png" and "immutable" in response["Cache-Control"]
        assert response.content[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", response.content[16:24]) == (1200, 630)
        assert len(response.content) < 300_000
    other = make_film("Ronin", 1998, genres=["Action"])
    card = client.get(reverse("pages:share_card", args=[other.pk]))
    assert card.content != response.content and "immutable" not in card["Cache-Control"]


def test_a_hidden_film_has_no_card(client, heat):
    Movie.objects.update(is_visible=False)
    assert client.get(reverse("pages:share_card", args=[heat.pk])).status_code == 404


def test_without_the_package_the_site_has_one_picture_for_all(client, heat, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    monkeypatch.setattr(share_card, "find_spec", lambda name: None)
    share_card.can_draw_cards.cache_clear()
    assert "share" in meta(client, heat, "og:image") and "card.png" not in meta(client, heat, "og:image")
    assert client.get(reverse("pages:share_card", args=[heat.pk])).status_code == 404
    share_card.can_draw_cards.cache_clear()


def test_title_and_sentence_are_in_the_language_of_the_page(client, heat):
    assert meta(client, heat, "og:title") == "Heat (1995)"
    assert meta(client, heat, "og:description").startswith("Directed by Michael Mann.")
    assert meta(client, heat, "og:url") == f"http://testserver{heat.get_absolute_url()}"
    assert meta(client, heat, "og:title", "ko") == "히트 (1995)"
    assert "마이클" not in meta(client, heat, "og:description", "ko")
    assert "Michael Mann" in meta(client, heat, "og:description", "ko")
    assert "Directed by" not in meta(client, heat, "og:description", "ko")


@pytest.mark.parametrize(
    "title",
    ["A" * 255, "千と千尋の神隠し" * 12, "<&>\"'", "", "Dr. Strangelove or: How I Learned to Stop " * 4],
)
def test_any_title_keeps_its_measure(title):
    drawing = share_card.draw_share_card(title, 1995, ["Crime"], "x" * 90, ["y" * 500, "神" * 90, ""])
    lines = re.findall(r'font-size="30"[^>]*>([^<]*)</text>', drawing)
    assert all(share_card.width_of(line) * 30 <= 66_000 for line in lines) and len(lines) in (2, 3)
    assert drawing.count("<svg") == 4  # the card, its poster and what the poster nests
