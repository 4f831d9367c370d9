"""My history: a visitor's interactions by movie, to read, correct, export or delete."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
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
from movie.core.http import is_htmx, is_script, safe_next, see_other
from movie.events.archive.base import ArchiveUnavailable
from movie.events.history import get_history
from movie.events.history_files import history_rows, letterboxd_rows
from movie.events.recording import forget
from movie.pages.decorators import recording_view
from movie.pages.history_facets import facet_of
from movie.pages.views.history_imports import ImportForm, imports_of
from movie.visitors.visitor import VisitorRequest
from predictors.history import History, MovieId

PAGE_SIZE = 24

KINDS = {
    "all": gettext_lazy("All"),
    "rated": gettext_lazy("Rated"),
    "watchlist": gettext_lazy("Watchlist"),
    "dismissed": gettext_lazy("Not interested"),
    "opened": gettext_lazy("Opened"),
}


@dataclass(slots=True)
class HistoryRow:
    """A movie with the visitor's state: rating, clicks, watchlist, dismissal."""

    movie_id: MovieId
    latest: datetime
    rating: float | None
    opened: int
    dismissed: bool
    in_watchlist: bool
    movie: Movie | None = None

    @property
    def is_put_aside(self) -> bool:
        return self.dismissed or self.in_watchlist

    def is_of(self, kind: str) -> bool:
        return {
            "rated": self.rating is not None,
            "watchlist": self.in_watchlist,
            "dismissed": self.dismissed,
            "opened": self.opened > 0,
        }.get(kind, True)


@never_cache
@require_safe
def history(request: VisitorRequest) -> HttpResponse:
    """Show movies by their latest interaction, newest first."""
    visited = _available_history(request)
    rows = _rows(visited)
    kind = request.GET.get("show", "all")
    kind = kind if kind in KINDS else "all"
    facet = facet_of(request.GET, visited)
    listed = [row for row in rows if row.is_of(kind) and (facet is None or row.movie_id in facet.movie_ids)]
    page = Paginator(listed, PAGE_SIZE).get_page(request.GET.get("page"))
    movies = Movie.objects.for_cards().in_bulk([row.movie_id for row in page])
    load_local_titles(movies.values())
    for row in page:
        row.movie = movies.get(row.movie_id)
    filters = [(name, label, sum(row.is_of(name) for row in rows)) for name, label in KINDS.items()]
    context = {
        "page_obj": page,
        "rows": [row for row in page if row.movie],
        "filters": filters,
        "kind": kind,
        "facet": facet,
        "total": len(rows),
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
    forget(request.visitor.key, movie.pk)
    message = _("%(title)s is deleted from your history.") % {"title": movie.display_title}
    if is_htmx(request):
        return render(request, "pages/_history_row.html", {"deleted": message})
    return _done(request, message)


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


def _done(request: HttpRequest, message: str) -> HttpResponse:
    if is_script(request):
        return HttpResponse(status=204)
    messages.success(request, message)
    return see_other(safe_next(request, default=reverse("pages:history")))


def _available_history(request: VisitorRequest) -> History:
    visitor = request.visitor.key
    try:
        return get_history(visitor, limit=None)
    except ArchiveUnavailable:
        messages.warning(request, _("Older clicks cannot be read just now. Nothing is lost."))
        return get_history(visitor)


def _rows(visited: History) -> list[HistoryRow]:
    """Return one row for each movie, the latest interaction first."""
    events = [event for event in visited if event.kind != "impression"]
    opened = Counter(event.movie_id for event in events if event.kind == "click")
    latest = {event.movie_id: event.at for event in events}
    rows = [
        HistoryRow(
            movie_id=film,
            latest=at,
            rating=visited.ratings.get(film),
            opened=opened[film],
            dismissed=film in visited.dismissed,
            in_watchlist=film in visited.watchlist,
        )
        for film, at in latest.items()
    ]
    return sorted(rows, key=lambda row: row.latest, reverse=True)


class _Echo:
    """A file whose write() returns the line, so that rows can be streamed."""

    def write(self, line: str) -> str:
        return line


def _csv_lines(rows: Iterator[list[str]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff"  # spreadsheets take the file for UTF-8 by this mark
    for row in rows:
        yield writer.writerow(row)
