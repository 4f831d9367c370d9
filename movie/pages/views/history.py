"""My history: a visitor's interactions by movie, to read, correct, export, import or delete."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from movie.catalogue.models import Movie
from movie.catalogue.translations import load_local_titles
from movie.core.http import is_htmx, is_script, safe_next, see_other
from movie.core.request_limits import accepts_upload
from movie.events.archive.base import ArchiveUnavailable
from movie.events.history import get_history
from movie.events.history_files import MOST_BYTES, decode_history_file, history_rows, parse_history_file
from movie.events.history_import import RETRY_SECONDS, ImportBusy, import_history, import_slot
from movie.events.recording import forget
from movie.pages.decorators import clean_or_refuse, recording_view
from movie.visitors.networks import client_address
from movie.visitors.throttling import refusal, seconds_to_wait_for_rows
from movie.visitors.visitor import VisitorRequest
from predictors.history import History, MovieId

PAGE_SIZE = 24
REJECTED_SHOWN = 100

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


class ImportForm(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("CSV file"),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
        error_messages={
            "required": gettext_lazy("Choose a file first."),
            "empty": gettext_lazy("The file is empty."),
        },
    )

    def clean_file(self) -> str:
        """Return the text of the file."""
        upload = self.cleaned_data["file"]
        if upload.size > MOST_BYTES:
            limit = MOST_BYTES // 1024**2
            raise forms.ValidationError(_("The file is larger than %(n)d MB.") % {"n": limit})
        content = upload.read()
        try:
            return decode_history_file(content)
        except UnicodeDecodeError as wrong:
            line = content.count(b"\n", 0, wrong.start) + 1
            raise forms.ValidationError(_("Line %(n)d is not UTF-8 text.") % {"n": line}) from None


@never_cache
@require_safe
def history(request: VisitorRequest) -> HttpResponse:
    """Show movies by their latest interaction, newest first."""
    rows = _rows(_available_history(request))
    kind = request.GET.get("show", "all")
    kind = kind if kind in KINDS else "all"
    page = Paginator([row for row in rows if row.is_of(kind)], PAGE_SIZE).get_page(request.GET.get("page"))
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
        "total": len(rows),
        "visitor": request.visitor,
        "form": ImportForm(),
    }
    return render(request, "pages/history.html", context)


@never_cache
@require_safe
def history_export(request: VisitorRequest) -> StreamingHttpResponse:
    """Export every interaction as CSV, one a line; `history_import` reads the same format."""
    lines = history_rows(get_history(request.visitor.key, limit=None))
    name = f"reelgraph-history-{timezone.localdate():%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        _csv_lines(lines),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@accepts_upload(MOST_BYTES)
@recording_view
def history_import(request: VisitorRequest) -> HttpResponse:
    """Import an exported file: valid rows are recorded, every other is reported with its line."""
    text = clean_or_refuse(ImportForm(request.POST, request.FILES))["file"]
    try:
        with import_slot(request.visitor.key):
            read = parse_history_file(text, request.visitor.key)
            if wait := seconds_to_wait_for_rows(request, len(read.interactions)):
                return _refuse_rows(request, wait)
            counts = import_history(read.interactions, network=client_address(request))
    except ImportBusy as busy:
        return _refuse_busy(request, busy)
    context = {
        "new": counts.new,
        "known": counts.known,
        "left": counts.left,
        "rejected": read.rejected[:REJECTED_SHOWN],
        "rejected_count": len(read.rejected),
        "rejected_hidden": max(0, len(read.rejected) - REJECTED_SHOWN),
    }
    return render(request, "pages/history_imported.html", context)


def _refuse_rows(request: VisitorRequest, wait: int) -> HttpResponse:
    minutes = math.ceil(wait / 60)
    message = ngettext(
        "You have sent very many rows within the hour. Try again in %(n)d minute.",
        "You have sent very many rows within the hour. Try again in %(n)d minutes.",
        minutes,
    ) % {"n": minutes}
    return refusal(request, message, status=429, wait=wait)


def _refuse_busy(request: VisitorRequest, busy: ImportBusy) -> HttpResponse:
    if busy.own:
        message = _("Another file of yours is being imported just now. Try again in %(n)d seconds.")
    else:
        message = _("Other visitors' files are being imported just now. Try again in %(n)d seconds.")
    status = 409 if busy.own else 429
    return refusal(request, message % {"n": RETRY_SECONDS}, status=status, wait=RETRY_SECONDS)


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
