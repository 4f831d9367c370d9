"""The watchlist as a page: sorted by fit, running time or year."""

from __future__ import annotations

from types import SimpleNamespace

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from movie.catalogue.formatting import running_time
from movie.catalogue.models import Movie
from movie.pages.dial import chosen_step
from movie.pages.views.pages import visitor_model
from movie.recommendations.ranked_list import RankedList, mean_sentence
from movie.recommendations.ranking import rank_among, visitor_history
from movie.visitors.throttling import limited_page
from movie.visitors.visitor import VisitorRequest
from predictors.history import History

PAGE_SIZE = 24
BY_FIT, BY_RUNTIME, BY_YEAR = "fit", "runtime", "year"
SORTS = {
    BY_FIT: gettext_lazy("Fits you best"),
    BY_RUNTIME: gettext_lazy("Shortest"),
    BY_YEAR: gettext_lazy("Newest"),
}


@never_cache
@require_safe
@limited_page
def my_watchlist(request: VisitorRequest) -> HttpResponse:
    """Show the movies on the visitor's watchlist; those that were rated or watched come last."""
    history = visitor_history(request.visitor)
    films = Movie.objects.visible().defer("synopsis").in_bulk(history.watchlist)
    sort = request.GET.get("sort", BY_FIT)
    sort = sort if sort in SORTS else BY_FIT
    ranked: RankedList | None = None
    ids = sorted(films)
    if sort == BY_FIT and films:
        ranked = rank_among(
            _without_waiting(history),
            ids,
            model=visitor_model(request),
            familiarity=float(chosen_step(request)),
        )
        ids = [int(found.movie_id) for found in ranked.recommendations]
    elif sort == BY_RUNTIME:
        ids.sort(key=lambda pk: (films[pk].runtime is None, films[pk].runtime, films[pk].sort_title))
    else:
        ids.sort(key=lambda pk: (-(films[pk].year or 0), films[pk].sort_title))
    ids.sort(key=lambda pk: pk in history.ratings or pk in history.watches)
    page = Paginator(ids, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page_obj": page,
        "entries": [SimpleNamespace(movie=films[pk], reason=_facts(films[pk])) for pk in page],
        "total": len(ids),
        "sorts": SORTS.items(),
        "sort": sort,
        "ranked": ranked,
        "ratings": history.ratings,
        "watchlist": history.watchlist,
    }
    return render(request, "pages/watchlist.html", context)


def _without_waiting(history: History) -> History:
    """Return the history without the movies that wait on the watchlist: none of them speaks for itself."""
    waiting = history.watchlist - history.seen
    return history.filtered(lambda movie_id: movie_id not in waiting)


def _facts(movie: Movie) -> str:
    """Return "116 minutes · 4.1 from 512 ratings"."""
    return " · ".join(filter(None, (running_time(movie.runtime), mean_sentence(movie))))
