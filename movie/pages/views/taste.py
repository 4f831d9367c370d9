"""The taste page, and its card to share."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from movie.catalogue.posters.taste_card import draw_taste_card
from movie.pages.taste import Taste, taste_of
from movie.pages.views.posters import POSTER_POLICY
from movie.recommendations.ranking import visitor_history
from movie.visitors.visitor import VisitorRequest

NAMES_ON_CARD = 3


@never_cache
@require_safe
def taste(request: VisitorRequest) -> HttpResponse:
    """Show a visitor's ratings in figures, beside everybody's."""
    return render(request, "pages/taste.html", {"taste": taste_of(visitor_history(request.visitor))})


@never_cache
@require_safe
def taste_card(request: VisitorRequest) -> HttpResponse:
    """Draw the visitor's taste as a card; who it is about is not on it."""
    found = taste_of(visitor_history(request.visitor))
    counts = [row.count for row in reversed(found.rows)] if found else [0] * 10
    genres = [group.name for group in found.genres] if found else []
    drawing = draw_taste_card(_("A taste in films"), _card_lines(found), counts, genres)
    response = HttpResponse(drawing, content_type="image/svg+xml")
    response["Content-Security-Policy"] = POSTER_POLICY
    return response


def _card_lines(found: Taste | None) -> list[str]:
    if found is None:
        return [_("No film rated yet")]
    rated = ngettext("%(n)d film rated, %(mean)s★", "%(n)d films rated, %(mean)s★", found.n_films)
    lines = [rated % {"n": found.n_films, "mean": number_format(round(found.mean, 1), 1)}]
    if found.genres:
        lines.append(", ".join(_(group.name) for group in found.genres[:NAMES_ON_CARD]))
    lines += [group.name for group in found.directors[: NAMES_ON_CARD - 1]]
    if found.decades:
        lines.append(max(found.decades, key=lambda group: group.count).name)
    if found.differences:
        lines.append(_("Differs most on %(film)s") % {"film": found.differences[0].movie.display_title})
    return lines
