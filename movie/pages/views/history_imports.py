"""Bring your films: take a file in, show what it would bring, store it once confirmed, take it back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from movie.catalogue.models import Movie
from movie.catalogue.translations import load_local_titles
from movie.core.http import error_response, is_script, see_other
from movie.core.request_limits import HISTORY_BYTES, accepts_upload
from movie.events.history_formats import UnknownFile
from movie.events.history_import import (
    RETRY_SECONDS,
    ImportBusy,
    finish_import,
    import_slot,
    prepare_import,
    take_back_import,
)
from movie.events.history_matching import ParsedHistory, parse_history_file
from movie.events.models import HistoryImport
from movie.events.recording import InvalidInteraction
from movie.pages.decorators import clean_or_refuse, recording_view
from movie.visitors.networks import client_address
from movie.visitors.throttling import limited_page, seconds_to_wait_for_rows
from movie.visitors.visitor import VisitorRequest

REJECTED_SHOWN = 100
AMBIGUOUS_SHOWN = 100
MATCHED_SHOWN = 12
PICK = "film-"  # before the key of an ambiguous film in the form

SOURCES = {
    "reelgraph": "Reelgraph",
    "letterboxd": "Letterboxd",
    "imdb": "IMDb",
    "trakt": "Trakt",
    "movielens": "MovieLens",
    "criticker": "Criticker",
}


class ImportForm(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("Your file"),
        widget=forms.FileInput(attrs={"accept": ".csv,.zip,.json,.xml,.txt", "required": True}),
        error_messages={
            "required": gettext_lazy("Choose a file first."),
            "empty": gettext_lazy("The file is empty."),
        },
    )

    def clean_file(self) -> tuple[str, bytes]:
        """Return the name and the content of the file."""
        upload = self.cleaned_data["file"]
        if upload.size > HISTORY_BYTES:
            limit = HISTORY_BYTES // 1024**2
            raise forms.ValidationError(_("The file is larger than %(n)d MB.") % {"n": limit})
        return upload.name or "", upload.read()


@accepts_upload(HISTORY_BYTES)
@recording_view
def history_import(request: VisitorRequest) -> HttpResponse:
    """Keep a file and show what it would bring. Nothing is recorded yet."""
    name, content = clean_or_refuse(ImportForm(request.POST, request.FILES))["file"]
    try:
        with import_slot(request.visitor.key):
            read = _parse(request, content, name)
            if wait := seconds_to_wait_for_rows(request, len(read.interactions)):
                return _refuse_rows(request, wait)
            prepared = prepare_import(request.visitor.key, name, read.source, content)
    except ImportBusy as busy:
        return _refuse_busy(request, busy)
    except UnknownFile as unknown:
        return _refuse_file(request, str(unknown))
    return see_other(reverse("pages:import_preview", args=[prepared.pk]))


@never_cache
@require_safe
@limited_page
def import_preview(request: VisitorRequest, import_id: int) -> HttpResponse:
    """Show what a file would bring: films that are known, that may be several, and those not found."""
    prepared = _waiting(request, import_id)
    if prepared is None:
        return _gone(request)
    read = _parse(request, bytes(prepared.content), prepared.name)
    ambiguous = list(read.ambiguous.values())[:AMBIGUOUS_SHOWN]
    shown = read.interactions[:MATCHED_SHOWN]
    ids = {pk for film in ambiguous for pk in film.candidates} | {each.movie_id for each in shown}
    movies = Movie.objects.in_bulk(ids)
    load_local_titles(movies.values())
    kinds = Counter(each.kind for each in read.interactions)
    context = {
        "prepared": prepared,
        "source": SOURCES[read.source],
        "total": len(read.interactions),
        "n_films": len({each.movie_id for each in read.interactions}),
        "kinds": [(_kind_label(kind, count), count) for kind, count in kinds.most_common()],
        "matched": [(movies[each.movie_id], each) for each in shown if each.movie_id in movies],
        "matched_hidden": len(read.interactions) - len(shown),
        "ambiguous": [(f"{PICK}{film.key}", film, _known(movies, film.candidates)) for film in ambiguous],
        **_rejected(read),
    }
    return render(request, "pages/history_preview.html", context)


@recording_view
def confirm_import(request: VisitorRequest, import_id: int) -> HttpResponse:
    """Record what a file says, with the films that were picked; every other row is named with its line."""
    prepared = _waiting(request, import_id)
    if prepared is None:
        return _gone(request)
    try:
        with import_slot(request.visitor.key):
            content = bytes(prepared.content)
            picks = {
                name.removeprefix(PICK): int(value)
                for name, value in request.POST.items()
                if name.startswith(PICK) and isinstance(value, str) and value.isascii() and value.isdigit()
            }
            read = parse_history_file(
                content, request.visitor.key, name=prepared.name, picks=picks, now=prepared.created
            )
            counts = finish_import(prepared, read.interactions, network=client_address(request))
    except ImportBusy as busy:
        return _refuse_busy(request, busy)
    context = {"new": counts.new, "known": counts.known, "left": counts.left}
    return _show_result(request, prepared, read, context)


@recording_view
def take_back(request: VisitorRequest, import_id: int) -> HttpResponse:
    """Take an import back as one."""
    done = get_object_or_404(HistoryImport, pk=import_id, visitor=request.visitor.key)
    try:
        with import_slot(request.visitor.key):
            n_gone = take_back_import(done)
    except ImportBusy as busy:
        return _refuse_busy(request, busy)
    message = ngettext(
        "The import is undone: %(n)d entry is deleted.",
        "The import is undone: %(n)d entries are deleted.",
        n_gone,
    )
    messages.success(request, message % {"n": n_gone})
    return see_other(reverse("pages:history"))


def imports_of(visitor: str) -> list[tuple[HistoryImport, str]]:
    """Return the imports that a visitor may take back, latest first, and from where each came."""
    done = HistoryImport.objects.filter(visitor=visitor, count__gt=0).defer("content").order_by("-created")
    return [(each, SOURCES.get(each.source, each.source)) for each in done]


def _parse(request: VisitorRequest, content: bytes, name: str) -> ParsedHistory:
    try:
        return parse_history_file(content, request.visitor.key, name=name)
    except UnicodeDecodeError as wrong:
        line = content.count(b"\n", 0, wrong.start) + 1
        raise InvalidInteraction("file", _("Line %(n)d is not UTF-8 text.") % {"n": line}) from None


def _waiting(request: VisitorRequest, import_id: int) -> HistoryImport | None:
    mine = HistoryImport.objects.filter(pk=import_id, visitor=request.visitor.key)
    return mine.exclude(content=b"").first()


def _gone(request: VisitorRequest) -> HttpResponse:
    messages.warning(request, _("The file is no longer here. Choose it again."))
    return see_other(reverse("pages:history"))


def _kind_label(kind: str, count: int) -> str:
    match kind:
        case "rating":
            return ngettext("star rating", "star ratings", count)
        case "watchlist":
            return ngettext("entry of the watchlist", "entries of the watchlist", count)
        case "watch":
            return ngettext("entry of the diary", "entries of the diary", count)
        case "click":
            return ngettext("film opened", "films opened", count)
        case _:
            return ngettext("other entry", "other entries", count)


def _known(movies: Mapping[int, Movie], ids: list[int]) -> list[Movie]:
    return [movies[pk] for pk in ids if pk in movies]


def _rejected(read: ParsedHistory) -> dict[str, object]:
    return {
        "rejected": read.rejected[:REJECTED_SHOWN],
        "rejected_count": len(read.rejected),
        "rejected_hidden": max(0, len(read.rejected) - REJECTED_SHOWN),
    }


def _show_result(
    request: VisitorRequest, done: HistoryImport, read: ParsedHistory, counts: Mapping[str, int]
) -> HttpResponse:
    left_out = sum(film.rows for film in read.ambiguous.values())
    context = {**counts, **_rejected(read), "done": done, "ambiguous_count": left_out}
    return render(request, "pages/history_imported.html", context)


def _refuse_file(request: VisitorRequest, reason: str) -> HttpResponse:
    """Say why a file was not taken in and what is recognised, with the form for another one."""
    if is_script(request):
        return error_response(request, reason, status=422)
    context = {"reason": reason, "form": ImportForm()}
    return render(request, "pages/history_refused.html", context, status=422)


def _refuse_rows(request: VisitorRequest, wait: int) -> HttpResponse:
    minutes = math.ceil(wait / 60)
    message = ngettext(
        "You have sent very many rows within the hour. Try again in %(n)d minute.",
        "You have sent very many rows within the hour. Try again in %(n)d minutes.",
        minutes,
    ) % {"n": minutes}
    return error_response(request, message, status=429, wait=wait)


def _refuse_busy(request: VisitorRequest, busy: ImportBusy) -> HttpResponse:
    if busy.is_own:
        message = _("Another file of yours is being imported just now. Try again in %(n)d seconds.")
    else:
        message = _("Other visitors' files are being imported just now. Try again in %(n)d seconds.")
    status = 409 if busy.is_own else 429
    return error_response(request, message % {"n": RETRY_SECONDS}, status=status, wait=RETRY_SECONDS)
