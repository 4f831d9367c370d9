"""Guards of views that record: POST only, not too often, and a clear answer to bad input."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from movie.interactions import InvalidInteraction
from movie.rate_limit import seconds_to_wait
from movie.visitors import VisitorRequest

View = Callable[..., HttpResponse]


def recording_view(view: View) -> View:
    """Limit how often a view records. InvalidInteraction becomes a 422 that names the field."""

    @require_POST
    @wraps(view)
    def guarded(request: VisitorRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        wait = seconds_to_wait(request)
        if wait:
            message = ngettext(
                "Too many changes at once. Try again in %(seconds)d second.",
                "Too many changes at once. Try again in %(seconds)d seconds.",
                wait,
            ) % {"seconds": wait}
            response = error_response(request, message, status=429)
            response["Retry-After"] = str(wait)
            return response
        try:
            return view(request, *args, **kwargs)
        except InvalidInteraction as refused:
            return error_response(request, f"{refused.field}: {refused}", status=422)

    return guarded


def error_response(request: HttpRequest, message: str, *, status: int) -> HttpResponse:
    """Say why nothing was stored: a page for a browser, one line of text for a script."""
    if is_script(request):
        keep = {"HX-Reswap": "none"}  # the control stays as it is; the script says the line
        return HttpResponse(message, content_type="text/plain; charset=utf-8", status=status, headers=keep)
    back = safe_next(request, default="")
    return render(request, "movie/refused.html", {"reason": message, "back": back}, status=status)


def is_script(request: HttpRequest) -> bool:
    """Whether htmx or a beacon asks, and not a browser for a page."""
    return is_htmx(request) or "text/html" not in request.headers.get("Accept", "text/html")


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx waits for a part of a page."""
    return bool(getattr(request, "htmx", False))


def clean_or_refuse(form: forms.Form) -> dict[str, Any]:
    """Return the form's values. Raises InvalidInteraction with the first field that is wrong."""
    if not form.is_valid():
        field, errors = next(iter(form.errors.items()))
        raise InvalidInteraction(field, " ".join(str(error) for error in errors))
    return form.cleaned_data


def safe_next(request: HttpRequest, default: str) -> str:
    """Where the form wants to go back to, when that is a page of this site."""
    target = request.POST.get("next", "")
    own = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if own else default


def see_other(target: str) -> HttpResponseRedirect:
    """303: fetch the target with GET, whatever this request was."""
    return HttpResponseRedirect(target, status=303)
