"""Tonight: three films under a chosen running time, with a reason each."""

from __future__ import annotations

from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from movie.catalogue.browse import RUNTIMES
from movie.catalogue.formatting import running_time
from movie.experiments.assignment import assign_arm
from movie.pages.dial import chosen_step
from movie.pages.views.pages import chosen_model
from movie.recommendations.ranked_list import load_movies
from movie.recommendations.ranking import visitor_history
from movie.recommendations.tonight import TURNS, count_known_runtimes, recommend_for_tonight
from movie.telemetry.requests import count_shown
from movie.visitors.throttling import limited_page
from movie.visitors.visitor import VisitorRequest

DEFAULT_LENGTH = 100
SHORTEST, LONGEST = 1, 999  # minutes
MAX_DIGITS = 4
NOTED_LENGTH = 20  # of a value that was not understood


@never_cache
@require_safe
@limited_page
def tonight(request: VisitorRequest) -> HttpResponse:
    """Show three films that last `minutes` at most; `turn` asks for other ones."""
    notes: list[str] = []
    minutes = _minutes(request.GET, notes)
    turn = min(max(_number(request.GET.get("turn", "")) or 1, 1), TURNS)
    history = visitor_history(request.visitor)
    model = chosen_model(request)
    ranked = recommend_for_tonight(
        history,
        minutes,
        model=model,
        arm=None if model else assign_arm(request.visitor.key),
        familiarity=float(chosen_step(request)),
        turn=turn,
    )
    load_movies(ranked)
    for entry in ranked.entries:
        entry.reason = " · ".join(filter(None, (running_time(entry.movie.runtime), entry.reason)))
    count_shown([ranked])
    n_known, n_films = count_known_runtimes()
    context = {
        "ranked": ranked,
        "minutes": minutes,
        "lengths": RUNTIMES,
        "shortest": SHORTEST,
        "longest": LONGEST,
        "turn": turn,
        "next_turn": turn + 1 if turn < TURNS and len(ranked.entries) == ranked.k else None,
        "n_known": n_known,
        "n_unknown": n_films - n_known,
        "notes": notes,
        "has_history": bool(history.liked),
        "ratings": history.ratings,
        "watchlist": history.watchlist,
    }
    return render(request, "pages/tonight.html", context)


def _minutes(query: QueryDict, notes: list[str]) -> int:
    """Return the length that an address names; for one that cannot be the default, and add a note."""
    asked = query.get("minutes", "").strip()
    if not asked:
        return DEFAULT_LENGTH
    number = _number(asked)
    if number is not None and SHORTEST <= number <= LONGEST:
        return number
    notes.append(
        _("“%(value)s” is no length from %(shortest)d to %(longest)d minutes; this is %(minutes)d.")
        % {
            "value": asked[:NOTED_LENGTH],
            "shortest": SHORTEST,
            "longest": LONGEST,
            "minutes": DEFAULT_LENGTH,
        }
    )
    return DEFAULT_LENGTH


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None
