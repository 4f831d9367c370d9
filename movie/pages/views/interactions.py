"""Views that record an interaction: click, rating, dismissal, watchlist, diary, undo, impression."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from movie.catalogue.formatting import spoken_stars
from movie.catalogue.models import HALF_STARS, Movie, Rating
from movie.catalogue.posters.meanings import MOST_CHOICES
from movie.catalogue.translations import load_local_titles
from movie.core.http import is_htmx, is_script, safe_next, see_other
from movie.events.history import get_decisions
from movie.events.recording import new_event_id, record
from movie.experiments.assignment import is_running, parse_list_id
from movie.pages.decorators import clean_or_refuse, recording_view
from movie.pages.film_standing import standing_on_page
from movie.pages.views.why import list_query
from movie.recommendations.ranking import visitor_history
from movie.visitors.networks import client_address
from movie.visitors.throttling import seconds_to_wait
from movie.visitors.visitor import VisitorRequest
from predictors.history import Interaction

# One transparent pixel.
INVISIBLE = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
PARTS = {
    "card": "pages/_card_answer.html",
    "dismissed": "pages/_dismissed.html",
    "rating": "pages/_rating_answer.html",
    "film": "pages/_film_yours.html",
}


class InteractionForm(forms.Form):
    """The hidden fields of every form. `part`, `reason`, `rank`, `why`, `motif` and `large` are only sent
    back in the answer to htmx, so that a card looks as it did."""

    event_id = forms.UUIDField(required=False)
    surface = forms.CharField(required=False, max_length=32)
    recommendation_id = forms.CharField(required=False, max_length=36)
    part = forms.ChoiceField(required=False, choices=[("", "")] + [(part, part) for part in PARTS])
    reason = forms.CharField(required=False, max_length=500)
    rank = forms.CharField(required=False, max_length=8)
    why = forms.RegexField(r"^[a-z_=&0-9.-]*$", required=False, max_length=64)
    motif = forms.IntegerField(required=False, min_value=0, max_value=MOST_CHOICES - 1)
    large = forms.CharField(required=False, max_length=8)


class RatingForm(InteractionForm):
    """`value` is 0.5 to 5 in halves; empty takes the rating away, missing is a mistake."""

    value = forms.FloatField(required=False)

    def clean_value(self) -> float | None:
        value = self.cleaned_data["value"]
        if "value" not in self.data:
            raise forms.ValidationError(_("Choose a number of stars first."))
        if value not in (None, *HALF_STARS):
            raise forms.ValidationError(_("A rating is 0.5 to 5 stars in half steps."))
        return value


class SwitchForm(InteractionForm):
    """`value` is 0 to give up what the form otherwise sets."""

    value = forms.TypedChoiceField(
        required=False,
        choices=[("", gettext_lazy("on")), ("1", gettext_lazy("on")), ("0", gettext_lazy("off"))],
        coerce=lambda value: 0.0 if value == "0" else None,
        empty_value=None,
    )


class WatchForm(InteractionForm):
    """`value` is 1 for a film that had been seen before, 0 to take the entry of that day back."""

    watched_on = forms.DateField(required=False, input_formats=["%Y-%m-%d"])
    value = forms.TypedChoiceField(
        required=False, choices=[("", ""), ("1", ""), ("0", "")], coerce=float, empty_value=None
    )


@recording_view
def rate(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Rate a movie, or clear the rating."""
    movie, fields = _record(request, movie_id, "rating", RatingForm)
    value = fields["value"]
    if value is None:
        message = _("Your rating of %(title)s is cleared.") % {"title": movie.display_title}
    else:
        message = _("Saved: %(stars)s for %(title)s.") % {
            "stars": spoken_stars(value),
            "title": movie.display_title,
        }
    response = _answer(request, movie, fields, message, {"part": "rating", "saved": True})
    response["HX-Trigger"] = "rated"  # a newcomer's page asks how far they are
    return response


