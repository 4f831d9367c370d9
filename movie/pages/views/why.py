"""The explanation of one movie: a page of its own, or a sheet over the list."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from movie.core.http import is_htmx
from movie.pages.dial import DEFAULT, FAMILIARITY, STEPS, chosen_step
from movie.pages.views.pages import visitor_model
from movie.recommendations.ceiling import costly_call
from movie.recommendations.explanations.explain import explain, history_about, history_without
from movie.recommendations.explanations.explanation import Explanation
from movie.recommendations.ranking import visitor_history
from movie.training.model_info import MODEL_INFO
from movie.visitors.throttling import limited_page
from movie.visitors.visitor import VisitorRequest
from predictors.history import History

SHEET = "why-sheet"


@require_safe
@limited_page
def why(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Explain a movie. `model` made its list; `like` is the movie of a row "Because you liked"."""
    history = visitor_history(request.visitor)
    asked = request.GET.get("model", "")
    model = asked if asked in MODEL_INFO else visitor_model(request)
    anchor = _liked_film(request.GET.get("like", ""), history)
    known = history_without(history if anchor is None else history_about(history, anchor), movie_id)
    familiarity = _familiarity(request, of_list=bool(asked))
    with costly_call():
        answer = explain([movie_id], known, model=model, familiarity=familiarity).get(movie_id)
    if answer is None:
        raise Http404(gettext("There is no such film."))
    in_sheet = is_htmx(request) and request.headers.get("HX-Target") == SHEET
    context = {
        "why": answer,
        "movie": answer.movie,
        "surface": request.GET.get("from", "")[:32] or "why",
        "recommendation_id": request.GET.get("rec", "")[:36],
        "rating": history.ratings.get(movie_id),
        "has_history": bool(history.liked),
        "is_one_row": anchor is not None,
        "open": not in_sheet,
    }
    response = render(request, "pages/_why_answer.html" if in_sheet else "pages/why.html", context)
    # The same address answers with a page or with what goes into the sheet; caches must keep them apart.
    patch_vary_headers(response, ["HX-Request", "HX-Target"])
    return response


def _familiarity(request: VisitorRequest, *, of_list: bool) -> float:
    """Return where the dial stood when a list was made, as its links say; without a list where it stands."""
    said = request.GET.get(FAMILIARITY, DEFAULT if of_list else chosen_step(request))
    return float(said if said in STEPS else DEFAULT)


def why_on_page(request: VisitorRequest, movie_id: int, history: History) -> Explanation | None:
    """Explain a movie on its own page; None for a visitor who has seen it or liked nothing yet."""
    if movie_id in history.seen or not (known := history_without(history, movie_id)).liked:
        return None
    familiarity = float(chosen_step(request))
    return explain([movie_id], known, model=visitor_model(request), familiarity=familiarity).get(movie_id)


def _liked_film(text: str, history: History) -> int | None:
    film = int(text) if text.isdecimal() and len(text) <= 18 else None
    return film if film in history.strength else None
