"""Show staff one visitor: the history and every model's list for it; export it, or delete it on request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from movie.catalogue.models import Movie
from movie.events.archive import ArchiveUnavailable
from movie.events.history import get_history
from movie.events.recording import forget
from movie.pages.comparison import ask_all, fill_picks
from movie.pages.personal_data import export_of, export_of_visitor
from movie.visitors.visitor import LONGEST_VISITOR, Visitor, can_act
from predictors.history import Interaction

log = logging.getLogger(__name__)

LIST_LENGTH = 10
EVENTS_SHOWN = 50
LONGEST_COLUMN = 2**63 - 1
TO_SEE = ("events.view_event", "auth.view_user")  # who types an address learns whose it is

View = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True, slots=True)
class ShownEvent:
    interaction: Interaction
    movie: Movie | None


def needs(*permissions: str) -> Callable[[View], View]:
    """Refuse staff without these permissions."""

    def mark(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest) -> HttpResponse:
            if not request.user.has_perms(permissions):
                raise PermissionDenied
            return view(request)

        return checked

    return mark


@never_cache
@require_safe
@needs(*TO_SEE)
def look_up(request: HttpRequest) -> HttpResponse:
    """Find a visitor by a key, a name or a mail address; show the history and all lists side by side."""
    asked = request.GET.get("visitor", "").strip().replace("\x00", "")[:LONGEST_VISITOR]
    context: dict[str, Any] = {**admin.site.each_context(request), "title": _("A visitor"), "asked": asked}
    visitor, user = find_visitor(asked)
    if visitor:
        history = get_history(visitor)
        answers = ask_all(history, LIST_LENGTH)
        latest = sorted(history, key=lambda each: (each.at, each.event_id), reverse=True)[:EVENTS_SHOWN]
        movies = fill_picks(answers, [int(each.movie_id) for each in latest])
        context |= {
            "visitor": visitor,
            "member": user,
            "can_act": can_act(visitor),
            "n_events": len(history),
            "events": [ShownEvent(each, movies.get(int(each.movie_id))) for each in latest],
            "answers": answers,
        }
    return TemplateResponse(request, "admin/pages/visitor.html", context)


@never_cache
@require_safe
@needs(*TO_SEE)
def export(request: HttpRequest) -> HttpResponse:
    """Send everything the site stores about a visitor, as JSON."""
    visitor, user = find_visitor(request.GET.get("visitor", ""))
    if not visitor:
        return _back("")
    try:
        content = export_of(user) if user else export_of_visitor(visitor)
    except ArchiveUnavailable:
        messages.error(request, _("Older clicks cannot be read just now, so the export would lack some."))
        return _back(visitor)
    log.info("the account %s exported what is stored about a visitor", request.user.pk)
    response = JsonResponse(content, json_dumps_params={"indent": 1, "ensure_ascii": False})
    response["Content-Disposition"] = 'attachment; filename="reelgraph-visitor.json"'
    return response


@require_POST
@needs("events.delete_event")
def delete_history(request: HttpRequest) -> HttpResponse:
    """Delete a visitor's history, here and wherever it was copied to; an account stays."""
    visitor, _user = find_visitor(request.POST.get("visitor", ""))
    if not visitor or not can_act(visitor):
        messages.error(request, _("There is no such visitor."))
        return _back("")
    if "sure" not in request.POST:
        messages.warning(request, _("Nothing was deleted: tick the box first."))
        return _back(visitor)
    n = forget(visitor)
    log.info("the account %s deleted the history of a visitor: %s events", request.user.pk, n)
    text = ngettext("%(n)d event was deleted.", "%(n)d events were deleted.", n)
    messages.success(request, text % {"n": n})
    return _back(visitor)


def find_visitor(asked: str) -> tuple[str, AbstractUser | None]:
    """Return the key of a visitor and the account, if any, for what staff typed; "" for nobody."""
    asked = asked.strip().replace("\x00", "")[:LONGEST_VISITOR]
    users = get_user_model()._default_manager
    if asked.startswith("user:"):
        number = asked.removeprefix("user:")
        is_key = number.isascii() and number.isdecimal() and int(number) <= LONGEST_COLUMN
        user = users.filter(pk=int(number)).first() if is_key else None
        return (asked if user else "", user)
    if ":" in asked:
        return asked, None
    found = list(users.filter(Q(username=asked) | Q(email__iexact=asked))[:2]) if asked else []
    # Two accounts fit where the name of one is the address of the other: then only a key says which.
    user = found[0] if len(found) == 1 else None
    return (Visitor.for_user(user).key if user else "", user)


def _back(visitor: str) -> HttpResponse:
    query = f"?{urlencode({'visitor': visitor})}" if visitor else ""
    return HttpResponseRedirect(reverse("admin:visitor") + query)
