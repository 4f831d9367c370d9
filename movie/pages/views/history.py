"""My history: a visitor's interactions by movie, to read, correct, export or delete."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from movie.catalogue.models import Movie
from movie.catalogue.translations import load_local_titles
from movie.core.http import error_response, is_htmx, is_script, safe_next, see_other
from movie.events.archive.base import ArchiveUnavailable
from movie.events.forgotten import SealBroken, seal, unseal
from movie.events.history import get_history, get_movie_history, get_ranking_history, latest_times
from movie.events.history_files import diary_of, history_rows, letterboxd_rows
from movie.events.models import HISTORY_KINDS
from movie.events.recording import forget, restore
from movie.pages.decorators import recording_view
from movie.pages.history_facets import facet_of
from movie.pages.templatetags.reelgraph import RESTORABLE
from movie.pages.views.history_imports import ImportForm, imports_of
from movie.visitors.networks import client_address
from movie.visitors.visitor import VisitorRequest
from predictors.history import History, MovieId, Watch

PAGE_SIZE = 24
LONGEST_SEAL = 1200  # characters: a message that is longer would leave its cookie for the database

KINDS = {
    "all": gettext_lazy("All"),
    "rated": gettext_lazy("Rated"),
    "watched": gettext_lazy("Watched"),
    "watchlist": gettext_lazy("Watchlist"),
    "dismissed": gettext_lazy("Not interested"),
    "opened": gettext_lazy("Opened"),
}


@dataclass(slots=True)
class HistoryRow:
    """A movie with the visitor's state: rating, diary, clicks, watchlist, dismissal."""

    movie: Movie
    latest: datetime
    rating: float | None
    opened: int
    dismissed: bool
    in_watchlist: bool
    watches: tuple[Watch, ...] = ()

    @property
    def is_put_aside(self) -> bool:
        return self.dismissed or self.in_watchlist


@never_cache
@require_safe
def history(request: VisitorRequest) -> HttpResponse:
    """Show movies by their latest interaction, newest first."""
    visited = _available_history(request)
    latest = dict.fromkeys(reversed(visited.movies_of(HISTORY_KINDS)))
    clicks = Counter(visited.movies_of({"click"}))
    of_kind: dict[str, Collection[MovieId]] = {
        "all": latest.keys(),
        "rated": visited.ratings,
        "watched": visited.watches,
        "watchlist": visited.watchlist,
        "dismissed": visited.dismissed,
        "opened": clicks,
    }
    kind = request.GET.get("show", "all")
    kind = kind if kind in KINDS else "all"
    facet = facet_of(request.GET, visited)
    listed = [
        movie for movie in latest if movie in of_kind[kind] and (facet is None or movie in facet.movie_ids)
    ]
    page = Paginator(listed, PAGE_SIZE).get_page(request.GET.get("page"))
    movies = Movie.objects.defer("synopsis").in_bulk(list(page))
    load_local_titles(movies.values())
    times = latest_times(request.visitor.key, visited, list(page))
    context = {
        "page_obj": page,
        "rows": [
            _row(visited, movies[pk], times[pk], clicks[pk]) for pk in page if pk in movies and pk in times
        ],
        "filters": [(name, label, len(of_kind[name])) for name, label in KINDS.items()],
        "kind": kind,
        "facet": facet,
        "total": len(latest),
        "visitor": request.visitor,
        "form": ImportForm(),
        "imports": imports_of(request.visitor.key),
    }
    return render(request, "pages/history.html", context)


@never_cache
@require_safe
def history_export(request: VisitorRequest) -> StreamingHttpResponse:
    """Export every interaction as CSV, one a line; an import reads the same format."""
    return _csv_file(history_rows(get_history(request.visitor.key, limit=None)), "history")


@never_cache
@require_safe
def letterboxd_export(request: VisitorRequest) -> StreamingHttpResponse:
    """Export the stars of each film as the CSV file that Letterboxd imports."""
    return _csv_file(letterboxd_rows(get_history(request.visitor.key, limit=None)), "letterboxd")


@recording_view
def forget_movie(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Delete a visitor's interactions with one movie."""
    movie = get_object_or_404(Movie, pk=movie_id)
    load_local_titles([movie])
    sealed = seal(request.visitor.key, movie.pk)
    forget(request.visitor.key, movie.pk)
    message = _("%(title)s is deleted from your history.") % {"title": movie.display_title}
    if is_htmx(request):
        return render(request, "pages/_history_row.html", {"deleted": message, "sealed": sealed})
    return _done(request, message, sealed)


@recording_view
def restore_movie(request: VisitorRequest) -> HttpResponse:
    """Bring back what the deletion of a movie took: `events` is what it sealed."""
    visitor = request.visitor.key
    try:
        forgotten = unseal(request.POST.get("events", ""), visitor)
    except SealBroken:
        return error_response(request, _("That was deleted too long ago to be brought back."), status=409)
    restore(visitor, forgotten.events, network=client_address(request))
    movie = Movie.objects.get(pk=forgotten.movie_id)
    load_local_titles([movie])
    message = _("%(title)s is in your history again.") % {"title": movie.display_title}
    if not is_htmx(request):
        return _done(request, message)
    visited = get_movie_history(visitor, movie.pk)
    at = latest_times(visitor, visited, [movie.pk]).get(movie.pk)  # None where only impressions came back
    row = at and _row(visited, movie, at, len(visited.movies_of({"click"})))
    response = render(request, "pages/_history_row.html", {"row": row})
    response["HX-Trigger"] = json.dumps({"announce": message})
    return response


@recording_view
def forget_all(request: VisitorRequest) -> HttpResponse:
    """Delete a visitor's whole history."""
    forget(request.visitor.key)
    return _done(request, _("Your history is deleted."))


def _csv_file(rows: Iterator[list[str]], name: str) -> StreamingHttpResponse:
    name = f"reelgraph-{name}-{timezone.localdate():%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        _csv_lines(rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _done(request: HttpRequest, message: str, sealed: str = "") -> HttpResponse:
    """Lead back with a message; with Undo where what was deleted fits into the cookie of messages."""
    if is_script(request):
        return HttpResponse(status=204)
    messages.success(
        request, message, extra_tags=RESTORABLE + sealed if 0 < len(sealed) <= LONGEST_SEAL else ""
    )
    return see_other(safe_next(request, default=reverse("pages:history")))


def _available_history(request: VisitorRequest) -> History:
    visitor = request.visitor.key
    try:
        return get_ranking_history(visitor, limit=None)
    except ArchiveUnavailable:
        messages.warning(request, _("Older clicks cannot be read just now. Nothing is lost."))
        return get_history(visitor)


def _row(visited: History, movie: Movie, latest: datetime, opened: int) -> HistoryRow:
    return HistoryRow(
        movie=movie,
        latest=latest,
        rating=visited.ratings.get(movie.pk),
        opened=opened,
        dismissed=movie.pk in visited.dismissed,
        in_watchlist=movie.pk in visited.watchlist,
        watches=diary_of(visited, movie.pk),
    )


class _Echo:
    """A file whose write() returns the line, so that rows can be streamed."""

    def write(self, line: str) -> str:
        return line


def _csv_lines(rows: Iterator[list[str]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff"  # spreadsheets take the file for UTF-8 by this mark
    for row in rows:
        yield writer.writerow(row)
