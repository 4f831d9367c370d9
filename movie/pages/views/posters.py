"""Drawn and photographed posters, and cards of films for other sites; browsers and crawlers may keep them."""

import base64
import hashlib

from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.cache import get_conditional_response
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.http import require_safe

from movie.catalogue.models import Movie
from movie.catalogue.photographs import CONTENT_TYPES, stored_path
from movie.catalogue.posters.drawing import draw_poster
from movie.catalogue.posters.meanings import MOST_CHOICES
from movie.catalogue.posters.share_card import can_draw_cards, draw_share_card, to_png
from movie.visitors.throttling import limited_page

KEEP = "public, max-age=31536000, immutable"
ASK_AGAIN = "public, max-age=3600"  # an address without the hash, or with an old one
DRAWN_SECONDS = 24 * 3600
CHOICES = frozenset(map(str, range(MOST_CHOICES)))
# An SVG opened by itself is a document: it may load and run nothing.
POSTER_POLICY = "default-src 'none'; sandbox"


@require_safe
@xframe_options_exempt  # an image that may load and run nothing
def poster(request: HttpRequest, movie_id: int) -> HttpResponse:
    """Return the poster of a movie; `?v=` is the version from `poster_url`, `&c=` the choice of its motif."""
    asked, choice = request.GET.get("v", ""), _choice(request)
    drawing = cache.get(f"poster:{movie_id}:{asked}:{choice}") if asked.isalnum() else None
    version = asked
    if drawing is None:
        film = get_object_or_404(Movie.objects.visible().for_cards(), pk=movie_id)
        version = film.poster_version
        directors = film.director_names
        director = directors[0] if directors else ""
        drawing = draw_poster(film.title, film.year, film.genre_names, director, choice=choice)
        cache.set(f"poster:{movie_id}:{version}:{choice}", drawing, DRAWN_SECONDS)
    response = HttpResponse(drawing, content_type="image/svg+xml")
    response["Content-Security-Policy"] = POSTER_POLICY
    if asked == version:  # nobody asks for it again, and a page has some sixty of these headers
        response["Cache-Control"] = KEEP
        return response
    response["Cache-Control"] = ASK_AGAIN
    response["ETag"] = f'"{hashlib.blake2b(drawing.encode(), digest_size=9).hexdigest()}"'
    return get_conditional_response(request, etag=response["ETag"], response=response) or response


def _choice(request: HttpRequest) -> int:
    """Return which of the motifs that suit a film is wanted; the first where the address names none."""
    text = request.GET.get("c", "")
    return int(text) if text in CHOICES else 0


@require_safe
def photograph(request: HttpRequest, movie_id: int, name: str) -> HttpResponse:
    """Return a photographed poster by its checksum; where there is none any more, lead to the drawn one."""
    path = stored_path(name)
    if path is None:
        return HttpResponseRedirect(reverse("pages:poster", args=[movie_id]))
    response = HttpResponse(path.read_bytes(), content_type=CONTENT_TYPES[path.suffix])
    response["Cache-Control"] = KEEP
    response["Content-Security-Policy"] = POSTER_POLICY
    return response


@require_safe
@limited_page
def share_card(request: HttpRequest, movie_id: int) -> HttpResponse:
    """Return the picture that other sites show with a link to a movie; `?v=` is as for its poster.

    It has the English title, whose letters every server has, and takes some 200 ms to make.
    """
    if not can_draw_cards():
        raise Http404
    film = get_object_or_404(Movie.objects.visible().for_cards(), pk=movie_id)
    key = f"share-card:{film.pk}:{film.poster_version}"
    known = cache.get(key)
    if known is None:
        directors = film.director_names
        about = " · ".join(filter(None, (str(film.year or ""), ", ".join(directors))))
        facts = [about, ", ".join(film.genre_names)]
        director = directors[0] if directors else ""
        drawing = draw_share_card(film.title, film.year, film.genre_names, director, facts)
        known = base64.b64encode(to_png(drawing)).decode()
        cache.set(key, known, DRAWN_SECONDS)
    response = HttpResponse(base64.b64decode(known), content_type="image/png")
    response["Cache-Control"] = KEEP if request.GET.get("v") == film.poster_version else ASK_AGAIN
    return response