@recording_view
def dismiss(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Dismiss a movie ("Not interested"), or take that back."""
    movie, fields = _record(request, movie_id, "dismiss", SwitchForm)
    if fields["value"] is None:
        message = _("%(title)s will not be shown again. My history can undo this.") % {
            "title": movie.display_title
        }
        return _answer(request, movie, fields, message, {"part": "dismissed", "changed": "dismiss"})
    message = _("%(title)s may be shown again.") % {"title": movie.display_title}
    return _answer(request, movie, fields, message, {"part": "card"})


@recording_view
def watchlist(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Put a movie on the watchlist, or take it off."""
    movie, fields = _record(request, movie_id, "watchlist", SwitchForm)
    if fields["value"] is None:
        message = _("%(title)s is on your watchlist.") % {"title": movie.display_title}
    else:
        message = _("%(title)s is no longer on your watchlist.") % {"title": movie.display_title}
    return _answer(
        request, movie, fields, message, {"part": "card", "undoable": True, "changed": "watchlist"}
    )


@recording_view
def watch(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Write into the diary that a movie was watched on a day, or take that entry back."""
    before = get_decisions(request.visitor.key, movie_id).watches.get(movie_id, ())
    movie, fields = _record(request, movie_id, "watch", WatchForm)
    state: dict[str, Any] = {"part": "film", "changed": "watch"}
    if fields["value"] == 0:
        message = _("%(title)s is taken out of your diary for that day.") % {"title": movie.display_title}
        state["removed"] = next((each for each in before if each.day == fields["watched_on"]), None)
    else:
        message = _("%(title)s is in your diary.") % {"title": movie.display_title}
    return _answer(request, movie, fields, message, state)


@recording_view
def undo(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Take back the latest rating, dismissal, change of the watchlist or of the diary for this film."""
    movie, fields = _record(request, movie_id, "undo")
    history = get_decisions(request.visitor.key, movie.pk)
    latest = max((event for event in history if event.kind == "undo"), key=lambda event: event.at)
    if latest.event_id in history.taken_back:
        message = _("Your last change for %(title)s is taken back.") % {"title": movie.display_title}
    else:
        message = _("There is nothing to take back for %(title)s.") % {"title": movie.display_title}
    return _answer(request, movie, fields, message, {"part": fields["part"] or "rating", "undone": True})


@recording_view
def click(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Record a click, from the beacon that a script sends when a movie is opened."""
    _record(request, movie_id, "click")
    return HttpResponse(status=204)


@never_cache
@require_safe
def go(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Record a click without a script: a plain link that redirects to the movie.

    A GET can be made by anybody, so it counts only when a person followed a link on this site in a
    browser that carries their cookie; everyone else is led on all the same.
    """
    movie = get_object_or_404(Movie.objects.visible(), pk=movie_id)
    form = InteractionForm(
        {
            "event_id": request.GET.get("e", ""),
            "surface": request.GET.get("from", ""),
            "recommendation_id": request.GET.get("rec", ""),
        }
    )
    followed = request.method == "GET" and _from_this_site(request) and not _is_prefetch(request)
    if followed and form.is_valid() and not request.visitor.is_new and not seconds_to_wait(request):
        record(_interaction(request, movie, "click", form.cleaned_data))
    in_list = list_query(request)
    return redirect(f"{movie.get_absolute_url()}?{in_list}" if in_list else movie)


@never_cache
@require_safe
def shown(request: VisitorRequest, movie_id: int) -> HttpResponse:
    """Record an impression of an experiment's list, by an invisible image that browsers load with it.

    The film is the first of the list. As with `go`, only a page of this site counts, and the same page
    once however often it is drawn. It has a limit of its own, so that looking leaves no fewer ratings.
    """
    movie = get_object_or_404(Movie.objects.visible(), pk=movie_id)
    form = InteractionForm(
        {
            "event_id": request.GET.get("e", ""),
            "surface": request.GET.get("from", ""),
            "recommendation_id": request.GET.get("rec", ""),
        }
    )
    fetched = request.method == "GET" and _from_this_site(request, "no-cors") and not _is_prefetch(request)
    if fetched and form.is_valid() and not request.visitor.is_new:
        tag = parse_list_id(form.cleaned_data["recommendation_id"])
        if tag and is_running(tag.experiment) and not seconds_to_wait(request, "shown:"):
            record(_interaction(request, movie, "impression", form.cleaned_data))
    return HttpResponse(INVISIBLE, content_type="image/gif")


def _from_this_site(request: HttpRequest, mode: str = "navigate") -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin" and request.headers.get("Sec-Fetch-Mode", mode) == mode
    referrer = urlsplit(request.headers.get("Referer", ""))
    return (referrer.scheme, referrer.netloc) == (request.scheme, request.get_host())


def _is_prefetch(request: HttpRequest) -> bool:
    purposes = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz", "X-Purpose"))
    return any(word in purpose for purpose in purposes for word in ("prefetch", "prerender", "preview"))


def _record(
    request: VisitorRequest, movie_id: int, kind: str, form_class: type[InteractionForm] = InteractionForm
) -> tuple[Movie, dict[str, Any]]:
    """Validate the form and record the interaction. Raises Http404 and InvalidInteraction."""
    movie = get_object_or_404(Movie.objects.visible(), pk=movie_id)
    fields = clean_or_refuse(form_class(request.POST))
    load_local_titles([movie])
    record(_interaction(request, movie, kind, fields), network=client_address(request))
    return movie, fields


def _interaction(request: VisitorRequest, movie: Movie, kind: str, fields: dict[str, Any]) -> Interaction:
    return Interaction(
        event_id=str(fields["event_id"] or new_event_id()),
        visitor=request.visitor.key,
        kind=kind,
        movie_id=movie.pk,
        at=datetime.now(UTC),
        value=fields.get("value"),
        surface=fields["surface"],
        recommendation_id=fields["recommendation_id"],
        watched_on=fields.get("watched_on"),
    )


def _answer(
    request: VisitorRequest, movie: Movie, fields: dict[str, Any], message: str, state: dict[str, Any]
) -> HttpResponse:
    """Redirect back with a message; answer htmx with the changed part, as the database has it."""
    if is_script(request) and not is_htmx(request):
        return HttpResponse(status=204)  # a beacon: nobody reads the answer
    if not is_htmx(request):
        messages.success(request, message)
        return see_other(safe_next(request, default=movie.get_absolute_url()))
    visitor = request.visitor.key
    if fields["part"] == "film":
        state["part"] = "film"
    rating = Rating.objects.filter(visitor=visitor, movie=movie).values_list("value", flat=True).first()
    context = {**fields, **state, "movie": movie, "rating": rating}
    if state["part"] == "card":
        history = get_decisions(visitor, movie.pk)
        entry = SimpleNamespace(
            movie=movie, reason=fields["reason"], rank=fields["rank"], motif=fields["motif"] or 0
        )
        context |= {"entries": [entry], "ratings": {movie.pk: rating}, "watchlist": history.watchlist}
    if state["part"] == "film":
        context |= standing_on_page(visitor_history(request.visitor), movie.pk)
    response = render(request, PARTS[state["part"]], context)
    if state["part"] in ("card", "film"):  # the other parts are live regions themselves
        response["HX-Trigger"] = json.dumps({"announce": message})
    return response
