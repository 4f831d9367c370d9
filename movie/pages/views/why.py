"""The explanation of one movie: a page of its own, or a sheet over the list."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext
from django.views.decorators.http import require_safe

from movie.core.http import is_htmx
from movie.pages.dial import DEFAULT, FAMILIARITY, STEPS, chosen_step
from movie.pages.views.pages import visitor_model
from movie.recommendations.ceiling import costly_call
from movie.recommendations.explanations.explain import (
    IMPERSONAL_MODELS,
    explain,
    history_about,
    history_without,
)
from movie.recommendations.explanations.explanation import Explanation
from movie.recommendations.ranking import visitor_history
from movie.training.model_info import MODEL_INFO
from movie.visitors.throttling import limited_page
from movie.visitors.visitor import VisitorRequest
from predictors.history import History

SHEET = "why-sheet"


class ExplainedList(NamedTuple):
    """The list that an address tells of: its model, the history it was made from, and where the dial stood.

    `about` is the film that a row of similar films is about, which alone is its history.
    """

    model: str
    history: History
    familiarity: float
    about: int | None = None


@require_safe
@limited_page
def why(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Explain a movie. `model` made its list; `like` is the movie of a row of similar ones."""
    history = visitor_history(request.visitor)
    asked = _asked_list(request, history)
    known = history_without(asked.history, movie_id)
    with costly_call():
        found = _explain(asked, known, movie_id)
    if (answer := found.get(movie_id)) is None:
        raise Http404(gettext("There is no such film."))
    in_sheet = is_htmx(request) and request.headers.get("HX-Target") == SHEET
    context = {
        "why": answer,
        "movie": answer.movie,
        "surface": request.GET.get("from", "")[:32] or "why",
        "recommendation_id": request.GET.get("rec", "")[:36],
        "list_query": list_query(request),
        "rating": history.ratings.get(movie_id),
        "has_history": bool(history.liked),
        "is_one_row": asked.about is not None,
        "open": not in_sheet,
    }
    response = render(request, "pages/_why_answer.html" if in_sheet else "pages/why.html", context)
    # The same address answers with a page or with what goes into the sheet; caches must keep them apart.
    patch_vary_headers(response, ["HX-Request", "HX-Target"])
    return response


def why_on_page(request: VisitorRequest, movie_id: int, history: History) -> dict[str, object]:
    """Return the variables that explain a movie on its page, by the list that led there if it was personal.

    `explained` is None for a visitor who has seen the movie or liked nothing yet.
    """
    asked = _asked_list(request, history)
    if asked.model in IMPERSONAL_MODELS:
        asked = ExplainedList(visitor_model(request), history, float(chosen_step(request)))
    known = history_without(asked.history, movie_id)
    if movie_id in history.seen or not known.liked:
        return {"explained": None}
    found = _explain(asked, known, movie_id)
    return {"explained": found.get(movie_id), "is_one_row": asked.about is not None}


def list_query(request: HttpRequest) -> str:
    """Return the parameters of an address that tell of a list, encoded; empty without any."""
    said = {name: request.GET.get(name, "") for name in ("model", "like", FAMILIARITY)}
    return urlencode({name: value for name, value in said.items() if re.fullmatch(r"[\w.-]{1,32}", value)})


def _asked_list(request: VisitorRequest, history: History) -> ExplainedList:
    """Return the list that the address tells of, else the one that the visitor's model would make."""
    asked = request.GET.get("model", "")
    model = asked if asked in MODEL_INFO else visitor_model(request)
    anchor = _liked_film(request.GET.get("like", ""), history)
    part = history if anchor is None else history_about(history, anchor)
    return ExplainedList(model, part, _familiarity(request, of_list=bool(asked)), anchor)


def _explain(asked: ExplainedList, history: History, movie_id: int) -> dict[int, Explanation]:
    return explain([movie_id], history, model=asked.model, familiarity=asked.familiarity, about=asked.about)


def _familiarity(request: VisitorRequest, *, of_list: bool) -> float:
    """Return where the dial stood when a list was made, as its links say; without a list where it stands."""
    said = request.GET.get(FAMILIARITY, DEFAULT if of_list else chosen_step(request))
    return float(said if said in STEPS else DEFAULT)


def _liked_film(text: str, history: History) -> int | None:
    film = int(text) if text.isdecimal() and len(text) <= 18 else None
    return film if film in history.strength else None
